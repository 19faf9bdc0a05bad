"""The servers behind the proxy, each in this process, and each counting who came."""

import hashlib
import http.server
import socket
import threading

import socks5
from ports import free_port

BACKLOG = 1024
TIMEOUT_SECONDS = 30


def listening(host="127.0.0.1", port=0, backlog=BACKLOG):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port or free_port()))
    listener.listen(backlog)
    return listener


class Listener:
    """A target whose connections the test takes one by one."""

    def __init__(self, host="127.0.0.1", backlog=BACKLOG):
        self.socket = listening(host, backlog=backlog)
        self.socket.settimeout(TIMEOUT_SECONDS)
        self.address = self.socket.getsockname()[:2]
        self.taken = []

    def accept(self):
        connection, self.peer = self.socket.accept()
        connection.settimeout(TIMEOUT_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.taken.append(connection)
        return connection

    def nobody_came(self):
        self.socket.setblocking(False)
        try:
            self.accept()
            return False
        except BlockingIOError:
            return True
        finally:
            self.socket.settimeout(TIMEOUT_SECONDS)

    def close(self):
        for connection in [self.socket, *self.taken]:
            connection.close()


class Server:
    """A target that serves each connection by `serve(connection)` in a thread of its own."""

    def __init__(self, serve, host="127.0.0.1", port=0):
        self.serve = serve
        self.listener = listening(host, port)
        self.address = self.listener.getsockname()[:2]
        self.accepted = 0
        self.peers = []
        self.results = []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                connection, peer = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            self.peers.append(peer[:2])
            threading.Thread(target=self.serve_one, args=(connection,), daemon=True).start()

    def serve_one(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with connection:
                self.results.append(self.serve(connection))
        except OSError as error:
            self.results.append(error)

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()


def echo(connection):
    """Sends everything back, and its end of stream after the client's."""
    while data := connection.recv(65536):
        connection.sendall(data)


def answer_after_end(connection):
    """Reads to the end of stream, only then answers with the SHA-256 of what came."""
    digest = hashlib.sha256()
    while data := connection.recv(65536):
        digest.update(data)
    connection.sendall(digest.hexdigest().encode())
    return digest.hexdigest()


def swallow(connection):
    """Reads everything, says nothing; the result is (count, SHA-256)."""
    digest, count = hashlib.sha256(), 0
    while data := connection.recv(1 << 20):
        digest.update(data)
        count += len(data)
    return count, digest.hexdigest()


def end_at_once(connection):
    """Ends its own direction first, then hears the client out."""
    connection.sendall(b"goodbye")
    connection.shutdown(socket.SHUT_WR)
    return socks5.receive_until_closed(connection)


def answer_one_request(connection):
    """One byte in, one byte out, then the end: the shortest session."""
    if connection.recv(1):
        connection.sendall(b"!")


PAGE = b"a page behind the proxy\n"


class PageHandler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_):
        pass


class PageServer(http.server.ThreadingHTTPServer):
    """A web page at /."""

    daemon_threads = True

    def __init__(self, host="127.0.0.1"):
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, 0), PageHandler)
        self.address = self.server_address[:2]
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def url(self, host=None):
        name = host or self.address[0]
        name = f"[{name}]" if ":" in name else name
        return f"http://{name}:{self.address[1]}/"

    def close(self):
        self.shutdown()
        self.server_close()


def same(data):
    return data


class UdpServer:
    """A UDP target that answers each datagram by `answer(data)`; None is silence."""

    def __init__(self, answer=same, host="127.0.0.1"):
        self.answer = answer
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, free_port(socket.SOCK_DGRAM)))
        self.address = self.socket.getsockname()[:2]
        self.heard = []
        self.peers = []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                data, peer = self.socket.recvfrom(65536)
            except OSError:
                return
            if peer is None:  # Shut down.
                return
            self.heard.append(data)
            self.peers.append(peer[:2])
            answer = self.answer(data)
            if answer is not None:
                self.push(answer, peer)

    def push(self, data, peer):
        try:
            self.socket.sendto(data, peer)
        except OSError:
            pass  # The test has closed it.

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # Not connected: it still wakes the thread that reads.
        self.socket.close()
