"""What a service manager hears and hands over: sd_notify, the watchdog, socket activation, the descriptor store."""

import os
import signal
import socket
import subprocess
import sys
import tempfile

import pytest

from ports import free_listeners
from ringway import Ringway
from succession import Succession
from targets import echo
from waiting import eventually

RECEIVE_SECONDS = 10


class Manager:
    """A service manager as its services see it: a datagram socket."""

    def __init__(self, abstract=False):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        name = os.path.join(tempfile.mkdtemp(), "notify")
        self.socket.bind("\0" + name if abstract else name)
        self.socket.settimeout(RECEIVE_SECONDS)
        self.env = {"NOTIFY_SOCKET": "@" + name if abstract else name}
        self.stored = []

    def hear(self):
        """The next message, as a dict; descriptors that came with it are kept."""
        text, stored, _, _ = socket.recv_fds(self.socket, 65536, 253)
        self.stored += stored
        return dict(line.split("=", 1) for line in text.decode().splitlines())

    def hear_until(self, key, value=None):
        """Messages up to the one that says so, and the one."""
        while True:
            said = self.hear()
            if key in said and value in (None, said[key]):
                return said

    def close(self):
        self.socket.close()
        for one in self.stored:
            os.close(one)


@pytest.fixture
def manager(closing):
    return lambda **how: closing(Manager(**how))


@pytest.mark.parametrize("abstract", [False, True])
def test_it_says_when_it_serves_and_when_it_stops(ringway, manager, abstract):
    heard = manager(abstract=abstract)
    proxy = ringway(env=heard.env)
    assert heard.hear_until("READY")["STATUS"]
    proxy.signal(signal.SIGTERM)
    assert heard.hear_until("STOPPING")["STOPPING"] == "1"
    assert proxy.exit_code() == 0


def test_a_reload_is_told_with_its_time(ringway, manager):
    heard = manager()
    proxy = ringway(env=heard.env)
    heard.hear_until("READY")
    proxy.signal(signal.SIGHUP)
    assert int(heard.hear_until("RELOADING")["MONOTONIC_USEC"]) > 0
    heard.hear_until("READY")


def test_a_reload_in_a_drain_does_not_say_that_it_is_ready(ringway, manager, target):
    heard = manager()
    proxy = ringway(env=heard.env)
    heard.hear_until("READY")
    connection = proxy.tunnel(target(echo).address)
    proxy.signal(signal.SIGTERM)
    heard.hear_until("STOPPING")
    proxy.signal(signal.SIGHUP)
    proxy.eventually_logs("reload by SIGHUP refused")
    connection.close()
    assert proxy.exit_code() == 0
    heard.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            said = heard.hear()
            assert "READY" not in said and "RELOADING" not in said


def test_the_watchdog_hears_nothing_while_a_worker_stands_still(ringway, manager):
    heard = manager()
    options = {"workers.stalled_after": "300ms", "control.test_endpoints": "true"}
    proxy = ringway(options, env={**heard.env, "WATCHDOG_USEC": "400000"})
    heard.hear_until("WATCHDOG")
    stalled = proxy.http("POST", "/api/v1/drill?kind=stall&worker=0&ms=3000", {"Content-Type": "application/json"})
    assert stalled.status == 202, stalled.text
    # What was said before the stall was noticed is let pass.
    heard.socket.settimeout(1)
    with pytest.raises(TimeoutError):
        while True:
            heard.hear()
    heard.socket.settimeout(RECEIVE_SECONDS)
    heard.hear_until("WATCHDOG")


def test_a_hot_restart_names_the_new_main_process(tmp_path, manager):
    heard = manager()
    proxy = Succession(tmp_path, env=heard.env)
    heard.hear_until("READY")
    new = proxy.upgrade()
    assert heard.hear_until("MAINPID")["MAINPID"] == str(new)
    heard.hear_until("READY")
    proxy.close()


def test_the_supervisor_speaks_for_its_process(ringway, manager):
    heard = manager()
    proxy = ringway(free_listeners("socks5.listen", "control.listen"), arguments=("supervise",), env={**heard.env, "WATCHDOG_USEC": "1000000"})
    heard.hear_until("READY")
    heard.hear_until("WATCHDOG")
    proxy.signal(signal.SIGTERM)
    heard.hear_until("STOPPING")
    assert proxy.exit_code() == 0


# A parent that gives sockets as systemd does: descriptors from 3 on, and LISTEN_PID.
ACTIVATE = """
import os, sys
for number, held in enumerate(map(int, sys.argv[1].split(","))):
    os.dup2(held, 100 + number)
count = number + 1
for number in range(count):
    os.dup2(100 + number, 3 + number)
    os.set_inheritable(3 + number, True)
    os.close(100 + number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(count))
os.execv(sys.argv[2], sys.argv[2:])
"""


def activated(sockets):
    """A launcher under which ringway finds these."""
    for one in sockets:
        os.set_inheritable(one.fileno(), True)
    numbers = ",".join(str(one.fileno()) for one in sockets)
    return [sys.executable, "-c", ACTIVATE, numbers]


@pytest.fixture
def inheriting(monkeypatch):
    """Children of this test get what is inheritable."""
    plain = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *words, **how: plain(*words, **{**how, "close_fds": False}))


def test_sockets_of_systemd_are_served(ringway, target, inheriting):
    with socket.create_server(("127.0.0.1", 0)) as socks, socket.create_server(("127.0.0.1", 0)) as control:
        options = {
            "socks5.listen": "[127.0.0.1:{}]".format(socks.getsockname()[1]),
            "control.listen": "[127.0.0.1:{}]".format(control.getsockname()[1]),
        }
        # Who came before there was a process is served by it.
        early = socket.create_connection(socks.getsockname())
        proxy = ringway(options, launcher=activated([socks, control]))
    early.settimeout(10)
    early.sendall(bytes([5, 1, 0]))
    assert early.recv(2) == bytes([5, 0])
    early.close()
    connection = proxy.tunnel(target(echo).address)
    connection.sendall(b"hello")
    assert connection.recv(5) == b"hello"
    assert proxy.get("/readyz").status == 200


def test_the_store_gives_the_listeners_back_after_a_crash(ringway, manager, closing, inheriting):
    heard = manager()
    options = free_listeners("socks5.listen", "control.listen")
    first = ringway(options, env=heard.env)
    heard.hear_until("READY")
    assert len(heard.stored) >= 2
    first.panics_expected = first.failed = True
    first.process.kill()
    first.process.wait()
    # The port is still open: who comes now waits.
    waiting = socket.create_connection(first.socks, 5)
    stored = [closing(socket.socket(fileno=os.dup(one))) for one in heard.stored]
    second = ringway(options, launcher=activated(stored))
    waiting.settimeout(10)
    waiting.sendall(bytes([5, 1, 0]))
    assert waiting.recv(2) == bytes([5, 0])
    waiting.close()
    assert second.get("/readyz").status == 200
