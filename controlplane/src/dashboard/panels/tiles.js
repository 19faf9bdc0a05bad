// The figures that are looked at first, each with its last minute.

import { spark } from "../charts.js";
import { el, setText } from "../dom.js";
import { at } from "../store.js";

/** `figure` is the path within traffic_data that a tile's raw number is of; `note` is what stands below. */
const TILES = [
    { name: "Connections", figure: "connections.active", show: "count", colour: "accent", note: (data, f) => `${f.count(data.connections.total)} since start` },
    { name: "New", figure: "connections.per_second", show: "perSecond", colour: "accent", note: () => "connections begun" },
    { name: "Sent", figure: "traffic.sent_bytes_per_second", show: "rate", colour: "sent", note: (data, f) => `${f.bytes(data.traffic.sent_bytes)} in all` },
    { name: "Received", figure: "traffic.received_bytes_per_second", show: "rate", colour: "received", note: (data, f) => `${f.bytes(data.traffic.received_bytes)} in all` },
    { name: "Failures", figure: "connections.failed_per_second", show: "perSecond", colour: "failed", note: (data, f) => `${f.count(data.connections.failed)} since start` },
    { name: "WebSocket", figure: "websocket.active", show: "count", colour: "accent", note: (data, f) => `${f.plural(data.websocket.online_users, "user")} online` },
    { name: "Messages out", figure: "websocket.deliveries_per_second", show: "perSecond", colour: "sent", note: (data, f) => `${f.count(data.websocket.queued_messages)} queued` },
    { name: "Messages in", figure: "websocket.received_messages_per_second", show: "perSecond", colour: "received", note: (data, f) => `${f.count(data.websocket.dropped)} dropped` },
];

export function mount(root, { feed, format }) {
    const tiles = TILES.map((tile) => {
        const value = el("span", {}, format.UNKNOWN);
        const unit = el("span", { class: "unit" });
        const shown = el("div", { class: "tile-value", data: { figure: tile.figure, value: "" } }, value, unit);
        const note = el("div", { class: "tile-note cut" });
        const picture = spark(tile.colour);
        root.append(el("div", { class: "tile" }, el("div", { class: "tile-name" }, tile.name), shown, note, picture.element));
        return (data) => {
            const number = at(data, tile.figure);
            const [digits, ofWhat] = format.parts[tile.show](number);
            setText(value, digits);
            setText(unit, ofWhat);
            setText(note, tile.note(data, format));
            shown.dataset.value = number ?? "";
            picture.draw(feed.recent.times, feed.recent.column(tile.figure));
        };
    });
    feed.on("traffic_data", (data) => tiles.forEach((draw) => draw(data)));
}
