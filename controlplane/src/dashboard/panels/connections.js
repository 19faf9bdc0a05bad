// The connections there are: a table that is asked for page by page, with a filter, details, and kill.

import { openDialog } from "../dialog.js";
import { button, el, emptyNote, faultNote, field, fill, note, setText } from "../dom.js";
import { poll } from "../polling.js";
import { CONDITIONS, connectionsPath, readFilter, WITHOUT_USER } from "../reading.js";
import { killMatching, killOne } from "./killing.js";
import { COLUMNS, Rows, targetOf } from "./connection_rows.js";

/** Between two looks at the table. */
const REFRESH_MS = 3_000;
/** How long a filter that is being typed is waited for. */
const TYPING_MS = 400;
const LIMITS = ["50", "100", "500", "1000"];
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

export function mount(root, { api, format, announce }) {
    const panel = new Connections(root, { api, format, announce });
    return () => panel.stop();
}

class Connections {
    constructor(root, context) {
        Object.assign(this, context);
        /** Cursors of the pages before this one, the first being none. */
        this.pages = [null];
        this.next = null;
        this.filter = {};
        this.words = "";
        this.hovered = false;
        this.rows = new Rows({
            format: this.format,
            onShow: (row) => this.show(row),
            onKill: (row) => this.kill(row),
        });
        this.build(root);
        this.poll = poll(root, REFRESH_MS, (signal) => this.refresh(signal));
    }

    stop() {
        this.poll.stop();
        clearTimeout(this.typing);
    }

    build(root) {
        this.count = el("span", { class: "panel-note", role: "status" });
        this.held = el("span", { class: "panel-note", hidden: true }, "held still while you are at it");
        this.faults = el("div", {});
        this.partial = el("div", {});
        this.body = el("tbody", {
            on: {
                mouseenter: () => this.hold(true),
                mouseleave: () => this.hold(false),
                focusin: () => this.hold(),
                focusout: () => setTimeout(() => this.hold()),
            },
        });
        this.empty = el("div", {});
        this.table = el(
            "table",
            { class: "table ops-connections" },
            el("caption", { class: "visually-hidden" }, "Connections of both services"),
            el("thead", {}, el("tr", {}, this.headings())),
            this.body,
        );
        fill(
            root,
            el(
                "header",
                { class: "panel-head" },
                el("h2", {}, "Connections"),
                this.count,
                this.held,
                el("span", { class: "ops-spring" }),
                button("Kill all that match…", () => this.killMatching(), { kind: "danger" }),
            ),
            this.filterForm(),
            this.faults,
            this.partial,
            el(
                "div",
                { class: "scroll ops-table", role: "region", "aria-label": "Table of connections", tabindex: "0" },
                this.table,
            ),
            this.empty,
            this.pager(),
        );
    }

    headings() {
        this.heads = COLUMNS.map((column) => {
            const sort = column.sort && button(column.label, () => this.sortBy(column), { kind: "ops-sort" });
            return el(
                "th",
                { scope: "col", class: column.class, title: column.title },
                sort ?? el("span", {}, column.label),
            );
        });
        return [...this.heads, el("th", { scope: "col" }, el("span", { class: "visually-hidden" }, "Actions"))];
    }

    sortBy(column) {
        this.rows.sortBy(column);
        COLUMNS.forEach((each, at) => {
            const direction = each === this.rows.sorted ? (this.rows.descending ? "descending" : "ascending") : null;
            direction
                ? this.heads[at].setAttribute("aria-sort", direction)
                : this.heads[at].removeAttribute("aria-sort");
        });
        this.draw();
    }

    filterForm() {
        this.controls = {};
        const fields = CONDITIONS.map(({ name, label }) => {
            const options = {
                service: [
                    ["", "both"],
                    ["socks5", "SOCKS5"],
                    ["websocket", "WebSocket"],
                ],
                phase: [["", "any"], ...PHASES.map((phase) => [phase, phase.replaceAll("_", " ")])],
            }[name];
            const made = field({
                label,
                name,
                options,
                placeholder: options ? undefined : EXAMPLES[name],
                class: "ops-narrow",
            });
            this.controls[name] = made.control;
            return { name, made };
        });
        const pick = (first) => fields.filter(({ name }) => FIRST.has(name) === first).map(({ made }) => made);
        const form = el(
            "form",
            {
                class: "ops-filter",
                role: "search",
                "aria-label": "Filter of connections",
                on: {
                    input: () => this.typed(TYPING_MS),
                    change: () => this.typed(0),
                    submit: (event) => (event.preventDefault(), this.typed(0)),
                },
            },
            el(
                "div",
                { class: "ops-fields" },
                pick(true),
                button("Clear", () => (form.reset(), this.typed(0)), { kind: "quiet" }),
            ),
            el(
                "details",
                { class: "ops-more" },
                el("summary", {}, "More conditions"),
                el("div", { class: "ops-fields" }, pick(false)),
            ),
        );
        return form;
    }

    typed(wait) {
        clearTimeout(this.typing);
        this.typing = setTimeout(() => {
            const values = Object.fromEntries(
                Object.entries(this.controls).map(([name, control]) => [name, control.value]),
            );
            const { filter, faults, words } = readFilter(values);
            for (const [name, control] of Object.entries(this.controls)) {
                control.setCustomValidity(faults[name] ? `Write ${faults[name]}.` : "");
                control.setAttribute("aria-invalid", String(Boolean(faults[name])));
                control.title = faults[name] ? `Write ${faults[name]}.` : "";
            }
            if (Object.keys(faults).length > 0 || JSON.stringify(filter) === JSON.stringify(this.filter)) {
                return;
            }
            Object.assign(this, { filter, words, pages: [null] });
            this.poll.now();
        }, wait);
    }

    pager() {
        const go = (change) => () => {
            change();
            this.poll.now();
        };
        this.first = button(
            "First",
            go(() => (this.pages = [null])),
        );
        this.before = button(
            "Previous",
            go(() => this.pages.pop()),
        );
        this.after = button(
            "Next",
            go(() => this.pages.push(this.next)),
        );
        this.where = el("span", { class: "panel-note" });
        this.limit = el(
            "select",
            { "aria-label": "Connections on a page", class: "select" },
            LIMITS.map((limit) => el("option", { value: limit, selected: limit === "100" }, limit)),
        );
        this.limit.addEventListener(
            "change",
            go(() => (this.pages = [null])),
        );
        return el(
            "footer",
            { class: "ops-pager" },
            this.first,
            this.before,
            this.after,
            this.where,
            el("span", { class: "ops-spring" }),
            el("label", { class: "panel-note" }, "On a page ", this.limit),
        );
    }

    /** Whether somebody is about to press something: rows that move away under a hand are a danger. */
    hold(hovered = this.hovered) {
        this.hovered = hovered;
        const held = this.isHeld();
        this.held.hidden = !held;
        if (!held && this.wasHeld) {
            this.draw();
        }
        this.wasHeld = held;
    }

    isHeld() {
        return this.hovered || this.body.contains(document.activeElement);
    }

    async refresh(signal) {
        const asked = { filter: this.filter, page: this.pages.length };
        try {
            const path = connectionsPath(this.filter, { limit: this.limit.value, cursor: this.pages.at(-1) });
            const answer = await this.api.get(path, { signal, background: true });
            this.next = answer.next;
            this.take(answer, asked);
        } catch (problem) {
            if (problem.isAborted) {
                return;
            }
            this.table.classList.add("is-stale");
            fill(this.faults, faultNote(problem));
        }
    }

    take(answer, asked) {
        this.table.classList.remove("is-stale");
        fill(this.faults);
        fill(this.partial, answer.partial.length > 0 && missing(answer.partial));
        this.rows.take(answer.connections, performance.now());
        const changed = asked.filter !== this.drawn?.filter || asked.page !== this.drawn?.page;
        if (changed || !this.isHeld()) {
            this.drawn = asked;
            this.draw();
        }
    }

    draw() {
        const count = this.rows.count;
        const many = this.next !== null || this.pages.length > 1;
        this.rows.drawInto(this.body);
        this.table.hidden = count === 0;
        fill(this.empty, count === 0 && this.nothing());
        setText(this.count, many ? `${count} on this page` : `${count}${this.words ? " match" : " open"}`);
        const sorted = this.rows.sorted && many ? ", sorted within the page" : "";
        setText(this.where, `Page ${this.pages.length}${this.next === null ? ", the last" : ""}${sorted}`);
        this.first.disabled = this.before.disabled = this.pages.length === 1;
        this.after.disabled = this.next === null;
    }

    nothing() {
        if (this.pages.length > 1) {
            return emptyNote("Nothing is left on this page.", "Go back to the first one.");
        }
        return this.words
            ? emptyNote("No connection matches.", `Asked for: ${this.words}.`)
            : emptyNote("Nobody is connected.", "Connections of both services show here while they are open.");
    }

    async show({ id }) {
        const holder = el("div", { class: "dialog-body" }, el("p", { class: "panel-note" }, "Looking…"));
        const dialog = openDialog({
            title: `Connection ${id}`,
            name: "connection",
            kind: "drawer",
            children: [holder],
        });
        try {
            const details = await this.api.get(`/api/v1/connections/${encodeURIComponent(id)}`);
            const kill = button("Kill this connection…", () => (dialog.close(), this.kill(details)), {
                kind: "danger",
            });
            fill(holder, this.rows.details(details));
            dialog.element.append(el("div", { class: "dialog-foot" }, kill));
        } catch (problem) {
            fill(holder, faultNote(problem));
        }
    }

    async kill(row) {
        const result = await killOne(this.api, row, targetOf(row), this.format);
        if (result) {
            this.announce(result.killed > 0 ? `Killed ${row.id}.` : `${row.id} was on its way out already.`, "info");
            this.poll.now();
        }
    }

    async killMatching() {
        const result = await killMatching(this.api, this.filter, this.words, this.format);
        if (result) {
            this.announce(`Killed ${result.killed} of ${result.matched} that matched.`, "info");
            this.poll.now();
        }
    }
}

function missing(partial) {
    const who = partial.length === 1 ? `Worker ${partial[0]} did` : `Workers ${partial.join(", ")} did`;
    return note("warn", `${who} not answer in time: connections there are missing from this page.`);
}
