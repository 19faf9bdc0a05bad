// The connections there are: a table that is asked for page by page, with a filter, details, and kill.

import { openDialog } from "../dialog.js";
import { button, el, emptyNote, faultNote, fill, note, setText } from "../dom.js";
import { poll } from "../polling.js";
import { connectionsPath } from "../reading.js";
import { filterForm } from "./connection_filter.js";
import { killMatching, killOne } from "./killing.js";
import { COLUMNS, Rows, targetOf } from "./connection_rows.js";

/** Between two looks at the table. */
const REFRESH_MS = 3_000;
const LIMITS = ["50", "100", "500", "1000"];
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
        this.form = filterForm(({ filter, words }) => {
            Object.assign(this, { filter, words, pages: [null] });
            this.poll.now();
        });
        this.build(root);
        this.poll = poll(root, REFRESH_MS, (signal) => this.refresh(signal));
    }

    stop() {
        this.poll.stop();
        this.form.stop();
    }

    build(root) {
        this.count = el("span", { class: "panel-note", role: "status" });
        this.held = el(
            "span",
            { class: "panel-note", hidden: true },
            "rows stay in their places while you are at them",
        );
        this.faults = el("div", {});
        this.partial = el("div", {});
        this.body = el("tbody", {
            role: "rowgroup",
            on: {
                mouseenter: () => this.hold(true),
                mouseleave: () => this.hold(false),
                focusin: () => this.hold(),
                focusout: () => setTimeout(() => this.hold()),
            },
        });
        this.empty = el("div", {}, emptyNote("Looking…"));
        this.table = el(
            "table",
            { class: "table ops-connections ops-stacked", role: "table", hidden: true },
            el("caption", { class: "visually-hidden" }, "Connections of both services"),
            el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, this.headings())),
            this.body,
        );
        const region = {
            class: "scroll ops-table",
            role: "region",
            "aria-label": "Table of connections",
            tabindex: "0",
        };
        this.region = el("div", region, this.table);
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
            this.form.element,
            this.faults,
            this.partial,
            this.region,
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
        return [
            ...this.heads,
            el("th", { scope: "col", role: "columnheader" }, el("span", { class: "visually-hidden" }, "Actions")),
        ];
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
        [this.first, this.before, this.after].forEach((each) => (each.disabled = true));
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
                return false;
            }
            this.table.classList.add("is-stale");
            if (!this.drawn) {
                fill(this.empty);
            }
            fill(this.faults, faultNote(problem));
            return false;
        }
    }

    /** After something was done: what is shown is what came of it, wherever the pointer is. */
    lookAnew() {
        this.drawn = null;
        this.poll.now();
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
        } else {
            this.rows.updateInPlace();
        }
    }

    draw() {
        const count = this.rows.count;
        const many = this.next !== null || this.pages.length > 1;
        const hadFocus = this.body.contains(document.activeElement);
        this.rows.drawInto(this.body);
        if (hadFocus && !this.body.contains(document.activeElement)) {
            this.region.focus({ preventScroll: true });
        }
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
            this.lookAnew();
        }
    }

    async killMatching() {
        // What stands in the fields now is meant, not what stood there when the table was asked for.
        if (!this.form.apply()) {
            this.announce("Mend the filter first: it says what is wrong.", "error");
            return;
        }
        const result = await killMatching(this.api, this.filter, this.words, this.format);
        if (result) {
            this.announce(`Killed ${result.killed} of ${result.matched} that matched.`, "info");
            this.lookAnew();
        }
    }
}

function missing(partial) {
    const who = partial.length === 1 ? `Worker ${partial[0]} did` : `Workers ${partial.join(", ")} did`;
    return note("warn", `${who} not answer in time: connections there are missing from this page.`);
}
