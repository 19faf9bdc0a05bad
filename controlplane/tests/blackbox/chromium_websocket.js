// Headless Chromium's own WebSocket on a page, told and answered as JSON:
//     node chromium_websocket.js '{"page": "http://…", "ws": "ws://…", "profile": "/a/new/folder"}'
"use strict";
const { chromium } = require("playwright-core");

const asked = JSON.parse(process.argv[2]);
const ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--ignore-certificate-errors",
];

// Runs in the page: talks to /ws and /echo there, and tells what became of it.
async function talk(base) {
    const open = (path) =>
        new Promise((resolve) => {
            const socket = new WebSocket(base + path);
            socket.heard = [];
            socket.waiting = [];
            socket.onmessage = ({ data }) => (socket.waiting.length ? socket.waiting.shift()(data) : socket.heard.push(data));
            socket.onopen = () => resolve(socket);
            socket.onclose = ({ code }) => resolve({ refused: code });
        });
    const next = (socket) => (socket.heard.length ? socket.heard.shift() : new Promise((resolve) => socket.waiting.push(resolve)));

    const client = await open("/ws");
    if (client.refused) {
        return client;
    }
    const ask = async (request) => {
        client.send(JSON.stringify(request));
        return JSON.parse(await next(client));
    };
    const answers = [await ask({ type: "subscribe", topic: "page", id: "a" }), await ask({ type: "ping" })];
    client.send(JSON.stringify({ type: "publish", topic: "page", data: "é".repeat(3000) }));
    const both = [JSON.parse(await next(client)), JSON.parse(await next(client))];
    const message = both.find(({ type }) => type === "message");

    const echo = await open("/echo");
    echo.binaryType = "arraybuffer";
    const sent = new Uint8Array(300_000).map((_, index) => (index * 7919) & 255);
    echo.send(sent);
    const back = new Uint8Array(await next(echo));
    const same = back.length === sent.length && back.every((byte, index) => byte === sent[index]);
    const closed = new Promise((resolve) => (echo.onclose = ({ code, wasClean }) => resolve({ code, wasClean })));
    echo.close(4000, "done");
    return { answers, heard: message?.data === "é".repeat(3000), extensions: client.extensions, same, closed: await closed };
}

async function main() {
    const context = await chromium.launchPersistentContext(asked.profile, { executablePath: "/usr/bin/chromium", headless: true, args: ARGUMENTS });
    try {
        const page = await context.newPage();
        await page.goto(asked.page);
        return await page.evaluate(talk, asked.ws);
    } finally {
        await context.close();
    }
}

main().then(
    (answer) => console.log(JSON.stringify(answer)),
    (error) => {
        console.error(error);
        process.exitCode = 1;
    },
);
