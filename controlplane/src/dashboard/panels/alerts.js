// Alerts: what is wrong now, what is silenced and until when, and whether webhooks get it.

import { button, el, emptyNote, faultNote, fill, note } from "../dom.js";
import { poll } from "../polling.js";
import { alertList, silenceList, STATES, wordsOf } from "./alert_list.js";
import { conditionOf, inOrder, severityKind, valueOf } from "./alert_words.js";
import { silenceForm } from "./silencing.js";

/** The feed tells of alerts at once; rules and webhooks are asked for. */
const REFRESH_MS = 10_000;

export function mount(root, context) {
    const panel = new Alerts(root, context);
    return () => panel.stop();
}

class Alerts {
    constructor(root, context) {
        Object.assign(this, context);
        this.rules = [];
        this.build(root);
        this.poll = poll(root, REFRESH_MS, (signal) => this.refresh(signal));
        this.off = this.feed?.on("alerts", (data) => this.draw(data));
    }

    stop() {
        this.poll.stop();
        this.off?.();
    }

    build(root) {
        this.count = el("span", { class: "row", role: "status" });
        this.faults = el("div", {});
        this.alerts = alertList({ format: this.format, onSilence: (alert) => this.silence(alert) });
        this.silences = silenceList({ onEnd: (silence) => this.endSilence(silence) });
        this.silenced = el(
            "div",
            { class: "ops-silenced", hidden: true },
            el("h3", {}, "Silences"),
            this.silences.element,
        );
        this.empty = el("div", {}, emptyNote("Looking…"));
        this.delivery = el("div", {});
        this.ruleList = el("div", {});
        fill(
            root,
            el(
                "header",
                { class: "panel-head" },
                el("h2", {}, "Alerts"),
                this.count,
                button("Silence…", () => this.silence({}), { kind: "quiet" }),
            ),
            this.faults,
            this.empty,
            this.alerts.element,
            this.silenced,
            this.delivery,
            el("details", { class: "ops-part" }, el("summary", {}, "Rules, and where they stand"), this.ruleList),
        );
    }

    async refresh(signal) {
        try {
            const answer = await this.api.get("/api/v1/alerts", { signal, background: true });
            fill(this.faults);
            this.rules = answer.rules;
            this.draw(answer);
            this.drawRules(answer.rules);
            this.drawDelivery(answer.webhooks);
        } catch (problem) {
            if (!problem.isAborted) {
                fill(this.faults, faultNote(problem));
                if (!this.drawn) {
                    fill(this.empty);
                }
            }
            return false;
        }
    }

    draw({ alerts, silences }) {
        const now = Date.now();
        const sorted = inOrder(alerts);
        const text = JSON.stringify([sorted, silences, this.rules.length]);
        this.alerts.tell(sorted, now);
        this.silences.tell(silences, now);
        if (text !== this.drawn) {
            this.drawn = text;
            this.drawCount(alerts);
            this.alerts.element.hidden = sorted.length === 0;
            this.silenced.hidden = silences.length === 0;
            fill(this.empty, sorted.length === 0 && this.quiet());
        }
    }

    quiet() {
        return this.rules.length > 0
            ? emptyNote(
                  "All is quiet.",
                  `${this.rules.length} ${this.rules.length === 1 ? "rule is" : "rules are"} looked at each second.`,
              )
            : emptyNote("No alert.", "alerts.rules of the configuration says what is looked at.");
    }

    drawCount(alerts) {
        const of = (state) => alerts.filter((alert) => alert.state === state).length;
        const badge = (state) =>
            of(state) > 0 && el("span", { class: `badge ${STATES[state]}` }, `${of(state)} ${state}`);
        fill(this.count, badge("firing"), badge("pending"));
    }

    drawRules(rules) {
        if (rules.length === 0) {
            fill(this.ruleList, emptyNote("There are no rules.", "alerts.rules of the configuration has them."));
            return;
        }
        const head = ["Rule", "Watches", "Severity", "Now", "Fires"].map((name, at) =>
            el("th", { scope: "col", class: at === 3 ? "number" : null }, name),
        );
        const row = (rule) =>
            el(
                "tr",
                {},
                el("th", { scope: "row", class: "cut", title: rule.name }, rule.name),
                el("td", {}, el("code", {}, rule.of)),
                el("td", {}, el("span", { class: `badge ${severityKind(rule.severity)}` }, rule.severity)),
                el("td", { class: "number" }, valueOf({ value: rule.value, unit: rule.unit }, this.format)),
                el("td", { class: "ops-fires" }, conditionOf(rule, this.format)),
            );
        fill(
            this.ruleList,
            el(
                "div",
                { class: "scroll", tabindex: "0", role: "region", "aria-label": "Rules" },
                el("table", { class: "table" }, el("thead", {}, el("tr", {}, head)), el("tbody", {}, rules.map(row))),
            ),
        );
    }

    drawDelivery(webhooks) {
        const text = JSON.stringify(webhooks);
        if (text === this.drawnDelivery) {
            return;
        }
        this.drawnDelivery = text;
        const one = ({ name, url, delivered, failed, dropped, queued, last_error: lastError }) =>
            el(
                "li",
                { class: "ops-webhook" },
                el(
                    "div",
                    { class: "row" },
                    name && el("strong", {}, name),
                    el("code", { class: "cut ops-url", title: url }, url),
                    el(
                        "span",
                        { class: `badge ${lastError ? "bad" : delivered > 0 ? "ok" : ""}` },
                        lastError ? "failing" : delivered > 0 ? "delivering" : "nothing sent yet",
                    ),
                ),
                el(
                    "p",
                    { class: "panel-note" },
                    `${delivered} delivered, ${failed} failed attempts, ${queued} waiting${dropped > 0 ? `, ${dropped} given up` : ""}`,
                ),
                lastError && note("bad", lastError),
            );
        fill(
            this.delivery,
            webhooks.length > 0 && [el("h3", {}, "Webhooks"), el("ul", { class: "ops-webhooks" }, webhooks.map(one))],
        );
    }

    async silence(alert) {
        const made = await silenceForm(this.api, alert);
        if (made) {
            this.announce("Silenced.", "info");
            this.poll.now();
        }
    }

    async endSilence({ id, matchers }) {
        try {
            await this.api.delete(`/api/v1/alerts/silences/${encodeURIComponent(id)}`);
            this.announce(`The silence of ${wordsOf(matchers).join(", ")} has ended.`, "info");
        } catch (problem) {
            this.announce(problem.detail, "error");
        }
        this.poll.now();
    }
}
