// The history's answer as what is drawn: pure functions, tested without a browser.

import { withQuery } from "../api.js";

/** What can be looked at, from now back. */
export const RANGES = [
    ["-1h", "1 h"],
    ["-24h", "24 h"],
    ["-7d", "7 d"],
    ["-30d", "30 d"],
    ["-365d", "1 y"],
];

/** Keys with a line of their own: more are no picture. */
export const LINES_MAX = 5;
/** The sum of all that have none. */
export const OTHERS = "further ones";

/** What is drawn of each: `of` are the answer's columns, `per` how a bucket's number becomes the one shown. */
export const MEASURES = {
    traffic: { title: "Traffic", of: ["sent_bytes", "received_bytes"], per: "second", unit: "rate" },
    connections: { title: "Connections", of: ["connections"], per: "minute", unit: "per minute" },
    active: { title: "Open at once", of: ["active_max"], per: "most", unit: "count" },
    failed: { title: "Failed", of: ["failed"], per: "minute", unit: "per minute" },
};

/** A step that has just begun has no rate before. */
const TELLING_SECONDS = 10;

export function historyPath({ from, by }, format) {
    return withQuery("/api/v1/history", { from, by, step: "auto", format });
}

/** A column as it is shown; what is not known stays unknown: it is a gap, not a zero. */
function scaled(column, answer, per) {
    const to = Date.parse(answer.to) / 1_000;
    return column.map((value, at) => {
        if (value === null || value === undefined || per === "most") {
            return value ?? null;
        }
        // The step that has just begun is as long as it lasts by now: of what is too short a rate says nothing.
        const seconds = Math.min(answer.step_seconds, to - answer.times[at]);
        if (seconds < TELLING_SECONDS) {
            return null;
        }
        return (value * (per === "minute" ? 60 : 1)) / seconds;
    });
}

/** Several columns as one; a gap only where all have one. */
function added(columns, combine) {
    const length = Math.max(0, ...columns.map((column) => column.length));
    return Array.from({ length }, (_, at) => {
        const known = columns.map((column) => column[at]).filter((value) => value !== null && value !== undefined);
        return known.length === 0 ? null : known.reduce(combine);
    });
}

const sum = (a, b) => a + b;
const total = (column) => column.reduce((all, value) => all + (value ?? 0), 0);
const most = (column) => column.reduce((highest, value) => Math.max(highest, value ?? 0), 0);

/** What a key came to within the range. */
export function totalsOf(answer) {
    const rows = answer.series.map((series) => ({
        key: series.key,
        sent_bytes: total(series.sent_bytes),
        received_bytes: total(series.received_bytes),
        connections: total(series.connections),
        failed: total(series.failed),
        active_max: most(series.active_max),
    }));
    const bytes = (row) => row.sent_bytes + row.received_bytes;
    return rows.sort((a, b) => bytes(b) - bytes(a) || b.connections - a.connections || a.key.localeCompare(b.key));
}

/** Lines of one measure in total: `[{label, colour, values}]`. */
export function linesOfTotal(answer, measure) {
    const { of, per } = MEASURES[measure];
    const series = answer.series[0];
    const looks = {
        sent_bytes: ["Sent", "sent"],
        received_bytes: ["Received", "received"],
        connections: ["New connections", "series-1"],
        active_max: ["Most at once", "series-4"],
        failed: ["Failed", "failed"],
    };
    return of.map((column) => ({
        label: looks[column][0],
        colour: looks[column][1],
        values: scaled(series?.[column] ?? [], answer, per),
    }));
}

/** Lines of one measure by key: the largest in `totals`' order, then the sum of all others. */
export function linesByKey(answer, measure, totals = totalsOf(answer)) {
    const { of, per } = MEASURES[measure];
    const byKey = new Map(answer.series.map((series) => [series.key, series]));
    const column = (series) =>
        scaled(
            added(
                of.map((name) => series[name]),
                sum,
            ),
            answer,
            per,
        );
    const keys = totals.map(({ key }) => key);
    const shown = keys.length > LINES_MAX ? keys.slice(0, LINES_MAX - 1) : keys;
    const lines = shown.map((key, at) => ({
        label: nameOf(key),
        colour: `series-${at + 1}`,
        values: column(byKey.get(key)),
    }));
    const rest = keys.slice(shown.length);
    if (rest.length > 0) {
        lines.push({
            label: `${rest.length} ${OTHERS}`,
            colour: `series-${LINES_MAX}`,
            values: added(
                rest.map((key) => column(byKey.get(key))),
                sum,
            ),
        });
    }
    return lines;
}

/** A key for people: connections without a user have none. */
export function nameOf(key) {
    return key === "" ? "(no user)" : key;
}

/** Since when these steps are kept, if what was asked for begins before; else null. A day is kept from its midnight, whenever ringway began. */
export function lateBeginOf({ kept, step, from }) {
    const oldest = kept?.[step] ?? null;
    return Date.parse(oldest) > Date.parse(from) ? oldest : null;
}

/** What is said where there is nothing to draw. */
export function emptyWords({ by, series }) {
    const nobody = { user: "No user has moved anything in this time.", listener: "No listener was used in this time." };
    return (series.length === 0 && nobody[by]) || "Nothing is known of this time.";
}

/** Whether anything is known within the range. */
export function isEmpty(answer) {
    return answer.series.every(
        (series) =>
            series.connections.every((value) => value === null) && series.sent_bytes.every((value) => value === null),
    );
}
