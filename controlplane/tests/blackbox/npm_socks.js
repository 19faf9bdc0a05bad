// One task for npm's `socks`, told and answered as JSON:
//     node npm_socks.js connect|bind|associate '{"proxy": {...}, "target": {...}}'
"use strict";
const dgram = require("node:dgram");
const net = require("node:net");
const { once } = require("node:events");
const { SocksClient } = require("socks");

const TIMEOUT_MS = 10_000;
const WORD = "hello";

const [task, asked] = process.argv.slice(2);
const { proxy, target } = JSON.parse(asked);
const ask = (command, destination) => ({ proxy, command, destination, timeout: TIMEOUT_MS });

async function heard(socket) {
    const [data] = await once(socket, "data");
    return data.toString();
}

// The target echoes.
async function connect() {
    const { socket } = await SocksClient.createConnection(ask("connect", target));
    socket.resume();
    socket.write(WORD);
    const answer = { heard: await heard(socket) };
    socket.destroy();
    return answer;
}

// The peer that comes to the bound port is this script as well.
async function bind() {
    const client = new SocksClient(ask("bind", target));
    const established = once(client, "established");
    client.connect();
    const [bound] = await once(client, "bound");
    const peer = net.connect({ host: "127.0.0.1", port: bound.remoteHost.port, localAddress: "127.0.0.1" });
    await once(peer, "connect");
    const came = { host: peer.localAddress, port: peer.localPort };
    const [{ socket, remoteHost }] = await established;
    socket.resume();
    peer.write(WORD);
    const answer = { heard: await heard(socket), peer: remoteHost, came };
    peer.destroy();
    socket.destroy();
    return answer;
}

// The target echoes.
async function associate() {
    const client = new SocksClient(ask("associate", { host: "0.0.0.0", port: 0 }));
    const established = once(client, "established");
    client.connect();
    const [{ socket, remoteHost }] = await established;
    const udp = dgram.createSocket("udp4");
    udp.send(SocksClient.createUDPFrame({ remoteHost: target, data: Buffer.from(WORD) }), remoteHost.port, remoteHost.host);
    const [message] = await once(udp, "message");
    const frame = SocksClient.parseUDPFrame(message);
    udp.close();
    socket.destroy();
    return { heard: frame.data.toString(), from: frame.remoteHost };
}

({ connect, bind, associate })[task]().then(
    (answer) => console.log(JSON.stringify(answer)),
    (error) => {
        console.error(error);
        process.exitCode = 1;
    },
);
