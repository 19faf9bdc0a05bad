// The process and its workers: who has how much, and whether one has more than the others.

import { el, setText } from "../dom.js";
import { bar, either, rowsIn } from "../lists.js";

/** The fullest worker against the mean: what is below it is told as even. */
const EVEN_BELOW = 1.1;
/** Connections of the fullest worker; with less, one more or less is no skew. */
const TELLING = 10;

const STATES = { running: "ok", starting: "info", draining: "info", ended: "", stalled: "bad", died: "bad" };

export function mount(root, { feed, format }) {
    const skew = el("span", { class: "panel-note" });
    const meters = el("div", { class: "meters" });
    const process = [meter("CPU"), meter("Memory"), meter("Descriptors")];
    const network = wire();
    meters.append(...process.map(({ element }) => element), network.element);
    const names = [
        ["Worker", ""],
        ["State", ""],
        ["Connections", ""],
        ["Busy", ""],
        ["Loop lag p99", "number wide"],
        ["Heard", "number wide"],
    ];
    const body = el("tbody", {});
    const head = el(
        "tr",
        {},
        names.map(([name, kind]) => el("th", { scope: "col", class: kind || null }, name)),
    );
    const table = el(
        "div",
        { class: "scroll tall", tabindex: "0", role: "region", "aria-label": "Workers one by one" },
        el("table", { class: "table workers" }, el("thead", {}, head), body),
    );
    const empty = el("p", { class: "empty" }, "Waiting for the first figures of the workers.");
    root.append(el("div", { class: "panel-head" }, el("h2", {}, "Workers"), skew), meters, table, empty);
    either(table, empty, false);
    tellProcess(process, {}, format);
    network.tell(format.rate(null), format.rate(null));

    let [most, workers] = [1, []];
    const draw = rowsIn(body, () =>
        worker(
            format,
            () => most,
            () => feed.state === "live",
        ),
    );
    feed.onState(() => draw(workers));
    feed.on("system_performance", (data) => {
        workers = data.workers ?? [];
        most = Math.max(1, ...workers.map(({ connections }) => connections));
        draw(workers);
        either(table, empty, workers.length > 0);
        setText(skew, workers.length > 1 && most >= TELLING ? skewOf(data.skew, format) : "");
        tellProcess(process, data, format);
        network.tell(
            format.rate(data.network?.sent_bytes_per_second),
            format.rate(data.network?.received_bytes_per_second),
        );
    });
}

/** How much more than the mean the fullest worker has. */
function skewOf(skew, format) {
    const more = (ratio) =>
        ratio < EVEN_BELOW ? "even" : `${format.short(Math.round(ratio * 100) / 100)}× the mean at most`;
    const known = Number.isFinite(skew?.connections) && Number.isFinite(skew?.busy);
    return known ? `connections ${more(skew.connections)}, busy ${more(skew.busy)}` : "";
}

function tellProcess([cpu, memory, descriptors], data, format) {
    const { cpu_percent: percent, cpus, memory: ram, descriptors: open } = data;
    const level = (share) => (share > 0.95 ? "bad" : share > 0.8 ? "warn" : "");
    const share = (part, whole) => (whole > 0 ? part / whole : 0);
    cpu.tell(
        format.percent(percent / 100),
        cpus ? `of ${format.plural(cpus, "CPU")}` : "",
        share(percent, cpus * 100),
        level,
    );
    memory.tell(
        format.bytes(ram?.resident_bytes),
        `of ${format.bytes(ram?.total_bytes)}`,
        share(ram?.resident_bytes, ram?.total_bytes),
        level,
    );
    descriptors.tell(format.count(open?.open), `of ${format.count(open?.max)}`, share(open?.open, open?.max), level);
}

function meter(name) {
    const value = el("strong", {});
    const of = el("span", { class: "meter-of" });
    const share = bar();
    return {
        element: el(
            "div",
            { class: "meter" },
            el("span", { class: "meter-name" }, name),
            el("span", { class: "meter-value cut" }, value, " ", of),
            share.element,
        ),
        tell(text, rest, part, level) {
            setText(value, text);
            setText(of, rest);
            share.tell(part, level(part));
        },
    };
}

/** What goes through the host's network interfaces. */
function wire() {
    const [out, into] = [el("strong", {}), el("strong", {})];
    const line = (value, name) =>
        el("span", { class: "meter-value cut" }, value, " ", el("span", { class: "meter-of" }, name));
    return {
        element: el(
            "div",
            { class: "meter" },
            el("span", { class: "meter-name" }, "Network"),
            line(out, "out"),
            line(into, "in"),
        ),
        tell(sent, received) {
            setText(out, sent);
            setText(into, received);
        },
    };
}

/** What a worker does, and when it was heard, is only known while the feed is live: the rest stays as it was last. */
function worker(format, most, isKnown) {
    const number = el("th", { scope: "row" });
    const state = el("span", { class: "badge" });
    const driver = el("span", { class: "worker-driver" });
    const [connections, busy] = [share(), share()];
    const lag = el("td", { class: "number wide" });
    const heard = el("td", { class: "number wide" });
    const element = el(
        "tr",
        {},
        number,
        el("td", {}, state, " ", driver),
        connections.element,
        busy.element,
        lag,
        heard,
    );
    return {
        element,
        tell(one) {
            setText(number, String(one.worker));
            setText(state, isKnown() ? one.state : "unknown");
            state.className = `badge ${isKnown() ? (STATES[one.state] ?? "warn") : ""}`.trim();
            setText(driver, one.driver);
            connections.tell(format.count(one.connections), one.connections / most());
            busy.tell(format.percent(one.busy_share), one.busy_share, one.busy_share > 0.9 ? "warn" : "");
            setText(lag, format.milliseconds(one.loop_lag_p99_ms));
            const age = one.heartbeat_age_ms;
            const ago = age < 1_000 ? "just now" : `${format.duration(age / 1000)} ago`;
            setText(heard, isKnown() ? ago : format.UNKNOWN);
        },
    };
}

function share() {
    const value = el("span", { class: "share-value" });
    const picture = bar();
    return {
        element: el("td", { class: "share-cell" }, el("span", { class: "share" }, picture.element, value)),
        tell(text, part, kind) {
            setText(value, text);
            picture.tell(part, kind);
        },
    };
}
