// What people type, read as the API reads it: pure functions, tested without a browser.

/** Milliseconds by unit, the largest first: a duration names each once, in this order. */
const TIME_UNITS = [
    ["d", 86_400_000],
    ["h", 3_600_000],
    ["m", 60_000],
    ["s", 1_000],
    ["ms", 1],
];
const SIZE_UNITS = [
    ["TiB", 2 ** 40],
    ["GiB", 2 ** 30],
    ["MiB", 2 ** 20],
    ["KiB", 2 ** 10],
    ["B", 1],
];

/** Bytes of a kill's reason: a close frame holds no more beside its code (RFC 6455 section 5.5). */
export const REASON_BYTES_MAX = 123;

/** `1h30m` in milliseconds; null: it is none. */
export function readDuration(text) {
    return quantity(text, TIME_UNITS);
}

/** `1GiB` in bytes; null: it is none. */
export function readBytes(text) {
    return quantity(text, SIZE_UNITS);
}

function quantity(text, units) {
    if (!/^(\d+[A-Za-z]+)+$/.test(text)) {
        return null;
    }
    let total = 0;
    let from = 0;
    for (const [, number, unit] of text.matchAll(/(\d+)([A-Za-z]+)/g)) {
        const at = units.findIndex(([name], index) => index >= from && name === unit);
        if (at < 0) {
            return null;
        }
        total += Number(number) * units[at][1];
        from = at + 1;
    }
    return Number.isSafeInteger(total) ? total : null;
}

/** Conditions of a filter: what is written in each field, and what is wrong with it. */
export const CONDITIONS = [
    { name: "user", label: "User" },
    { name: "target", label: "Target" },
    { name: "client", label: "Client" },
    { name: "service", label: "Protocol" },
    { name: "phase", label: "Phase" },
    {
        name: "worker",
        label: "Worker",
        check: (text) => (/^\d{1,4}$/.test(text) ? null : "a worker's number, from 0 on"),
    },
    { name: "min_age", label: "Older than", check: isDuration },
    { name: "min_idle", label: "Silent for", check: isDuration },
    {
        name: "min_bytes",
        label: "Bytes at least",
        check: (text) => (readBytes(text) === null ? "a size such as 64KiB, 10MiB or 1GiB" : null),
    },
    { name: "topic", label: "Topic" },
];

function isDuration(text) {
    return readDuration(text) === null ? "a duration such as 30s, 5m or 1h30m" : null;
}

/** What the API calls nobody: connections without a user. */
export const WITHOUT_USER = "(none)";

/**
 * A form's fields as a filter.
 * @param {Object<string, string>} values by condition
 * @returns {{filter: Object<string, string>, faults: Object<string, string>, words: string}}
 *     `words` says it for people: `user alice, older than 5m`
 */
export function readFilter(values) {
    const filter = {};
    const faults = {};
    const words = [];
    for (const { name, label, check } of CONDITIONS) {
        const text = (values[name] ?? "").trim();
        if (!text) {
            continue;
        }
        const fault = check?.(text);
        if (fault) {
            faults[name] = fault;
            continue;
        }
        filter[name] = name === "user" && text === WITHOUT_USER ? "" : text;
        words.push(`${label.toLowerCase()} ${text}`);
    }
    return { filter, faults, words: words.join(", ") };
}

/** The path of a page of connections. A user without a name is asked for by an empty value, so none is left out here. */
export function connectionsPath(filter, { limit, cursor } = {}) {
    const parameters = new URLSearchParams(filter);
    if (limit) {
        parameters.set("limit", limit);
    }
    if (cursor) {
        parameters.set("cursor", cursor);
    }
    const query = parameters.toString();
    return query ? `/api/v1/connections?${query}` : "/api/v1/connections";
}

/** Why a reason cannot be sent; null: it can. */
export function reasonFault(text) {
    const bytes = new TextEncoder().encode(text).length;
    if (bytes > REASON_BYTES_MAX) {
        return `The reason is ${bytes} bytes long: at most ${REASON_BYTES_MAX} fit into a close frame.`;
    }
    // eslint-disable-next-line no-control-regex
    return /[\u0000-\u001f\u007f-\u009f]/.test(text) ? "The reason holds a control character." : null;
}

/** Why something cannot be set for so long; null: it can. `most` is the API's own limit. */
export function timeFault(text, most = "7d") {
    const time = readDuration(text.trim());
    if (time === null) {
        return "Write a time such as 10m, 1h30m or 2d.";
    }
    return time > readDuration(most) ? `It can be set for ${most} at most.` : null;
}

/** What is left until then: `9 m 41 s`; null: nothing is. `now` in milliseconds. */
export function countdown(until, now) {
    const left = Math.ceil((Date.parse(until) - now) / 1_000);
    if (!(left > 0)) {
        return null;
    }
    const parts = [
        ["d", Math.floor(left / 86_400)],
        ["h", Math.floor(left / 3_600) % 24],
        ["m", Math.floor(left / 60) % 60],
        ["s", left % 60],
    ];
    const first = parts.findIndex(([, value]) => value > 0);
    return parts
        .slice(first, first + 2)
        .map(([unit, value]) => `${value} ${unit}`)
        .join(" ");
}
