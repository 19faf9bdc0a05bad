// Alerts as words: pure functions, tested without a browser.

const STATES = ["firing", "pending", "resolved"];
const SEVERITIES = ["critical", "warning", "info"];

/** What asks for somebody first: firing before pending, the gravest first, silenced ones last of their kind, then the newest. */
export function inOrder(alerts) {
    const rank = (list, value) => (list.includes(value) ? list.indexOf(value) : list.length);
    const place = (alert) => [rank(STATES, alert.state), alert.silenced_by ? 1 : 0, rank(SEVERITIES, alert.severity)];
    return [...alerts].sort((a, b) => {
        const [one, other] = [place(a), place(b)];
        const at = one.findIndex((value, index) => value !== other[index]);
        return at >= 0
            ? one[at] - other[at]
            : Date.parse(b.since) - Date.parse(a.since) || a.name.localeCompare(b.name);
    });
}

/** The badge of a severity. */
export function severityKind(severity) {
    return { critical: "bad", warning: "warn", info: "info" }[severity] ?? "";
}

/** `97.3 % (threshold 90 %)`, with the unit that the rule measures in. */
export function valueOf({ value, threshold, unit }, format) {
    const text = withUnit(value, unit, format);
    return threshold === undefined || threshold === null
        ? text
        : `${text} (threshold ${withUnit(threshold, unit, format)})`;
}

/** When a rule fires: `above 90 % for 1m` */
export function conditionOf({ when, threshold, unit, for: time }, format) {
    const lasting = time && !/^0[a-z]+$/.test(time) ? ` for ${time}` : "";
    return `${when} ${withUnit(threshold, unit, format)}${lasting}`;
}

function withUnit(number, unit, format) {
    if (number === null || number === undefined) {
        return format.UNKNOWN;
    }
    const units = {
        bytes: () => format.bytes(number),
        milliseconds: () => format.milliseconds(number),
        per_second: () => format.perSecond(number),
        percent: () => `${round(number)}\u202f%`,
        days: () => (Math.abs(number) < 1 ? format.duration(number * 86_400) : `${round(number)}\u202fd`),
    };
    return (units[unit] ?? (() => round(number)))();
}

/** Three digits are enough to judge by; what is large keeps all before the point. */
function round(number) {
    const digits = Math.abs(number) >= 100 ? 0 : Math.abs(number) >= 10 ? 1 : 2;
    return Number(number.toFixed(digits)).toLocaleString("en-GB");
}

/** The matchers that a silence of this alert begins with: its labels that name it, without those that all of a host share. */
export function matchersOf({ name, labels = {} }) {
    const own = Object.entries(labels).filter(
        ([label]) => !["alertname", "name", "severity", "instance"].includes(label),
    );
    return name ? { name, ...Object.fromEntries(own) } : {};
}

/** `name=cpu` lines as matchers. @throws {Error} what is wrong with which line */
export function readMatchers(text) {
    const matchers = {};
    for (const line of text
        .split("\n")
        .map((each) => each.trim())
        .filter(Boolean)) {
        const at = line.indexOf("=");
        const [label, value] = [line.slice(0, at).trim(), line.slice(at + 1).trim()];
        if (at < 1 || !/^[A-Za-z_][A-Za-z0-9_]*$/.test(label)) {
            throw new Error(`“${line}” is no matcher: write label=value, one on a line.`);
        }
        if (label in matchers) {
            throw new Error(`${label} stands there twice.`);
        }
        matchers[label] = value.replace(/^"(.*)"$/, "$1");
    }
    if (Object.keys(matchers).length === 0) {
        throw new Error("Name at least one label: name=… is that of the rule.");
    }
    return matchers;
}
