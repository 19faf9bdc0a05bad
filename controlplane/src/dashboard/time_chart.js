// A chart of lines over time (uPlot). What is not known is a gap in the line, never a zero.

import { el } from "./dom.js";
import { dateTime, UNKNOWN } from "./format.js";
import UPlot from "./uplot.js";

const DAY_SECONDS = 86_400;
const AXIS_PIXELS = 62;
const FONT = "11px system-ui, sans-serif";
/** Of bytes: 1, 2, 5 … KiB between two lines of the grid. */
const BINARY_STEPS = Array.from({ length: 6 }, (_, power) =>
    [1, 2, 5, 10, 20, 50, 100, 200, 500].map((step) => step * 1024 ** power),
).flat();

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/**
 * A chart without data.
 * @param {object} what
 * @param {Array<{label: string, colour: string}>} what.series `colour` is a token of the style sheet: `sent` for `--sent`
 * @param {(value: number) => string} what.value a figure with its unit
 * @param {string} what.label what it shows, for those who do not see it
 * @param {number} what.height in pixels, without the legend
 * @param {boolean} [what.binary] it is bytes that are counted
 * @returns {{element: HTMLElement, draw: Function, destroy: Function}} `draw(times, columns, {from, to})`: seconds since 1970, a column
 *     of numbers and nulls for each series, and the time that is shown
 */
export function timeChart({ series, value, label, height, binary = false }) {
    const element = el("div", { class: "chart", role: "img", "aria-label": label });
    let data = [[], ...series.map(() => [])];
    let range = null;
    let plot = null;

    const build = () => {
        plot?.destroy();
        plot = new UPlot(options({ series, value, binary, height, width: width(), range: () => range }), data, element);
    };
    const width = () => Math.max(200, element.clientWidth);
    const sizes = new ResizeObserver(() => {
        if (!plot) {
            build();
        } else if (plot.width !== width()) {
            plot.setSize({ width: width(), height });
        }
    });
    sizes.observe(element);
    // Colours are read once from the style sheet: another theme is another chart.
    const themed = () => plot && build();
    addEventListener("themechange", themed);

    return {
        element,
        draw(times, columns, shown) {
            data = [times, ...columns];
            range = shown;
            plot?.setData(data);
        },
        destroy() {
            sizes.disconnect();
            removeEventListener("themechange", themed);
            plot?.destroy();
            plot = null;
        },
    };
}

function options({ series, value, binary, height, width, range }) {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const axis = {
        stroke: colour("ink-quiet"),
        font: FONT,
        grid: { stroke: colour("grid"), width: 1 },
        ticks: { show: false },
    };
    const line = (one, fill) => ({
        label: one.label,
        stroke: colour(one.colour),
        fill: fill ? `color-mix(in srgb, ${colour(one.colour)} 12%, transparent)` : undefined,
        width: 1.5,
        points: { size: 4 },
        value: (_, number) => (number === null || number === undefined ? UNKNOWN : value(number)),
    });
    return {
        width,
        height,
        cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
        legend: { live: true },
        scales: {
            x: { range: (_, from, to) => (range() ? [range().from, range().to] : [from, to]) },
            y: { range: (_plot, _least, most) => [0, most > 0 ? most * 1.08 : 1] },
        },
        axes: [
            {
                ...axis,
                space: 70,
                values: (_, splits, _axis, _space, step) =>
                    splits.map((time, at) => timeLabel(time, step, splits[at - 1])),
            },
            {
                ...axis,
                size: AXIS_PIXELS,
                space: 26,
                incrs: binary ? BINARY_STEPS : undefined,
                values: (_, splits) => splits.map(value),
            },
        ],
        series: [
            { label: "Time", value: (_, time) => (time === null ? UNKNOWN : dateTime(time)) },
            ...series.map((one) => line(one, series.length === 1)),
        ],
    };
}

/** `20:15`, with the day below where it is another one; `21 Nov` where a step is a day or more. */
function timeLabel(time, step, before) {
    const date = new Date(time * 1_000);
    const day = `${date.getDate()} ${MONTHS[date.getMonth()]}`;
    if (step >= DAY_SECONDS) {
        return step >= 28 * DAY_SECONDS ? `${MONTHS[date.getMonth()]} ${date.getFullYear()}` : day;
    }
    const clock = `${String(date.getHours()).padStart(2, "0")}:${String(date.getMinutes()).padStart(2, "0")}`;
    const isOther = before === undefined || new Date(before * 1_000).getDate() !== date.getDate();
    return isOther ? `${clock}\n${day}` : clock;
}
