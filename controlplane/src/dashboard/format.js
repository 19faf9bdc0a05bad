// Figures as people read them: three digits that matter, and always a unit. What is not known is a dash.
//
// `parts.x` are pairs [value, unit], for figures whose unit is set smaller; `x` itself is the text of both.

export const UNKNOWN = "–";

/** Between a value and its unit: they stay on one line. */
const NARROW = "\u202f";
const BINARY = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
const DECIMAL = ["", "k", "M", "G", "T", "P"];
/** Counts below it are shown digit by digit. */
const EXACT_BELOW = 100_000;
const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const known = (number) => typeof number === "number" && Number.isFinite(number);

/** Three digits that matter: 0.05, 1.23, 12.3, 123; whole numbers stay whole. */
export function short(number) {
    const size = Math.abs(number);
    if (Number.isInteger(number) && size < 1000) {
        return String(number);
    }
    return number.toFixed(size < 9.995 ? 2 : size < 99.95 ? 1 : 0);
}

function scaled(number, base, units) {
    let [left, power] = [number, 0];
    // 999.6 would be shown as 1000.
    while (Math.abs(left) >= (base === 1000 ? 999.5 : 1023.5) && power < units.length - 1) {
        left /= base;
        power += 1;
    }
    return [short(left), units[power]];
}

export const parts = {
    bytes: (number) => (known(number) ? scaled(Math.round(number), 1024, BINARY) : [UNKNOWN, ""]),
    rate: (number) => {
        const [value, unit] = parts.bytes(number);
        return [value, unit && `${unit}/s`];
    },
    count: (number) => {
        if (!known(number)) {
            return [UNKNOWN, ""];
        }
        const whole = Number.isInteger(number) && Math.abs(number) < EXACT_BELOW;
        return whole ? [number.toLocaleString("en-GB"), ""] : scaled(number, 1000, DECIMAL);
    },
    perSecond: (number) => {
        if (!known(number)) {
            return [UNKNOWN, ""];
        }
        const [value, unit] = scaled(number > 0 && number < 0.01 ? 0.01 : number, 1000, DECIMAL);
        return [value, `${unit}/s`];
    },
    percent: (share) => {
        const hundredths = share * 100;
        return known(share)
            ? [hundredths === 0 ? "0" : hundredths.toFixed(hundredths < 99.95 ? 1 : 0), "%"]
            : [UNKNOWN, ""];
    },
    milliseconds: (number) => {
        if (!known(number)) {
            return [UNKNOWN, ""];
        }
        if (number > 0 && number < 0.9995) {
            return [short(Math.round(number * 1000)), "µs"];
        }
        if (number < 999.5) {
            return [short(number), "ms"];
        }
        return number < 120_000 ? [short(number / 1000), "s"] : [duration(number / 1000), ""];
    },
};

const joined = ([value, unit]) => (unit ? `${value}${NARROW}${unit}` : value);

/** `1.23 MiB` */
export const bytes = (number) => joined(parts.bytes(number));
/** Bytes a second: `1.23 MiB/s` */
export const rate = (number) => joined(parts.rate(number));
/** `12,345`, `1.23 M` */
export const count = (number) => joined(parts.count(number));
/** Things a second: `12.3 /s` */
export const perSecond = (number) => joined(parts.perSecond(number));
/** Of a share, 1 being all: `12.3 %` */
export const percent = (share) => joined(parts.percent(share));
/** `350 µs`, `12.3 ms`, `1.23 s` */
export const milliseconds = (number) => joined(parts.milliseconds(number));

/** Of seconds, in its two largest units: `3 d 4 h` */
export function duration(seconds) {
    if (!known(seconds)) {
        return UNKNOWN;
    }
    const whole = Math.max(0, Math.floor(seconds));
    const steps = [
        [DAY, "d", HOUR, "h"],
        [HOUR, "h", MINUTE, "min"],
        [MINUTE, "min", 1, "s"],
    ];
    for (const [large, name, small, rest] of steps) {
        if (whole >= large) {
            const left = Math.floor((whole % large) / small);
            return `${Math.floor(whole / large)}${NARROW}${name}${left ? ` ${left}${NARROW}${rest}` : ""}`;
        }
    }
    return `${whole}${NARROW}s`;
}

function dateOf(when) {
    const date = when instanceof Date ? when : new Date(typeof when === "number" ? when * 1000 : when);
    return when === null || when === undefined || Number.isNaN(date.getTime()) ? null : date;
}

const two = (number) => String(number).padStart(2, "0");

/** The local time of day of an RFC 3339 text, or of seconds since 1970: `20:21:04` */
export function time(when) {
    const date = dateOf(when);
    return date ? `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}` : UNKNOWN;
}

/** `2026-11-21` */
export function day(when) {
    const date = dateOf(when);
    return date ? `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}` : UNKNOWN;
}

/** `2026-11-21 20:21:04` */
export function dateTime(when) {
    return dateOf(when) ? `${day(when)} ${time(when)}` : UNKNOWN;
}

/** How long ago, or until: `5 min ago`, `in 3 d 4 h` */
export function ago(when, now = Date.now()) {
    const date = dateOf(when);
    if (!date) {
        return UNKNOWN;
    }
    const seconds = (now - date.getTime()) / 1000;
    if (Math.abs(seconds) < 2) {
        return "just now";
    }
    return seconds > 0 ? `${duration(seconds)} ago` : `in ${duration(-seconds)}`;
}

/** `1 worker`, `2 workers` */
export function plural(number, one, many = `${one}s`) {
    return `${count(number)} ${number === 1 ? one : many}`;
}

/** `connect_timeout` as words. */
export function words(label) {
    return String(label ?? "").replaceAll("_", " ");
}
