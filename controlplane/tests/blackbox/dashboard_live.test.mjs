// The dashboard's figures as text, and the store behind its live panels. No browser, no clock but a made one.
import assert from "node:assert/strict";
import test from "node:test";

const FOLDER = new URL("../../src/dashboard/", import.meta.url);
const format = await import(new URL("format.js", FOLDER));
const { wordsOfAlerts } = await import(new URL("panels/status.js", FOLDER));
const { Feed, Recent, at, DRAWN } = await import(new URL("store.js", FOLDER));

/** Narrow spaces as plain ones. */
const plain = (text) => text.replaceAll("\u202f", " ");
const told = (of, pairs) => {
    for (const [number, text] of pairs) {
        assert.equal(plain(of(number)), text, String(number));
    }
};

// Figures

test("bytes have three digits that matter and the unit that fits", () => {
    told(format.bytes, [
        [0, "0 B"],
        [1023, "1023 B"],
        [1024, "1 KiB"],
        [1536, "1.50 KiB"],
        [10 * 1024 * 1024, "10 MiB"],
        [123_456_789, "118 MiB"],
        [1023.6 * 1024 * 1024, "1.00 GiB"],
        [2 ** 60, "1 EiB"],
        [5000 * 2 ** 60, "5000 EiB"],
    ]);
    assert.equal(plain(format.rate(1536)), "1.50 KiB/s");
});

test("counts are exact while they can be read", () => {
    told(format.count, [
        [0, "0"],
        [999, "999"],
        [12_345, "12,345"],
        [99_999, "99,999"],
        [100_000, "100 k"],
        [1_234_567, "1.23 M"],
        [999_600_000, "1.00 G"],
        [0.5, "0.50"],
    ]);
    assert.equal(format.plural(1, "user"), "1 user");
    assert.equal(format.plural(0, "user"), "0 users");
});

test("what happens seldom is not shown as never", () => {
    told(format.perSecond, [
        [0, "0 /s"],
        [0.001, "0.01 /s"],
        [4.2, "4.20 /s"],
        [42.25, "42.3 /s"],
        [12_345, "12.3 k/s"],
    ]);
});

test("alerts are told without those there are none of", () => {
    const words = (firing, pending) => plain(wordsOfAlerts(firing, pending, format));
    assert.deepEqual(
        [words(0, 0), words(0, 1), words(0, 2), words(1, 0), words(2, 1)],
        ["no alert", "1 alert pending", "2 alerts pending", "1 alert firing", "2 alerts firing, 1 pending"],
    );
});

test("latencies go from microseconds to minutes", () => {
    told(format.milliseconds, [
        [0, "0 ms"],
        [0.0312, "31 µs"],
        [0.9999, "1.00 ms"],
        [12.34, "12.3 ms"],
        [999.7, "1.00 s"],
        [61_000, "61 s"],
        [125_000, "2 min 5 s"],
    ]);
});

test("durations are told in their two largest units", () => {
    told(format.duration, [
        [0, "0 s"],
        [59.9, "59 s"],
        [60, "1 min"],
        [3_725, "1 h 2 min"],
        [90_061, "1 d 1 h"],
        [-5, "0 s"],
    ]);
});

test("shares are percent", () => {
    told(format.percent, [
        [0, "0 %"],
        [0.001, "0.1 %"],
        [0.5, "50.0 %"],
        [1, "100 %"],
        [3.2, "320 %"],
    ]);
});

test("what is not known is a dash, whatever it is", () => {
    const all = [
        format.bytes,
        format.rate,
        format.count,
        format.perSecond,
        format.percent,
        format.milliseconds,
        format.duration,
        format.time,
        format.dateTime,
        format.ago,
    ];
    for (const of of all) {
        for (const nothing of [null, undefined, NaN, "no date"]) {
            assert.equal(of(nothing), format.UNKNOWN, `${of.name}(${nothing})`);
        }
    }
});

test("times are told as people tell them", () => {
    const when = new Date(2026, 10, 21, 9, 5, 7);
    assert.equal(format.dateTime(when.toISOString()), "2026-11-21 09:05:07");
    assert.equal(format.time(when.getTime() / 1000), "09:05:07");
    const now = when.getTime();
    assert.equal(plain(format.ago(when, now + 65_000)), "1 min 5 s ago");
    assert.equal(plain(format.ago(when, now - 86_400_000)), "in 1 d");
    assert.equal(format.ago(when, now + 500), "just now");
});

// The store

/** A `WebSocketClient` that does what it is told. */
class FakeClient {
    state = "connecting";
    handlers = {};
    topics = new Map();
    connects = 0;

    on(event, fn) {
        (this.handlers[event] ??= []).push(fn);
    }
    subscribe(topic, fn) {
        this.topics.set(topic, fn);
        return Promise.resolve();
    }
    unsubscribe(topic) {
        this.topics.delete(topic);
    }
    connect() {
        this.connects += 1;
    }
    disconnect() {
        this.become("disconnected");
    }
    getConnectionState() {
        return this.state;
    }
    become(state) {
        this.state = state;
        this.tell("state", state);
    }
    tell(event, value) {
        this.handlers[event]?.forEach((fn) => fn(value));
    }
    publish(topic, data) {
        this.topics.get(topic)?.(data);
    }
}

function opened() {
    const client = new FakeClient();
    const frames = [];
    const clock = { now: 1_000_000 };
    const feed = new Feed(client, { frame: (fn) => frames.push(fn), now: () => clock.now });
    const frame = () => frames.splice(0).forEach((fn) => fn());
    return { client, feed, frame, frames, clock };
}

const START = Date.parse("2026-11-21T20:00:00.000Z");
const snapshot = (seq, boot = "aaaaaaaa", ms = seq * 250) => ({
    seq,
    boot,
    interval_ms: 250,
    time: new Date(START + ms).toISOString(),
    connections: { active: seq },
});

test("listeners are told once for a frame, with the newest, and each at once of what there is", () => {
    const { client, feed, frame, frames } = opened();
    const heard = [];
    feed.on("traffic_data", ({ seq }) => heard.push(seq));
    client.become("connected");
    for (const seq of [1, 2, 3]) {
        client.publish("traffic_data", snapshot(seq));
    }
    assert.deepEqual([heard, frames.length], [[], 1]);
    frame();
    assert.deepEqual(heard, [3]);
    let late;
    feed.on("traffic_data", ({ seq }) => (late = seq));
    assert.equal(late, 3);
    assert.deepEqual(feed.recent.column("connections.active"), [1, 2, 3], "no point is lost between frames");
});

test("one panel that fails does not keep the others from hearing", () => {
    const { client, feed, frame } = opened();
    const said = console.error;
    console.error = () => {};
    let heard = 0;
    feed.on("traffic_data", () => {
        throw new Error("a panel's fault");
    });
    feed.on("traffic_data", () => (heard += 1));
    client.publish("traffic_data", snapshot(1));
    frame();
    console.error = said;
    assert.equal(heard, 1);
});

test("the states follow the connection, and silence is one of them", () => {
    const { client, feed, clock } = opened();
    const states = [];
    feed.onState((state) => states.push(state));
    feed.on("traffic_data", () => {});
    client.become("connected");
    client.publish("traffic_data", snapshot(1));
    clock.now += 7_000;
    feed.look();
    assert.equal(feed.isSilent, true);
    client.publish("traffic_data", snapshot(2));
    client.become("reconnecting");
    client.become("connected");
    client.publish("traffic_data", snapshot(3));
    assert.deepEqual(states, ["connecting", "live", "offline", "live", "offline", "live"]);
});

test("who is not let in is told apart from who cannot reach it, until the next try", () => {
    const { client, feed } = opened();
    client.tell("error", Object.assign(new Error("a token is needed"), { kind: "unauthorized" }));
    client.become("disconnected");
    assert.deepEqual([feed.state, feed.reason], ["unauthorized", "a token is needed"]);
    feed.retry();
    assert.equal(client.connects, 1);
    assert.equal(feed.state, "offline");
    client.tell("error", Object.assign(new Error("refused"), { kind: "connection" }));
    assert.equal(feed.state, "offline");
});

test("it is told how long it is until the next try", () => {
    const { client, feed, clock } = opened();
    client.become("connected");
    client.become("reconnecting");
    client.tell("close", { retryInMs: 2_400 });
    assert.equal(feed.reason, "tries again in 3 s");
    clock.now += 2_500;
    assert.equal(feed.reason, "trying to connect");
});

test("while it is paused nothing is subscribed, and all who paused it must resume it", () => {
    const { client, feed } = opened();
    let heard = 0;
    feed.on("traffic_data", () => (heard += 1));
    feed.on("alerts", () => {});
    client.become("connected");
    feed.pause("hidden");
    feed.pause("person");
    assert.deepEqual([feed.state, client.topics.size], ["paused", 0]);
    feed.on("proxy_health", () => {});
    assert.equal(client.topics.size, 0, "who comes meanwhile waits too");
    feed.resume("hidden");
    assert.equal(feed.state, "paused");
    feed.resume("person");
    assert.deepEqual([...client.topics.keys()].sort(), ["alerts", "proxy_health", "traffic_data"]);
    assert.equal(heard, 0);
});

test("memory is bounded, and the oldest goes first", () => {
    const recent = new Recent(["a", "b"], 3);
    for (let time = 0; time < 10; time += 1) {
        recent.push(time, [time, undefined]);
    }
    assert.deepEqual(
        [recent.times, recent.column("a"), recent.column("b")],
        [
            [7, 8, 9],
            [7, 8, 9],
            [null, null, null],
        ],
    );
    const { client, feed } = opened();
    feed.on("traffic_data", () => {});
    for (let seq = 1; seq <= 3_000; seq += 1) {
        client.publish("traffic_data", snapshot(seq));
    }
    assert.ok(
        feed.recent.length >= 1_200 && feed.recent.length < 1_300,
        `${feed.recent.length} points of five minutes`,
    );
    assert.equal(feed.recent.columns.length, DRAWN.length);
});

test("where nothing was heard, or another process speaks, the line has a gap", () => {
    const { client, feed } = opened();
    feed.on("traffic_data", () => {});
    client.publish("traffic_data", snapshot(1));
    client.publish("traffic_data", snapshot(2));
    client.publish("traffic_data", snapshot(60));
    client.publish("traffic_data", snapshot(1, "bbbbbbbb", 15_250));
    assert.deepEqual(feed.recent.column("connections.active"), [1, 2, null, 60, null, 1]);
    assert.deepEqual(
        [...feed.recent.times].sort((one, other) => one - other),
        feed.recent.times,
        "time only grows",
    );
    client.publish("traffic_data", snapshot(1, "cccccccc", 0));
    assert.deepEqual(feed.recent.column("connections.active"), [1], "a clock that was set back begins anew");
});

test("what stands at a path is found, and what does not is undefined", () => {
    assert.equal(at({ a: { b: 0 } }, "a.b"), 0);
    assert.equal(at({ a: 1 }, "b.c"), undefined);
});
