"""Clients that make a knob's difference countable."""

import contextlib
import json
import os
import random
import selectors
import signal
import socket
import struct
import subprocess
import time

from host import LOAD, SOCKS


IP_BIND_ADDRESS_NO_PORT = 24


def load(*arguments, pid=None, cpu=None):
    """A run of socks_load through the ringway on SOCKS, as its report."""
    command = [] if cpu is None else ["taskset", "-c", str(cpu)]
    command += [str(LOAD), *map(str, arguments), "--proxy", f"127.0.0.1:{SOCKS}", "--json"]
    command += [] if pid is None else ["--server-pid", str(pid)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if not done.stdout:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def request(command, address):
    """Greeting and request in one: RFC 1928 has us wait between them, ringway does not."""
    return b"\5\1\0\5" + bytes([command]) + b"\0\1" + socket.inet_aton(address[0]) + struct.pack("!H", address[1])


def answer(connection):
    """The reply code, and the address told with it; None: the connection ended before."""
    told = b""
    while len(told) < 12:
        try:
            more = connection.recv(12 - len(told))
        except OSError:
            return None, None
        if not more:
            return None, None
        told += more
    return told[3], (socket.inet_ntoa(told[6:10]), struct.unpack("!H", told[10:12])[0])


def connect(address=("127.0.0.1", SOCKS)):
    connection = socket.create_connection(address, timeout=10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


class Storm:
    """Connections that are all begun at once."""

    def __init__(self, count, address=("127.0.0.1", SOCKS)):
        self.started = time.monotonic()
        self.poller = selectors.DefaultSelector()
        self.sockets, self.times = [], []
        for _ in range(count):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(address)
            self.poller.register(one, selectors.EVENT_WRITE)
            self.sockets.append(one)

    def wait(self, seconds):
        """For so long, or until all are there. How many are, by now."""
        until = time.monotonic() + seconds
        while len(self.times) < len(self.sockets) and time.monotonic() < until:
            for key, _ in self.poller.select(0.05):
                self.poller.unregister(key.fileobj)
                self.times.append(time.monotonic() - self.started)
        return len(self.times)

    def close(self):
        for one in self.sockets:
            one.close()
        self.poller.close()


def half_open(address, count):
    """So many connection requests from hosts that never answer (raw packets, made-up senders)."""
    sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    to = socket.inet_aton(address[0])
    for number in range(count):
        source = socket.inet_aton(f"10.9.{number >> 8 & 255}.{number & 255}")
        header = struct.pack("!HHIIBBHHH", 1024 + random.randrange(60000), address[1], number, 0, 0x50, 2, 65535, 0, 0)
        total = checksum(source + to + struct.pack("!HH", 6, len(header)) + header)
        segment = header[:16] + struct.pack("!H", total) + header[18:]
        packet = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0, 64, 6, 0) + source + to + segment
        sender.sendto(packet, address)
    sender.close()


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


class Target:
    """Takes connections in a process of its own, and closes those that end."""

    def __init__(self, address, fast_open=False):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(address)
        if fast_open:
            self.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 64)
        self.listener.listen(1024)

    def __enter__(self):
        self.pid = os.fork()
        if self.pid == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self.serve()
        return self

    def __exit__(self, *_):
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)
        self.listener.close()

    def serve(self):
        poller = selectors.DefaultSelector()
        poller.register(self.listener, selectors.EVENT_READ)
        while True:
            for key, _ in poller.select():
                if key.fileobj is self.listener:
                    poller.register(self.listener.accept()[0], selectors.EVENT_READ)
                elif not key.fileobj.recv(4096):
                    poller.unregister(key.fileobj)
                    key.fileobj.close()


class Source(Target):
    """A target that sends without end."""

    def serve(self):
        poller, bulk = selectors.DefaultSelector(), bytes(1 << 18)
        poller.register(self.listener, selectors.EVENT_READ)
        while True:
            for key, _ in poller.select():
                if key.fileobj is self.listener:
                    connection = self.listener.accept()[0]
                    connection.setblocking(False)
                    poller.register(connection, selectors.EVENT_WRITE)
                    continue
                try:
                    key.fileobj.send(bulk)
                except OSError:
                    poller.unregister(key.fileobj)
                    key.fileobj.close()


@contextlib.contextmanager
def stopped_readers(target, count, wanted=8 << 20):
    """Downloads whose clients have read so much and then read no more: what was under way stays in the relay."""
    kept = []
    for _ in range(count):
        connection = connect()
        connection.sendall(request(1, target))
        answer(connection)
        kept.append(connection)
        left = wanted
        while left > 0:
            left -= len(connection.recv(1 << 18))
    yield
    for connection in kept:
        connection.close()


def visits(target, count, processes=4, said=b""):
    """Connections through the proxy one after the other, each process for itself; how many had which reply code."""
    pipes, children = [], []
    for _ in range(processes):
        reads, writes = os.pipe()
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            codes = {}
            for _ in range(count // processes):
                connection = connect()
                connection.sendall(request(1, target) + said)
                code = answer(connection)[0]
                codes[str(code)] = codes.get(str(code), 0) + 1
                connection.close()
            os.write(writes, json.dumps(codes).encode())
            os._exit(0)
        os.close(writes)
        pipes.append(reads)
        children.append(child)
    total = {}
    for reads in pipes:
        with os.fdopen(reads) as file:
            for code, number in json.load(file).items():
                total[code] = total.get(code, 0) + number
    for child in children:
        os.waitpid(child, 0)
    return total


def association():
    """The control connection of a UDP association, and where to send to."""
    control = connect()
    control.sendall(request(3, ("0.0.0.0", 0)))
    return control, ("127.0.0.1", answer(control)[1][1])


def datagram(target, size):
    return b"\0\0\0\1" + socket.inet_aton(target[0]) + struct.pack("!H", target[1]) + bytes(size)


def waiting(receiver):
    """Datagrams that have arrived, once no more come."""
    receiver.settimeout(0.2)
    count = 0
    while True:
        try:
            receiver.recv(2048)
        except TimeoutError:
            return count
        count += 1


def held(target, count):
    """Connections to a target that stay until all have been tried, by their reply codes; None: none was given."""
    kept, codes = [], {}
    for number in range(count):
        connection = socket.socket()
        # Every 500 an address of their own: the clients must not be those who run out of ports.
        connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        connection.bind((f"127.0.0.{2 + number // 500}", 0))
        code = None
        try:
            connection.connect(("127.0.0.1", SOCKS))
            connection.sendall(request(1, target))
            code = answer(connection)[0]
        except ConnectionError:
            pass
        codes[code] = codes.get(code, 0) + 1
        kept.append(connection)
    for connection in kept:
        connection.close()
    return codes
