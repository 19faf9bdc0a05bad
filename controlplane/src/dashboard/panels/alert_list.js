// Alerts and silences as lists that are told anew each second: elements stay, so that nothing is pulled away from under a press.

import { button, el, fill, setText } from "../dom.js";
import { countdown } from "../reading.js";
import { severityKind, valueOf } from "./alert_words.js";

/** The badge of each state. */
export const STATES = { firing: "bad", pending: "warn", resolved: "ok" };
/** Labels that every alert has, or that stand beside it already. */
const KNOWN_LABELS = new Set(["alertname", "name", "severity", "instance"]);

export function wordsOf(matchers) {
    return Object.entries(matchers).map(([label, value]) => `${label}=${value}`);
}

/**
 * A list of which each item has its element as long as `keyOf` says the same of it; what changes meanwhile is told by `tell`.
 * @returns {{element: HTMLElement, tell: (items: Array, now: number) => void}}
 */
function listOf(kind, keyOf, make) {
    const element = el("ul", { class: kind });
    let made = new Map();
    return {
        element,
        tell(items, now) {
            const next = new Map();
            for (const item of items) {
                const key = keyOf(item);
                const one = made.get(key) ?? make(item);
                one.tell(item, now);
                next.set(key, one);
            }
            made = next;
            const wanted = [...next.values()].map((one) => one.element);
            if (wanted.length !== element.children.length || wanted.some((one, at) => element.children[at] !== one)) {
                fill(element, wanted);
            }
        },
    };
}

export function alertList({ format, onSilence }) {
    const keyOf = ({ fingerprint, state, severity, labels, silenced_by: by }) =>
        JSON.stringify([fingerprint, state, severity, labels, by]);
    return listOf("ops-alerts", keyOf, (alert) => alertView(alert, format, onSilence));
}

function alertView(alert, format, onSilence) {
    const { name, state, severity, labels, silenced_by: silencedBy, fingerprint } = alert;
    const isOpen = state !== "resolved" && !silencedBy;
    const summary = el("p", {});
    const figures = el("span", {});
    const extra = Object.entries(labels).filter(([label]) => !KNOWN_LABELS.has(label));
    const element = el(
        "li",
        {
            class: `ops-alert ${state} ${silencedBy ? "silenced" : ""}`.trim(),
            data: { alert: name, state, fingerprint },
        },
        el(
            "div",
            { class: "row" },
            el("span", { class: `badge ${STATES[state] ?? ""}` }, state),
            el("strong", { class: "ops-alert-name" }, name),
            el("span", { class: `badge ${severityKind(severity)}` }, severity),
            silencedBy && el("span", { class: "badge" }, "silenced"),
            el("span", { class: "ops-spring" }),
            isOpen &&
                button("Silence…", () => onSilence(alert), { kind: "quiet small", "aria-label": `Silence ${name}` }),
        ),
        summary,
        el(
            "p",
            { class: "panel-note" },
            figures,
            wordsOf(Object.fromEntries(extra)).map((word) => [" · ", el("code", {}, word)]),
        ),
    );
    const tell = ({ since, summary: text, ...told }, now) => {
        const lasting = format.duration(Math.max(0, (now - Date.parse(since)) / 1_000));
        setText(summary, text);
        setText(
            figures,
            `${valueOf(told, format)} · ${state === "resolved" ? `resolved ${format.ago(since, now)}` : `${state} for ${lasting}`}`,
        );
    };
    return { element, tell };
}

export function silenceList({ onEnd }) {
    return listOf(
        "ops-silences",
        ({ id }) => id,
        (silence) => silenceView(silence, onEnd),
    );
}

function silenceView(silence, onEnd) {
    const { id, matchers, until, by, comment } = silence;
    const words = wordsOf(matchers);
    const left = el("span", { class: "panel-note" });
    const element = el(
        "li",
        { class: "ops-silence", data: { silence: id } },
        el(
            "div",
            { class: "row" },
            words.map((word) => el("code", {}, word)),
            left,
            el("span", { class: "ops-spring" }),
            button("End", () => onEnd(silence), {
                kind: "small",
                "aria-label": `End the silence of ${words.join(", ")}`,
            }),
        ),
        el("p", { class: "panel-note" }, comment ? `“${comment}” — ${by}` : by),
    );
    return {
        element,
        tell: (_, now) => {
            const time = countdown(until, now);
            setText(left, time ? `for ${time} yet` : "ends now");
        },
    };
}
