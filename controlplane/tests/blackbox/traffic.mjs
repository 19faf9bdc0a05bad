// A small town's worth of traffic through a ringway, for pictures: users, names, publications, failures, and tides in all of them.
import dgram from "node:dgram";
import net from "node:net";
import { once } from "node:events";
import { require } from "./ringway.mjs";

const WebSocket = require("ws");

export const PASSWORD = "a-password-for-pictures";
export const USERS = [
    "alice",
    "bob",
    "build-farm",
    "carol",
    "crawler-eu-west-1",
    "a-service-account-with-quite-a-long-name-in-production",
];
const TARGETS = [
    "mirror.example.org",
    "api.example.com",
    "cdn.example.net",
    "registry.example.org",
    "a-very-long-host-name-of-some-object-storage.eu-central-1.example.com",
    "git.example.com",
];
const TOPICS = ["ticker.eur", "ticker.usd", "news.world", "chat.lobby", "presence.board"];
const CHUNK = Buffer.alloc(16 * 1024, 120);
const TICK_MS = 100;
const IDLE = 60;

/** A name server that knows every name: it is this host. */
export async function names() {
    const server = dgram.createSocket("udp4");
    server.on("message", (asked, from) => {
        const end = asked.indexOf(0, 12) + 5;
        const wantsA = asked.readUInt16BE(end - 4) === 1;
        const head = Buffer.from(asked.subarray(0, 12));
        head.writeUInt16BE(0x8180, 2);
        head.writeUInt16BE(wantsA ? 1 : 0, 6);
        head.fill(0, 8, 12);
        const answer = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
        server.send(
            Buffer.concat([head, asked.subarray(12, end), wantsA ? answer : Buffer.alloc(0)]),
            from.port,
            from.address,
        );
    });
    server.bind(0, "127.0.0.1");
    await once(server, "listening");
    return { address: `127.0.0.1:${server.address().port}`, stop: () => server.close() };
}

/** Between 0 and 1, in waves of their own for each `phase`. */
function tide(phase) {
    const seconds = performance.now() / 1000;
    return 0.5 + 0.3 * Math.sin(seconds / 9 + phase) + 0.2 * Math.sin(seconds / 2.3 + phase * 3);
}

/** A login and a request by name (RFC 1928, RFC 1929); the socket, or null where it was refused. */
async function connect(socks, user, name, port) {
    const [host, at] = socks.split(":");
    const socket = net.connect(Number(at), host);
    socket.on("error", () => {});
    const read = async (bytes) => {
        for (;;) {
            const chunk = socket.read(bytes);
            if (chunk || socket.destroyed) {
                return chunk;
            }
            await new Promise((resolve) => socket.once("readable", resolve).once("close", resolve));
        }
    };
    socket.write(Buffer.from([5, 1, 2]));
    await read(2);
    socket.write(
        Buffer.concat([
            Buffer.from([1, user.length]),
            Buffer.from(user),
            Buffer.from([PASSWORD.length]),
            Buffer.from(PASSWORD),
        ]),
    );
    await read(2);
    socket.write(
        Buffer.concat([
            Buffer.from([5, 1, 0, 3, name.length]),
            Buffer.from(name),
            Buffer.from([port >> 8, port & 255]),
        ]),
    );
    const reply = await read(10);
    if (reply?.[1] !== 0) {
        socket.destroy();
        return null;
    }
    return socket;
}

/** Traffic until it is stopped; `share` says how much of it, 1 being a calm day. */
export async function traffic(server, echoPort) {
    const work = { share: 1, going: true, sockets: new Set() };
    const pick = (list) => list[Math.floor(Math.random() * Math.random() * list.length)];
    const open = async (name = pick(TARGETS), port = echoPort) => {
        const socket = await connect(server.socks, pick(USERS), name, port);
        if (socket) {
            work.sockets.add(socket.on("close", () => work.sockets.delete(socket)));
        }
        return socket;
    };
    const every = async (ms, act) => {
        while (work.going) {
            await act().catch(() => {});
            await new Promise((resolve) => setTimeout(resolve, ms()));
        }
    };
    const streams = async (number) => {
        const socket = await open(TARGETS[number % TARGETS.length]);
        socket?.resume();
        await every(
            () => TICK_MS,
            async () => {
                for (let chunks = Math.round(3 * work.share * tide(number)); chunks > 0; chunks -= 1) {
                    socket?.writableLength < 1_000_000 && socket.write(CHUNK);
                }
            },
        );
    };
    const visit = async () => {
        // One in some goes to a port where nobody listens.
        const socket = await open(undefined, Math.random() < 0.04 ? 9 : echoPort);
        if (socket) {
            socket.resume().write(CHUNK.subarray(0, 2_000));
            setTimeout(() => socket.end(), 200 + 2_000 * Math.random());
        }
    };
    const readers = Array.from({ length: 40 }, (_, number) => {
        const socket = new WebSocket(server.websocket);
        socket.on("open", () =>
            socket.send(JSON.stringify({ type: "subscribe", topic: TOPICS[number % TOPICS.length] })),
        );
        return socket.on("error", () => {});
    });
    const publish = async () => {
        const topic = pick(TOPICS);
        const body = JSON.stringify({ channel: topic, data: { at: Date.now(), price: (100 * tide(1)).toFixed(2) } });
        await fetch(`${server.control}/api/publish`, {
            method: "POST",
            headers: { "Content-Type": "application/json" },
            body,
        });
    };
    await Promise.all(Array.from({ length: IDLE }, () => open()));
    Array.from({ length: 18 }, (_, number) => streams(number));
    every(() => 1000 / (12 * work.share * (0.2 + tide(5))), visit);
    every(() => 1000 / (25 * work.share * (0.2 + tide(8))), publish);
    work.stop = () => {
        work.going = false;
        work.sockets.forEach((socket) => socket.destroy());
        readers.forEach((socket) => socket.terminate());
    };
    return work;
}
