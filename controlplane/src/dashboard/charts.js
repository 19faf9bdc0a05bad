// Pictures of figures: sparklines (SVG) and charts over time (uPlot). Colours are names of tokens in style.css, so pictures follow
// the theme; each chart has its figures as text too.

import { el, fill, setText } from "./dom.js";
import uPlot from "./uplot.js";

const SVG = "http://www.w3.org/2000/svg";
const [SPARK_SECONDS_LEAST, SPARK_SECONDS] = [15, 60];
const FONT = '11.5px system-ui, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif';
const HEIGHT = 248;
/** More areas than these cover each other. */
const FILLED_MAX = 2;
const DAY_SECONDS = 86_400;
/** A chart's accessible name tells the present values, so often at most: some screen readers speak each change. */
const NAMED_EVERY_MS = 5_000;

// ---- colours ----

const colours = new Map();
const redraws = new Set();
addEventListener("themechange", () => {
    colours.clear();
    redraws.forEach((redraw) => redraw());
});

function colour(name) {
    if (!colours.has(name)) {
        colours.set(name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
    }
    return colours.get(name);
}

// ---- sparklines ----

/** An SVG element with these attributes. */
export function svg(tag, attributes = {}, ...children) {
    const element = document.createElementNS(SVG, tag);
    Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
    element.append(...children);
    return element;
}

/** The last minute as a line without axes: `{element, draw(times, values)}`. It adorns a figure, so it is hidden from screen readers. */
export function spark(colourName) {
    const area = svg("path", { class: "spark-area" });
    const line = svg("path", { class: "spark-line" });
    const box = { viewBox: "0 0 100 30", preserveAspectRatio: "none", "aria-hidden": "true" };
    const element = svg("svg", { class: `tile-spark spark-${colourName}`, ...box }, area, line);
    return {
        element,
        draw(times, values) {
            const paths = sparkPaths(times, values);
            line.setAttribute("d", paths.line);
            area.setAttribute("d", paths.area);
        },
    };
}

function sparkPaths(times, values) {
    const to = times.at(-1) ?? 0;
    let first = times.length;
    let most = 0;
    while (first > 0 && times[first - 1] >= to - SPARK_SECONDS) {
        first -= 1;
        most = Math.max(most, values[first] ?? 0);
    }
    const span = Math.max(SPARK_SECONDS_LEAST, to - (times[first] ?? to));
    const runs = [];
    let run = null;
    for (let index = first; index < times.length; index += 1) {
        if (values[index] === null) {
            run = null;
            continue;
        }
        if (!run) {
            run = [];
            runs.push(run);
        }
        const x = 100 - ((to - times[index]) / span) * 100;
        const y = most > 0 ? 28 - (values[index] / most) * 24 : 28;
        run.push(`${x.toFixed(1)},${y.toFixed(1)}`);
    }
    const close = (points) => `M${points[0].split(",")[0]},30L${points.join("L")}L${points.at(-1).split(",")[0]},30Z`;
    return { line: runs.map((points) => `M${points.join("L")}`).join(""), area: runs.map(close).join("") };
}

// ---- charts over time ----

/**
 * A chart of figures over time, with a legend that tells the newest values (or those below the pointer), and a table of the same.
 * @param {Object} how
 * @param {{label: string, colour: string}[]} how.series `colour`: a token's name, e.g. "sent", "series-1"
 * @param {(value: ?number) => string} how.value a value as text, with its unit
 * @param {string} how.label what it shows: its accessible name
 * @param {number} [how.height] of the plot, in pixels
 * @param {boolean} [how.binary] the values are bytes: the axis counts in KiB, MiB, …
 * @param {boolean} [how.whole] the values are whole numbers: the axis has no fractions
 * @returns {{element: HTMLElement, draw: (times: number[], columns: (?number)[][], span?: {from: number, to: number}) => void, destroy: () => void}}
 *     Times are seconds since 1970, oldest first; a null is a gap. `span`: what the axis shows, else all there is.
 */
export function timeChart({ series, value, label, height = HEIGHT, binary = false, whole = false }) {
    const legend = series.map((one) => {
        const figure = el("strong", {});
        const key = el("span", { class: `legend-key key-${one.colour}`, "aria-hidden": "true" });
        return { figure, element: el("span", { class: "legend-item" }, key, el("span", {}, one.label), figure) };
    });
    const when = el("span", { class: "legend-time" });
    const plot = el("div", { class: "chart-plot" });
    const body = el("tbody", {});
    const heads = ["what", "now", "least", "mean", "most"].map((name, index) =>
        el("th", { scope: "col", class: index > 0 && "number" }, name),
    );
    const table = el("table", { class: "table" }, el("caption", {}, label), el("thead", {}, el("tr", {}, heads)), body);
    const details = el(
        "details",
        {},
        el("summary", {}, "As a table"),
        el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${label}, as a table` }, table),
    );
    const picture = el("div", { role: "img", "aria-label": label }, plot);
    const element = el(
        "figure",
        { class: "chart" },
        el(
            "figcaption",
            { class: "legend" },
            legend.map((one) => one.element),
            when,
        ),
        picture,
        details,
    );

    plot.style.minHeight = `${height}px`;
    let shown = { times: [], columns: series.map(() => []), span: null };
    let chart = null;
    let named = 0;

    const tell = () => {
        const { times, columns } = shown;
        const under = chart?.cursor.idx ?? null;
        const index = under ?? times.length - 1;
        legend.forEach(({ figure }, number) => setText(figure, value(columns[number][index] ?? null)));
        setText(when, under === null ? "" : clock(times[index], spanOf(shown)));
    };
    const name = () => {
        if (performance.now() - named > NAMED_EVERY_MS || named === 0) {
            named = performance.now();
            const figures = series.map((one, number) => `${one.label} ${value(shown.columns[number].at(-1) ?? null)}`);
            picture.setAttribute("aria-label", `${label}: ${figures.join(", ")}`);
        }
    };
    const tabulate = () => {
        if (details.open) {
            fill(
                body,
                series.map((one, number) => row(one.label, shown.columns[number], value)),
            );
        }
    };
    details.addEventListener("toggle", tabulate);

    const make = () => {
        const width = plot.clientWidth;
        if (!chart && width > 0) {
            chart = new uPlot(
                options({ series, value, height, binary, whole, width, span: () => shown.span, tell }),
                data(),
                plot,
            );
        }
    };
    const data = () => [shown.times, ...shown.columns];
    const resized = new ResizeObserver(() => {
        make();
        chart?.setSize({ width: plot.clientWidth, height });
    });
    resized.observe(plot);
    const redraw = () => chart?.redraw(true, true);
    redraws.add(redraw);

    return {
        element,
        draw(times, columns, span = null) {
            shown = { times, columns, span };
            make();
            chart?.setData(data());
            tell();
            name();
            tabulate();
        },
        destroy() {
            resized.disconnect();
            redraws.delete(redraw);
            chart?.destroy();
            element.remove();
        },
    };
}

function row(label, column, value) {
    const known = column.filter((one) => one !== null && one !== undefined);
    const sum = known.reduce((total, one) => total + one, 0);
    const least = known.reduce((low, one) => Math.min(low, one), Infinity);
    const most = known.reduce((high, one) => Math.max(high, one), -Infinity);
    const figures = known.length ? [column.at(-1) ?? null, least, sum / known.length, most] : [null, null, null, null];
    return el(
        "tr",
        {},
        el("th", { scope: "row" }, label),
        figures.map((figure) => el("td", { class: "number" }, value(figure))),
    );
}

function options({ series, value, height, binary, whole, width, span, tell }) {
    const line = ({ label, colour: name }) => ({
        label,
        width: 1.6,
        points: { show: true, size: 5, width: 0, fill: () => colour(name), filter: lonely },
        stroke: () => colour(name),
        fill: series.length <= FILLED_MAX ? (chart) => faded(chart, colour(name)) : undefined,
    });
    const axis = {
        stroke: () => colour("ink-quiet"),
        font: FONT,
        ticks: { show: false },
        grid: { stroke: () => colour("grid"), width: 1 },
    };
    return {
        width,
        height,
        padding: [10, 24, 0, 0],
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
        scales: {
            x: { range: (_, min, max) => (span() ? [span().from, span().to] : [min, max]) },
            y: { range: (_, _min, max) => [0, ceiling(max, binary, whole)] },
        },
        series: [{}, ...series.map(line)],
        axes: [
            {
                ...axis,
                size: 26,
                space: 76,
                values: (chart, splits) =>
                    splits.map((split) => clock(split, chart.scales.x.max - chart.scales.x.min, true)),
            },
            {
                ...axis,
                size: widest,
                space: 36,
                gap: 6,
                incrs: steps(binary, whole),
                values: (_, splits) => splits.map(value),
            },
        ],
        hooks: { setCursor: [tell] },
    };
}

function spanOf({ times, span }) {
    return span ? span.to - span.from : (times.at(-1) ?? 0) - (times[0] ?? 0);
}

const two = (number) => String(number).padStart(2, "0");

/** A time as the axis needs it: with seconds for minutes, with the date for days. */
function clock(seconds, span, isAxis = false) {
    const date = new Date(seconds * 1000);
    const day = `${two(date.getMonth() + 1)}-${two(date.getDate())}`;
    const hour = `${two(date.getHours())}:${two(date.getMinutes())}`;
    if (span > 3 * DAY_SECONDS) {
        return isAxis ? day : `${day} ${hour}`;
    }
    if (span > DAY_SECONDS / 2) {
        return `${isAxis && hour !== "00:00" ? "" : `${day} `}${hour}`;
    }
    return span > 900 ? hour : `${hour}:${two(date.getSeconds())}`;
}

/** As wide as its widest text was so far: an axis that breathes makes the whole picture jump. */
function widest(chart, values, index, cycle) {
    const axis = chart.axes[index];
    if (cycle > 1 || !values) {
        return axis._size ?? 40;
    }
    chart.ctx.save();
    chart.ctx.font = FONT;
    const most = Math.max(...values.map((text) => chart.ctx.measureText(text ?? "").width));
    chart.ctx.restore();
    axis.most = Math.max(axis.most ?? 0, Math.ceil(most) + 14);
    return axis.most;
}

/** Distances between the lines of an axis. */
function steps(binary, whole) {
    const found = [];
    if (binary) {
        for (let step = 1; step < 2 ** 60; step *= 2) {
            found.push(step);
        }
        return found;
    }
    for (let power = whole ? 0 : -4; power < 18; power += 1) {
        found.push(...[1, 2, 5].map((digit) => digit * 10 ** power));
    }
    return found;
}

/** The top of the axis: what is above the highest value and does not change with each of them. */
function ceiling(max, binary, whole) {
    const least = binary ? 1024 : whole ? 4 : 1;
    const wanted = Math.max(least, (max ?? 0) * 1.06);
    const digits = binary ? [1, 1.25, 1.5, 2] : [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10];
    const radix = binary ? 2 : 10;
    const below = radix ** Math.floor(Math.log(wanted) / Math.log(radix) + 1e-9);
    return below * (digits.find((digit) => below * digit >= wanted) ?? radix);
}

/** Points between two gaps, which no line goes through. */
function lonely(chart, number) {
    const column = chart.data[number];
    const known = (index) => column[index] !== null && column[index] !== undefined;
    const found = [];
    const [first, last] = chart.series[0].idxs ?? [0, column.length - 1];
    for (let index = first; index <= last; index += 1) {
        if (known(index) && !known(index - 1) && !known(index + 1)) {
            found.push(index);
        }
    }
    return found;
}

function faded(chart, of) {
    const { top, height } = chart.bbox;
    const gradient = chart.ctx.createLinearGradient(0, top, 0, top + height);
    gradient.addColorStop(0, `${of}3d`);
    gradient.addColorStop(1, `${of}05`);
    return gradient;
}
