// The figures that are looked at first, each with its last minute.

import { spark } from "../charts.js";
import { el, setText } from "../dom.js";
import { at } from "../store.js";

/**
 * `of`: the path within traffic_data of a tile's figure. Below it stands another, with words behind it: `[path, how, words]`, or a
 * text made of the whole. `title`: what may surprise.
 */
const TILES = [
    {
        name: "Connections",
        of: "connections.active",
        how: "count",
        colour: "accent",
        note: ["connections.total", "count", "since start"],
    },
    { name: "New", of: "connections.per_second", how: "perSecond", colour: "accent", note: udp },
    {
        name: "Sent",
        of: "traffic.sent_bytes_per_second",
        how: "rate",
        colour: "sent",
        note: ["traffic.sent_bytes", "bytes", "in all"],
    },
    {
        name: "Received",
        of: "traffic.received_bytes_per_second",
        how: "rate",
        colour: "received",
        note: ["traffic.received_bytes", "bytes", "in all"],
    },
    {
        name: "Failures",
        of: "connections.failed_per_second",
        how: "perSecond",
        colour: "failed",
        note: ["connections.failed", "count", "since start"],
    },
    {
        name: "WebSocket",
        title: "Open dashboards, this one too, are among them",
        of: "websocket.active",
        how: "count",
        colour: "accent",
        note: ["websocket.online_users", "count", "users online"],
    },
    {
        name: "Messages out",
        of: "websocket.deliveries_per_second",
        how: "perSecond",
        colour: "sent",
        note: behind,
    },
    {
        name: "Messages in",
        of: "websocket.received_messages_per_second",
        how: "perSecond",
        colour: "received",
        note: ["websocket.received_messages", "count", "in all"],
    },
];

function udp({ udp: { active_associations: active = 0 } = {} }, format) {
    return active > 0 ? `${format.count(active)} with UDP` : "connections begun";
}

function behind({ websocket: { queued_messages: queued, dropped } = {} }, format) {
    return `${format.count(queued)} queued, ${format.count(dropped)} dropped`;
}

export function mount(root, { feed, format }) {
    const tiles = TILES.map((tile) => {
        const value = el("span", {}, format.UNKNOWN);
        const unit = el("span", { class: "unit" });
        const figure = el("div", { class: "tile-value", data: { figure: tile.of, value: "" } }, value, unit);
        const note = noteOf(tile.note, format);
        const picture = spark(tile.colour);
        root.append(
            el(
                "div",
                { class: "tile", title: tile.title },
                el("div", { class: "tile-name" }, tile.name),
                figure,
                note.element,
                picture.element,
            ),
        );
        return (data) => {
            const number = at(data, tile.of);
            const [digits, ofWhat] = format.parts[tile.how](number);
            setText(value, digits);
            setText(unit, ofWhat);
            figure.dataset.value = number ?? "";
            note.tell(data);
            picture.draw(feed.recent.times, feed.recent.column(tile.of));
        };
    });
    feed.on("traffic_data", (data) => tiles.forEach((tell) => tell(data)));
}

function noteOf(note, format) {
    const element = el("div", { class: "tile-note cut" });
    if (typeof note === "function") {
        return { element, tell: (data) => setText(element, note(data, format)) };
    }
    const [path, how, words] = note;
    element.dataset.figure = path;
    element.dataset.value = "";
    return {
        element,
        tell(data) {
            const number = at(data, path);
            setText(element, `${format[how](number)} ${words}`);
            element.dataset.value = number ?? "";
        },
    };
}
