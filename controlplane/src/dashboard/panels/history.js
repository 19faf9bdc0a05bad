// Traffic, connections and failures over hours, days and a year.

import { timeChart } from "../charts.js";
import { button, el, emptyNote, faultNote, fill, note, sentence, setText } from "../dom.js";
import { poll } from "../polling.js";
import {
    emptyWords,
    historyPath,
    isEmpty,
    linesByKey,
    linesOfTotal,
    MEASURES,
    nameOf,
    RANGES,
    totalsOf,
} from "./history_series.js";

/** A minute is the smallest step there is. */
const REFRESH_MS = 60_000;
const BY = [
    ["total", "Total"],
    ["user", "By user"],
    ["listener", "By listener"],
];
const STEPS = { minute: "a point a minute", hour: "a point an hour", day: "a point a day" };
/** Keys in the table of totals; the CSV file has all. */
const TOTALS_MAX = 50;
const CHART_PIXELS = 170;

export function mount(root, context) {
    const panel = new HistoryPanel(root, context);
    return () => panel.stop();
}

class HistoryPanel {
    constructor(root, context) {
        Object.assign(this, context);
        this.asked = { from: "-24h", by: "total" };
        this.measure = "traffic";
        this.charts = [];
        this.build(root);
        this.poll = poll(root, REFRESH_MS, (signal) => this.refresh(signal));
    }

    stop() {
        this.poll.stop();
        this.dropCharts();
    }

    build(root) {
        this.notes = el("div", {});
        this.faults = el("div", {});
        this.pictures = el("div", { class: "ops-charts" }, emptyNote("Looking…"));
        this.table = el("div", {});
        this.step = el("span", { class: "panel-note", role: "status" });
        this.measures = switches(
            "What is drawn",
            Object.entries(MEASURES).map(([name, { title }]) => [name, title]),
            () => this.measure,
            (name) => {
                this.measure = name;
                this.draw();
            },
        );
        this.measures.element.hidden = true;
        const ask = (name) => (value) => {
            this.asked = { ...this.asked, [name]: value };
            this.poll.now();
        };
        fill(
            root,
            el(
                "header",
                { class: "panel-head" },
                el("h2", {}, "History"),
                switches("How far back", RANGES, () => this.asked.from, ask("from")).element,
                switches("By", BY, () => this.asked.by, ask("by")).element,
                button("CSV", () => this.download(), {
                    kind: "quiet",
                    title: "All of it as a file of comma-separated values",
                    "aria-label": "Download as CSV",
                }),
            ),
            this.notes,
            this.faults,
            this.measures.element,
            this.pictures,
            this.step,
            this.table,
        );
    }

    async refresh(signal) {
        try {
            this.answer = await this.api.get(historyPath(this.asked), { signal, background: true });
            fill(this.faults);
            this.draw();
        } catch (problem) {
            if (!problem.isAborted) {
                fill(
                    this.faults,
                    problem.status === 404
                        ? emptyNote(sentence(problem.detail), sentence(problem.hint))
                        : faultNote(problem),
                );
                this.pictures.classList.add("is-stale");
                if (!this.answer) {
                    fill(this.pictures);
                }
            }
            return false;
        }
    }

    draw() {
        const { answer, format } = this;
        if (!answer) {
            return;
        }
        this.pictures.classList.remove("is-stale");
        const isTotal = answer.by === "total";
        const totals = totalsOf(answer);
        this.measures.element.hidden = isTotal;
        this.drawNotes(answer);
        if (isEmpty(answer)) {
            this.dropCharts();
            fill(this.pictures, emptyNote(...emptyWords(answer)));
            fill(this.table);
            setText(this.step, "");
            return;
        }
        const wanted = isTotal
            ? ["traffic", "connections", "failed"].map((measure) => [measure, linesOfTotal(answer, measure)])
            : [[this.measure, linesByKey(answer, this.measure, totals)]];
        this.drawCharts(wanted);
        setText(
            this.step,
            `${STEPS[answer.step] ?? answer.step}, ${format.dateTime(answer.from)} to ${format.dateTime(answer.to)}`,
        );
        fill(this.table, this.totalsView(totals, isTotal));
    }

    drawNotes({ file, truncated, kept, fault, step }) {
        const oldest = kept?.[step];
        fill(
            this.notes,
            !file &&
                note(
                    "info",
                    "In memory only: it is lost when ringway ends, and reaches back 24 h at most. ",
                    el("code", {}, "history.file"),
                    " names a file to keep it in.",
                ),
            fault && note("bad", `The history cannot be written: ${fault}.`),
            truncated && note("warn", "There is more than one answer holds: look at a shorter time."),
            oldest &&
                file &&
                Date.parse(oldest) > Date.parse(this.answer.from) &&
                el("p", { class: "panel-note" }, `The oldest that is kept is of ${this.format.dateTime(oldest)}.`),
        );
    }

    /** Charts stay while their lines are the same: a refresh must not take the cursor away. */
    drawCharts(wanted) {
        const { answer } = this;
        const shape = JSON.stringify(
            wanted.map(([measure, lines]) => [measure, lines.map(({ label, colour }) => [label, colour])]),
        );
        if (shape !== this.shape) {
            this.dropCharts();
            this.shape = shape;
            this.charts = wanted.map(([measure, lines]) =>
                timeChart({
                    series: lines.map(({ label, colour }) => ({ label, colour })),
                    value: this.textOf(measure),
                    label: `${MEASURES[measure].title} over time`,
                    height: CHART_PIXELS,
                    binary: measure === "traffic",
                }),
            );
            fill(
                this.pictures,
                wanted.map(([measure], at) =>
                    el(
                        "figure",
                        { class: "ops-figure", data: { measure } },
                        el("figcaption", {}, this.captionOf(measure)),
                        this.charts[at].element,
                    ),
                ),
            );
        }
        const range = { from: Date.parse(answer.from) / 1_000, to: Date.parse(answer.to) / 1_000 };
        wanted.forEach(([, lines], at) =>
            this.charts[at].draw(
                answer.times,
                lines.map(({ values }) => values),
                range,
            ),
        );
    }

    dropCharts() {
        this.charts.forEach((chart) => chart.destroy());
        this.charts = [];
        this.shape = null;
    }

    captionOf(measure) {
        const { title, unit } = MEASURES[measure];
        return [
            title,
            el(
                "span",
                { class: "panel-note" },
                unit === "rate" ? " bytes a second" : unit === "count" ? " the most within each step" : " a minute",
            ),
        ];
    }

    textOf(measure) {
        const { format } = this;
        return {
            rate: format.rate,
            count: format.count,
            "per minute": (value) =>
                value === null ? format.UNKNOWN : `${format.count(Math.round(value * 100) / 100)}\u202f/min`,
        }[MEASURES[measure].unit];
    }

    totalsView(totals, isTotal) {
        const { format } = this;
        const shown = totals.slice(0, TOTALS_MAX);
        const name = isTotal ? "In all" : this.asked.by === "user" ? "User" : "Listener";
        const columns = [
            ["Sent", "sent_bytes", format.bytes],
            ["Received", "received_bytes", format.bytes],
            ["Connections", "connections", format.count],
            ["Failed", "failed", format.count],
            ["Most at once", "active_max", format.count],
        ];
        const row = (each) =>
            el(
                "tr",
                {},
                el(
                    "th",
                    { scope: "row", class: "cut", title: nameOf(each.key) },
                    isTotal ? "this range" : nameOf(each.key),
                ),
                columns.map(([, of, text]) =>
                    el("td", { class: "number", title: each[of].toLocaleString("en-GB") }, text(each[of])),
                ),
            );
        return [
            el(
                "div",
                { class: "scroll", tabindex: "0", role: "region", "aria-label": "Totals of this range" },
                el(
                    "table",
                    { class: "table ops-totals" },
                    el(
                        "thead",
                        {},
                        el(
                            "tr",
                            {},
                            el("th", { scope: "col" }, name),
                            columns.map(([head]) => el("th", { scope: "col", class: "number" }, head)),
                        ),
                    ),
                    el("tbody", {}, shown.map(row)),
                ),
            ),
            totals.length > shown.length &&
                el("p", { class: "panel-note" }, `${totals.length - shown.length} more are in the CSV file.`),
        ];
    }

    async download() {
        try {
            const { blob } = await this.api.request("GET", historyPath(this.asked, "csv"), { as: "blob" });
            const url = URL.createObjectURL(blob);
            const link = el("a", {
                href: url,
                download: `ringway-history-${this.asked.by}${this.asked.from}.csv`,
                hidden: true,
            });
            document.body.append(link);
            link.click();
            link.remove();
            URL.revokeObjectURL(url);
        } catch (problem) {
            this.announce(problem.detail, "error");
        }
    }
}

/** One of several, as buttons beside each other. */
function switches(label, choices, chosen, choose) {
    const pick = (value) => () => {
        if (value !== chosen()) {
            choose(value);
            show();
        }
    };
    const buttons = choices.map(([value, text]) =>
        el("button", { type: "button", data: { value }, on: { click: pick(value) } }, text),
    );
    const show = () =>
        buttons.forEach((one) => one.setAttribute("aria-pressed", String(one.dataset.value === chosen())));
    show();
    return { element: el("div", { class: "switch", role: "group", "aria-label": label }, buttons) };
}
