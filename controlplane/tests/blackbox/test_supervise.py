"""`ringway supervise`: the process may die, its clients are served all the same."""

import os
import re
import resource
import signal
import socket
import time

import pytest

from ports import free_listeners
from ringway import binary, run
from succession import Clients, Succession, Transfers, ended, paced
from targets import echo
from waiting import eventually

KILLS = 30
STARTED = re.compile(r"started process (\d+)")


class Supervised(Succession):
    """A ringway under a supervisor, which is `process`."""

    def __init__(self, folder, options=None, **how):
        more = how.pop("arguments", ())
        super().__init__(folder, options, arguments=("supervise", *more), **how)

    @property
    def current(self):
        """The process that was started last."""
        found = STARTED.findall(self.log())
        return int(found[-1]) if found else None

    def upgrade(self):
        """SIGUSR2 to the supervisor, and the process that serves then."""
        served = self.log().count("ready socks5=")
        self.signal(signal.SIGUSR2)
        eventually(lambda: self.log().count("ready socks5=") > served, 20, lambda: self.log()[-4000:])
        return self.current

    def close(self):
        for connection in self.sockets:
            connection.close()
        try:
            if self.process.poll() is None:
                self.signal(signal.SIGTERM)
                assert self.exit_code() == 0, self.log()[-4000:]
        finally:
            for pid in [self.process.pid, self.current]:
                if pid and not ended(pid):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait()
            self.log_file.close()
        assert self.panics_expected or "panicked" not in self.log(), self.log()[-4000:]


@pytest.fixture
def supervised(tmp_path):
    started = []

    def start(options=None, **how):
        started.append(Supervised(tmp_path, options, **how))
        return started[-1]

    yield start
    for one in started:
        one.close()


def test_it_starts_a_process_that_serves_and_ends_with_it(supervised, target):
    proxy = supervised()
    connection = proxy.tunnel(target(echo).address)
    connection.sendall(b"hello")
    assert connection.recv(5) == b"hello"
    child = proxy.current
    connection.close()
    proxy.signal(signal.SIGTERM)
    assert proxy.exit_code() == 0
    assert ended(child)


def test_thirty_kills_refuse_nobody(supervised):
    """Who connects while no process runs waits in the listeners' queues, and is served by the next one."""
    proxy = supervised({"socks5.limits.backlog": 4096})
    refused, connected, waiting = 0, 0, []

    def connect_until(condition):
        nonlocal refused, connected
        while not condition():
            try:
                waiting.append(socket.create_connection(proxy.socks, 10))
                connected += 1
            except ConnectionRefusedError:
                refused += 1
            time.sleep(0.001)

    for _ in range(KILLS):
        # One that served for a second is replaced at once.
        since, served = time.monotonic(), proxy.log().count("ready socks5=")
        connect_until(lambda: time.monotonic() - since > 1.02)
        os.kill(proxy.current, signal.SIGKILL)
        connect_until(lambda: proxy.log().count("ready socks5=") > served)
        # Whoever came while there was nobody is served.
        last = waiting[-1]
        last.sendall(bytes([5, 1, 0]))
        last.settimeout(20)
        assert last.recv(2) == bytes([5, 0])
        while waiting:
            waiting.pop().close()
    assert refused == 0 and connected > 20 * KILLS, f"{refused} of {connected} refused"


def test_one_that_keeps_crashing_is_started_later_and_later(supervised):
    proxy = supervised()
    begun = time.monotonic()
    for _ in range(4):
        served = proxy.log().count("ready socks5=")
        os.kill(proxy.current, signal.SIGKILL)
        eventually(lambda: proxy.log().count("ready socks5=") > served, 20)
    assert time.monotonic() - begun > 0.7
    waits = re.findall(r"starting another in (\d+) ms", proxy.log())
    assert waits[0] == "0" and [round(int(wait), -2) for wait in waits] == [0, 100, 200, 400]


def test_one_that_hangs_before_it_could_serve_is_killed(supervised, tmp_path):
    program, hanging = tmp_path / "ringway", tmp_path / "hanging"
    program.symlink_to(binary())
    hanging.write_text("#!/bin/sh\nexec sleep 600\n")
    hanging.chmod(0o755)
    proxy = supervised({"workers.ready_within": "5s"}, program=str(program))
    program.unlink()
    program.symlink_to(hanging)
    first = proxy.current
    os.kill(first, signal.SIGKILL)
    second = eventually(lambda: proxy.current != first and proxy.current)
    program.unlink()
    program.symlink_to(binary())
    proxy.eventually_logs(f"process {second} could not serve within 5s", 20)
    eventually(lambda: proxy.log().count("ready socks5=") == 2, 20, lambda: proxy.log()[-4000:])
    assert proxy.get("/readyz").status == 200 and ended(second)


def test_sigusr2_replaces_the_process_and_nobody_notices(supervised, target):
    proxy = supervised()
    clients = Clients(proxy.socks, target(echo).address)
    transfers = Transfers(proxy.socks, target(paced).address, running=16)
    children = [proxy.current]
    for _ in range(5):
        served = clients.served
        children.append(proxy.upgrade())
        eventually(lambda: clients.served > served + 20)
    clients.stop()
    transfers.stop()
    assert (clients.faults, transfers.faults) == ([], [])
    eventually(lambda: all(ended(child) for child in children[:-1]), 20)
    assert len(set(children)) == 6


def test_a_new_process_that_cannot_serve_leaves_the_old_one(supervised, target, tmp_path):
    settings = tmp_path / "ringway.yaml"
    settings.write_text("log: {level: info}\n")
    proxy = supervised(arguments=("-c", str(settings)))
    old = proxy.current
    settings.write_text("log: {level: loud}\n")
    proxy.signal(signal.SIGUSR2)
    line = proxy.eventually_logs("the old one goes on serving")
    assert "exit code 2" in line
    connection = proxy.tunnel(target(echo).address)
    connection.sendall(b"still")
    assert connection.recv(5) == b"still" and not ended(old)
    # A crash now meets a configuration that is refused: it is tried again until it is mended.
    os.kill(old, signal.SIGKILL)
    proxy.eventually_logs("starting another in 100 ms")
    served = proxy.log().count("ready socks5=")
    settings.write_text("log: {level: info}\n")
    eventually(lambda: proxy.log().count("ready socks5=") > served)
    assert proxy.get("/readyz").status == 200


def test_a_wrong_configuration_and_a_taken_port_end_it_with_their_codes(tmp_path):
    assert run("supervise", "--set", "log.level=loud", cwd=tmp_path).returncode == 2
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = [f"--set={key}=[127.0.0.1:0]" for key in ("websocket.listen", "control.listen")]
        ended_with = run("supervise", *free, "--set", "socks5.listen=[127.0.0.1:{}]".format(taken.getsockname()[1]), cwd=tmp_path)
    assert ended_with.returncode == 3, ended_with.stderr
    assert "another process listens there" in ended_with.stderr


def test_it_takes_all_descriptors_it_may_have(supervised):
    low = 'ulimit -Sn 60; exec "$@"'
    proxy = supervised({"workers.count": 8}, launcher=("bash", "-c", low, "bash"))
    soft, hard = resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE)
    assert soft == hard > 60


def test_one_without_descriptors_leaves_the_process_alone(supervised, target, tmp_path):
    settings, (one, other) = tmp_path / "ringway.yaml", free_listeners("one", "other").values()
    settings.write_text(f"socks5: {{listen: {one}}}\n")
    proxy = supervised({"socks5.listen": None}, arguments=("-c", str(settings)))
    connection, child = proxy.tunnel(target(echo).address), proxy.current
    # None is left for the listener that a reload adds.
    limits = resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, (3, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    settings.write_text(f"socks5: {{listen: {one[:-1]}, {other[1:]}}}\n")
    json = {"Content-Type": "application/json"}
    answer = proxy.http("POST", "/admin/reload-config", json)
    assert answer.status == 200 and answer.json["opened"], answer.text
    proxy.eventually_logs("not all descriptors could be taken over")
    resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, limits)
    # It would be given two seconds to end.
    with pytest.raises(AssertionError):
        eventually(lambda: ended(child), 3)
    connection.sendall(b"still")
    assert connection.recv(5) == b"still"
    # Told the next time, they are kept.
    settings.write_text(f"socks5: {{listen: {one}}}\n")
    assert proxy.http("POST", "/admin/reload-config", json).json["closed"]
    settings.write_text(f"socks5: {{listen: {one[:-1]}, {other[1:]}}}\n")
    assert proxy.http("POST", "/admin/reload-config", json).json["opened"]
    proxy.upgrade()
    assert proxy.get("/readyz").status == 200


def test_a_request_to_the_process_itself_goes_to_the_supervisor(supervised):
    proxy = supervised()
    old, served = proxy.current, proxy.log().count("ready socks5=")
    os.kill(old, signal.SIGUSR2)
    eventually(lambda: proxy.log().count("ready socks5=") > served)
    assert proxy.current != old
    eventually(lambda: ended(old))
    assert proxy.get("/readyz").status == 200


def test_the_control_port_asks_the_supervisor(supervised, tmp_path):
    settings = tmp_path / "ringway.yaml"
    settings.write_text("log: {level: info}\n")
    proxy = supervised(arguments=("-c", str(settings)))
    json = {"Content-Type": "application/json"}
    settings.write_text("log: {level: loud}\n")
    failed = proxy.http("POST", "/admin/upgrade", json)
    assert failed.status == 422 and "exit code 2" in failed.json["detail"], failed.text
    settings.write_text("log: {level: info}\n")
    assert proxy.http("POST", "/admin/upgrade", json).json == {"state": "handed_over", "process": None}
    assert proxy.get("/readyz").status == 200


def test_a_process_that_is_stopped_ends_its_supervisor(supervised, target):
    proxy = supervised()
    os.kill(proxy.current, signal.SIGTERM)
    assert proxy.exit_code() == 0


def test_signals_to_a_process_that_is_being_started_are_passed_on_once_it_could_serve(supervised, tmp_path):
    program, slow, go_on = tmp_path / "ringway", tmp_path / "slow", tmp_path / "go-on"
    program.symlink_to(binary())
    # Signals are not caught yet, for as long as the test wants.
    slow.write_text(f'#!/bin/sh\nwhile [ ! -e "{go_on}" ]; do sleep 0.05; done\nexec "{binary()}" "$@"\n')
    slow.chmod(0o755)
    proxy = supervised(program=str(program))
    old = proxy.current
    program.unlink()
    program.symlink_to(slow)
    proxy.signal(signal.SIGUSR2)
    new = eventually(lambda: proxy.current != old and proxy.current)
    proxy.signal(signal.SIGHUP)
    proxy.signal(signal.SIGUSR1)
    # The old one has had them by now; so would the new one have.
    proxy.eventually_logs("no log file to reopen")
    go_on.touch()
    eventually(lambda: proxy.log().count("ready socks5=") == 2, 20, lambda: proxy.log()[-4000:])
    eventually(lambda: proxy.log().count("no log file to reopen") >= 2)
    assert proxy.get("/readyz").status == 200 and not ended(new)


def refuses(where):
    try:
        socket.create_connection(where, 5).close()
        return False
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        return False  # It came between the last accept(2) and the listener's close(2).


def test_a_stop_sent_to_all_processes_counts_once(supervised, target):
    """As by systemd's KillMode=control-group."""
    proxy = supervised()
    connection = proxy.tunnel(target(echo).address)
    for pid in (proxy.pid, proxy.current):
        os.kill(pid, signal.SIGTERM)
    proxy.eventually_logs("draining 1 connections")
    eventually(lambda: refuses(proxy.socks))
    with pytest.raises(AssertionError):
        eventually(lambda: "cutting what is left" in proxy.log(), 1.5)
    connection.sendall(b"still")
    assert connection.recv(5) == b"still"
    # A second one is meant, by whichever way.
    proxy.signal(signal.SIGTERM)
    proxy.eventually_logs("cutting what is left")
    assert proxy.exit_code() != 0


def test_a_process_that_drains_to_its_end_leaves_nobody_waiting_in_a_queue(supervised, target):
    proxy = supervised()
    connection = proxy.tunnel(target(echo).address)
    os.kill(proxy.current, signal.SIGTERM)
    eventually(lambda: refuses(proxy.socks))
    connection.sendall(b"still")
    assert connection.recv(5) == b"still"
    connection.close()
    assert proxy.exit_code() == 0


def test_signals_are_passed_on(supervised, tmp_path):
    log = tmp_path / "access.log"
    proxy = supervised({"log.access": str(log)})
    log.rename(tmp_path / "access.log.1")
    proxy.signal(signal.SIGUSR1)
    eventually(log.exists)
    proxy.signal(signal.SIGHUP)
    proxy.eventually_logs("reload")


def test_a_process_whose_supervisor_is_killed_goes_on(supervised, target):
    proxy = supervised()
    child = proxy.current
    connection = proxy.tunnel(target(echo).address)
    proxy.process.kill()
    proxy.process.wait()
    proxy.eventually_logs("the supervisor has gone")
    connection.sendall(b"still")
    assert connection.recv(5) == b"still"
    # It is an ordinary process then: a hot restart is its own affair.
    served = proxy.log().count("ready socks5=")
    os.kill(child, signal.SIGUSR2)
    eventually(lambda: proxy.log().count("ready socks5=") > served)
    connection.close()
    eventually(lambda: ended(child))
    heir = int(re.findall(r"handing over to process (\d+)", proxy.log())[-1])
    os.kill(heir, signal.SIGTERM)
    eventually(lambda: ended(heir))


def test_counters_go_over_to_the_next_process_and_begin_anew_after_a_crash(supervised, target):
    proxy = supervised()
    echoing = target(echo).address
    proxy.tunnel(echoing).close()
    eventually(lambda: proxy.active() == 0)
    before = proxy.metrics()("socks5_proxy_connections_total")
    proxy.upgrade()
    assert proxy.metrics()("socks5_proxy_connections_total") == before == 1
    served = proxy.log().count("ready socks5=")
    os.kill(proxy.current, signal.SIGKILL)
    eventually(lambda: proxy.log().count("ready socks5=") > served)
    assert proxy.metrics()("socks5_proxy_connections_total") == 0


def test_a_lost_worker_is_replaced_at_once_while_connections_of_the_others_live_on(supervised, target):
    proxy = supervised({"workers.count": 2, "control.test_endpoints": "true"})
    echoing = target(echo).address
    connections = [proxy.tunnel(echoing) for _ in range(16)]
    old, served = proxy.current, proxy.log().count("ready socks5=")
    proxy.panics_expected = True
    assert proxy.http("POST", "/api/v1/drill?kind=die&worker=1", {"Content-Type": "application/json"}).status == 202
    eventually(lambda: proxy.log().count("ready socks5=") > served)
    # While the old one drains, everybody who comes is served.
    assert not ended(old)
    for _ in range(20):
        connection = proxy.tunnel(echoing)
        connection.sendall(b"hello")
        assert connection.recv(5) == b"hello"
    for connection in connections:
        connection.close()
    eventually(lambda: ended(old), 15)
    proxy.eventually_logs("ended with exit code 1")


def test_it_takes_little_memory(supervised):
    proxy = supervised()
    with open(f"/proc/{proxy.pid}/status") as status:
        fields = dict(line.split(":\t", 1) for line in status if ":\t" in line)
    # Its code is the same file's pages as its process's.
    assert int(fields["RssAnon"].split()[0]) < 12 << 10
    assert int(fields["Threads"]) == 1
