// WebSocketClient against the real binary, in Node with npm's ws: see test_websocket_client_js.py.
import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { after, afterEach, before, test } from "node:test";
import { dashboardModule, eventually, require, start } from "./ringway.mjs";

const WebSocket = require("ws");
const { ClientError, WebSocketClient } = await dashboardModule("websocket-client.js");

const ANYONE = { "websocket.namespaces": '[{prefix: "", publish: anyone}]', "workers.count": 2 };
const PORTS = process.env.TEST_PORTS.split(",");
const clients = [];
let ringway;

before(async () => (ringway = await start(ANYONE)));
after(() => ringway.stop());
afterEach(() => clients.splice(0).forEach((client) => client.disconnect()));

/** A client, and what it says of itself. */
function made(url = ringway.websocket, options = {}) {
    const client = new WebSocketClient(url, { WebSocket, reconnectInterval: 50, ...options });
    const told = { states: [client.getConnectionState()], errors: [], closes: [], messages: [], opens: 0 };
    client.on("state", (state) => told.states.push(state));
    client.on("error", (error) => told.errors.push(error));
    client.on("close", (close) => told.closes.push(close));
    client.on("message", (message) => told.messages.push(message));
    client.on("open", () => (told.opens += 1));
    clients.push(client);
    return {
        client,
        told,
        state: (wanted) =>
            eventually(
                () => client.getConnectionState() === wanted,
                () => `${wanted}: ${JSON.stringify(told)}`,
            ),
    };
}

async function control(method, path, body) {
    const answer = await fetch(ringway.control + path, {
        method,
        headers: { "Content-Type": "application/json" },
        body: body && JSON.stringify(body),
    });
    assert.equal(answer.status, 200, await answer.clone().text());
    return answer.json();
}

const fixedPort = (port) => ({ ...ANYONE, "websocket.listen": `[127.0.0.1:${port}]` });

test("it connects by itself, subscribes, and hands on what is published", async () => {
    const { client, told, state } = made(undefined, { topics: ["early"] });
    const heard = [];
    client.on("news", (data) => heard.push(["on", data]));
    await client.subscribe("news", (data, message) => heard.push(["subscribe", data, message.topic]));
    await client.subscribe("early");
    assert.deepEqual(
        await client.request({ type: "publish", topic: "news", data: { n: 1 } }).then(({ type }) => type),
        "published",
    );
    await eventually(() => heard.length === 2);
    assert.deepEqual(heard, [
        ["subscribe", { n: 1 }, "news"],
        ["on", { n: 1 }],
    ]);
    assert.deepEqual(told.states, ["connecting", "connected"]);
    client.disconnect();
    await state("disconnected");
    assert.deepEqual(told.closes, [{ code: 1000, reason: "", opened: true, willReconnect: false, retryInMs: null }]);
    assert.deepEqual(told.errors, []);
});

test("it waits for connect where it is told to", async () => {
    const { client, state } = made(undefined, { autoConnect: false });
    assert.equal(client.getConnectionState(), "disconnected");
    const subscribed = client.subscribe("later");
    client.connect();
    client.connect();
    await subscribed;
    client.disconnect();
    await state("disconnected");
    client.connect();
    await client.subscribe("later");
    assert.equal(client.getStats().reconnects, 1);
});

test("whoever disconnects when told of a connection is obeyed", async () => {
    const { client, told, state } = made(undefined, { topics: ["t"] });
    const off = client.on("state", (now) => now === "connected" && client.disconnect());
    await eventually(() => told.closes.length === 1);
    assert.deepEqual([client.getStats().queued, told.opens], [0, 0]);
    off();
    client.connect();
    await state("connected");
    await client.subscribe("t");
});

test("patterns hear what they fit", async () => {
    const { client } = made();
    const heard = [];
    await client.subscribe("p.*", (data, { topic }) => heard.push([topic, data]));
    await client.subscribe("q");
    for (const topic of ["p.a", "q", "p.b"]) {
        client.send({ type: "publish", topic, data: 1 });
    }
    await eventually(() => heard.length === 2);
    assert.deepEqual(heard.sort(), [
        ["p.a", 1],
        ["p.b", 1],
    ]);
});

test("after unsubscribe nothing more comes, and a handler that was taken off hears nothing", async () => {
    const { client, told } = made();
    const heard = [];
    const off = client.on("u", (data) => heard.push(data));
    await client.subscribe("u", (data) => heard.push(data));
    await client.unsubscribe("u");
    await client.unsubscribe("u");
    off();
    await client.subscribe("v");
    await client.request({ type: "publish", topic: "u", data: 1 });
    await client.request({ type: "publish", topic: "v", data: 2 });
    await eventually(() => told.messages.some(({ type }) => type === "message"));
    assert.deepEqual(
        [heard, told.messages.filter(({ type }) => type === "message").map(({ topic }) => topic)],
        [[], ["v"]],
    );
});

test("a refused subscription is told, and the connection goes on", async () => {
    const { client, told } = made();
    await assert.rejects(
        client.subscribe("not a topic"),
        (error) => error instanceof ClientError && error.code === 107 && error.topic === "not a topic",
    );
    client.subscribe("nor this"); // Whose promise nobody looks at.
    await eventually(() => told.errors.length === 2);
    assert.deepEqual(
        told.errors.map(({ kind }) => kind),
        ["refused", "refused"],
    );
    await client.subscribe("a.topic");
    assert.deepEqual(told.states, ["connecting", "connected"]);
});

test("a refused request breaks its promise with the server's code", async () => {
    const { client } = made();
    await assert.rejects(
        client.request({ type: "publish", topic: "x.*", data: 1 }),
        ({ kind, code }) => kind === "refused" && code === 107,
    );
    await assert.rejects(client.request({ type: "dance" }), ({ code }) => code === 104);
});

test("an answer without an id is a message, a refusal without one an error", async () => {
    const { client, told } = made();
    client.send({ type: "publish", topic: "w", data: 1 });
    client.send({ type: "publish", topic: "w.*", data: 1 });
    await eventually(() => told.errors.length && told.messages.length === 2);
    // In no order: publishing may wait for another worker.
    assert.deepEqual(
        told.messages.find(({ type }) => type === "published"),
        { type: "published", topic: "w" },
    );
    assert.equal(told.errors[0].code, 107);
});

for (const signal of ["SIGKILL", "SIGTERM"]) {
    test(`it comes back after the server's ${signal} and is subscribed again`, async () => {
        const options = fixedPort(PORTS.pop());
        let server = await start(options);
        const { client, told, state } = made(server.websocket);
        const heard = [];
        await client.subscribe("kept", (data) => heard.push(data));
        await client.subscribe("gone");
        await client.unsubscribe("gone");
        await server.stop(signal);
        await state("reconnecting");
        assert.equal(told.closes[0].code, signal === "SIGKILL" ? 1006 : 1012);
        assert.ok(told.closes[0].willReconnect && told.closes[0].retryInMs <= 50);
        client.send({ type: "publish", topic: "gone", data: "not heard" });
        client.send({ type: "publish", topic: "kept", data: "after" });
        server = await start(options);
        await state("connected");
        await eventually(
            () => heard.length === 1,
            () => JSON.stringify(told),
        );
        assert.deepEqual(heard, ["after"]);
        assert.ok(!told.messages.some(({ data }) => data === "not heard"));
        assert.deepEqual([client.getStats().reconnects, client.getStats().queued, told.opens], [1, 0, 2]);
        assert.ok(told.errors.every(({ kind }) => kind === "connection"));
        client.disconnect();
        await server.stop();
    });
}

test("it stays away after as many attempts as it has, and tries anew when told to", async () => {
    const url = `ws://127.0.0.1:${PORTS.pop()}/ws`;
    let attempts = 0;
    class Counted extends WebSocket {
        constructor(to) {
            super(to);
            attempts += 1;
        }
    }
    const { client, told, state } = made(url, { WebSocket: Counted, maxReconnectAttempts: 3, reconnectInterval: 1 });
    await assert.rejects(client.subscribe("t"), ({ kind }) => kind === "gave_up");
    await state("disconnected");
    assert.equal(attempts, 4);
    assert.deepEqual(told.states, ["connecting", "reconnecting", "disconnected"]);
    assert.deepEqual(
        told.closes.map(({ willReconnect }) => willReconnect),
        [true, true, true, false],
    );
    client.connect();
    await eventually(() => attempts === 8);
    await state("disconnected");
});

test("waits grow to their bound, and a random part of them is waited", async (t) => {
    t.mock.method(Math, "random", () => 0.0001);
    const { told } = made(`ws://127.0.0.1:${PORTS.pop()}/ws`, { reconnectInterval: 8_000, maxReconnectAttempts: 4 });
    await eventually(() => told.closes.length === 5);
    assert.deepEqual(
        told.closes.map(({ retryInMs }) => retryInMs?.toFixed(2)),
        ["0.80", "1.60", "3.00", "3.00", undefined],
    );
});

test("a connection that is opened and cut each time is no success", async () => {
    const cutting = net.createServer((socket) => {
        socket.on("error", () => {});
        const there = net.connect(new URL(ringway.websocket).port, "127.0.0.1");
        socket.pipe(there);
        there.once("data", (head) => socket.end(head));
        there.on("error", () => {});
    });
    cutting.listen(0, "127.0.0.1");
    await once(cutting, "listening");
    const { told, state } = made(`ws://127.0.0.1:${cutting.address().port}/ws`, {
        maxReconnectAttempts: 2,
        reconnectInterval: 1,
    });
    await state("disconnected");
    assert.equal(told.opens, 3);
    cutting.close();
});

// A wire that can be cut without either end being told.
async function wire(closing) {
    const sockets = [];
    const server = net.createServer((socket) => {
        const there = net.connect(new URL(ringway.websocket).port, "127.0.0.1");
        sockets.push(socket, there);
        socket.pipe(there).on("error", () => {});
        there.pipe(socket).on("error", () => {});
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const freeze = () => sockets.splice(0).forEach((socket) => socket.unpipe().pause() && held.push(socket));
    const held = [];
    closing.after(() => {
        [...sockets, ...held].forEach((socket) => socket.destroy());
        server.close();
    });
    return { url: `ws://127.0.0.1:${server.address().port}/ws`, freeze };
}

test("a connection that has silently died is noticed and replaced", async (t) => {
    const { url, freeze } = await wire(t);
    const { client, told } = made(url, { heartbeatInterval: 40, heartbeatTimeout: 1_000 });
    await client.subscribe("alive");
    freeze();
    const lost = assert.rejects(
        client.request({ type: "publish", topic: "alive", data: 1 }),
        ({ kind }) => kind === "lost",
    );
    await eventually(() => told.opens === 2);
    await lost;
    assert.deepEqual(told.closes, [
        {
            code: 1006,
            reason: "the server does not answer",
            opened: true,
            willReconnect: true,
            retryInMs: told.closes[0].retryInMs,
        },
    ]);
    await client.request({ type: "publish", topic: "alive", data: 2 });
    await eventually(() => told.messages.some(({ data }) => data === 2));
});

test("a server that has nothing to say is not taken for dead", async () => {
    const { client, told } = made(undefined, { heartbeatInterval: 10 });
    await eventually(() => client.getStats().messagesReceived >= 20);
    assert.deepEqual(told.states, ["connecting", "connected"]);
    assert.equal(told.messages.length, 0);
    assert.ok(client.getStats().latencyMs > 0);
});

test("an attempt that never opens is given up", async (t) => {
    const silent = net.createServer(() => {});
    silent.listen(0, "127.0.0.1");
    await once(silent, "listening");
    t.after(() => silent.close());
    const { told, client } = made(`ws://127.0.0.1:${silent.address().port}/ws`, { connectTimeout: 50 });
    await eventually(() => told.closes.length >= 2);
    client.disconnect();
    assert.deepEqual(
        [told.closes[0].reason, told.closes[0].opened, told.errors[0].kind],
        ["no connection in time", false, "connection"],
    );
});

test("big messages pass both ways, and their bytes are counted", async () => {
    const { client } = made();
    const heard = [];
    await client.subscribe("big", (data) => heard.push(data));
    const data = "é€😀x".repeat(90_000);
    const before_ = client.getStats();
    await client.request({ type: "publish", topic: "big", data });
    await eventually(() => heard.length === 1);
    assert.ok(heard[0] === data);
    const { bytesSent, bytesReceived } = client.getStats();
    assert.ok(bytesSent - before_.bytesSent >= 900_000 && bytesReceived - before_.bytesReceived >= 900_000);
    assert.equal(
        bytesSent - before_.bytesSent,
        Buffer.byteLength(JSON.stringify({ type: "publish", topic: "big", data, id: "_4" })),
    );
});

test("a burst comes whole and in order", async () => {
    const { client } = made();
    const publisher = made().client;
    const heard = [];
    await client.subscribe("burst", (data) => heard.push(data));
    // What is asked before there is a connection waits for it, and not as much as this.
    await eventually(() => publisher.getConnectionState() === "connected");
    const numbers = Array.from({ length: 5_000 }, (_, number) => number);
    for (let from = 0; from < numbers.length; from += 500) {
        await Promise.all(
            numbers.slice(from, from + 500).map((data) => publisher.request({ type: "publish", topic: "burst", data })),
        );
    }
    await eventually(
        () => heard.length === numbers.length,
        () => `${heard.length} heard`,
    );
    assert.deepEqual(heard, numbers);
});

test("what is sent too early waits, and there is an end to that", async () => {
    const { client, told } = made(undefined, { autoConnect: false, queueMax: 2 });
    const sent = [1, 2, 3].map((data) => client.send({ type: "publish", topic: "wait", data }));
    await assert.rejects(client.request({ type: "ping" }), ({ kind }) => kind === "dropped");
    assert.deepEqual([sent, client.getStats().queued, client.getStats().messagesDropped], [[true, true, false], 2, 2]);
    assert.deepEqual(
        told.errors.map(({ kind }) => kind),
        ["dropped", "dropped"],
    );
    const heard = [];
    client.subscribe("wait", (data) => heard.push(data));
    client.connect();
    await eventually(() => heard.length === 2);
    assert.deepEqual(heard, [1, 2]);
});

test("numbered publications are handed on once, and a new process numbers anew", async () => {
    const { client } = made();
    const heard = [];
    const hear = ({ boot, seq }) => heard.push(boot + seq);
    await client.subscribe("feed", hear);
    await client.subscribe("fence");
    const publish = (boot, seq) => client.request({ type: "publish", topic: "feed", data: { boot, seq } });
    for (const [boot, seq] of [
        ["a", 1],
        ["a", 1],
        ["a", 3],
        ["a", 2],
        ["b", 1],
        ["b", 1],
        ["b", 2],
    ]) {
        await publish(boot, seq);
    }
    await eventually(() => heard.at(-1) === "b2");
    assert.deepEqual(heard, ["a1", "a3", "b1", "b2"]);
    assert.equal(client.getStats().duplicates, 3);
    // Who subscribes anew has seen nothing yet.
    await client.unsubscribe("feed");
    await client.subscribe("feed", hear);
    await publish("b", 2);
    await eventually(() => heard.length === 5);
});

test("a client that is told to go stays away", async () => {
    const { client, told, state } = made();
    await client.subscribe("to.go");
    const { connections } = await control("GET", "/api/v1/connections?service=websocket");
    assert.equal(connections.length, 1);
    await control("DELETE", `/api/v1/connections/${connections[0].id}`);
    await state("disconnected");
    assert.deepEqual(
        [told.closes[0].code, told.closes[0].willReconnect, told.errors[0].kind],
        [3503, false, "gave_up"],
    );
});

// A class whose connections end as they are told.
function endingWith(code) {
    return class {
        readyState = 0;
        bufferedAmount = 0;
        constructor() {
            queueMicrotask(() => this.onclose({ code, reason: "so it is" }));
        }
        close() {}
    };
}

test("codes say whether to come back", async () => {
    const comes = async (code, more) => {
        const { client, told } = made("ws://x/", { WebSocket: endingWith(code), ...more });
        await eventually(() => told.closes.length);
        client.disconnect();
        return told.closes[0].willReconnect;
    };
    for (const code of [1000, 1001, 1005, 1006, 1011, 1012, 1013, 3000, 3001, 3008, 3012, 3013, 3499, 4000, 4499]) {
        assert.ok(await comes(code), code);
    }
    for (const code of [1002, 1003, 1007, 1008, 1009, 3005, 3500, 3501, 3503, 3507, 3999, 4500, 4999]) {
        assert.ok(!(await comes(code)), code);
    }
    for (const code of [3005, 3507]) {
        assert.ok(await comes(code, { getUrl: () => "ws://x/?with=another" }));
    }
});

test("each attempt asks for its address; who is not accepted stays away", async () => {
    const answers = [
        () => Promise.reject(new Error("not yet")),
        () => `${ringway.websocket}?first`,
        () => Promise.reject(Object.assign(new Error("no such token"), { status: 401 })),
    ];
    const urls = [];
    class Noting extends WebSocket {
        constructor(url) {
            super(url);
            urls.push(url);
            this.on("open", () => (Noting.last = this));
        }
    }
    const { told, state } = made("", { getUrl: () => answers.shift()(), WebSocket: Noting });
    await state("connected");
    Noting.last.terminate();
    await state("disconnected");
    assert.deepEqual(urls, [`${ringway.websocket}?first`]);
    assert.deepEqual(
        told.errors.map(({ kind }) => kind),
        ["connection", "unauthorized"],
    );
    assert.equal(told.errors[1].message, "no such token");
});

test("an address that is none ends it", async () => {
    const { told, state } = made("http://[", {});
    await state("disconnected");
    assert.equal(told.errors[0].kind, "connection");
});

test("one handler's fault is not another's", async () => {
    const { client, told } = made();
    const heard = [];
    await client.subscribe("h", () => {
        throw new Error("mine");
    });
    await client.subscribe("h", (data) => heard.push(data));
    client.send({ type: "publish", topic: "h", data: 1 });
    await eventually(() => heard.length === 1);
    assert.deepEqual(
        told.errors.map(({ kind, cause }) => [kind, cause.message]),
        [["handler", "mine"]],
    );
});

test("what is no message of the protocol is told, and passed over", async (t) => {
    const server = new WebSocket.Server({ port: 0, host: "127.0.0.1" });
    t.after(() => server.close());
    server.on("connection", (socket) =>
        [
            "not JSON",
            "[]",
            Buffer.from([1]),
            '{"type":"message","topic":"open","data":1}',
            '{"type":"message","topic":"t","data":2}',
        ].forEach((text) => socket.send(text)),
    );
    await once(server, "listening");
    const { client, told } = made(`ws://127.0.0.1:${server.address().port}`);
    const heard = [];
    client.on("t", (data) => heard.push(data));
    await eventually(() => heard.length === 1);
    assert.deepEqual([told.errors.map(({ kind }) => kind), told.opens], [["malformed", "malformed", "malformed"], 1]);
    client.disconnect();
});
