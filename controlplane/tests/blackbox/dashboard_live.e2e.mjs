// The dashboard of the real binary in Chromium: its figures, and what becomes of it when the server or its viewer goes away.
// See test_dashboard.py.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { echo, exchange, launch, load, Page, tunnel } from "./browser.mjs";
import { eventually, start } from "./ringway.mjs";

const PORTS = process.env.TEST_PORTS.split(",");
const TWO_WORKERS = { "workers.count": 2, "socks5.allow_targets": "[loopback]" };

let browser;
let target;
before(async () => ([browser, target] = await Promise.all([launch(), echo()])));
after(async () => {
    target.stop();
    await browser.close();
});

async function json(server, path) {
    const answer = await fetch(server.control + path, { headers: { "Cache-Control": "no-cache" } });
    assert.equal(answer.status, 200, path);
    return answer.json();
}

/** What /stats has for a figure of `traffic_data`. */
function at(stats, path) {
    const sums = {
        "websocket.dropped": () => Object.values(stats.websocket.dropped).reduce((sum, count) => sum + count, 0),
    };
    const own = path.replace(/^(connections|websocket)\.active$/, "$1.active_connections");
    return sums[path] ? sums[path]() : own.split(".").reduce((inner, name) => inner?.[name], stats);
}

test("figures on the page are those of /stats, under load and after it", async (t) => {
    const server = await start(TWO_WORKERS);
    t.after(() => server.stop());
    const page = await Page.open(browser, server.control);
    t.after(() => page.close());
    await page.state("live");
    const traffic = await load(server, target.port);

    // Counters only grow: what the page shows lies between what is read before and after.
    for (const path of ["connections.total", "traffic.sent_bytes", "traffic.received_bytes"]) {
        const least = await eventually(async () => at(await json(server, "/stats"), path), path);
        const shown = await eventually(async () => {
            const shown = await page.figure(path);
            return shown >= least && shown;
        }, `the page to show ${least} for ${path}`);
        const most = at(await json(server, "/stats"), path);
        assert.ok(shown <= most, `${path}: ${least} ${shown} ${most}`);
    }
    await eventually(async () => (await page.figure("connections.active")) === 8, "eight connections");
    assert.match(await page.get('.tile:has([data-figure="websocket.active"])').getAttribute("title"), /dashboards/);
    for (const path of ["connections.per_second", "traffic.sent_bytes_per_second"]) {
        assert.ok((await page.figure(path)) !== null, path);
    }
    await eventually(async () => (await page.figure("traffic.sent_bytes_per_second")) > 1_000, "a rate");
    await traffic.stop();
    const active = async () =>
        at(await json(server, "/stats"), "connections.active") || page.figure("connections.active");
    await eventually(async () => (await active()) === 0, "all connections to end");

    let difference;
    const equal = async () => {
        const [stats, shown] = [await json(server, "/stats"), await page.figures()];
        const held = Object.entries(shown).filter(([path]) => isCounted(path) && at(stats, path) !== undefined);
        difference = held
            .filter(([path, value]) => at(stats, path) !== value)
            .map(([path, value]) => [path, value, at(stats, path)]);
        return held.length >= 5 && difference.length === 0;
    };
    await eventually(equal, () => `equal figures: ${JSON.stringify(difference)}`);
    page.assertClean();
});

/** What a viewer of the figures changes itself, or time does, is none to compare. */
function isCounted(path) {
    return !/per_second|^uptime|^websocket\.(sent_messages|deliveries|publications|queued|received_messages|subscriptions)/.test(
        path,
    );
}

test("it says that the server is gone, and recovers by itself", async (t) => {
    const options = { ...TWO_WORKERS, "control.listen": `[127.0.0.1:${PORTS.pop()}]` };
    let server = await start(options);
    t.after(() => server.stop());
    const page = await Page.open(browser, server.control);
    t.after(() => page.close());
    await page.state("live");
    const tunnelled = await tunnel(server.socks, target.port);
    await eventually(async () => (await page.figure("connections.active")) === 1, "one connection");
    await server.stop("SIGKILL");
    await page.state("offline");
    await page.text("#panel-status", /disconnected/i);
    await page.text("#panel-workers tbody", /^(?!.*(just now|ago|running)).*unknown.*–/s);
    tunnelled.destroy();

    server = await start(options);
    await page.state("live");
    await eventually(async () => (await page.figure("connections.active")) === 0, "the new process's figures");
    await page.text("#panel-workers tbody", /running.*just now/s);
    const again = await tunnel(server.socks, target.port);
    await exchange(again, 1_000);
    await eventually(async () => (await page.figure("connections.active")) === 1, "one connection again");
    again.destroy();
    page.assertClean({ offline: true });
});

test("an alert appears, and resolves", async (t) => {
    const rule = "[{name: busy, of: connections, above: 5, for: 0s, severity: warning}]";
    const server = await start({ ...TWO_WORKERS, "alerts.rules": rule });
    t.after(() => server.stop());
    const page = await Page.open(browser, server.control);
    t.after(() => page.close());
    await page.state("live");
    await page.text("#panel-alerts", /quiet/i);
    const sockets = await Promise.all(Array.from({ length: 8 }, () => tunnel(server.socks, target.port)));
    await page.get('[data-alert="busy"][data-state="firing"]').waitFor();
    await page.text("#panel-status", /1 alert firing/i);
    sockets.forEach((socket) => socket.destroy());
    const firing = () => page.get('[data-alert="busy"][data-state="firing"]').count();
    await eventually(async () => (await firing()) === 0, "the alert to resolve");
    await page.text("#panel-status", /no alert/i);
    page.assertClean();
});

test("a hidden tab asks for nothing", async (t) => {
    const server = await start(TWO_WORKERS);
    t.after(() => server.stop());
    const page = await Page.open(browser, server.control);
    t.after(() => page.close());
    await page.state("live");
    await eventually(async () => (await json(server, "/stats")).websocket.subscriptions > 0, "subscriptions");
    await show(page.page, "hidden");
    await page.state("paused");
    await eventually(async () => (await json(server, "/stats")).websocket.subscriptions === 0, "no subscription");
    const asked = page.urls.length;
    const socket = await tunnel(server.socks, target.port);
    await eventually(async () => at(await json(server, "/stats"), "connections.active") === 1, "a connection");
    assert.deepEqual([await page.figure("connections.active"), page.urls.length], [0, asked]);

    await show(page.page, "visible");
    await page.state("live");
    await eventually(async () => (await page.figure("connections.active")) === 1, "the figure of now");
    socket.destroy();
    page.assertClean();
});

/** Headless tabs are never hidden by themselves: the page is told so. */
function show(page, state) {
    return page.evaluate((value) => {
        Object.defineProperty(document, "visibilityState", { value, configurable: true });
        Object.defineProperty(document, "hidden", { value: value === "hidden", configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
    }, state);
}
