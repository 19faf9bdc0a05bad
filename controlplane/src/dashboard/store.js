// What the feed last said, and of late: the one thing on the page that knows the connection.
//
// Panels are told at most once per animation frame. Memory is bounded: one snapshot for each topic, and rings of fixed length.

export const TOPICS = ["traffic_data", "proxy_health", "system_performance", "user_activity", "alerts"];

/** Silence after which the feed is no longer believed to be alive; it speaks at least once a second. */
const SILENCE_MS = 6_000;
const LOOK_EVERY_MS = 1_000;

/** What the charts draw, by the path within `traffic_data`. */
export const DRAWN = [
    "connections.active",
    "connections.per_second",
    "connections.failed_per_second",
    "traffic.sent_bytes_per_second",
    "traffic.received_bytes_per_second",
    "websocket.active",
    "websocket.received_messages_per_second",
    "websocket.deliveries_per_second",
];

/** Five minutes at 4 Hz, and a little more so that the oldest end lies outside the picture. */
const POINTS_MAX = 1_240;
/** Snapshots further apart than so many intervals have a gap between them. */
const GAP_INTERVALS = 6;
const GAP_MS_MIN = 2_500;

/** What stands at `path` within `data`; undefined if there is none. */
export function at(data, path) {
    return path.split(".").reduce((inner, name) => inner?.[name], data);
}

/** The last points of some series, oldest first. A gap is a row of nulls. */
export class Recent {
    #max;

    constructor(names, max = POINTS_MAX) {
        this.#max = max;
        this.names = names;
        /** Seconds since 1970, of the server's clock. */
        this.times = [];
        this.columns = names.map(() => []);
    }

    push(time, values) {
        this.times.push(time);
        this.columns.forEach((column, index) => column.push(values[index] ?? null));
        while (this.times.length > this.#max) {
            this.times.shift();
            this.columns.forEach((column) => column.shift());
        }
    }

    column(name) {
        return this.columns[this.names.indexOf(name)];
    }

    get length() {
        return this.times.length;
    }
}

export class Feed {
    #client;
    #frame;
    #now;
    #listeners = new Map();
    #stateListeners = new Set();
    #offs = new Map();
    #latest = new Map();
    #dirty = new Set();
    #scheduled = false;
    #paused = new Set();
    #heardAt = null;
    #refused = null;
    #told = null;
    #retryAt = null;

    /**
     * @param client a `WebSocketClient`, or what behaves so
     * @param {{frame?: (fn: () => void) => void, now?: () => number}} own for tests
     */
    constructor(client, { frame = (fn) => requestAnimationFrame(fn), now = () => Date.now() } = {}) {
        this.#client = client;
        this.#frame = frame;
        this.#now = now;
        this.recent = new Recent(DRAWN);
        client.on("state", () => {
            if (client.getConnectionState() === "connected") {
                this.#refused = null;
            }
            // A connection that has just come up says something at once.
            this.#heardAt = null;
            this.#tell();
        });
        client.on("error", (error) => {
            if (error?.kind === "unauthorized" || error?.status === 401 || error?.status === 403) {
                this.#refused = error.message;
            } else if (error?.kind === "refused") {
                this.#refused = error.message;
            }
            this.#tell();
        });
        client.on("close", ({ retryInMs } = {}) => {
            this.#retryAt = typeof retryInMs === "number" ? this.#now() + retryInMs : null;
        });
        this.#told = this.state;
    }

    /** "connecting" | "live" | "offline" | "paused" | "unauthorized" */
    get state() {
        const connection = this.#client.getConnectionState();
        if (this.#refused) {
            return "unauthorized";
        }
        if (this.#paused.size > 0) {
            return "paused";
        }
        if (connection === "connected") {
            if (this.#heardAt === null) {
                return this.#latest.size ? "offline" : "connecting";
            }
            return this.#now() - this.#heardAt > SILENCE_MS ? "offline" : "live";
        }
        return connection === "connecting" && this.#latest.size === 0 ? "connecting" : "offline";
    }

    /** Connected, and yet nothing comes. */
    get isSilent() {
        return this.state === "offline" && this.#client.getConnectionState() === "connected";
    }

    /** Why it is not live, in words; empty while it is. */
    get reason() {
        switch (this.state) {
            case "unauthorized":
                return this.#refused ?? "";
            case "paused":
                return this.#paused.has("hidden") ? "this tab is hidden" : "you paused it";
            case "offline":
                return this.isSilent ? "the connection stands, but nothing comes" : this.#nextTry();
            default:
                return "";
        }
    }

    #nextTry() {
        const seconds = Math.ceil(((this.#retryAt ?? 0) - this.#now()) / 1000);
        return seconds > 0 ? `tries again in ${seconds} s` : "trying to connect";
    }

    /** When something last came, in ms since 1970; null: nothing yet on this connection. */
    get heardAt() {
        return this.#heardAt;
    }

    /** The newest snapshot of a topic. */
    latest(topic) {
        return this.#latest.get(topic);
    }

    /** Calls `fn` with each new snapshot, and at once with the one there is. Several within a frame are told as one. */
    on(topic, fn) {
        if (!this.#listeners.has(topic)) {
            this.#listeners.set(topic, new Set());
        }
        this.#listeners.get(topic).add(fn);
        this.#subscribe(topic);
        if (this.#latest.has(topic)) {
            call(fn, this.#latest.get(topic));
        }
        return () => this.#listeners.get(topic).delete(fn);
    }

    /** Calls `fn` with each new state, and at once with the present one. */
    onState(fn) {
        this.#stateListeners.add(fn);
        call(fn, this.state);
        return () => this.#stateListeners.delete(fn);
    }

    /** Asks for nothing until all who paused it have resumed it: "hidden", "person". */
    pause(who) {
        this.#paused.add(who);
        for (const off of this.#offs.values()) {
            off();
        }
        this.#offs.clear();
        this.#tell();
    }

    resume(who) {
        this.#paused.delete(who);
        if (this.#paused.size === 0) {
            this.#heardAt = null;
            for (const topic of this.#listeners.keys()) {
                this.#subscribe(topic);
            }
        }
        this.#tell();
    }

    isPausedBy(who) {
        return this.#paused.has(who);
    }

    /** Tries again, now: somebody has shown a token, or wants to wait no longer. */
    retry() {
        this.#refused = null;
        this.#client.disconnect();
        this.#client.connect();
        this.#tell();
    }

    /** To be called now and then: silence is a state too. */
    look() {
        this.#tell();
    }

    /** Looks by itself from now on. */
    watch() {
        setInterval(() => this.look(), LOOK_EVERY_MS);
        return this;
    }

    #subscribe(topic) {
        if (this.#paused.size > 0 || this.#offs.has(topic)) {
            return;
        }
        const hear = (data) => this.#hear(topic, data);
        // A client whose handler has gone forgets the topic on the server too.
        this.#client.subscribe(topic, hear)?.catch?.(() => {});
        this.#offs.set(topic, () => this.#client.unsubscribe(topic, hear));
    }

    #hear(topic, data) {
        if (this.#paused.size > 0 || typeof data !== "object" || data === null) {
            return;
        }
        this.#heardAt = this.#now();
        this.#refused = null;
        const before = this.#latest.get(topic);
        this.#latest.set(topic, data);
        if (topic === "traffic_data") {
            this.#remember(before, data);
        }
        this.#dirty.add(topic);
        this.#tell();
        if (!this.#scheduled) {
            this.#scheduled = true;
            this.#frame(() => this.#dispatch());
        }
    }

    #remember(before, data) {
        const time = Date.parse(data.time) / 1000;
        if (!Number.isFinite(time)) {
            return;
        }
        const last = this.recent.times.at(-1);
        if (last !== undefined && time <= last) {
            if (before?.boot === data.boot) {
                return;
            }
            // The clock was set back between two processes: what was drawn before has no place beside what comes.
            this.recent = new Recent(DRAWN);
        } else if (last !== undefined && this.#isGap(before, data, time - last)) {
            this.recent.push(last + (time - last) / 2, []);
        }
        this.recent.push(
            time,
            DRAWN.map((path) => at(data, path)),
        );
    }

    #isGap(before, data, seconds) {
        return (
            before?.boot !== data.boot || seconds * 1000 > Math.max(GAP_MS_MIN, GAP_INTERVALS * (data.interval_ms ?? 0))
        );
    }

    #dispatch() {
        this.#scheduled = false;
        const topics = [...this.#dirty];
        this.#dirty.clear();
        for (const topic of topics) {
            for (const fn of this.#listeners.get(topic) ?? []) {
                call(fn, this.#latest.get(topic));
            }
        }
    }

    #tell() {
        const state = this.state;
        if (state !== this.#told) {
            this.#told = state;
            this.#stateListeners.forEach((fn) => call(fn, state));
        }
    }
}

/** One panel's fault is not another's. */
function call(fn, value) {
    try {
        fn(value);
    } catch (fault) {
        console.error(fault);
    }
}
