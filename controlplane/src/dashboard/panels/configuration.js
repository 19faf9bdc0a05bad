// The configuration: which generation is in force, what it says, reload, rollback and drain.

import { button, el, emptyNote, facts, faultNote, fill, setText } from "../dom.js";
import { poll } from "../polling.js";
import { changeView, CLASSES, compare, textOf } from "./difference.js";
import { mountDrain } from "./drain.js";
import { reload } from "./reloading.js";

/** Between two looks at which generation is in force: others may reload too. */
const REFRESH_MS = 5_000;
/** Keys that are shown: with more the search is to be narrowed. */
const KEYS_MAX = 400;

export function mount(root, context) {
    const panel = new Configuration(root, context);
    return () => panel.stop();
}

class Configuration {
    constructor(root, context) {
        Object.assign(this, context);
        this.settings = {};
        this.etag = null;
        this.build(root);
        this.poll = poll(root, REFRESH_MS, (signal) => this.refresh(signal));
    }

    stop() {
        this.poll.stop();
        this.stopDrain();
    }

    build(root) {
        this.faults = el("div", {});
        this.head = el("div", { class: "ops-generation" });
        this.generations = el("div", {});
        this.overrides = el("div", {});
        const drain = el("div", { class: "ops-drain" });
        fill(
            root,
            el(
                "header",
                { class: "panel-head" },
                el("h2", {}, "Configuration"),
                button("Reload…", () => this.reload(), { kind: "primary", title: "Shows what would change first" }),
            ),
            this.faults,
            this.head,
            drain,
            this.overrides,
            el("details", { class: "ops-part" }, el("summary", {}, "Generations, and rolling back"), this.generations),
            this.effective(),
        );
        this.stopDrain = mountDrain(drain, this);
    }

    effective() {
        this.search = el("input", {
            type: "search",
            placeholder: "socks5.limits, ringway.yaml, true …",
            "aria-label": "Search keys, values and who set them",
            on: { input: () => this.drawSettings() },
        });
        this.changed = el("input", {
            type: "checkbox",
            id: "ops-not-default",
            on: { change: () => this.drawSettings() },
        });
        this.found = el("span", { class: "panel-note", role: "status" });
        this.rows = el("tbody", { role: "rowgroup" });
        this.nothing = el("div", {});
        return el(
            "details",
            { class: "ops-part" },
            el("summary", {}, "What is in force, key by key"),
            el(
                "div",
                { class: "row ops-search" },
                el("div", { class: "field" }, this.search),
                el("label", { class: "ops-check" }, this.changed, " only what somebody set"),
                this.found,
            ),
            el(
                "div",
                {
                    class: "scroll ops-settings",
                    tabindex: "0",
                    role: "region",
                    "aria-label": "The configuration in force",
                },
                el(
                    "table",
                    { class: "table ops-stacked", role: "table" },
                    el(
                        "thead",
                        { role: "rowgroup" },
                        el(
                            "tr",
                            { role: "row" },
                            ["Key", "Value", "Set by", "A change takes effect"].map((name) =>
                                el("th", { scope: "col", role: "columnheader" }, name),
                            ),
                        ),
                    ),
                    this.rows,
                ),
                this.nothing,
            ),
        );
    }

    async refresh(signal) {
        try {
            const { generations } = await this.api.get("/admin/config/generations", { signal, background: true });
            const current = generations.find((generation) => generation.in_force);
            this.drawHead(current);
            this.drawOverrides(current);
            if (current.etag !== this.etag) {
                const { data, etag } = await this.api.request("GET", "/config", { signal, background: true });
                Object.assign(this, { settings: data, etag });
                this.drawSettings();
                this.drawGenerations(generations);
            }
            fill(this.faults);
        } catch (problem) {
            if (!problem.isAborted) {
                fill(this.faults, faultNote(problem));
            }
            return false;
        }
    }

    drawHead({ generation, since, by, etag }) {
        const text = JSON.stringify([generation, since, by, etag]);
        if (text !== this.shownHead) {
            this.shownHead = text;
            fill(
                this.head,
                facts([
                    ["Generation", el("strong", { data: { generation } }, String(generation))],
                    ["In force since", el("time", { datetime: since, title: since }, this.format.dateTime(since))],
                    ["Put in force by", by],
                    ["ETag", el("code", {}, etag)],
                ]),
            );
        }
    }

    drawOverrides({ overrides }) {
        const text = JSON.stringify(overrides);
        if (text === this.shownOverrides) {
            return;
        }
        this.shownOverrides = text;
        const one = ({ key, value, until, by }) =>
            el(
                "li",
                { class: "row" },
                el("code", { class: "ops-key" }, key),
                el("span", {}, `= ${textOf(value)}`),
                el("span", { class: "panel-note" }, `until ${this.format.dateTime(until)}, by ${by}`),
                button("Return now", () => this.endOverride(key), { kind: "small" }),
            );
        fill(
            this.overrides,
            overrides.length > 0 && [
                el("h3", {}, "Set for a time"),
                el("ul", { class: "ops-overrides" }, overrides.map(one)),
            ],
        );
    }

    async endOverride(key) {
        try {
            await this.api.delete(`/admin/override?key=${encodeURIComponent(key)}`);
            this.announce(`${key} has returned.`, "info");
        } catch (problem) {
            this.announce(problem.detail, "error");
        }
        this.poll.now();
    }

    drawGenerations(generations) {
        const one = ({ generation, in_force: isInForce, since, by, changes }) => {
            const count = changes.length === 1 ? "1 key" : `${changes.length} keys`;
            return el(
                "li",
                { class: "ops-generation-row" },
                el(
                    "div",
                    { class: "row" },
                    el("strong", {}, `Generation ${generation}`),
                    isInForce && el("span", { class: "badge ok" }, "in force"),
                    el("span", { class: "panel-note" }, `${this.format.dateTime(since)}, by ${by}`),
                    el("span", { class: "ops-spring" }),
                    !isInForce &&
                        button("Roll back…", () => this.reload(generation), {
                            kind: "small",
                            "aria-label": `Roll back to generation ${generation}`,
                        }),
                ),
                changes.length > 0 &&
                    el(
                        "details",
                        {},
                        el("summary", {}, `${count} changed`),
                        el(
                            "ul",
                            { class: "ops-changes" },
                            changes.map(({ key, from, to, note }) => changeView({ key, note, ...compare(from, to) })),
                        ),
                    ),
            );
        };
        fill(
            this.generations,
            el("ol", { class: "ops-generations" }, generations.map(one)),
            generations.length === 1 &&
                emptyNote("There was none before.", "Up to ten are kept, and can be put in force again."),
        );
    }

    drawSettings() {
        const wanted = this.search.value.trim().toLowerCase();
        const all = Object.entries(this.settings).map(([key, setting]) => ({
            key,
            ...setting,
            text: textOf(setting.value),
        }));
        const fits = ({ key, text, origin }) =>
            !wanted || [key, text, origin].some((of) => of.toLowerCase().includes(wanted));
        const found = all.filter((setting) => (!this.changed.checked || setting.origin !== "default") && fits(setting));
        const shown = found.slice(0, KEYS_MAX);
        setText(
            this.found,
            found.length === all.length ? `${all.length} keys` : `${found.length} of ${all.length} keys`,
        );
        fill(
            this.rows,
            shown.map(({ key, text, origin, reload: kind, until }) =>
                el(
                    "tr",
                    { role: "row" },
                    el("th", { scope: "row", role: "rowheader" }, el("code", {}, key)),
                    el(
                        "td",
                        { role: "cell", class: "ops-value" },
                        text === "nothing" ? el("span", { class: "panel-note" }, "nothing") : text,
                    ),
                    el(
                        "td",
                        { role: "cell", class: "ops-origin" },
                        origin,
                        until && el("span", { class: "badge info" }, `until ${this.format.dateTime(until)}`),
                    ),
                    el("td", { role: "cell", class: "ops-takes" }, CLASSES[kind]?.takes ?? kind),
                ),
            ),
        );
        fill(this.nothing, found.length === 0 && emptyNote("No key holds this."));
    }

    async reload(generation) {
        const answer = await reload({ api: this.api, settings: this.settings, generation });
        if (answer?.changed) {
            this.announce(`Generation ${answer.generation} is in force.`, "info");
        }
        this.poll.now();
    }
}
