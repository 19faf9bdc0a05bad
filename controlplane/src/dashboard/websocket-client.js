// A client of ringway's plain JSON protocol (docs/websocket.md), for browsers and for Node with a WebSocket class handed in.
//
//     const client = new WebSocketClient("/ws");
//     client.on("state", (state) => show(state));
//     await client.subscribe("traffic_data", (data) => draw(data));
//
// It comes back by itself, asks again for what it was subscribed to, notices a connection that has silently died, and hands on
// each publication of a feed topic once. It depends on nothing, and there is no step between this file and its use.

/** The longest wait between two attempts, whatever `reconnectInterval` has grown to. */
const RECONNECT_MS_MAX = 30_000;
/** An attempt that has not opened after this has failed. How long its address may take is for `getUrl` to say: it may ask a person. */
const CONNECT_MS_MAX = 10_000;
/** The server is asked so often whether it is there. */
const HEARTBEAT_MS = 15_000;
/** A server that says nothing for so long after it was asked is gone. */
const HEARTBEAT_ANSWER_MS = 10_000;
/** A timer that fires so much too late has slept with its tab or machine, and proves nothing about the server. */
const OVERSLEPT_MS = 1_000;
/** How long `request` waits for its answer. */
const REQUEST_MS_MAX = 10_000;
/** Messages that wait for a connection; one more is dropped. */
const QUEUE_MAX = 100;
/** Bytes that a connection which does not move may hold before messages are dropped. */
const BUFFERED_BYTES_MAX = 4 * 1024 * 1024;

/** Close codes after which the same client would only be closed again: it has broken a rule, or is not wanted. */
const FINAL_CODES = new Set([1002, 1003, 1007, 1008, 1009, 1010]);
/** A token has expired, or allows no more what it did: the same one would be refused, another may do. */
const CREDENTIAL_CODES = new Set([3005, 3507]);
/** Refusals that pass by themselves: a fault of the server, overload. */
const PASSING_REFUSALS = new Set([100, 111]);
const ALREADY_SUBSCRIBED = 105;
/** Readable states of a WebSocket: https://websockets.spec.whatwg.org/#dom-websocket-readystate */
const OPEN = 1;

/** @typedef {"connecting" | "connected" | "reconnecting" | "disconnected"} ConnectionState */
/**
 * What went wrong: the server refused a request (`code` says why); a message found the queue full; a request had no answer in time; its
 * connection was lost first; the client was told to disconnect; the credential is not accepted; an attempt to connect failed;
 * the last attempt failed; what came is not of this protocol; a handler threw (`cause`).
 * @typedef {"refused" | "dropped" | "timeout" | "lost" | "disconnected" | "unauthorized" | "connection" | "gave_up" | "malformed" | "handler"} ErrorKind
 */
/** @typedef {{type: string, id?: string | number, topic?: string, data?: any, offset?: number, code?: number, message?: string}} ServerMessage */
/** @typedef {{reconnects: number}} OpenEvent */
/**
 * `code` and `reason` as the server gave them; 1006 where none came. `retryInMs`: null when it stays away.
 * @typedef {{code: number, reason: string, opened: boolean, willReconnect: boolean, retryInMs: number | null}} CloseEvent
 */
/** @typedef {{open: OpenEvent, close: CloseEvent, message: ServerMessage, state: ConnectionState, error: ClientError}} Events */
/** @template {string} K @typedef {K extends keyof Events ? Events[K] : any} Heard */
/** @typedef {(value: any, message?: ServerMessage) => void} Handler */
/**
 * The part of a WebSocket that is used here; browsers' own has it, and npm's `ws`.
 * @typedef {object} Socket
 * @property {number} readyState
 * @property {number} bufferedAmount
 * @property {((event: any) => void) | null} onopen
 * @property {((event: any) => void) | null} onmessage
 * @property {((event: any) => void) | null} onclose
 * @property {((event: any) => void) | null} onerror
 * @property {(text: string) => void} send
 * @property {(code?: number, reason?: string) => void} close
 */
/** @typedef {new (url: string) => any} SocketClass */
/**
 * @typedef {object} Options
 * @property {boolean} [autoConnect] Whether the constructor connects. Default: true.
 * @property {number} [reconnectInterval] Milliseconds. The first wait is a random part of it, each next one of twice as much, 30 s at most. Default: 1000.
 * @property {number} [maxReconnectAttempts] Attempts in a row that may fail before it stays away. Default: Infinity.
 * @property {string[]} [topics] What to subscribe to from the start.
 * @property {() => string | Promise<string>} [getUrl] Gives the address for each attempt, such as one with a new ticket. If it fails with a `status` of 401 or 403 the client stays away.
 * @property {SocketClass} [WebSocket] Default: the one of the page.
 * @property {number} [heartbeatInterval] Milliseconds between questions whether the server is there. Default: 15000.
 * @property {number} [heartbeatTimeout] Milliseconds it has to answer, or to say anything else. Default: 10000.
 * @property {number} [connectTimeout] Milliseconds an attempt has once it has its address. Default: 10000.
 * @property {number} [queueMax] Messages that may wait for a connection. Default: 100.
 */
/**
 * @typedef {object} Stats
 * @property {ConnectionState} state
 * @property {number | null} connectedAt Milliseconds since 1970; null while there is no connection.
 * @property {number} reconnects Connections after the first.
 * @property {number} failedAttempts In a row, now.
 * @property {number} messagesReceived
 * @property {number} messagesSent
 * @property {number} bytesReceived Of text, before compression.
 * @property {number} bytesSent
 * @property {number} messagesDropped Those of ours that found no room.
 * @property {number} duplicates Publications that had been handed on before.
 * @property {number} queued Messages that wait for a connection.
 * @property {number | null} lastMessageAt Milliseconds since 1970.
 * @property {number | null} latencyMs The last round trip to the server.
 */
/** @typedef {{resolve: (message: ServerMessage) => void, reject: (error: ClientError) => void, timer?: ReturnType<typeof setTimeout>}} Asked */
/** @typedef {{topic: string, handlers: Set<Handler>, answer: Deferred | null}} Wanted */
/** @typedef {{promise: Promise<void>, resolve: () => void, reject: (error: ClientError) => void}} Deferred */

/** What `error` events and refused promises carry. */
export class ClientError extends Error {
    /**
     * @param {ErrorKind} kind
     * @param {string} message
     * @param {{code?: number, topic?: string, cause?: unknown}} [more] `code`: the server's, of a refusal (docs/websocket.md) or a close.
     */
    constructor(kind, message, { code, topic, cause } = {}) {
        super(message);
        this.name = "ClientError";
        this.kind = kind;
        this.code = code;
        this.topic = topic;
        this.cause = cause;
    }
}

export class WebSocketClient {
    /** @type {Required<Pick<Options, "reconnectInterval" | "maxReconnectAttempts" | "heartbeatInterval" | "heartbeatTimeout" | "connectTimeout" | "queueMax">>} */
    #limits;
    /** @type {() => string | Promise<string>} */
    #getUrl;
    #renewsUrl;
    /** @type {SocketClass} */
    #WebSocket;
    /** @type {Socket | null} */
    #socket = null;
    /** @type {ConnectionState} */
    #state = "disconnected";
    /** Grows with each attempt and each end: what belongs to an older one is void. */
    #run = 0;
    #attempts = 0;
    #opened = 0;
    #nextId = 1;
    /** @type {Map<string, Set<Handler>>} */
    #handlers = new Map();
    /** @type {Map<string, Wanted>} What this client is, or wants to be, subscribed to. */
    #topics = new Map();
    /** @type {Map<string | number, Asked>} */
    #asked = new Map();
    /** @type {{text: string, id?: string}[]} */
    #queue = [];
    /** @type {Map<string, {boot: string, seq: number}>} */
    #newest = new Map();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    #attemptTimer;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    #heartbeatTimer;
    #heardAt = 0;
    /** @type {Omit<Stats, "state" | "reconnects" | "failedAttempts" | "queued">} */
    #stats = {
        connectedAt: null,
        messagesReceived: 0,
        messagesSent: 0,
        bytesReceived: 0,
        bytesSent: 0,
        messagesDropped: 0,
        duplicates: 0,
        lastMessageAt: null,
        latencyMs: null,
    };

    /**
     * @param {string} url `ws:` or `wss:`, or on a page a path of its own server.
     * @param {Options} [options]
     */
    constructor(url, options = {}) {
        this.#limits = {
            reconnectInterval: options.reconnectInterval ?? 1000,
            maxReconnectAttempts: options.maxReconnectAttempts ?? Infinity,
            heartbeatInterval: options.heartbeatInterval ?? HEARTBEAT_MS,
            heartbeatTimeout: options.heartbeatTimeout ?? HEARTBEAT_ANSWER_MS,
            connectTimeout: options.connectTimeout ?? CONNECT_MS_MAX,
            queueMax: options.queueMax ?? QUEUE_MAX,
        };
        this.#getUrl = options.getUrl ?? (() => url);
        this.#renewsUrl = options.getUrl !== undefined;
        this.#WebSocket = options.WebSocket ?? globalThis.WebSocket;
        if (this.#WebSocket === undefined) {
            throw new TypeError("there is no WebSocket here: hand one in, such as that of npm's ws");
        }
        for (const topic of options.topics ?? []) {
            this.subscribe(topic);
        }
        if (options.autoConnect ?? true) {
            this.connect();
        }
    }

    /**
     * Calls `fn` at each `open`, `close`, `message`, `state` and `error`, or with the data of each publication of a topic. `message` is every
     * message of the server's except answers to heartbeats. A topic that is called as an event is heard by `subscribe` alone.
     * @template {string} K
     * @param {K} event
     * @param {(value: Heard<K>, message?: ServerMessage) => void} fn
     * @returns {() => void} What ends it.
     */
    on(event, fn) {
        const handlers = this.#handlers.get(event) ?? new Set();
        this.#handlers.set(event, handlers.add(fn));
        return () => void handlers.delete(fn);
    }

    /**
     * Subscribes to a topic, or a pattern such as `news.*`, now and after each reconnect until `unsubscribe`.
     * @param {string} topic
     * @param {(data: any, message?: ServerMessage) => void} [fn] Called with the data of each publication.
     * @returns {Promise<void>} Kept once the server has confirmed; broken when it refuses, or when nobody will ask it. Errors are told as `error` too,
     *     so the promise may be left alone.
     */
    subscribe(topic, fn) {
        const known = this.#topics.get(topic);
        const wanted = known ?? { topic, handlers: new Set(), answer: null };
        if (fn) {
            wanted.handlers.add(fn);
        }
        if (!known) {
            this.#topics.set(topic, wanted);
        }
        const answer = (wanted.answer ??= deferred());
        if (!known && this.#isOpen()) {
            this.#askFor(wanted);
        }
        return answer.promise;
    }

    /**
     * Ends a subscription and forgets the handlers given to `subscribe`.
     * @param {string} topic
     * @returns {Promise<void>} Kept once nothing more can come, also when there is no connection.
     */
    async unsubscribe(topic) {
        const wanted = this.#topics.get(topic);
        if (!wanted) {
            return;
        }
        this.#topics.delete(topic);
        wanted.answer?.reject(new ClientError("disconnected", `unsubscribed from ${topic}`, { topic }));
        for (const name of this.#newest.keys()) {
            if (matches(topic, name)) {
                this.#newest.delete(name);
            }
        }
        if (this.#isOpen()) {
            // Whatever the answer, the topic is not heard any more.
            await this.request({ type: "unsubscribe", topic }).catch(() => {});
        }
    }

    /**
     * Sends a message as it is, such as `{type: "publish", topic, data}`. Without a connection it waits for one, among `queueMax` at most.
     * @param {object} message
     * @returns {boolean} False when it was dropped; told as `error` too.
     */
    send(message) {
        return this.#put(JSON.stringify(message));
    }

    /**
     * Sends a request and gives its answer.
     * @param {object} message Without an `id`: it gets one.
     * @returns {Promise<ServerMessage>} Broken with the server's refusal, or when no answer came.
     */
    request(message) {
        const id = this.#id();
        return new Promise((resolve, reject) => {
            const timer = setTimeout(() => {
                this.#queue = this.#queue.filter((queued) => queued.id !== id);
                this.#reject(id, new ClientError("timeout", "no answer in time"));
            }, REQUEST_MS_MAX);
            this.#asked.set(id, { resolve, reject, timer });
            if (!this.#put(JSON.stringify({ ...message, id }), id)) {
                this.#reject(id, new ClientError("dropped", "no room for a request"));
            }
        });
    }

    /** Connects, at once when it waits for its next attempt. */
    connect() {
        if (this.#state === "connected" || this.#attemptIsUnderWay()) {
            return;
        }
        if (this.#state === "disconnected") {
            this.#attempts = 0;
        }
        this.#attempt(this.#state === "reconnecting" ? "reconnecting" : "connecting");
    }

    /** Closes, and stays away until `connect`. Subscriptions are kept for then; what waits to be sent is dropped. */
    disconnect() {
        if (this.#state === "disconnected") {
            return;
        }
        const opened = this.#state === "connected";
        this.#letGo();
        this.#stayAway(new ClientError("disconnected", "disconnected"));
        this.#emit("close", { code: 1000, reason: "", opened, willReconnect: false, retryInMs: null });
    }

    /** @returns {ConnectionState} */
    getConnectionState() {
        return this.#state;
    }

    /** @returns {Stats} A copy. */
    getStats() {
        const reconnects = Math.max(0, this.#opened - 1);
        return {
            ...this.#stats,
            state: this.#state,
            reconnects,
            failedAttempts: this.#attempts,
            queued: this.#queue.length,
        };
    }

    // The connection's life

    #isOpen() {
        return this.#socket?.readyState === OPEN;
    }

    #attemptIsUnderWay() {
        return this.#state === "connecting" || (this.#state === "reconnecting" && this.#socket !== null);
    }

    /** @param {ConnectionState} state */
    async #attempt(state) {
        const run = ++this.#run;
        clearTimeout(this.#attemptTimer);
        this.#enter(state);
        let url;
        try {
            url = await this.#getUrl();
        } catch (cause) {
            this.#noAddress(run, cause);
            return;
        }
        if (run !== this.#run) {
            return;
        }
        this.#attemptTimer = setTimeout(
            () => this.#lost(run, 1006, "no connection in time"),
            this.#limits.connectTimeout,
        );
        try {
            this.#listen(run, new this.#WebSocket(absolute(url)));
        } catch (cause) {
            this.#giveUp(new ClientError("connection", "the address is none of a WebSocket", { cause }));
        }
    }

    /** @param {number} run @param {Socket} socket */
    #listen(run, socket) {
        this.#socket = socket;
        socket.onopen = () => this.#open(run);
        socket.onmessage = ({ data }) => run === this.#run && this.#receive(data);
        socket.onclose = ({ code, reason }) => this.#lost(run, code, reason);
        // Says nothing that the close after it does not; npm's ws throws it where nobody listens.
        socket.onerror = () => {};
    }

    /** @param {number} run */
    #open(run) {
        if (run !== this.#run) {
            return;
        }
        clearTimeout(this.#attemptTimer);
        this.#opened += 1;
        this.#stats.connectedAt = Date.now();
        this.#enter("connected");
        if (run !== this.#run) {
            return; // Who was told has disconnected.
        }
        // Its answer tells how far away the server is, and that this connection is worth something.
        this.#beat(run);
        for (const wanted of this.#topics.values()) {
            this.#askFor(wanted);
        }
        for (const { text, id } of this.#queue.splice(0)) {
            this.#put(text, id);
        }
        this.#emit("open", { reconnects: this.#opened - 1 });
    }

    /** The connection, or the attempt at one, has ended. @param {number} run @param {number} code @param {string} reason */
    #lost(run, code, reason) {
        if (run !== this.#run) {
            return;
        }
        const opened = this.#state === "connected";
        this.#letGo();
        if (!opened) {
            this.#emit("error", new ClientError("connection", reason || "cannot connect", { code }));
        }
        const back = this.#run === run + 1 && this.#comesBack(code);
        const retryInMs = back ? jitter(this.#limits.reconnectInterval, this.#attempts) : null;
        if (retryInMs !== null) {
            this.#attempts += 1;
            this.#attemptTimer = setTimeout(() => this.#attempt("reconnecting"), retryInMs);
            this.#enter("reconnecting");
        } else if (this.#run === run + 1) {
            this.#stayAway(ended(code, reason));
        }
        this.#emit("close", { code, reason, opened, willReconnect: back, retryInMs });
    }

    /** @param {number} code */
    #comesBack(code) {
        const isFinal = FINAL_CODES.has(code) || (code >= 3500 && code <= 3999) || (code >= 4500 && code <= 4999);
        const wanted = CREDENTIAL_CODES.has(code) ? this.#renewsUrl : !isFinal;
        return wanted && this.#attempts < this.#limits.maxReconnectAttempts;
    }

    /** @param {number} run @param {any} cause */
    #noAddress(run, cause) {
        if (run !== this.#run) {
            return;
        }
        if (cause?.status === 401 || cause?.status === 403) {
            this.#giveUp(
                new ClientError("unauthorized", cause.message || "not accepted", { code: cause.status, cause }),
            );
        } else {
            this.#lost(run, 1006, cause?.message ?? String(cause));
        }
    }

    /** @param {ClientError} error */
    #giveUp(error) {
        this.#letGo();
        this.#stayAway(error);
        this.#emit("close", {
            code: 1006,
            reason: error.message,
            opened: false,
            willReconnect: false,
            retryInMs: null,
        });
    }

    /** Forgets the connection, which need not be able to say so any more. */
    #letGo() {
        this.#run += 1;
        clearTimeout(this.#attemptTimer);
        clearTimeout(this.#heartbeatTimer);
        this.#stats.connectedAt = null;
        const socket = this.#socket;
        this.#socket = null;
        if (socket) {
            socket.onopen = socket.onmessage = socket.onclose = null;
            socket.close();
        }
        const queued = new Set(this.#queue.map(({ id }) => id));
        for (const id of [...this.#asked.keys()].filter((asked) => !queued.has(String(asked)))) {
            this.#reject(id, new ClientError("lost", "the connection ended before the answer came"));
        }
    }

    /** @param {ClientError} error Why, for all who wait. */
    #stayAway(error) {
        this.#stats.messagesDropped += this.#queue.length;
        this.#queue = [];
        for (const id of [...this.#asked.keys()]) {
            this.#reject(id, error);
        }
        for (const wanted of this.#topics.values()) {
            wanted.answer?.reject(error);
            wanted.answer = null;
        }
        this.#enter("disconnected");
        if (error.kind !== "disconnected") {
            this.#emit("error", error);
        }
    }

    /** @param {ConnectionState} state */
    #enter(state) {
        if (state !== this.#state) {
            this.#state = state;
            this.#emit("state", state);
        }
    }

    // Heartbeats

    /** Asks the server whether it is there, again `heartbeatInterval` after each answer. @param {number} run */
    #beat(run) {
        if (run !== this.#run || !this.#isOpen()) {
            return;
        }
        const id = this.#id();
        const asked = performance.now();
        const resolve = () => {
            this.#stats.latencyMs = performance.now() - asked;
            this.#attempts = 0;
            clearTimeout(this.#heartbeatTimer);
            this.#heartbeatTimer = setTimeout(() => this.#beat(run), this.#limits.heartbeatInterval);
        };
        this.#asked.set(id, { resolve, reject: () => {} });
        this.#put(JSON.stringify({ type: "ping", id }), id);
        this.#heartbeatTimer = setTimeout(() => this.#unanswered(run, asked), this.#limits.heartbeatTimeout);
    }

    /** @param {number} run @param {number} asked When, by `performance.now`. */
    #unanswered(run, asked) {
        const overslept = performance.now() - asked - this.#limits.heartbeatTimeout > OVERSLEPT_MS;
        if (overslept || this.#heardAt >= asked) {
            this.#beat(run);
        } else {
            this.#lost(run, 1006, "the server does not answer");
        }
    }

    // Messages

    /** @param {string} text @param {string} [id] */
    #put(text, id) {
        const socket = this.#socket;
        if (socket?.readyState === OPEN) {
            if (socket.bufferedAmount > BUFFERED_BYTES_MAX) {
                return this.#drop("the connection takes no more");
            }
            socket.send(text);
            this.#stats.messagesSent += 1;
            this.#stats.bytesSent += bytes(text);
            return true;
        }
        if (this.#queue.length >= this.#limits.queueMax) {
            return this.#drop(`${this.#queue.length} messages wait for a connection`);
        }
        this.#queue.push({ text, id });
        return true;
    }

    /** @param {string} why */
    #drop(why) {
        this.#stats.messagesDropped += 1;
        this.#emit("error", new ClientError("dropped", `a message was dropped: ${why}`));
        return false;
    }

    /** @param {unknown} text */
    #receive(text) {
        this.#heardAt = performance.now();
        this.#stats.lastMessageAt = Date.now();
        this.#stats.messagesReceived += 1;
        if (typeof text !== "string") {
            this.#emit("error", new ClientError("malformed", "a message is no text"));
            return;
        }
        this.#stats.bytesReceived += bytes(text);
        const message = parsed(text);
        if (!message) {
            this.#emit("error", new ClientError("malformed", "a message is none of this protocol"));
        } else if (message.type === "message") {
            this.#publication(message);
        } else {
            this.#answer(message);
        }
    }

    /** @param {ServerMessage} message */
    #publication(message) {
        const topic = String(message.topic);
        if (this.#isOld(topic, message.data)) {
            this.#stats.duplicates += 1;
            return;
        }
        this.#emit("message", message);
        for (const wanted of [...this.#topics.values()].filter((wanted) => matches(wanted.topic, topic))) {
            this.#call(wanted.handlers, message.data, message);
        }
        if (!isEvent(topic)) {
            this.#call(this.#handlers.get(topic), message.data, message);
        }
    }

    /** Feed topics number their publications; the newest comes again with each subscription. @param {string} topic @param {any} data */
    #isOld(topic, data) {
        if (typeof data?.boot !== "string" || typeof data.seq !== "number") {
            return false;
        }
        const newest = this.#newest.get(topic);
        if (newest && newest.boot === data.boot && data.seq <= newest.seq) {
            return true;
        }
        this.#newest.set(topic, { boot: data.boot, seq: data.seq });
        return false;
    }

    /** @param {ServerMessage} message */
    #answer(message) {
        const asked = message.id === undefined ? undefined : this.#asked.get(message.id);
        if (message.type !== "pong" || !asked) {
            this.#emit("message", message);
        }
        const error = message.type === "error" ? refusal(message) : null;
        if (!asked) {
            error && this.#emit("error", error);
        } else if (error) {
            this.#reject(/** @type {string} */ (message.id), error);
        } else {
            this.#asked.delete(/** @type {string} */ (message.id));
            clearTimeout(asked.timer);
            asked.resolve(message);
        }
    }

    /** @param {string | number} id @param {ClientError} error */
    #reject(id, error) {
        const asked = this.#asked.get(id);
        this.#asked.delete(id);
        clearTimeout(asked?.timer);
        asked?.reject(error);
    }

    /** @param {Wanted} wanted */
    #askFor(wanted) {
        const id = this.#id();
        // Kept for those who only ask for it later.
        const answer = (wanted.answer ??= deferred());
        this.#asked.set(id, { resolve: answer.resolve, reject: (error) => this.#notSubscribed(wanted, error) });
        this.#put(JSON.stringify({ type: "subscribe", topic: wanted.topic, id }), id);
    }

    /** @param {Wanted} wanted @param {ClientError} error */
    #notSubscribed(wanted, error) {
        if (error.kind !== "refused" || this.#topics.get(wanted.topic) !== wanted) {
            return; // The next connection asks again; or nobody wants it any more.
        }
        if (error.code === ALREADY_SUBSCRIBED) {
            wanted.answer?.resolve();
            return;
        }
        error.topic = wanted.topic;
        if (PASSING_REFUSALS.has(error.code ?? 0)) {
            const run = this.#run;
            const again = () =>
                run === this.#run &&
                this.#isOpen() &&
                this.#topics.get(wanted.topic) === wanted &&
                this.#askFor(wanted);
            setTimeout(again, this.#limits.reconnectInterval * (1 + Math.random()));
        } else {
            this.#topics.delete(wanted.topic);
            wanted.answer?.reject(error);
        }
        this.#emit("error", error);
    }

    #id() {
        return `_${this.#nextId++}`;
    }

    // Handlers

    /** @template {keyof Events} K @param {K} event @param {Events[K]} value */
    #emit(event, value) {
        this.#call(this.#handlers.get(event), value, undefined, event === "error");
    }

    /**
     * One handler's fault is not another's.
     * @param {Set<Handler> | undefined} handlers @param {any} value @param {ServerMessage} [message] @param {boolean} [ofError]
     */
    #call(handlers, value, message, ofError) {
        for (const handler of [...(handlers ?? [])]) {
            try {
                handler(value, message);
            } catch (cause) {
                if (ofError || !this.#handlers.get("error")?.size) {
                    console.error(cause);
                } else {
                    this.#emit("error", new ClientError("handler", `a handler failed: ${cause}`, { cause }));
                }
            }
        }
    }
}

/** "Full jitter": clients that lost the same server do not come back all at once. @param {number} base @param {number} attempts */
function jitter(base, attempts) {
    return Math.random() * Math.min(RECONNECT_MS_MAX, base * 2 ** attempts);
}

/** @param {string} url */
function absolute(url) {
    const page = globalThis.location?.href;
    return new URL(url, page).href.replace(/^http/, "ws");
}

/** @param {string} text @returns {ServerMessage | null} */
function parsed(text) {
    if (text === "pong") {
        return { type: "pong" };
    }
    try {
        const message = JSON.parse(text);
        return typeof message?.type === "string" ? message : null;
    } catch {
        return null;
    }
}

/** @param {ServerMessage} message */
function refusal({ code, message, topic }) {
    return new ClientError("refused", message ?? `refused with ${code}`, { code, topic });
}

/** @param {number} code @param {string} reason */
function ended(code, reason) {
    return new ClientError(CREDENTIAL_CODES.has(code) ? "unauthorized" : "gave_up", reason || `closed with ${code}`, {
        code,
    });
}

/** @param {string} topic A name, or a pattern: `news.*`, `*`. @param {string} name */
function matches(topic, name) {
    return topic.endsWith("*") ? name.startsWith(topic.slice(0, -1)) : topic === name;
}

/** @param {string} name */
function isEvent(name) {
    return ["open", "close", "message", "state", "error"].includes(name);
}

/** How long a text is as UTF-8. @param {string} text */
function bytes(text) {
    let length = text.length;
    for (let index = 0; index < text.length; index += 1) {
        const unit = text.charCodeAt(index);
        // Two for one unit below 0x800; three for others, where a pair of surrogates makes four.
        length += unit < 0x80 ? 0 : unit < 0x800 || (unit >= 0xd800 && unit <= 0xdfff) ? 1 : 2;
    }
    return length;
}

/** @returns {Deferred} */
function deferred() {
    /** @type {any} */
    const made = {};
    made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
    // Whoever does not look at it hears of it by the `error` event.
    made.promise.catch(() => {});
    return made;
}
