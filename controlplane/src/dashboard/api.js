// Asking the control port: one way to fetch, one kind of fault, and the token that is shown.
//
// Nothing but this file calls fetch. No cookie and no password that the browser knows is ever sent (`credentials: "omit"`): the
// token alone says who acts, and it lives as long as this tab.

import { askForToken } from "./login.js";

const TOKEN_KEY = "ringway.token";
/** The longest that any answer takes is a kill by filter: 5 s of looking, after a turn that is waited for. */
const TIMEOUT_MS = 20_000;

/** A fault, as RFC 9457 has it. Status 0: nobody answered. */
export class Problem extends Error {
    /**
     * @param {number} status
     * @param {Object} members the problem's own, with `detail` and `hint`
     * @param {?number} retryAfterSeconds
     */
    constructor(status, members = {}, retryAfterSeconds = null) {
        super(members.detail ?? members.title ?? `the answer's status is ${status}`);
        this.name = "Problem";
        this.status = status;
        this.detail = this.message;
        this.hint = members.hint ?? "";
        this.members = members;
        this.retryAfterSeconds = retryAfterSeconds;
        /** Where another token would help: asks for it. */
        this.signIn = null;
    }

    /** The request was given up by who made it: nothing to tell anybody. */
    get isAborted() {
        return this.members.aborted === true;
    }
}

/** `path?name=value&…` of those that have a value. */
export function withQuery(path, parameters) {
    const given = Object.entries(parameters).filter(
        ([, value]) => value !== undefined && value !== null && value !== "",
    );
    const query = given.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join("&");
    return query ? `${path}?${query}` : path;
}

export class Api {
    #fetch;
    #storage;
    #ask;
    #asking = null;
    #declined = false;
    #listeners = new Set();

    /** All of them are the browser's own unless a test says otherwise. */
    constructor({ fetch, storage, ask = askForToken } = {}) {
        this.#fetch = fetch ?? ((...given) => globalThis.fetch(...given));
        this.#storage = storage ?? browserStorage();
        this.#ask = ask;
    }

    get token() {
        return this.#storage.getItem(TOKEN_KEY);
    }

    /** Called with whether there is a token, each time it is another one. */
    onToken(listener) {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
    }

    get(path, options) {
        return this.request("GET", path, options).then(({ data }) => data);
    }

    post(path, body, options) {
        return this.request("POST", path, { ...options, body }).then(({ data }) => data);
    }

    put(path, body, options) {
        return this.request("PUT", path, { ...options, body }).then(({ data }) => data);
    }

    delete(path, options) {
        return this.request("DELETE", path, options).then(({ data }) => data);
    }

    /**
     * Asks, and asks again when a token has been shown meanwhile: who is refused by 401 has changed nothing.
     * `background` requests do not bring the form for the token back that somebody has closed.
     * @returns {Promise<{status: number, data: *, etag: ?string, blob?: Blob}>}
     * @throws {Problem}
     */
    async request(method, path, { background = false, ...options } = {}) {
        for (;;) {
            const shown = this.token;
            try {
                return await this.once(method, path, { ...options, token: shown });
            } catch (problem) {
                const again =
                    problem.status === 401 && (this.token !== shown || (await this.signIn(problem, { background })));
                if (!again) {
                    if (problem.status === 401 || problem.status === 403) {
                        problem.signIn = () => this.signIn(problem);
                        // What a program is told to send, a person is asked for by a form.
                        problem.hint = problem.status === 401 ? "" : problem.hint;
                    }
                    throw problem;
                }
            }
        }
    }

    /** One request, with this token and no other. */
    async once(method, path, { body, ifMatch, token, signal, as = "json", timeoutMs = TIMEOUT_MS } = {}) {
        const headers = { Accept: as === "json" ? "application/json" : "*/*" };
        if (body !== undefined) {
            headers["Content-Type"] = "application/json";
        }
        if (ifMatch) {
            headers["If-Match"] = ifMatch;
        }
        if (token) {
            headers.Authorization = `Bearer ${token}`;
        }
        const abort = new AbortController();
        const timer = setTimeout(() => abort.abort("late"), timeoutMs);
        const given = () => abort.abort("given up");
        signal?.aborted ? given() : signal?.addEventListener("abort", given, { once: true });
        try {
            const answer = await this.#fetch(path, {
                method,
                headers,
                body: body === undefined ? undefined : JSON.stringify(body),
                credentials: "omit",
                cache: "no-store",
                redirect: "error",
                signal: abort.signal,
            });
            return await read(answer, as);
        } catch (fault) {
            throw fault instanceof Problem ? fault : unanswered(abort.signal);
        } finally {
            clearTimeout(timer);
            signal?.removeEventListener("abort", given);
        }
    }

    /**
     * Has somebody show a token, once for all who wait for it.
     * @returns {Promise<boolean>} whether there is another one now
     */
    signIn(problem = null, { background = false } = {}) {
        if (background && this.#declined && !this.#asking) {
            return Promise.resolve(false);
        }
        this.#asking ??= this.#ask(this, problem).then((token) => {
            this.#asking = null;
            this.#declined = !token;
            if (token) {
                this.#keep(token);
            }
            return Boolean(token);
        });
        return this.#asking;
    }

    /** Forgets the token. */
    signOut() {
        this.#keep(null);
    }

    /** Where the feed is, for one connection: browsers can send no header with a WebSocket, so it shows a ticket. */
    async feedUrl() {
        const { ticket } = await this.post("/api/v1/feed/ticket", undefined, { background: true });
        const url = new URL("/ws", globalThis.location.href);
        url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
        url.searchParams.set("ticket", ticket);
        return url.href;
    }

    #keep(token) {
        if (token) {
            this.#storage.setItem(TOKEN_KEY, token);
        } else {
            this.#storage.removeItem(TOKEN_KEY);
        }
        this.#listeners.forEach((listener) => listener(Boolean(token)));
        // What waits for its next turn need not: polling.js.
        globalThis.dispatchEvent?.(new Event("tokenchange"));
    }
}

async function read(answer, as) {
    const etag = answer.headers.get("etag");
    if (answer.ok && as === "blob") {
        return { status: answer.status, data: null, etag, blob: await answer.blob() };
    }
    const text = await answer.text();
    let data = null;
    try {
        data = text ? JSON.parse(text) : null;
    } catch {
        data = undefined;
    }
    if (answer.ok && data !== undefined) {
        return { status: answer.status, data, etag };
    }
    const retryAfter = Number.parseInt(answer.headers.get("retry-after") ?? "", 10);
    throw new Problem(
        answer.status,
        answer.ok ? UNREADABLE : (data ?? UNREADABLE),
        Number.isNaN(retryAfter) ? null : retryAfter,
    );
}

const UNREADABLE = {
    detail: "the answer is not ringway's: it is no JSON",
    hint: "something between this page and ringway has answered, such as a proxy",
};

/** Nobody answered: too late, given up, or there is no connection. */
function unanswered(signal) {
    if (signal.reason === "given up") {
        return new Problem(0, { detail: "given up", aborted: true });
    }
    if (signal.reason === "late") {
        return new Problem(0, {
            detail: "ringway has not answered in time",
            hint: "what was asked for may have been done: look before you ask again",
        });
    }
    return new Problem(0, {
        detail: "ringway does not answer",
        hint: "it has stopped, or there is no way to it; this page goes on asking",
    });
}

/** Of this tab; where the browser keeps none, of this page. */
function browserStorage() {
    try {
        const storage = globalThis.sessionStorage;
        storage.getItem(TOKEN_KEY);
        return storage;
    } catch {
        const kept = new Map();
        return {
            getItem: (key) => kept.get(key) ?? null,
            setItem: (key, value) => kept.set(key, value),
            removeItem: (key) => kept.delete(key),
        };
    }
}
