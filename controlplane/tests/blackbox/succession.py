"""Processes that follow each other at the same ports, and clients who must not notice."""

import ctypes
import hashlib
import os
import random
import re
import signal
import socket
import struct
import threading
import time

import socks5
from ports import free_listeners
from ringway import Ringway
from waiting import eventually

PR_SET_CHILD_SUBREAPER = 36
UPGRADE_SECONDS = 20
END_SECONDS = 15
HANDED = re.compile(r"handing over to process (\d+)")
READY_LINE = "ready socks5="
PIECE_BYTES = 64 << 10


def adopt_orphans():
    """From now on processes whose parent ended are ours: their exit codes can be read."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Succession(Ringway):
    """A ringway whose process changes while its ports stay."""

    def __init__(self, folder, options=None, **how):
        adopt_orphans()
        ports = free_listeners("socks5.listen", "websocket.listen", "control.listen")
        super().__init__(folder, {**ports, **(options or {})}, **how)
        self.pids = [self.process.pid]
        self.codes = {}

    @property
    def current(self):
        """The process that serves now."""
        return self.pids[-1]

    def upgrade(self):
        """SIGUSR2, and the new process that serves then."""
        served, handed = self.log().count(READY_LINE), len(HANDED.findall(self.log()))

        # Two processes write the log: either line may be the first.
        def done():
            return self.log().count(READY_LINE) > served and len(HANDED.findall(self.log())) > handed

        os.kill(self.current, signal.SIGUSR2)
        eventually(done, UPGRADE_SECONDS, lambda: f"a new process:\n{self.log()[-4000:]}")
        self.pids.append(int(HANDED.findall(self.log())[-1]))
        return self.current

    def code_of(self, pid, seconds=END_SECONDS):
        """Waits for the end of one of them."""
        if pid == self.process.pid:
            return self.exit_code(seconds)
        if pid in self.codes:
            return self.codes[pid]
        status = eventually(lambda: waited(pid), seconds, lambda: f"the end of process {pid}:\n{self.log()[-4000:]}")
        self.codes[pid] = os.waitstatus_to_exitcode(status[1])
        return self.codes[pid]

    def close(self):
        for connection in self.sockets:
            connection.close()
        try:
            # The older ones first: one that ends before the process that started it is reaped there, and its code is lost to us.
            for pid in self.pids[:-1]:
                assert self.code_of(pid) == 0, f"process {pid}; its log:\n{self.log()[-4000:]}"
            if not ended(self.current):
                os.kill(self.current, signal.SIGTERM)
            assert self.code_of(self.current) == 0, f"process {self.current}; its log:\n{self.log()[-4000:]}"
        finally:
            for pid in self.pids:
                if not ended(pid):
                    os.kill(pid, signal.SIGKILL)
            self.log_file.close()
        assert "panicked at" not in self.log(), self.log()[-4000:]


def waited(pid):
    """A child's end, if it has ended; reaps it. While its parent lives it is not ours yet."""
    try:
        found = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return found if found[0] else None


def ended(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


class Clients:
    """Threads that connect, ask, hear one byte and leave, again and again. What goes wrong is kept, by its name."""

    def __init__(self, proxy, target, threads=8):
        self.proxy, self.target = proxy, target
        self.served, self.faults = 0, []
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def run(self):
        while not self.stopping.is_set():
            try:
                with socket.create_connection(self.proxy, 20) as connection:
                    connection.sendall(socks5.greeting(socks5.NO_AUTH))
                    assert socks5.receive_exactly(connection, 2) == bytes([5, 0])
                    connection.sendall(socks5.request(*self.target))
                    reply = socks5.read_reply(connection)
                    assert reply.code == socks5.SUCCEEDED, reply
                    connection.sendall(b"?")
                    assert socks5.receive_exactly(connection, 1) == b"?"
                    # Without it thousands of ports would wait for their last packet.
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                with self.lock:
                    self.served += 1
            except (OSError, AssertionError) as fault:
                with self.lock:
                    self.faults.append(f"{type(fault).__name__}: {fault}")

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


def paced(connection):
    """A target that sends as many bytes as it is asked for, over as many milliseconds."""
    size, milliseconds, seed = struct.unpack("!IIQ", socks5.receive_exactly(connection, 16))
    data = memoryview(random.Random(seed).randbytes(size))
    begun = time.monotonic()
    for sent in range(0, size, PIECE_BYTES):
        connection.sendall(data[sent : sent + PIECE_BYTES])
        late = begun + milliseconds / 1000 * sent / size - time.monotonic()
        if late > 0:
            time.sleep(late)
    connection.shutdown(socket.SHUT_WR)


class Transfers:
    """Transfers one after the other on each of many connections, each checked to its last byte."""

    def __init__(self, proxy, target, running=64, size=1 << 20, milliseconds=1500):
        self.proxy, self.target, self.size, self.milliseconds = proxy, target, size, milliseconds
        self.whole, self.faults = 0, []
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(number,), daemon=True) for number in range(running)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        seed = number << 32
        while not self.stopping.is_set():
            seed += 1
            try:
                self.one(seed)
                with self.lock:
                    self.whole += 1
            except (OSError, AssertionError) as fault:
                with self.lock:
                    self.faults.append(f"{type(fault).__name__}: {fault}")

    def one(self, seed):
        with socket.create_connection(self.proxy, 20) as connection:
            connection.settimeout(20)
            socks5.handshake(connection)
            connection.sendall(socks5.request(*self.target))
            assert socks5.read_reply(connection).code == socks5.SUCCEEDED
            connection.sendall(struct.pack("!IIQ", self.size, self.milliseconds, seed))
            heard = hashlib.sha256()
            while piece := connection.recv(PIECE_BYTES):
                heard.update(piece)
            expected = hashlib.sha256(random.Random(seed).randbytes(self.size)).digest()
            assert heard.digest() == expected, "a transfer is not whole"

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


