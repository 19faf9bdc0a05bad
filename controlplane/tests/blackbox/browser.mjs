// Headless Chromium on the dashboard, and all that it must not do: complain, break its policy, leave the host.
import assert from "node:assert/strict";
import net from "node:net";
import { once } from "node:events";
import { eventually, require } from "./ringway.mjs";

const { chromium } = require("playwright-core");

const EXECUTABLE = "/usr/bin/chromium";
const WAIT_MS = 30_000;
const ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    // Whatever a page asked of another host would fail, and be seen.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

/** What Chromium itself writes when nobody answers: a page cannot help it. */
const NOBODY_ANSWERS =
    /WebSocket connection to '.*' failed|net::ERR_(CONNECTION_|EMPTY_RESPONSE|SOCKET|INCOMPLETE|NETWORK|ABORTED)/;
/** And when an answer is a refusal. */
const REFUSED = /Failed to load resource: the server responded with a status of (401|403|503)/;

export function launch() {
    return chromium.launch({ executablePath: EXECUTABLE, headless: true, args: ARGUMENTS });
}

/** A page that watches itself: `faults` are what it must not have done. */
export class Page {
    /** @param browser @param {string} base `http://127.0.0.1:…` */
    static async open(browser, base, { theme = "light", width = 1440, height = 900, path = "/", ...more } = {}) {
        const context = await browser.newContext({
            viewport: { width, height },
            colorScheme: theme,
            reducedMotion: "reduce",
            ...more,
        });
        const page = new Page(context, await context.newPage(), base);
        await page.watch();
        await page.page.goto(base + path);
        return page;
    }

    constructor(context, page, base) {
        Object.assign(this, { context, page, base, urls: [], said: [], violations: [] });
        page.setDefaultTimeout(WAIT_MS);
    }

    async watch() {
        const { page } = this;
        page.on("request", (request) => this.urls.push(request.url()));
        page.on("websocket", (socket) => this.urls.push(socket.url()));
        page.on("console", (message) => {
            const text = `${message.text()} ${message.location().url ?? ""}`;
            ["error", "warning"].includes(message.type()) && this.said.push(text);
        });
        page.on("pageerror", (error) => this.said.push(`thrown: ${error.stack ?? error}`));
        await page.exposeBinding("tellViolation", (_, text) => this.violations.push(text));
        await page.addInitScript(() => {
            document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI, sourceFile }) =>
                globalThis.tellViolation(`${violatedDirective} ${blockedURI} ${sourceFile}`),
            );
        });
    }

    /** Nothing was said, broken or asked of anybody else but `others`. */
    assertClean({ offline = false, refused = false, others = [] } = {}) {
        const allowed = (text) => (offline && NOBODY_ANSWERS.test(text)) || (refused && REFUSED.test(text));
        const said = this.said.filter((text) => !allowed(text));
        const { host } = new URL(this.base);
        const strangers = this.urls.filter(
            (url) => !/^(data|blob):/.test(url) && new URL(url).host !== host && !others.includes(url),
        );
        assert.deepEqual({ said, violations: this.violations, strangers }, { said: [], violations: [], strangers: [] });
        assert.ok(this.urls.length > 2, "the page was watched");
    }

    close() {
        return this.context.close();
    }

    get(selector) {
        return this.page.locator(selector);
    }

    /** The connection's state, as it stands on the page. */
    state(wanted) {
        return this.text("#state", wanted);
    }

    /** Waits until an element says `wanted`, a text or a pattern. */
    async text(selector, wanted) {
        const fits = (text) => (wanted instanceof RegExp ? wanted.test(text) : text.trim() === wanted);
        let last;
        const look = async () => fits((last = await this.get(selector).first().innerText()));
        await eventually(look, () => `${selector} says ${wanted}: ${last}; ${this.said.join("; ")}`);
        return last;
    }

    /** The raw number of a figure, by its path within traffic_data. */
    figure(path) {
        const read = (element) => (element.dataset.value === "" ? null : Number(element.dataset.value));
        return this.get(`[data-figure="${path}"]`).first().evaluate(read);
    }

    /** All figures there are: path -> number. */
    figures() {
        return this.page.evaluate(() =>
            Object.fromEntries(
                [...document.querySelectorAll("[data-figure]")].map(({ dataset }) => [
                    dataset.figure,
                    dataset.value === "" ? null : Number(dataset.value),
                ]),
            ),
        );
    }

    /** Nothing is wider than the window. */
    async isAsWideAsItsWindow() {
        return this.page.evaluate(() => {
            const { scrollWidth, clientWidth } = document.documentElement;
            return scrollWidth <= clientWidth;
        });
    }

    /** axe-core's serious and critical faults. It is run from the page's own world, where no policy concerns it. */
    async axe(within = "html") {
        await this.page.evaluate(require("axe-core").source);
        const { violations } = await this.page.evaluate(
            (selector) => globalThis.axe.run(selector, { resultTypes: ["violations"] }),
            within,
        );
        return violations
            .filter(({ impact }) => ["serious", "critical"].includes(impact))
            .flatMap(({ id, nodes }) =>
                nodes.map(({ target, failureSummary }) => `${id} ${target}: ${failureSummary}`),
            );
    }
}

/** A target that sends everything back. */
export async function echo() {
    const sockets = new Set();
    const server = net.createServer((socket) => {
        sockets.add(socket);
        socket.on("error", () => {}).on("close", () => sockets.delete(socket));
        socket.pipe(socket);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const stop = () => {
        sockets.forEach((socket) => socket.destroy());
        server.close();
    };
    return { port: server.address().port, stop };
}

/** A connection through SOCKS5 to `port` on this host. */
export async function tunnel(socks, port) {
    const [host, at] = socks.split(":");
    const socket = net.connect(Number(at), host);
    socket.on("error", () => {});
    await once(socket, "connect");
    const answered = async (bytes, asked) => {
        socket.write(Buffer.from(asked));
        for (;;) {
            const chunk = socket.read(bytes);
            if (chunk) {
                return chunk;
            }
            await once(socket, "readable");
        }
    };
    await answered(2, [5, 1, 0]);
    const reply = await answered(10, [5, 1, 0, 1, 127, 0, 0, 1, port >> 8, port & 255]);
    assert.equal(reply[1], 0, `SOCKS5 reply ${reply[1]}`);
    return socket;
}

/** Ends a tunnel, and waits until it has. */
function ended(socket) {
    return new Promise((resolve) => socket.once("close", resolve).destroy());
}

/** Sends `bytes` through a tunnel to an echo and reads them back. */
export function exchange(socket, bytes) {
    return new Promise((resolve, reject) => {
        let left = bytes;
        const heard = (data) => {
            left -= data.length;
            left <= 0 && finish(resolve);
        };
        const gone = () => finish(() => reject(new Error("the tunnel ended")));
        const finish = (settle) => {
            socket.off("data", heard).off("close", gone);
            settle();
        };
        socket.on("data", heard).once("close", gone);
        socket.write(Buffer.alloc(bytes, 120));
    });
}

/** Traffic through the proxy until it is stopped: `count` tunnels, each at it all the time. */
export async function load(server, port, count = 8, bytes = 20_000) {
    let going = true;
    const sockets = await Promise.all(Array.from({ length: count }, () => tunnel(server.socks, port)));
    const work = sockets.map(async (socket) => {
        while (going) {
            await exchange(socket, bytes);
            await new Promise((resolve) => setTimeout(resolve, 20));
        }
    });
    return {
        sockets,
        stop: async () => {
            going = false;
            await Promise.all(work);
            await Promise.all(sockets.map(ended));
        },
    };
}
