// The rows of the connections' table, and one connection in full.

import { button, el, facts, fill, setText } from "../dom.js";

/** What a connection is about: where it goes to, or what it came for. */
export function targetOf(row) {
    return (row.service === "websocket" ? row.path : (row.target ?? row.address)) ?? "—";
}

/** `socks5`, `http_connect`, … for people. */
export function protocolOf(row) {
    const names = { socks5: "SOCKS5", socks4: "SOCKS4", http_connect: "HTTP CONNECT" };
    const name = row.service === "websocket" ? "WebSocket" : (names[row.protocol] ?? "SOCKS5");
    const command = row.command && row.command !== "connect" ? ` ${row.command === "bind" ? "BIND" : "UDP"}` : "";
    return `${name}${command}${row.tls ? " · TLS" : ""}`;
}

/** `sort` gives what is compared; `text` what stands in the cell. */
export const COLUMNS = [
    { label: "Client", class: "cut", sort: (row) => row.client, text: (row) => row.client },
    { label: "User", class: "cut", sort: (row) => row.user ?? "", text: (row) => row.user ?? "—" },
    { label: "Protocol", class: "ops-wide ops-whole", sort: protocolOf, text: protocolOf },
    {
        label: "Target",
        class: "cut ops-target",
        title: "Where it goes; of WebSocket, its path and topics",
        sort: targetOf,
        text: targetText,
    },
    { label: "Phase", class: "ops-wide", sort: (row) => row.phase, text: (row) => row.phase.replaceAll("_", " ") },
    {
        label: "Age",
        class: "number",
        sort: (row) => row.age_seconds,
        text: (row, format) => format.duration(row.age_seconds),
    },
    {
        label: "Sent",
        class: "number ops-wide",
        title: "From client to target; of WebSocket, to the client",
        sort: (row) => row.sent_bytes,
        text: (row, format) => format.bytes(row.sent_bytes),
    },
    {
        label: "Received",
        class: "number ops-wide",
        title: "From target to client; of WebSocket, from the client",
        sort: (row) => row.received_bytes,
        text: (row, format) => format.bytes(row.received_bytes),
    },
    {
        label: "Rate",
        class: "number",
        title: "Both ways, between the last two looks",
        sort: (row) => row.rate ?? -1,
        text: (row, format) => (row.rate === null ? "…" : format.rate(row.rate)),
    },
    { label: "Worker", class: "number ops-wide", sort: (row) => row.worker, text: (row) => row.worker },
];

function targetText(row) {
    const text = targetOf(row);
    return row.subscriptions > 0
        ? `${text} · ${row.subscriptions} ${row.subscriptions === 1 ? "topic" : "topics"}`
        : text;
}

export class Rows {
    #rows = [];
    #elements = new Map();
    /** What each had carried when it was looked at, and when. */
    #before = new Map();

    constructor({ format, onShow, onKill }) {
        Object.assign(this, { format, onShow, onKill, sorted: null, descending: false });
    }

    get count() {
        return this.#rows.length;
    }

    /** Numbers begin with the largest, names with the first; a third press leaves the order to the workers. */
    sortBy(column) {
        const first = column.class.includes("number");
        if (this.sorted !== column) {
            Object.assign(this, { sorted: column, descending: first });
        } else if (this.descending === first) {
            this.descending = !first;
        } else {
            this.sorted = null;
        }
    }

    /** A page as it is now; `at` in milliseconds. */
    take(rows, at) {
        const seen = new Map();
        this.#rows = rows.map((row) => {
            const bytes = row.sent_bytes + row.received_bytes;
            const before = this.#before.get(row.id);
            seen.set(row.id, { bytes, at });
            const rate =
                before && at > before.at ? Math.max(0, (bytes - before.bytes) / ((at - before.at) / 1_000)) : null;
            return { ...row, rate };
        });
        this.#before = seen;
    }

    drawInto(body) {
        const rows = this.inOrder();
        const elements = new Map();
        for (const row of rows) {
            const element = this.#elements.get(row.id) ?? this.build(row);
            this.update(element, row);
            element.classList.remove("is-stale");
            elements.set(row.id, element);
        }
        this.#elements = elements;
        const wanted = [...elements.values()];
        // Rows that stand where they belong are left alone: the focus, a selection of text and the scroll stay.
        if (wanted.length !== body.children.length || wanted.some((element, at) => body.children[at] !== element)) {
            fill(body, wanted);
        }
    }

    /** Only what the rows say is new, not which there are and where: nothing moves away under a hand. Those that have ended pale. */
    updateInPlace() {
        const rows = new Map(this.#rows.map((row) => [row.id, row]));
        for (const [id, element] of this.#elements) {
            const row = rows.get(id);
            element.classList.toggle("is-stale", !row);
            if (row) {
                this.update(element, row);
            }
        }
    }

    inOrder() {
        if (!this.sorted) {
            return this.#rows;
        }
        const { sort } = this.sorted;
        const sign = this.descending ? -1 : 1;
        const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b, undefined, { numeric: true }) : a - b);
        return [...this.#rows].sort((a, b) => sign * compare(sort(a), sort(b)));
    }

    build(row) {
        const cells = COLUMNS.map((column) =>
            el("td", { role: "cell", class: `${column.class} ops-of-${column.label.toLowerCase()}` }),
        );
        const element = el(
            "tr",
            { role: "row", data: { id: row.id } },
            cells,
            el(
                "td",
                { role: "cell", class: "ops-actions" },
                button("Details", () => this.onShow(element.row), {
                    kind: "quiet small",
                    "aria-label": `Details of ${row.id}`,
                }),
                button("Kill", () => this.onKill(element.row), {
                    kind: "quiet small ops-kill",
                    "aria-label": `Kill ${row.id}`,
                }),
            ),
        );
        element.texts = cells;
        return element;
    }

    update(element, row) {
        element.row = row;
        COLUMNS.forEach((column, at) => {
            const text = column.text(row, this.format);
            setText(element.texts[at], text);
            if (column.class.includes("cut")) {
                element.texts[at].title = text;
            }
        });
    }

    /** Everything that the API tells of one. */
    details(row) {
        const { format } = this;
        const bytes = (value) => `${format.bytes(value)} (${value.toLocaleString("en-US")} B)`;
        const known = [
            ["Client", row.client],
            ["User", row.user ?? "nobody has logged in"],
            ["Protocol", protocolOf(row)],
            ["Phase", row.phase.replaceAll("_", " ")],
            ["Target", row.target],
            ["Address dialled", row.address],
            ["Upstream proxy", row.upstream],
            ["Path", row.path],
            ["Client id", row.client_id],
            ["Compressed", row.compressed === undefined ? null : row.compressed ? "yes" : "no"],
            ["Age", format.duration(row.age_seconds)],
            ["Silent for", format.duration(row.idle_seconds)],
            ["Sent", bytes(row.sent_bytes)],
            ["Received", bytes(row.received_bytes)],
            ["Messages sent", row.sent_messages],
            ["Messages received", row.received_messages],
            [
                "Waiting for it",
                row.queued_messages === undefined
                    ? null
                    : `${row.queued_messages} messages, ${format.bytes(row.queued_bytes)}`,
            ],
            ["Worker", row.worker],
            ["Subscriptions", row.subscriptions],
        ];
        return [
            facts(known),
            row.topics?.length > 0 && [
                el("h3", {}, "Topics"),
                el(
                    "ul",
                    { class: "ops-topics" },
                    row.topics.map((topic) => el("li", {}, topic)),
                ),
            ],
            row.topics &&
                row.subscriptions > row.topics.length &&
                el("p", { class: "panel-note" }, `${row.subscriptions - row.topics.length} more are not shown.`),
        ];
    }
}
