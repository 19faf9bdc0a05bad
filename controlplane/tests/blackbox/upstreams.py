"""Proxies behind ringway: a small HTTP CONNECT proxy that notes what it was asked."""

import socket
import threading

import http_connect
import socks5
from targets import Server


class HttpProxy(Server):
    """Relays what it is asked to; `login` is demanded as Basic; `answer` is said instead of relaying."""

    def __init__(self, login=None, answer=None, host="127.0.0.1", port=0):
        self.login = login
        self.answer = answer
        self.asked = []
        self.heads = []
        super().__init__(self.relay, host, port)

    def relay(self, client):
        head = bytearray()
        while not head.endswith(b"\r\n\r\n"):
            byte = client.recv(1)
            if not byte:
                return None  # A probe, or a racer that lost.
            head += byte
        head = head.decode()
        method, to, _ = head.split("\r\n")[0].split(" ")
        assert method == "CONNECT"
        self.heads.append(head)
        self.asked.append(to)
        if self.login and http_connect.basic(self.login) not in head:
            return client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        if self.answer:
            return client.sendall(self.answer)
        host, port = to.rsplit(":", 1)
        with socket.create_connection((host.strip("[]"), int(port)), 10) as target:
            client.sendall(b"HTTP/1.1 200 Connection established\r\nX-Proxy: small\r\n\r\n")
            back = threading.Thread(target=pump, args=(target, client), daemon=True)
            back.start()
            pump(client, target)
            back.join(30)


def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # One side is gone: the other will notice.
