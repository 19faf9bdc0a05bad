// What a reload would change, and what it has: key by key, the old beside the new.

import { el, emptyNote, note, sentence } from "../dom.js";

/** The classes of keys, in the order of what they ask of people. */
export const CLASSES = {
    live: { title: "In force at once", takes: "at once", hint: "for everybody, connections that stand included" },
    listener: {
        title: "Listeners",
        takes: "at once, by opening and closing",
        hint: "opened and closed at once; connections that came there live on",
    },
    new_connections: {
        title: "For new connections",
        takes: "for new connections",
        hint: "those that stand keep what they came under",
    },
    restart: {
        title: "Waits for a restart",
        takes: "after a restart",
        hint: "the running value stays; a hot restart will do",
    },
};

/** Items of a list that are compared one by one: beyond that both stand whole. */
const LIST_MAX = 200;

/**
 * An answer of a reload or rollback as groups of rows.
 * @param {Object} answer `Reload` of the API
 * @param {Object<string, {reload: string}>} settings by key, which tell live keys from those of listeners
 * @returns {{groups: Array<{kind: string, rows: Array}>, opened: Array, closed: Array, notices: string[], count: number}}
 */
export function differenceOf(answer, settings = {}) {
    const row = (kind, key, from, to, remark = "") => ({ kind, key, note: remark, ...compare(from, to) });
    const rows = [
        ...answer.applied.map(({ key, from, to, note: remark }) =>
            row(settings[key]?.reload === "listener" ? "listener" : "live", key, from, to, remark),
        ),
        ...answer.new_connections.map(({ key, from, to, note: remark }) =>
            row("new_connections", key, from, to, remark),
        ),
        ...answer.restart_required.map(({ key, running, configured }) => row("restart", key, running, configured)),
    ];
    const groups = Object.keys(CLASSES)
        .map((kind) => ({ kind, rows: rows.filter((each) => each.kind === kind) }))
        .filter((group) => group.rows.length > 0);
    return { groups, opened: answer.opened, closed: answer.closed, notices: answer.notices, count: rows.length };
}

/** How many keys change, and how many wait: `3 keys change, 1 waits for a restart` */
export function countOf({ groups, count }) {
    const waiting = groups.find(({ kind }) => kind === "restart")?.rows.length ?? 0;
    const changing = count - waiting;
    const change = changing > 0 && `${changing} ${changing === 1 ? "key changes" : "keys change"}`;
    const wait =
        waiting > 0 &&
        `${waiting} ${changing > 0 ? "" : waiting === 1 ? "key " : "keys "}${waiting === 1 ? "waits" : "wait"} for a restart`;
    return [change, wait].filter(Boolean).join(", ");
}

/** Whether two answers tell of the same: what was previewed, and what was applied. */
export function isSame(one, other) {
    const essence = ({ applied, new_connections, restart_required }) =>
        JSON.stringify([applied, new_connections, restart_required]);
    return essence(one) === essence(other);
}

/** Old and new: two texts, or for lists one line an item, `sign` saying which came (+), went (-) and stayed (=). */
export function compare(from, to) {
    if (
        Array.isArray(from) &&
        Array.isArray(to) &&
        from.length + to.length > 0 &&
        Math.max(from.length, to.length) <= LIST_MAX
    ) {
        return { lines: aligned(from.map(textOf), to.map(textOf)) };
    }
    return { from: textOf(from), to: textOf(to) };
}

/** The longest common part stays where it is. */
function aligned(before, after) {
    const longest = Array.from({ length: before.length + 1 }, () => new Array(after.length + 1).fill(0));
    for (let a = before.length - 1; a >= 0; a -= 1) {
        for (let b = after.length - 1; b >= 0; b -= 1) {
            longest[a][b] =
                before[a] === after[b] ? longest[a + 1][b + 1] + 1 : Math.max(longest[a + 1][b], longest[a][b + 1]);
        }
    }
    const lines = [];
    let [a, b] = [0, 0];
    while (a < before.length || b < after.length) {
        if (a < before.length && b < after.length && before[a] === after[b]) {
            lines.push({ sign: "=", text: before[a] });
            [a, b] = [a + 1, b + 1];
        } else if (a < before.length && (b === after.length || longest[a + 1][b] >= longest[a][b + 1])) {
            lines.push({ sign: "-", text: before[a] });
            a += 1;
        } else {
            lines.push({ sign: "+", text: after[b] });
            b += 1;
        }
    }
    return lines;
}

/** A value of the configuration, on one line. */
export function textOf(value) {
    if (value === null || value === undefined || value === "") {
        return "nothing";
    }
    if (Array.isArray(value)) {
        return value.length === 0 ? "nothing" : value.map(textOf).join(", ");
    }
    if (typeof value === "object") {
        return Object.entries(value)
            .map(([name, of]) => `${name}: ${Array.isArray(of) ? `[${of.map(textOf).join(", ")}]` : textOf(of)}`)
            .join(", ");
    }
    return String(value);
}

/** A fault's place: `ringway.yaml:12:5`. */
export function placeOf({ source, line, column }) {
    return line === null || line === undefined ? source : `${source}:${line}${column ? `:${column}` : ""}`;
}

/** The difference for people; `done` says that it is in force. */
export function differenceView(difference, { done }) {
    const { groups, opened, closed, notices, count } = difference;
    if (count === 0 && opened.length + closed.length === 0) {
        return [
            emptyNote(
                done ? "Nothing has changed." : "Nothing would change.",
                "Files, users, keys and certificates say what is in force.",
            ),
            ...noticesOf(notices),
        ];
    }
    return [
        ...groups.map(({ kind, rows }) =>
            el(
                "section",
                { class: `ops-class ${kind}`, data: { class: kind } },
                el("h3", {}, CLASSES[kind].title, el("span", { class: "ops-class-hint" }, ` — ${CLASSES[kind].hint}`)),
                el("ul", { class: "ops-changes" }, rows.map(changeView)),
            ),
        ),
        places(opened, done ? "Listens now at" : "Would listen at"),
        places(closed, done ? "Listens no more at" : "Would listen no more at"),
        ...noticesOf(notices),
    ];
}

export function changeView({ key, from, to, lines, note: remark }) {
    const values = lines
        ? el(
              "ul",
              { class: "ops-lines" },
              lines.map(({ sign, text }) => line(sign, text)),
          )
        : el(
              "p",
              { class: "ops-values" },
              el("del", {}, from),
              el("span", { class: "ops-arrow", "aria-hidden": "true" }, "→"),
              el("span", { class: "visually-hidden" }, " becomes "),
              el("ins", {}, to),
          );
    return el(
        "li",
        { class: "ops-change", data: { key } },
        el("code", { class: "ops-key" }, key),
        values,
        remark && el("p", { class: "panel-note" }, remark),
    );
}

function line(sign, text) {
    const [tag, said] = { "+": ["ins", "added: "], "-": ["del", "removed: "], "=": ["span", ""] }[sign];
    return el(
        "li",
        { class: `ops-line ${{ "+": "came", "-": "went", "=": "stayed" }[sign]}` },
        el("span", { class: "ops-sign", "aria-hidden": "true" }, sign === "=" ? " " : sign),
        said && el("span", { class: "visually-hidden" }, said),
        el(tag, {}, text),
    );
}

function places(list, words) {
    return (
        list.length > 0 &&
        el(
            "p",
            {},
            `${words} `,
            list.map(({ key, address }, at) => [at > 0 && ", ", el("code", { title: key }, address)]),
            ".",
        )
    );
}

function noticesOf(notices) {
    return notices.map((text) => note("info", sentence(text)));
}

/** Every fault of a configuration, with where it stands. */
export function faultsView({ faults, detail, hint }) {
    return el(
        "div",
        { class: "ops-faults-view", role: "alert" },
        el("p", { class: "ops-found" }, sentence(detail)),
        el(
            "ol",
            { class: "ops-fault-list" },
            faults.map((fault) =>
                el(
                    "li",
                    {},
                    el(
                        "p",
                        { class: "ops-fault-place" },
                        el("code", {}, placeOf(fault)),
                        fault.key && el("code", { class: "ops-key" }, fault.key),
                    ),
                    el("p", {}, fault.message),
                ),
            ),
        ),
        hint && el("p", { class: "panel-note" }, sentence(hint)),
    );
}
