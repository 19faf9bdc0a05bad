// The last five minutes, four points a second.

import { timeChart } from "../charts.js";
import { el, fill } from "../dom.js";

/** What the axis shows: at first little, so that the first seconds are to be seen. */
const [SPAN_LEAST, SPAN_MOST] = [60, 300];
const KEPT_AS = "ringway.traffic.view";

/** `of`: paths within traffic_data. */
const VIEWS = {
    bytes: {
        name: "Bytes",
        label: "Bytes relayed a second, last five minutes",
        of: ["traffic.sent_bytes_per_second", "traffic.received_bytes_per_second"],
        series: [
            { label: "sent", colour: "sent" },
            { label: "received", colour: "received" },
        ],
        value: "rate",
        binary: true,
    },
    open: {
        name: "Open",
        label: "Open connections, last five minutes",
        of: ["connections.active", "websocket.active"],
        series: [
            { label: "SOCKS5", colour: "series-1" },
            { label: "WebSocket", colour: "series-4" },
        ],
        value: "count",
        whole: true,
    },
    begun: {
        name: "New and failed",
        label: "Connections begun and failed a second, last five minutes",
        of: ["connections.per_second", "connections.failed_per_second"],
        series: [
            { label: "new", colour: "series-1" },
            { label: "failed", colour: "failed" },
        ],
        value: "perSecond",
    },
    messages: {
        name: "Messages",
        label: "WebSocket messages a second, last five minutes",
        of: ["websocket.deliveries_per_second", "websocket.received_messages_per_second"],
        series: [
            { label: "out", colour: "sent" },
            { label: "in", colour: "received" },
        ],
        value: "perSecond",
    },
};

export function mount(root, { feed, format }) {
    const place = el("div", {});
    let [chosen, chart] = [kept(), null];
    const buttons = Object.entries(VIEWS).map(([key, view]) =>
        el(
            "button",
            { type: "button", "aria-pressed": "false", data: { view: key }, on: { click: () => choose(key) } },
            view.name,
        ),
    );
    const draw = () => {
        const { times } = feed.recent;
        const to = times.at(-1) ?? Date.now() / 1000;
        const span = Math.min(SPAN_MOST, Math.max(SPAN_LEAST, to - (times[0] ?? to)));
        chart.draw(
            times,
            VIEWS[chosen].of.map((path) => feed.recent.column(path)),
            { from: to - span, to },
        );
    };
    const choose = (key) => {
        chosen = key;
        keep(key);
        buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.view === key)));
        chart?.destroy();
        chart = timeChart({ ...VIEWS[key], value: format[VIEWS[key].value] });
        fill(place, chart.element);
        draw();
    };
    root.append(
        el(
            "div",
            { class: "panel-head" },
            el("h2", {}, "Traffic"),
            el("div", { class: "switch", role: "group", "aria-label": "What the chart shows" }, buttons),
        ),
        place,
    );
    choose(chosen);
    feed.on("traffic_data", draw);
}

function kept() {
    try {
        const key = localStorage.getItem(KEPT_AS);
        return Object.hasOwn(VIEWS, key) ? key : "bytes";
    } catch {
        return "bytes";
    }
}

function keep(key) {
    try {
        localStorage.setItem(KEPT_AS, key);
    } catch {
        // Private windows may refuse; the choice then lasts as long as the page.
    }
}
