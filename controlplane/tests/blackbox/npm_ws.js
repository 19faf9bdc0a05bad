// One task for npm's `ws`, told and answered as JSON:
//     node npm_ws.js echo|control|subscribe|refused '{"url": "ws://…", "options": {…}}'
"use strict";
const { once } = require("node:events");
const WebSocket = require("ws");

const [task, asked] = process.argv.slice(2);
const { url, options, topic } = JSON.parse(asked);
const open = async () => {
    const socket = new WebSocket(url, { rejectUnauthorized: false, ...options });
    await once(socket, "open");
    return socket;
};

async function heard(socket) {
    const [data, isBinary] = await once(socket, "message");
    return isBinary ? data : data.toString();
}

async function closed(socket) {
    const [code] = await once(socket, "close");
    return code;
}

// Messages of many sizes come back, whole and in fragments.
async function echo() {
    const socket = await open();
    const sizes = [0, 1, 125, 126, 1024, 65_535, 65_536, 1_000_000];
    const same = [];
    for (const size of sizes) {
        const text = "é".repeat(size / 2);
        socket.send(text);
        same.push((await heard(socket)) === text);
        const data = Buffer.from(Array.from({ length: size }, (_, index) => (index * 7919) & 255));
        socket.send(data);
        same.push(data.equals(await heard(socket)));
    }
    for (const [piece, fin] of [["a", false], ["é", false], ["c", true]]) {
        socket.send(piece, { fin });
    }
    same.push((await heard(socket)) === "aéc");
    const answer = { same, extensions: socket.extensions };
    socket.close(1000);
    await closed(socket);
    return answer;
}

// A ping is answered; a close is answered with its code.
async function control() {
    const socket = await open();
    socket.ping("are you there");
    const [pong] = await once(socket, "pong");
    socket.close(4321, "enough");
    return { pong: pong.toString(), code: await closed(socket) };
}

// One hears what the other publishes.
async function subscribe() {
    const [subscriber, publisher] = [await open(), await open()];
    const says = (socket, request) => socket.send(JSON.stringify(request));
    says(subscriber, { type: "subscribe", topic, id: 1 });
    const answers = [JSON.parse(await heard(subscriber))];
    says(publisher, { type: "publish", topic, data: { from: "ws" } });
    const [published, message] = await Promise.all([heard(publisher), heard(subscriber)]);
    answers.push(JSON.parse(published), JSON.parse(message));
    subscriber.close();
    publisher.close();
    return answers;
}

async function refused() {
    const socket = new WebSocket(url, options);
    socket.on("error", () => {});
    const [, response] = await once(socket, "unexpected-response");
    response.resume();
    return { status: response.statusCode };
}

({ echo, control, subscribe, refused })[task]().then(
    (answer) => {
        console.log(JSON.stringify(answer));
        process.exit(0);
    },
    (error) => {
        console.error(error);
        process.exit(1);
    },
);
