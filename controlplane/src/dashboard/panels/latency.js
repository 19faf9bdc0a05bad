// How long things take: of late, and since the start.

import { svg } from "../charts.js";
import { el, setText } from "../dom.js";

/** By their names in traffic_data. */
const KINDS = [
    ["connect", "Connect", "from the request for a target until the connection to it stands"],
    ["dns", "Name lookup", "of a target's name, past the cache"],
    ["session", "Session", "from a SOCKS5 connection's begin to its end"],
    ["loop_lag", "Loop lag", "by how much a worker's timers come late: what everybody on it waits"],
    ["websocket_push", "Push", "from a publication to the last write to its subscribers"],
];

/** The picture's ends, in ms: 10 µs and 100 s; each power of ten is as wide as any other. */
const [LEAST_MS, MOST_MS] = [0.01, 100_000];

export function mount(root, { feed, format }) {
    const seconds = el("span", {}, "");
    const columns = ["p50", "p99", "max"].map((name) => el("th", { scope: "col", class: "number" }, name));
    const head = el(
        "tr",
        {},
        el("th", { scope: "col" }, el("span", { class: "visually-hidden" }, "What")),
        el("td", { class: "band-cell" }, scale()),
        columns,
    );
    const kinds = KINDS.map(([name, title, about]) => kind(name, title, about, format));
    const table = el(
        "table",
        { class: "table latency" },
        el("thead", {}, head),
        kinds.map(({ element }) => element),
    );
    root.append(
        el("div", { class: "panel-head" }, el("h2", {}, "Latency"), el("span", { class: "panel-note" }, seconds)),
        el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Latency by kind" }, table),
    );
    const tell = ({ latency }) => {
        const recent = Object.values(latency ?? {}).find((one) => one?.recent)?.recent;
        setText(seconds, `last ${format.duration(recent?.seconds ?? 10)}, and since start`);
        kinds.forEach((one) => one.tell(latency));
    };
    tell({});
    feed.on("traffic_data", tell);
}

function kind(name, title, about, format) {
    const picture = band();
    const recent = cells();
    const whole = cells();
    const count = el("span", { class: "latency-count" });
    const element = el(
        "tbody",
        {},
        el(
            "tr",
            {},
            el("th", { scope: "rowgroup", title: about }, title),
            el("td", { class: "band-cell" }, picture.element),
            recent.map(({ element: cell }) => cell),
        ),
        el(
            "tr",
            { class: "since" },
            el("td", {}, count),
            el("td", { class: "band-cell" }),
            whole.map(({ element: cell }) => cell),
        ),
    );
    const figures = (of) => (of?.count ? [of.p50_ms, of.p99_ms, of.max_ms] : [null, null, null]);
    return {
        element,
        tell(latency) {
            const all = latency?.[name];
            figures(all?.recent).forEach((ms, index) => setText(recent[index].element, format.milliseconds(ms)));
            figures(all).forEach((ms, index) => setText(whole[index].element, format.milliseconds(ms)));
            setText(count, all?.count ? `${format.count(all.count)} since start` : "none since start");
            picture.tell(...figures(all?.recent));
        },
    };
}

function cells() {
    return ["p50", "p99", "max"].map(() => ({ element: el("td", { class: "number" }) }));
}

/** From the median to p99 as a band, the maximum as a line, on a logarithmic scale. */
function band() {
    const range = svg("rect", { y: "4", height: "6", rx: "1.5", class: "band-range" });
    const most = svg("rect", { y: "2.5", height: "9", width: "1.6", class: "band-most" });
    const ground = svg("rect", { x: "0", y: "6.5", width: "100", height: "1", class: "band-ground" });
    const box = { viewBox: "0 0 100 14", preserveAspectRatio: "none", class: "band", "aria-hidden": "true" };
    return {
        element: svg("svg", box, ground, range, most),
        tell(p50, p99, max) {
            const known = p50 !== null;
            range.setAttribute("width", known ? Math.max(1.6, place(p99) - place(p50)).toFixed(1) : "0");
            range.setAttribute("x", known ? place(p50).toFixed(1) : "0");
            most.setAttribute("x", known ? place(max).toFixed(1) : "-9");
        },
    };
}

function place(ms) {
    const held = Math.min(MOST_MS, Math.max(LEAST_MS, ms));
    return (Math.log10(held / LEAST_MS) / Math.log10(MOST_MS / LEAST_MS)) * 98;
}

function scale() {
    return el(
        "span",
        { class: "band-scale", "aria-hidden": "true" },
        ["10 µs", "100 s"].map((text) => el("span", {}, text)),
    );
}
