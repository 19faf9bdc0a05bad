"""The program under test, as its operator sees it: a process, its log and its control port."""

import http.client
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

import socks5
from prometheus import Metrics
from waiting import eventually

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
TLS = re.compile(r"websocket_tls=([^\s,\"]+:\d+)")
READY = re.compile(r"ready socks5=(\S+) websocket=(\S+) control=([^\s\"]+)")
START_SECONDS = 20
STOP_SECONDS = 15
DRAINED_SECONDS = 10
CLIENT_TIMEOUT_SECONDS = 20
FREE_PORTS = {"socks5.listen": "[127.0.0.1:0]", "websocket.listen": "[127.0.0.1:0]", "control.listen": "[127.0.0.1:0]"}


def binary():
    """The program to test: RINGWAY_BIN, or what cargo built last for release, or for debug."""
    chosen = os.environ.get("RINGWAY_BIN")
    if chosen:
        return chosen
    built = [REPOSITORY / "target" / profile / "ringway" for profile in ("release", "debug")]
    found = [path for path in built if path.exists()]
    assert found, "no ringway: run `cargo build --release` first"
    return str(found[0])


def set_arguments(options):
    return [word for key, value in options.items() for word in ("--set", f"{key}={yaml(value)}")]


def yaml(value):
    return value if isinstance(value, str) else json.dumps(value)


def environment(more=None):
    """Ours without what would configure ringway, and `more`."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("RINGWAY_")}
    return {**clean, **(more or {})}


class Answer:
    """An answer of the control port."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def text(self):
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.body)


class Ringway:
    """A running ringway on free ports, ready to serve unless `ready=False`."""

    def __init__(self, folder, options=None, arguments=(), env=None, launcher=(), descriptors=None, ready=True, stderr=None, program=None):
        self.log_path = Path(folder) / f"ringway-{id(self):x}.log"
        self.folder = Path(folder)
        self.sockets = []
        self.panics_expected = False
        self.failed = False
        options = {**FREE_PORTS, "socks5.allow_targets": "[loopback]", **(options or {})}
        options = {key: value for key, value in options.items() if value is not None}
        command = [*launcher, program or binary(), *arguments, *set_arguments(options)]
        def limit_descriptors():
            if descriptors:
                resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
            else:
                hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
                resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

        self.log_file = open(self.log_path, "wb")
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(env),
            stdin=subprocess.DEVNULL,
            stdout=self.log_file,
            stderr=self.log_file if stderr is None else stderr,
            preexec_fn=limit_descriptors,
        )
        if ready:
            self.wait_ready()

    # Its life

    def wait_ready(self, log=None):
        log = log or self.log

        def ready_or_ended():
            return READY.search(log()) or self.process.poll() is not None

        eventually(ready_or_ended, START_SECONDS, lambda: f"ready; its log:\n{log()}")
        match = READY.search(log())
        assert match, f"ringway ended with {self.process.returncode}:\n{log()}"
        self.socks5_text, self.websocket_text, self.control_text = match.groups()
        self.socks = address(self.socks5_text)
        self.websocket = None if self.websocket_text == "off" else address(self.websocket_text)
        self.control = address(self.control_text)
        over_tls = TLS.search(log())
        self.websocket_tls = over_tls and address(over_tls[1])

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        return self.log_path.read_text(errors="replace")

    def signal(self, number):
        self.process.send_signal(number)

    def exit_code(self, seconds=STOP_SECONDS):
        """Waits for its end."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s; its log:\n{self.log()[-4000:]}") from None

    def stop(self):
        """SIGTERM, and the clean end that must follow."""
        self.signal(signal.SIGTERM)
        code = self.exit_code()
        assert code == 0, f"exit code {code} after SIGTERM; its log:\n{self.log()[-4000:]}"

    def close(self):
        """Teardown: whatever a test did, nothing is left open, nothing panicked, and SIGTERM ends it."""
        for connection in self.sockets:
            connection.close()
        try:
            if self.process.poll() is None and hasattr(self, "control"):
                if not self.failed:
                    eventually(lambda: self.active() == 0, DRAINED_SECONDS, lambda: f"no active connection; {self.closed()}")
                self.stop()
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.log_file.close()
        if not self.panics_expected:
            assert "panicked at" not in self.log(), self.log()[-4000:]

    # Its clients

    def connect(self, source=None):
        """A bare TCP connection to the SOCKS5 port."""
        connection = socket.create_connection(self.socks, CLIENT_TIMEOUT_SECONDS, source_address=source)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sockets.append(connection)
        return connection

    def ask(self, host, port, user=None, command=socks5.CONNECT):
        """A connection that has asked for a target, and the reply."""
        connection = self.connect()
        socks5.handshake(connection, user)
        connection.sendall(socks5.request(host, port, command))
        return connection, socks5.read_reply(connection)

    def tunnel(self, target, user=None):
        """A connection relayed to `target`."""
        connection, reply = self.ask(*target[:2], user=user)
        assert reply.code == socks5.SUCCEEDED, f"{reply}; its log:\n{self.log()[-2000:]}"
        return connection

    def refusal(self, host, port, user=None):
        """The reply code of a request."""
        connection, reply = self.ask(host, port, user)
        connection.close()
        return reply.code

    # Its control port

    def http(self, method, path, headers=None, body=None, timeout=10):
        connection = http.client.HTTPConnection(*self.control, timeout=timeout)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path, **headers):
        return self.http("GET", path, {key.replace("_", "-"): value for key, value in headers.items()})

    def metrics(self):
        """A scrape, never an old one: the control port may answer from a cache for 250 ms."""
        return Metrics(self.get("/metrics", Cache_Control="no-cache").text)

    def stats(self):
        return self.get("/stats").json

    def active(self):
        return self.metrics()("socks5_proxy_connections_active")

    def closed(self):
        """How many connections ended, by reason."""
        counts = self.metrics().by("socks5_connections_closed_total", "reason")
        return {reason: int(count) for reason, count in counts.items() if count}

    def eventually_closed(self, reason, count=1, seconds=10):
        eventually(lambda: self.closed().get(reason, 0) >= count, seconds, lambda: f"{count} x {reason}; {self.closed()}")
        assert self.closed().get(reason) == count

    def access_lines(self):
        """The access log's lines."""
        return [line for line in self.log().splitlines() if "reason=" in line]

    def eventually_logs(self, text, seconds=10):
        def line():
            return next((line for line in self.log().splitlines() if text in line), None)

        return eventually(line, seconds, lambda: f"{text!r} in the log:\n{self.log()[-4000:]}")

    # Its process

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def resident_bytes(self):
        fields = Path(f"/proc/{self.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGESIZE")

    def threads(self):
        """Thread name -> /proc status fields, for every thread including kernel workers of its rings."""
        return eventually(self._named_threads, what="two threads have one name")

    def _named_threads(self):
        """None: a thread that has only just begun is still called as the one that made it."""
        found = {}
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            name = (task / "comm").read_text().strip()
            fields = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)
            if name in found:
                return None
            found[name] = fields
        return found


def address(text):
    """The first of the addresses in a ready line."""
    host, port = text.split(",")[0].rsplit(":", 1)
    return host.strip("[]"), int(port)


def run(*arguments, env=None, cwd=None, seconds=20):
    """Runs ringway to its end, e.g. `run("check", "-c", file)`."""
    return subprocess.run(
        [binary(), *map(str, arguments)],
        env=environment(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
    )


def refusing(**calls):
    """A launcher under which the kernel refuses system calls: `refusing(io_uring_setup="EPERM")`."""
    return [sys.executable, str(HERE / "refusing.py"), *(f"{call}={error}" for call, error in calls.items()), "--"]
