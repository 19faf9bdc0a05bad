"""SIGUSR2: a new process takes over, and no client notices; or it does not come to serve, and the old one goes on."""

import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import threading

import pytest

import ringway as program
from ports import free_listeners
from prometheus import Metrics
from socks5 import CONNECT, greeting, receive_exactly, request
from succession import HANDED, Clients, Succession, Transfers, ended, paced
from targets import echo
from waiting import eventually
from websocket_client import answer_to, upgrade_request

RESTARTS = 20


@pytest.fixture
def succession(request, tmp_path):
    started = []

    def start(options=None, **how):
        started.append(Succession(tmp_path, options, **how))
        return started[-1]

    yield start
    for one in started:
        one.close()


def test_a_new_process_serves_at_the_same_ports_and_the_old_one_ends(succession, target):
    proxy = succession()
    old = proxy.current
    echoing = target(echo).address
    before = proxy.tunnel(echoing)
    new = proxy.upgrade()
    assert new != old
    # Who was there stays with the old one, who comes is served by the new one.
    before.sendall(b"still")
    assert before.recv(5) == b"still"
    assert not ended(old)
    after = proxy.tunnel(echoing)
    after.sendall(b"hello")
    assert after.recv(5) == b"hello"
    assert proxy.get("/readyz").status == 200
    before.close()
    assert proxy.code_of(old) == 0
    after.sendall(b"still")
    assert after.recv(5) == b"still"


def test_twenty_hot_restarts_under_load_lose_nothing(succession, target):
    proxy = succession({"socks5.limits.backlog": 4096})
    clients = Clients(proxy.socks, target(echo).address)
    transfers = Transfers(proxy.socks, target(paced).address)
    for _ in range(RESTARTS):
        served = clients.served
        proxy.upgrade()
        eventually(lambda: clients.served > served + 20)
    clients.stop()
    transfers.stop()
    assert (clients.faults, transfers.faults) == ([], [])
    assert transfers.whole >= 64 and clients.served > 20 * RESTARTS
    for pid in proxy.pids[:-1]:
        assert proxy.code_of(pid) == 0


# What does not come to serve


def still_serves(proxy, pid, target):
    """The old process serves, and takes part in everything as before."""
    connection = proxy.tunnel(target)
    connection.sendall(b"still")
    assert connection.recv(5) == b"still"
    connection.close()
    assert not ended(pid) and proxy.get("/readyz").status == 200


def put(path, script):
    """Replaces a program, as an upgrade does: the file that runs stays what it is."""
    new = path.with_name("new")
    new.write_text("#!/bin/sh\n" + script + "\n")
    new.chmod(stat.S_IRWXU)
    os.replace(new, path)


@pytest.fixture
def replaceable(tmp_path):
    """A copy of the program."""
    return shutil.copy(program.binary(), tmp_path / "ringway")


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("exit 7", "ended with exit code 7"),
        ("kill -SEGV $$", "was ended by signal 11"),
        ("exec sleep 60", "could not serve within 1s"),
        ("echo nonsense >&0; exec sleep 60", "was killed"),
        ("exec <&-; exec sleep 60", "hung up, and could not be killed|was ended by signal 9"),
    ],
)
def test_a_program_that_does_not_come_to_serve_leaves_the_old_one(succession, target, replaceable, script, told):
    echoing = target(echo).address
    proxy = succession({"workers.ready_within": "1s"}, program=replaceable)
    old = proxy.current
    put(replaceable, script)
    os.kill(old, signal.SIGUSR2)
    eventually(lambda: "this one goes on serving" in proxy.log(), 10, proxy.log)
    line = next(line for line in proxy.log().splitlines() if "this one goes on serving" in line)
    assert any(words in line for words in told.split("|")), line
    still_serves(proxy, old, echoing)
    # And once the program is mended, it is replaced.
    mended = replaceable.with_name("mended")
    shutil.copy(program.binary(), mended)
    os.replace(mended, replaceable)
    proxy.upgrade()
    assert proxy.code_of(old) == 0
    still_serves(proxy, proxy.current, echoing)


def test_the_control_port_begins_one_and_tells_what_came_of_it(succession, replaceable):
    proxy = succession({"workers.ready_within": "1s"}, program=replaceable)
    old = proxy.current
    plain = {"Content-Type": "application/json"}
    put(replaceable, "exit 7")
    failed = proxy.http("POST", "/admin/upgrade", plain)
    assert failed.status == 422 and "exit code 7" in failed.json["detail"], failed.text
    mended = replaceable.with_name("mended")
    shutil.copy(program.binary(), mended)
    os.replace(mended, replaceable)
    done = proxy.http("POST", "/admin/upgrade", plain)
    assert done.status == 200 and done.json["state"] == "handed_over", done.text
    proxy.pids.append(done.json["process"])
    assert proxy.code_of(old) == 0
    eventually(lambda: proxy.get("/readyz").status == 200)


def test_a_bad_configuration_leaves_the_old_one(succession, target, tmp_path):
    echoing = target(echo).address
    settings = tmp_path / "ringway.yaml"
    settings.write_text("log: {level: info}\n")
    proxy = succession(arguments=("-c", str(settings)))
    old = proxy.current
    settings.write_text("log: {level: loud}\n")
    os.kill(old, signal.SIGUSR2)
    line = proxy.eventually_logs("this one goes on serving")
    assert "exit code 2" in line and "loud" in proxy.log()
    still_serves(proxy, old, echoing)
    settings.write_text("log: {level: info}\nsocks5: {deny_targets: [127.0.0.0/8]}\n")
    proxy.upgrade()
    assert proxy.refusal(*echoing) == 2, "the new process has read the file anew"


@pytest.mark.parametrize(("widened", "allowed"), [("socks5", "open_proxy"), ("control", "insecure")])
def test_an_address_is_widened_and_narrowed_by_a_hot_restart(succession, target, tmp_path, widened, allowed):
    """The old process listens still where the new one begins to."""
    echoing = target(echo).address
    ports = free_listeners("socks5.listen", "websocket.listen", "control.listen")
    settings = tmp_path / "ringway.yaml"

    def listens(wide):
        tree = {key.split(".")[0]: {"listen": [addresses.strip("[]")]} for key, addresses in ports.items()}
        if wide:
            tree[widened] = {"listen": [tree[widened]["listen"][0].replace("127.0.0.1", "0.0.0.0")], allowed: True}
        settings.write_text(json.dumps(tree))

    listens(wide=False)
    proxy = succession(dict.fromkeys(ports), arguments=("-c", str(settings)))
    clients = Clients(proxy.socks, echoing)
    for wide in (True, False):
        listens(wide)
        old = proxy.current
        proxy.upgrade()
        assert proxy.code_of(old) == 0
        still_serves(proxy, proxy.current, echoing)
    clients.stop()
    assert clients.faults == []


def test_clients_are_not_lost_to_a_process_with_more_workers_that_does_not_come_to_serve(succession, target, tmp_path):
    """Its additional sockets would get their share of the clients, and reset them when it ends."""
    settings = tmp_path / "ringway.yaml"
    settings.write_text("workers: {count: 1}\n")
    proxy = succession(arguments=("-c", str(settings)))
    clients = Clients(proxy.socks, target(echo).address)
    # No interface has that address (RFC 5737), which is seen late.
    settings.write_text("workers: {count: 8}\nsocks5: {egress: {addresses: [192.0.2.9]}}\n")
    for times in range(1, 4):
        os.kill(proxy.current, signal.SIGUSR2)
        eventually(lambda: proxy.log().count("this one goes on serving") == times, 20, proxy.log)
    clients.stop()
    assert clients.faults == [] and "192.0.2.9" in proxy.log()


def test_the_control_ports_files_go_with_their_paths(succession, target, tmp_path):
    settings, first, second = (tmp_path / name for name in ("ringway.yaml", "first.sock", "second.sock"))
    settings.write_text(f"control: {{unix: {first}}}\n")
    proxy = succession(arguments=("-c", str(settings)))
    # The first process drains all the while.
    connection = proxy.tunnel(target(echo).address)
    proxy.upgrade()
    assert first.exists()
    settings.write_text(f"control: {{unix: {second}}}\n")
    proxy.upgrade()
    assert proxy.get("/readyz").status == 200
    assert second.exists() and not first.exists(), "a hot restart to another path"
    proxy.upgrade()
    settings.write_text("control: {}\n")
    assert proxy.http("POST", "/admin/reload-config", {"Content-Type": "application/json"}).status == 200
    eventually(lambda: not second.exists(), 5)
    connection.close()
    for pid in proxy.pids[:-1]:
        assert proxy.code_of(pid) == 0


def test_a_stop_while_a_process_is_being_started_ends_both(succession, replaceable):
    proxy = succession(program=replaceable)
    put(replaceable, "exec sleep 60")
    os.kill(proxy.current, signal.SIGUSR2)
    line = proxy.eventually_logs("to take over")
    child = int(line.split("started process ")[1].split()[0])
    # A second request does nothing but say so.
    os.kill(proxy.current, signal.SIGUSR2)
    proxy.eventually_logs("no hot restart: another one is under way")
    os.kill(proxy.current, signal.SIGTERM)
    assert proxy.exit_code() == 0
    assert ended(child)


def test_who_asked_hears_of_a_stop_and_the_drain_is_as_ever(succession, replaceable, target, websocket):
    proxy = succession({"websocket.drain_window": "20s"}, program=replaceable)
    put(replaceable, "exec sleep 60")
    relayed, client = proxy.tunnel(target(echo).address), websocket(proxy)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(proxy.http("POST", "/admin/upgrade")))
    asking.start()
    proxy.eventually_logs("to take over")
    os.kill(proxy.current, signal.SIGTERM)
    asking.join(5)
    assert [answer.status for answer in answers] == [409] and "is to end" in answers[0].json["detail"]
    # The listeners are nobody else's any more: the gateway says where to go until its last client has gone.
    proxy.eventually_logs("draining 2 connections")
    assert answer_to(proxy.websocket, upgrade_request()).status == 503
    client.close()
    relayed.close()
    assert proxy.exit_code() == 0


# Reloads meanwhile

# The new process waits until there is a file `go`; what `go` says is done first.
WAITING = 'while [ ! -s go ]; do sleep 0.02; done; . ./go; exec ./real "$@"'


@pytest.fixture
def waiting(succession, replaceable, tmp_path):
    """A hot restart under way, with a reload that was refused and one by SIGHUP that was put off."""
    settings = tmp_path / "ringway.yaml"
    settings.write_text("log: {level: info}\n")
    proxy = succession(arguments=("-c", str(settings)), program=replaceable)
    shutil.copy(replaceable, tmp_path / "real")
    put(replaceable, WAITING)
    os.kill(proxy.current, signal.SIGUSR2)
    proxy.eventually_logs("to take over")
    settings.write_text("socks5: {limits: {connections: 77}}\n")
    refused = proxy.http("POST", "/admin/reload-config")
    assert refused.status == 409 and "a hot restart is under way" in refused.json["detail"], refused.text
    os.kill(proxy.current, signal.SIGHUP)
    proxy.eventually_logs("reload by SIGHUP: put off")
    assert proxy.get("/health").json["generation"] == 1
    yield proxy
    (tmp_path / "go").write_text("exit 7\n")


def test_a_reload_put_off_is_done_when_nothing_came_of_the_hot_restart(waiting, tmp_path):
    (tmp_path / "go").write_text("exit 7\n")
    waiting.eventually_logs("reload by SIGHUP: generation 2")
    assert waiting.get("/config").json["socks5.limits.connections"]["value"] == 77


def test_a_reload_put_off_is_done_by_the_new_process(waiting, tmp_path):
    (tmp_path / "go").write_text("true\n")
    line = waiting.eventually_logs("handing over to process")
    waiting.pids.append(int(line.split("handing over to process ")[1].split()[0]))
    waiting.eventually_logs("reload by SIGHUP: nothing has changed")
    eventually(lambda: waiting.get("/readyz").status == 200)
    assert waiting.get("/config").json["socks5.limits.connections"]["value"] == 77


@pytest.mark.parametrize("signals", [(signal.SIGHUP, signal.SIGUSR2), (signal.SIGUSR2, signal.SIGHUP)])
def test_a_listener_that_comes_with_a_hot_restart_is_served_by_the_new_process(succession, target, tmp_path, signals):
    first, second = free_listeners("first", "second").values()
    settings = tmp_path / "ringway.yaml"
    settings.write_text(f"socks5: {{listen: {first}}}\n")
    proxy = succession({"socks5.listen": None}, arguments=("-c", str(settings)))
    settings.write_text(f"socks5: {{listen: [{first[1:-1]}, {second[1:-1]}]}}\n")
    os.kill(proxy.current, signals[0])
    os.kill(proxy.current, signals[1])
    line = proxy.eventually_logs("handing over to process", 20)
    proxy.pids.append(int(line.split("handing over to process ")[1].split()[0]))
    assert proxy.code_of(proxy.pids[0]) == 0
    for port in (first, second):
        proxy.socks = program.address(port[1:-1])
        still_serves(proxy, proxy.current, target(echo).address)


def test_a_draining_process_starts_no_other(succession, target):
    proxy = succession()
    connection = proxy.tunnel(target(echo).address)
    os.kill(proxy.current, signal.SIGTERM)
    proxy.eventually_logs("draining 1 connections")
    os.kill(proxy.current, signal.SIGUSR2)
    proxy.eventually_logs("no hot restart: this process is draining")
    connection.close()
    assert proxy.exit_code() == 0


# What goes on


def test_who_was_about_to_say_something_may_finish(succession, target):
    """A client that was accepted, and is in the middle of its request, is served by the process that has it."""
    echoing = target(echo).address
    proxy = succession()
    old = proxy.current
    client = proxy.connect()
    client.sendall(greeting(0))
    assert receive_exactly(client, 2) == bytes([5, 0])
    proxy.upgrade()
    client.sendall(request(*echoing, CONNECT) + b"hello")
    assert receive_exactly(client, 10)[1] == 0
    assert receive_exactly(client, 5) == b"hello"
    assert not ended(old)
    client.close()
    assert proxy.code_of(old) == 0


CUMULATIVE = ("_total", "_bucket", "_sum", "_count")


def counts(text):
    """Series -> value of all that only grows, but for what tells of one process."""
    grows = {}
    for name, labels, value in Metrics(text).samples:
        if name.endswith(CUMULATIVE) and not name.startswith("process_"):
            grows[name, *sorted(labels.items())] = value
    return grows


def test_counters_never_go_back(succession, target):
    proxy = succession()
    clients = Clients(proxy.socks, target(echo).address, threads=4)
    transfers = Transfers(proxy.socks, target(paced).address, running=8)
    before, scrapes, steps, stop = {}, 0, [], threading.Event()

    def scrape():
        nonlocal before, scrapes
        while not stop.is_set():
            now = counts(proxy.get("/metrics", Cache_Control="no-cache").text)
            steps.extend((series, value, now.get(series)) for series, value in before.items() if now.get(series, -1) < value)
            before, scrapes = now, scrapes + 1

    scraper = threading.Thread(target=scrape)
    scraper.start()
    for _ in range(5):
        done = scrapes
        proxy.upgrade()
        eventually(lambda: scrapes > done + 10)
    clients.stop()
    transfers.stop()
    stop.set()
    scraper.join()
    assert steps == [], steps[:5]
    for pid in proxy.pids[:-1]:
        assert proxy.code_of(pid) == 0
    done = clients.served + transfers.whole
    assert (clients.faults, transfers.faults) == ([], [])
    # Those that drained are counted to the last byte.
    metrics = eventually(lambda: (now := proxy.metrics())("socks5_connections_closed_total") >= done and now, 5, proxy.closed)
    assert metrics("socks5_proxy_connections_total") == done
    assert metrics("socks5_traffic_bytes_received_total") == clients.served + transfers.whole * transfers.size
    assert metrics("socks5_proxy_connections_active") == 0


def test_a_quota_is_used_up_over_hot_restarts(succession, target, users_file):
    echoing = target(echo).address
    proxy = succession({**users_file(alice={"quota": "1MiB"}), "socks5.quota_file": "quotas.json"})
    alice = ("alice", "secret")

    def left():
        return proxy.metrics()("socks5_user_quota_bytes_left", user="alice")

    draining = proxy.tunnel(echoing, alice)
    for _ in range(2):
        connection = proxy.tunnel(echoing, alice)
        connection.sendall(b"x" * 1000)
        assert len(receive_exactly(connection, 1000)) == 1000
        connection.close()
        proxy.upgrade()
    assert left() == (1 << 20) - 4000
    # What the process that drains still carries counts too, by way of the one between.
    draining.sendall(b"x" * 500)
    assert len(receive_exactly(draining, 500)) == 500
    eventually(lambda: left() == (1 << 20) - 5000, 5, left)
    draining.close()
    for pid in proxy.pids[:-1]:
        assert proxy.code_of(pid) == 0
    assert left() == (1 << 20) - 5000


def test_a_quota_that_is_used_up_stays_so_while_the_control_port_goes_over(succession, target, users_file):
    """The new process serves a second before it is its turn: so long the old one waits for the end of a request."""
    echoing = target(echo).address
    proxy = succession({**users_file(alice={"quota": "1000B"}), "socks5.quota_file": "quotas.json"})
    alice = ("alice", "secret")
    connection = proxy.tunnel(echoing, alice)
    connection.sendall(b"x" * 2000)
    with contextlib.suppress(ConnectionResetError):
        while connection.recv(2000):
            pass
    eventually(lambda: '"used_bytes":1000' in (proxy.folder / "quotas.json").read_text(), 5)
    waits = socket.create_connection(proxy.control)
    waits.sendall(b"POST /admin/drain HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n")
    served, codes = proxy.log().count("ready socks5="), []
    os.kill(proxy.current, signal.SIGUSR2)

    def is_over():
        codes.append(proxy.ask(*echoing, user=alice)[1].code)
        return proxy.log().count("ready socks5=") > served

    eventually(is_over, 20, proxy.log)
    proxy.pids.append(int(HANDED.findall(proxy.log())[-1]))
    waits.close()
    assert proxy.code_of(proxy.pids[0]) == 0
    assert set(codes) == {2} and len(codes) > 5


def test_websocket_clients_are_told_to_come_again_and_find_the_new_process(succession, websocket):
    proxy = succession({"websocket.drain_window": "1s", "websocket.echo": "true"})
    old = proxy.current
    client = websocket(proxy, "/echo")
    proxy.upgrade()
    assert websocket(proxy, "/echo")
    assert client.ended(1012)
    client.close()
    assert proxy.code_of(old) == 0
