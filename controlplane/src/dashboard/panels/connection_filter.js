// The filter of the connections' table: a field for each condition that the API has.

import { button, el, field, setText } from "../dom.js";
import { CONDITIONS, readFilter, WITHOUT_USER } from "../reading.js";

/** How long a filter that is being typed is waited for. */
const TYPING_MS = 400;
const PHASES = [
    "proxy_header",
    "tls_handshake",
    "greeting",
    "authentication",
    "verdict",
    "request",
    "name_lookup",
    "connect",
    "await_peer",
    "relay",
    "half_closed",
    "associated",
    "farewell",
    "upgrade",
    "open",
    "closing",
];
const EXAMPLES = {
    user: `alice, or ${WITHOUT_USER}`,
    target: "example.org, .org, 10.0.0.0/8, :443",
    client: "192.0.2.7 or 192.0.2.0/24",
    min_age: "5m",
    min_idle: "1m",
    min_bytes: "10MiB",
    worker: "0",
    topic: "news",
};
/** Those that are asked for most; the others are a press away. */
const FIRST = new Set(["user", "target", "client", "service", "min_age"]);

/**
 * The form. `onFilter` is told of each other filter; one with a fault is said to have it, and is none.
 * @param {(read: {filter: Object<string, string>, words: string}) => void} onFilter
 * @returns {{element: HTMLElement, apply: () => boolean, stop: () => void}} `apply` takes what stands there now; false: it has a fault
 */
export function filterForm(onFilter) {
    const faultText = el("p", { class: "field-error", role: "status" });
    const fields = CONDITIONS.map(fieldOf);
    const pick = (first) => fields.filter(({ name }) => FIRST.has(name) === first).map(({ made }) => made);
    let typing = null;
    let told = "{}";

    const apply = () => {
        clearTimeout(typing);
        const values = Object.fromEntries(fields.map(({ name, made }) => [name, made.control.value]));
        const { filter, faults, words } = readFilter(values);
        fields.forEach(({ name, made }) => made.control.setAttribute("aria-invalid", String(name in faults)));
        const wrong = fields.filter(({ name }) => name in faults);
        setText(faultText, wrong.map(({ name, label }) => `${label}: write ${faults[name]}.`).join(" "));
        if (wrong.length === 0 && JSON.stringify(filter) !== told) {
            told = JSON.stringify(filter);
            onFilter({ filter, words });
        }
        return wrong.length === 0;
    };
    const wait = () => {
        clearTimeout(typing);
        typing = setTimeout(apply, TYPING_MS);
    };
    const clear = () => {
        form.reset();
        apply();
    };
    const submit = (event) => {
        event.preventDefault();
        apply();
    };
    const form = el(
        "form",
        {
            class: "ops-filter",
            role: "search",
            "aria-label": "Filter of connections",
            on: { input: wait, change: apply, submit },
        },
        el("div", { class: "ops-fields" }, pick(true), button("Clear", clear, { kind: "quiet" })),
        faultText,
        el(
            "details",
            { class: "ops-more" },
            el("summary", {}, "More conditions"),
            el("div", { class: "ops-fields" }, pick(false)),
        ),
    );
    return { element: form, apply, stop: () => clearTimeout(typing) };
}

function fieldOf({ name, label }) {
    const options = {
        service: [
            ["", "both"],
            ["socks5", "SOCKS5"],
            ["websocket", "WebSocket"],
        ],
        phase: [["", "any"], ...PHASES.map((phase) => [phase, phase.replaceAll("_", " ")])],
    }[name];
    return { name, label, made: field({ label, name, options, placeholder: options ? undefined : EXAMPLES[name] }) };
}
