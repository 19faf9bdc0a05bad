// Alerts: what is wrong now, what is silenced and until when, and whether webhooks get it.

import { button, el, emptyNote, faultNote, fill, note } from "../dom.js";
import { poll } from "../polling.js";
import { countdown } from "../reading.js";
import { conditionOf, inOrder, severityKind, valueOf } from "./alert_words.js";
import { silenceForm } from "./silencing.js";

/** The feed tells of alerts at once; rules and webhooks are asked for. */
const REFRESH_MS = 10_000;
const STATES = { firing: "bad", pending: "warn", resolved: "ok" };

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
        this.list = el("div", {}, emptyNote("Looking…"));
        this.silences = el("div", {});
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
            this.list,
            this.silences,
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
                    fill(this.list);
                }
            }
        }
    }

    draw({ alerts, silences }) {
        const now = Date.now();
        // The countdown is part of what is compared: nothing is built anew while nothing shows otherwise, and the focus stays.
        const text = JSON.stringify([
            alerts,
            silences,
            silences.map(({ until }) => countdown(until, now)),
            alerts.map(({ since }) => this.age(since, now)),
        ]);
        if (text === this.drawn) {
            return;
        }
        this.drawn = text;
        this.current = silences;
        const held = this.focused();
        this.drawCount(alerts);
        const sorted = inOrder(alerts);
        fill(
            this.list,
            sorted.length > 0
                ? el(
                      "ul",
                      { class: "ops-alerts" },
                      sorted.map((alert) => this.alertView(alert, now)),
                  )
                : this.quiet(),
        );
        fill(
            this.silences,
            silences.length > 0 && [
                el("h3", {}, "Silences"),
                el(
                    "ul",
                    { class: "ops-silences" },
                    silences.map((silence) => this.silenceView(silence, now)),
                ),
            ],
        );
        this.focusAgain(held);
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

    age(since, now) {
        return this.format.duration(Math.max(0, Math.floor((now - Date.parse(since)) / 1_000)));
    }

    alertView(alert, now) {
        const { name, state, severity, since, summary, labels, silenced_by: silencedBy, fingerprint } = alert;
        const extra = Object.entries(labels).filter(
            ([label]) => !["alertname", "severity", "instance", "name"].includes(label),
        );
        return el(
            "li",
            { class: `ops-alert ${state} ${silencedBy ? "silenced" : ""}`, data: { alert: name, state, fingerprint } },
            el(
                "div",
                { class: "row" },
                el("span", { class: `badge ${STATES[state] ?? ""}` }, state),
                el("strong", { class: "ops-alert-name" }, name),
                el("span", { class: `badge ${severityKind(severity)}` }, severity),
                silencedBy && el("span", { class: "badge" }, "silenced"),
                el("span", { class: "ops-spring" }),
                state !== "resolved" &&
                    !silencedBy &&
                    button("Silence…", () => this.silence(alert), {
                        kind: "quiet small",
                        "aria-label": `Silence ${name}`,
                        "data-key": `alert-${fingerprint}`,
                    }),
            ),
            summary && el("p", {}, summary),
            el(
                "p",
                { class: "panel-note" },
                valueOf(alert, this.format),
                state === "resolved"
                    ? ` · resolved ${this.format.ago(since, now)}`
                    : ` · ${state} for ${this.age(since, now)}`,
                extra.map(([label, value]) => [" · ", el("code", {}, `${label}=${value}`)]),
            ),
        );
    }

    silenceView({ id, matchers, until, by, comment }, now) {
        const left = countdown(until, now);
        const words = Object.entries(matchers).map(([label, value]) => `${label}=${value}`);
        return el(
            "li",
            { class: "ops-silence", data: { silence: id } },
            el(
                "div",
                { class: "row" },
                words.length > 0 ? words.map((word) => el("code", {}, word)) : el("span", {}, "every alert"),
                el("span", { class: "panel-note" }, left ? `for ${left} yet` : "ends now"),
                el("span", { class: "ops-spring" }),
                button("End", () => this.endSilence(id, words.join(", ")), {
                    kind: "small",
                    "aria-label": `End the silence of ${words.join(", ")}`,
                    "data-key": `silence-${id}`,
                }),
            ),
            el("p", { class: "panel-note" }, `${comment ? `“${comment}” — ` : ""}${by}`),
        );
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
                el("td", {}, conditionOf(rule, this.format)),
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

    async endSilence(id, words) {
        try {
            await this.api.delete(`/api/v1/alerts/silences/${encodeURIComponent(id)}`);
            this.announce(`The silence of ${words || "every alert"} has ended.`, "info");
        } catch (problem) {
            this.announce(problem.detail, "error");
        }
        this.poll.now();
    }

    /** What has the focus within the lists, which are built anew. */
    focused() {
        return [this.list, this.silences].some((part) => part.contains(document.activeElement))
            ? document.activeElement.dataset.key
            : null;
    }

    focusAgain(key) {
        const again =
            key &&
            [...this.list.querySelectorAll("[data-key]"), ...this.silences.querySelectorAll("[data-key]")].find(
                (one) => one.dataset.key === key,
            );
        again?.focus({ preventScroll: true });
    }
}
