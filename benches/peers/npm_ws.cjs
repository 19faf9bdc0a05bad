// npm ws as a peer: /echo sends back what comes, any other path goes to everybody there. Its only argument is the port.
'use strict';
const { WebSocketServer, WebSocket } = require('ws');

const server = new WebSocketServer({
  host: '127.0.0.1',
  port: Number(process.argv[2]),
  backlog: 4096,
  perMessageDeflate: false,
});
const crowd = new Set();

server.on('connection', (socket, request) => {
  // Who is cut off is no news.
  socket.on('error', () => {});
  if (request.url === '/echo') {
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
    return;
  }
  crowd.add(socket);
  socket.on('close', () => crowd.delete(socket));
  socket.on('message', (data, isBinary) => {
    for (const other of crowd) {
      if (other.readyState === WebSocket.OPEN) other.send(data, { binary: isBinary });
    }
  });
});
