// Pictures of figures: sparklines (SVG) and charts over time (uPlot).

const SVG = "http://www.w3.org/2000/svg";
const SPARK_SECONDS = 60;

/** A small line without axes, in the colour token of that name: `{element, draw(times, values)}`. */
export function spark(colour) {
    const element = document.createElementNS(SVG, "svg");
    element.setAttribute("class", `tile-spark spark-${colour}`);
    element.setAttribute("viewBox", "0 0 100 30");
    element.setAttribute("preserveAspectRatio", "none");
    element.setAttribute("aria-hidden", "true");
    const area = document.createElementNS(SVG, "path");
    const line = document.createElementNS(SVG, "path");
    area.setAttribute("class", "spark-area");
    line.setAttribute("class", "spark-line");
    element.append(area, line);
    return {
        element,
        draw(times, values) {
            const paths = sparkPaths(times, values);
            line.setAttribute("d", paths.line);
            area.setAttribute("d", paths.area);
        },
    };
}

/** The last minute, as paths within 100 by 30. */
function sparkPaths(times, values) {
    const to = times.at(-1) ?? 0;
    let first = times.length;
    let most = 0;
    while (first > 0 && times[first - 1] >= to - SPARK_SECONDS) {
        first -= 1;
        most = Math.max(most, values[first] ?? 0);
    }
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
        const x = 100 - ((to - times[index]) / SPARK_SECONDS) * 100;
        const y = most > 0 ? 28 - (values[index] / most) * 24 : 28;
        run.push(`${x.toFixed(1)},${y.toFixed(1)}`);
    }
    const line = runs.map((points) => `M${points.join("L")}`).join("");
    const close = (points) => `M${points[0].split(",")[0]},30L${points.join("L")}L${points.at(-1).split(",")[0]},30Z`;
    return { line, area: runs.map(close).join("") };
}
