// Who and what there is most of: users, targets, topics.

import { el, setText } from "../dom.js";
import { bar, cut, either, rowsIn } from "../lists.js";

const ROWS_MAX = 10;

export function mount(root, { feed, format }) {
    const note = el("span", { class: "panel-note" });
    const users = list("Users", "No user has moved a byte yet.", "bytes a second, both ways");
    const targets = list("Targets", "No target has been reached yet.", "bytes a second, both ways");
    const topics = list("Topics", "Nobody has subscribed to a topic yet.", "publications a second");
    root.append(
        el("div", { class: "panel-head" }, el("h2", {}, "Top"), note),
        el("div", { class: "thirds" }, users.element, targets.element, topics.element),
    );

    feed.on("user_activity", (data) => {
        users.tell((data.users ?? []).map((one) => user(one, format)));
        targets.tell((data.targets ?? []).map((one) => target(one, format)));
        topics.tell((data.topics ?? []).map((one) => topic(one, format)));
        setText(note, noteOf(data, format));
    });
}

/** How far the lists may be believed. */
function noteOf(data, format) {
    const known = data.users_known > ROWS_MAX ? `${format.count(data.users_known)} users known` : "";
    const off = data.at_most_off_by > 0 ? `totals at most ${format.bytes(data.at_most_off_by)} too high` : "";
    const partial = data.partial?.length ? `without worker ${data.partial.join(", ")}, which does not answer` : "";
    return [known, off, partial].filter(Boolean).join(" · ");
}

function user(one, format) {
    const speed = one.sent_bytes_per_second + one.received_bytes_per_second;
    const told = [
        format.plural(one.active, "connection"),
        `${format.bytes(one.sent_bytes + one.received_bytes)} in all`,
        one.failed > 0 && `${format.count(one.failed)} failed`,
        typeof one.quota_left_bytes === "number" && `${format.bytes(one.quota_left_bytes)} of quota left`,
    ];
    return { name: one.user || "(nobody)", value: format.rate(speed), share: speed, told };
}

function target(one, format) {
    const told = [format.plural(one.connections, "connection"), `${format.bytes(one.bytes)} in all`];
    return { name: one.target, value: format.rate(one.bytes_per_second), share: one.bytes_per_second, told };
}

function topic(one, format) {
    const told = [format.plural(one.subscribers, "subscriber"), `${format.plural(one.publications, "publication")}`];
    return {
        name: one.topic,
        value: format.perSecond(one.publications_per_second),
        share: one.publications_per_second,
        told,
    };
}

function list(title, nothing, unit) {
    const rows = el("ol", { class: "ranks" });
    const empty = el("p", { class: "empty" }, "Waiting for the first figures.");
    let most = 0;
    const draw = rowsIn(rows, () => rank(() => most));
    either(rows, empty, false);
    return {
        element: el(
            "div",
            { class: "stack" },
            el("h3", {}, title, el("span", { class: "stack-unit" }, unit)),
            rows,
            empty,
        ),
        tell(items) {
            most = Math.max(0, ...items.map(({ share }) => share));
            draw(items.slice(0, ROWS_MAX));
            either(rows, empty, items.length > 0);
            setText(empty, nothing);
        },
    };
}

function rank(most) {
    const name = el("span", { class: "rank-name cut" });
    const value = el("span", { class: "rank-value" });
    const share = bar();
    const note = el("span", { class: "rank-note cut" });
    return {
        element: el("li", { class: "rank" }, name, value, share.element, note),
        tell(item) {
            cut(name, item.name);
            setText(value, item.value);
            share.tell(most() > 0 ? item.share / most() : 0);
            cut(note, item.told.filter(Boolean).join(" · "));
        },
    };
}
