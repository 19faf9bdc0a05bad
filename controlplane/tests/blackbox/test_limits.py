"""Many clients, hostile clients, and what is left after them."""

import resource
import selectors
import socket
import subprocess
import threading
import time

import pytest

import socks5
from ringway import REPOSITORY
from targets import answer_one_request, echo
from waiting import eventually

SOCKS_LOAD = REPOSITORY / "target/release/socks_load"
SILENT_CLIENTS_WANTED = 10_000
# Of the descriptor limit, this many are left to everything but clients, on either side.
DESCRIPTORS_SPARED = 500
HANDSHAKE_BUDGET_SECONDS = 3
# A table of 10,000 is scanned once a second; the rest is for two busy cores.
BUDGET_TOLERANCE_SECONDS = 4
# By hand 100,000 were made.
SHORT_CONNECTIONS = 20_000
# Before it counts, socks_load tries the way with a connection of its own and sends nothing over it.
SOCKS_LOAD_TRIES = 1
SHORT_CONNECTIONS_BY_PYTHON = 2_000
# Allocators keep pages; a leak of 1 KiB a connection would be 20 MB.
GROWTH_AFTER_SHORT_CONNECTIONS_BYTES = 12 << 20


def silent_clients():
    """10,000, or what the hard limit of descriptors of this machine lets one process hold."""
    return min(SILENT_CLIENTS_WANTED, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - DESCRIPTORS_SPARED)


class Crowd:
    """Clients that do not finish their greeting, held in one selector."""

    def __init__(self, proxy, count):
        self.selector = selectors.DefaultSelector()
        self.born = {}
        self.lives = []
        for number in range(count):
            connection = socket.create_connection(proxy.socks, 20, source_address=(f"127.0.1.{1 + number % 200}", 0))
            connection.setblocking(False)
            self.selector.register(connection, selectors.EVENT_READ)
            self.born[connection] = time.monotonic()

    def sends_one_byte(self, byte):
        for connection in self.born:
            try:
                connection.send(byte)
            except OSError:
                pass  # Already ended: its event is waiting.

    def watch(self, seconds):
        """Notes who was ended meanwhile."""
        deadline = time.monotonic() + seconds
        while self.born and (left := deadline - time.monotonic()) > 0:
            for key, _ in self.selector.select(left):
                self.selector.unregister(key.fileobj)
                self.lives.append(time.monotonic() - self.born.pop(key.fileobj))
                key.fileobj.close()

    def close(self):
        for connection in self.born:
            connection.close()
        self.selector.close()


@pytest.mark.parametrize("byte_at_a_time", [False, True], ids=["silent", "byte_at_a_time"])
def test_ten_thousand_clients_that_never_finish_neither_block_others_nor_outlive_the_budget(
    ringway, target, closing, byte_at_a_time
):
    count, server = silent_clients(), target(echo)
    proxy = ringway(
        {
            "socks5.limits.connections": count + 100,
            "socks5.timeouts.handshake": f"{HANDSHAKE_BUDGET_SECONDS}s",
            "socks5.timeouts.greeting": "60s",
        }
    )
    crowd = closing(Crowd(proxy, count))
    slowest, spoken = 0, False
    while crowd.born:
        begun = time.monotonic()
        connection = proxy.tunnel(server.address)
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"
        connection.close()
        slowest = max(slowest, time.monotonic() - begun)
        if byte_at_a_time:
            # A greeting that offers 255 methods takes 257 bytes: at this pace it never ends.
            crowd.sends_one_byte(b"\xff" if spoken else b"\x05")
            spoken = True
        crowd.watch(0.5)
        assert not crowd.born or time.monotonic() - min(crowd.born.values()) < HANDSHAKE_BUDGET_SECONDS + BUDGET_TOLERANCE_SECONDS, (
            f"{len(crowd.born)} of {count} (limit of descriptors: {resource.getrlimit(resource.RLIMIT_NOFILE)[1]}) live on"
        )
    assert slowest < 1, "a new client is served at once"
    assert min(crowd.lives) > HANDSHAKE_BUDGET_SECONDS * 0.8
    proxy.eventually_closed("handshake_timeout", count)


@pytest.mark.skipif(not SOCKS_LOAD.exists(), reason="socks_load is not built")
@pytest.mark.parametrize("driver", ["auto", "epoll"])
def test_after_many_short_connections_nothing_is_left_and_every_one_is_counted(ringway, driver):
    proxy = ringway({"log.access": "false", "workers.driver": driver})
    rate(proxy, 2_000)
    eventually(lambda: proxy.active() == 0)
    descriptors, memory, before = proxy.descriptors(), proxy.resident_bytes(), proxy.metrics()
    rate(proxy, SHORT_CONNECTIONS)
    eventually(lambda: proxy.active() == 0)
    after = proxy.metrics()

    made = SHORT_CONNECTIONS + SOCKS_LOAD_TRIES

    def grew(name, **labels):
        return after(name, **labels) - before(name, **labels)

    assert grew("socks5_proxy_connections_total") == made
    assert grew("socks5_handshakes_total", result="success") == made
    assert grew("socks5_connections_closed_total") == made
    assert grew("socks5_session_duration_seconds_count") == made
    assert grew("socks5_traffic_bytes_sent_total") == SHORT_CONNECTIONS
    assert grew("socks5_traffic_bytes_received_total") == SHORT_CONNECTIONS
    eventually(lambda: proxy.descriptors() <= descriptors, what=lambda: f"{proxy.descriptors()} descriptors, {descriptors} before")
    assert proxy.resident_bytes() - memory < GROWTH_AFTER_SHORT_CONNECTIONS_BYTES


def rate(proxy, connections):
    outcome = subprocess.run(
        [SOCKS_LOAD, "rate", "--proxy", "{}:{}".format(*proxy.socks), "--connections", str(connections), "--parallel", "32", "--json"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_totals_and_reasons_are_exactly_what_was_done(ringway, target, listener):
    server, dead = target(answer_one_request), listener()
    dead.close()
    proxy = ringway()
    for _ in range(SHORT_CONNECTIONS_BY_PYTHON // 10):
        for _ in range(8):
            connection = proxy.tunnel(server.address)
            connection.sendall(b"?")
            assert socks5.receive_until_closed(connection) == b"!"
            connection.close()
        assert proxy.refusal(*dead.address) == socks5.REFUSED
        connection = proxy.connect()
        connection.sendall(b"\x03")
        assert socks5.receive_until_closed(connection) == b""
        connection.close()
        proxy.sockets.clear()
    tenth = SHORT_CONNECTIONS_BY_PYTHON // 10
    eventually(lambda: proxy.active() == 0)
    assert proxy.closed() == {"finished": 8 * tenth, "connect_refused": tenth, "bad_version": tenth}
    metrics = proxy.metrics()
    assert metrics("socks5_proxy_connections_total") == SHORT_CONNECTIONS_BY_PYTHON
    assert {key: value for key, value in metrics.by("socks5_handshakes_total", "result").items() if value} == {
        "success": 8 * tenth,
        "connect_refused": tenth,
        "bad_version": tenth,
    }
    assert metrics("socks5_connect_duration_seconds_count") == 9 * tenth
    assert server.accepted == 8 * tenth
    eventually(lambda: len(proxy.access_lines()) == SHORT_CONNECTIONS_BY_PYTHON)


CONNECTION_LIMIT = 10


def test_the_eleventh_of_ten_connections_is_refused_and_counted(ringway, target):
    server = target(echo)
    proxy = ringway({"socks5.limits.connections": CONNECTION_LIMIT})
    held = [proxy.tunnel(server.address) for _ in range(CONNECTION_LIMIT)]
    with pytest.raises(ConnectionResetError):
        proxy.connect().recv(1)
    proxy.eventually_closed("limit_connections")
    for connection in held:
        connection.sendall(b"x")
        assert connection.recv(1) == b"x", "those inside go on"
    held[0].close()

    def served():
        try:
            return proxy.tunnel(server.address)
        except (AssertionError, OSError):
            return None

    assert eventually(served), "a place that is left is taken"


def gets_in(proxy, server, source="127.0.0.1"):
    """A connection relayed to the server, or None: however it is refused."""
    try:
        connection = proxy.connect((source, 0))
        connection.sendall(socks5.greeting(socks5.NO_AUTH) + socks5.request(*server.address))
        assert socks5.receive_exactly(connection, 2) == b"\x05\x00"
        return connection if socks5.read_reply(connection).code == socks5.SUCCEEDED else None
    except (AssertionError, ConnectionError):
        return None


CLIENT_LIMIT = 3


def test_one_client_has_only_so_many_connections(ringway, target):
    server = target(echo)
    proxy = ringway({"workers.count": 2, "socks5.limits.connections_per_client": CLIENT_LIMIT})
    held = [gets_in(proxy, server) for _ in range(CLIENT_LIMIT)]
    assert all(held)
    assert not gets_in(proxy, server)
    proxy.eventually_closed("limit_client_connections")
    assert gets_in(proxy, server, "127.0.0.2"), "another client has its own"
    held[0].close()
    assert eventually(lambda: gets_in(proxy, server)), "a place that is left is taken"
    assert not gets_in(proxy, server)


def test_silent_connections_count_for_their_client_too(ringway, target):
    server = target(echo)
    proxy = ringway({"socks5.limits.connections_per_client": CLIENT_LIMIT})
    for _ in range(CLIENT_LIMIT):
        proxy.connect()
    eventually(lambda: proxy.active() == CLIENT_LIMIT, what="all accepted")
    assert not gets_in(proxy, server)
    proxy.eventually_closed("limit_client_connections")


RATE_LIMIT = 10


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("new_connections_per_second", "limit_new_connections"),
        ("new_connections_per_second_per_client", "limit_client_new_connections"),
    ],
)
def test_new_connections_come_only_so_fast(ringway, target, key, reason):
    server = target(answer_one_request)
    proxy = ringway({"workers.count": 2, f"socks5.limits.{key}": RATE_LIMIT})
    begun = time.monotonic()
    results = [bool(gets_in(proxy, server)) for _ in range(RATE_LIMIT * 5)]
    seconds = time.monotonic() - begun
    assert 1 <= sum(results) <= RATE_LIMIT * (2 + seconds)
    proxy.eventually_closed(reason, results.count(False))
    if reason == "limit_client_new_connections":
        assert gets_in(proxy, server, "127.0.0.2"), "another client has a rate of its own"
    assert eventually(lambda: gets_in(proxy, server)), "later there is room again"


def test_by_default_one_client_may_have_many_and_fast(ringway, target):
    server, proxy = target(echo), ringway()
    assert all(gets_in(proxy, server) for _ in range(300))


SMALL_DESCRIPTOR_LIMIT = 400


def overcrowd(proxy, closing, clients):
    """Connects more clients than the descriptors carry; those that are reset do not matter."""
    held = []
    for _ in range(clients):
        try:
            held.append(closing(socket.create_connection(proxy.socks, 10)))
        except ConnectionResetError:
            pass
    return held


def answers_now_and_serves_after(proxy, server, held):
    for path in ("/livez", "/metrics", "/stats"):
        assert proxy.get(path).status == 200
    for connection in held:
        connection.close()

    def served():
        try:
            return proxy.refusal(*server.address) == socks5.SUCCEEDED
        except OSError:
            return False

    eventually(served, 15)


def test_a_small_descriptor_limit_refuses_clients_but_not_the_control_port(ringway, target, closing):
    server = target(echo)
    proxy = ringway(descriptors=SMALL_DESCRIPTOR_LIMIT)
    held = overcrowd(proxy, closing, SMALL_DESCRIPTOR_LIMIT)
    eventually(lambda: proxy.closed().get("limit_connections", 0) > 0)
    answers_now_and_serves_after(proxy, server, held)


def test_when_descriptors_run_out_the_control_port_still_answers_and_clients_are_served_after(ringway, target, closing):
    server = target(echo)
    proxy = ringway({"socks5.limits.connections": 100_000}, descriptors=SMALL_DESCRIPTOR_LIMIT)
    held = overcrowd(proxy, closing, SMALL_DESCRIPTOR_LIMIT * 2)
    try:
        answers_now_and_serves_after(proxy, server, held)
    finally:
        for connection in held:
            connection.close()


def test_a_silent_control_client_does_not_hold_up_the_control_port(ringway, closing):
    proxy = ringway({"control.connections_max": 16})
    for _ in range(8):
        closing(socket.create_connection(proxy.control, 5)).sendall(b"GET /met")
    for _ in range(20):
        assert proxy.get("/metrics").status == 200


# 0.15 s a check and more; nobody knows its password.
COSTLY_HASH = "$2a$11$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
PATIENCE_SECONDS = 4
FLOOD_SECONDS = 9
FLOOD_PAUSE_SECONDS = 0.03


def test_under_a_flood_of_logins_the_verifiers_work_for_those_who_still_wait(ringway, users_file):
    timeouts = {"socks5.timeouts.authentication": f"{PATIENCE_SECONDS}s"}
    # One client makes the whole flood: its bans are not what is tested.
    unpunished = {"socks5.logins.delay": "1ms", "socks5.logins.delay_max": "1ms", "socks5.logins.failures_max": "none"}
    proxy = ringway({**users_file([("alice", COSTLY_HASH)]), **timeouts, **unpunished})
    answered_after = []

    def log_in(after):
        with proxy.connect() as connection:
            connection.sendall(socks5.greeting(socks5.PASSWORD) + socks5.credentials("alice", "wrong"))
            if socks5.receive_until_closed(connection)[2:]:
                answered_after.append(after)

    logins, begun = [], time.monotonic()
    while (after := time.monotonic() - begun) < FLOOD_SECONDS:
        logins.append(threading.Thread(target=log_in, args=(after,)))
        logins[-1].start()
        time.sleep(FLOOD_PAUSE_SECONDS)
    for login in logins:
        login.join()
    late = [after for after in answered_after if after > PATIENCE_SECONDS]
    assert late, f"{len(answered_after)} of {len(logins)} answered, none once the queue was long"
