// docs/examples in Chromium against the real binary: see test_examples.py.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { echo, exchange, launch, Page, tunnel } from "./browser.mjs";
import { eventually, require, start } from "./ringway.mjs";

const EXAMPLES = process.env.TEST_EXAMPLES;
const PORTS = process.env.TEST_PORTS.split(",");
const HOST_PAGE = `<!doctype html><html lang="en"><meta charset="utf-8"><title>t</title><link rel="icon" href="data:,">
<script type="importmap">{"imports": {"vue": "/vue.js"}}</script>
<div id="app"></div>
<script type="module">
import { createApp } from "vue";
import RealtimeTraffic from "./RealtimeTraffic.js";
const app = createApp(RealtimeTraffic, { url: new URLSearchParams(location.search).get("ws") });
app.mount("#app");
globalThis.unmount = () => app.unmount();
</script>`;

let browser;
let target;
let site;
before(async () => {
    const vue = join(dirname(require.resolve("vue/package.json")), "dist/vue.esm-browser.prod.js");
    const files = {
        "/vue.html": ["text/html", HOST_PAGE],
        "/realtime-traffic.html": ["text/html", await readFile(join(EXAMPLES, "realtime-traffic.html"))],
        "/RealtimeTraffic.js": [
            "text/javascript",
            compiled(await readFile(join(EXAMPLES, "RealtimeTraffic.vue"), "utf8")),
        ],
        "/websocket-client.js": [
            "text/javascript",
            await readFile(join(process.env.TEST_DASHBOARD, "websocket-client.js")),
        ],
        "/vue.js": ["text/javascript", await readFile(vue)],
    };
    site = createServer((request, response) => {
        const [type, body] = files[request.url.split("?")[0]] ?? [];
        response.writeHead(body ? 200 : 404, { "Content-Type": `${type}; charset=utf-8` }).end(body);
    });
    site.listen(0, "127.0.0.1");
    await once(site, "listening");
    [browser, target] = await Promise.all([launch(), echo()]);
});
after(async () => {
    target.stop();
    site.close();
    await browser.close();
});

/** A single-file component as a module of JavaScript, its style included. */
function compiled(source) {
    const sfc = require("@vue/compiler-sfc");
    const { descriptor, errors } = sfc.parse(source, { filename: "RealtimeTraffic.vue" });
    assert.deepEqual(errors, []);
    const script = sfc.compileScript(descriptor, { id: "example", inlineTemplate: true, genDefaultAs: "component" });
    const style = sfc.compileStyle({
        id: "data-v-example",
        scoped: true,
        filename: "x.css",
        source: descriptor.styles[0].content,
    });
    assert.deepEqual(style.errors, []);
    return `${script.content}
component.__scopeId = "data-v-example";
const style = document.createElement("style");
style.textContent = ${JSON.stringify(style.code)};
document.head.append(style);
export default component;`;
}

for (const [name, state] of [
    ["vue.html", ".state"],
    ["realtime-traffic.html", "#state"],
]) {
    test(`${name} shows live figures, and says when they are not`, async (t) => {
        const origin = `http://127.0.0.1:${site.address().port}`;
        const options = {
            "socks5.allow_targets": "[loopback]",
            "control.listen": `[127.0.0.1:${PORTS.pop()}]`,
            "control.allowed_origins": `["${origin}"]`,
        };
        let server = await start(options);
        t.after(() => server.stop());
        const ws = server.control.replace("http", "ws") + "/ws";
        const page = await Page.open(browser, origin, { path: `/${name}?ws=${encodeURIComponent(ws)}` });
        t.after(() => page.close());
        await page.text(state, /^(live|connected)$/);
        const socket = await tunnel(server.socks, target.port);
        await eventually(async () => (await page.figure("connections.active")) === 1, "one connection");
        const moving = async () => (
            await exchange(socket, 50_000),
            (await page.figure("traffic.sent_bytes_per_second")) > 1_000
        );
        await eventually(moving, "a rate");
        assert.deepEqual(await page.axe(), []);

        await server.stop("SIGKILL");
        await page.text(state, /disconnected/);
        server = await start(options);
        await page.text(state, /^(live|connected)$/);
        await eventually(async () => (await page.figure("connections.active")) === 0, "the new process's figures");
        socket.destroy();
        page.assertClean({ offline: true, others: [ws] });

        if (name === "vue.html") {
            const subscriptions = async () =>
                (await (await fetch(`${server.control}/stats`)).json()).websocket.subscriptions;
            await eventually(async () => (await subscriptions()) === 1, "a subscription");
            await page.page.evaluate(() => globalThis.unmount());
            await eventually(async () => (await subscriptions()) === 0, "it to go with the component");
        }
    });
}
