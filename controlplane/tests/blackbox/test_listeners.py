"""What came in where: connections, failures and bytes of each address that is listened on, and of users."""

import contextlib
import json
import socket
import threading

import pytest

import socks5
from ports import free_port
from reloading import Reloading
from ringway import address
from socks5 import BIND
from succession import Succession
from targets import echo
from tls_files import Authority
from waiting import eventually
from websocket_client import BINARY, CLOSE, WebSocket, answer_to, close_payload, upgrade_request

DRILLS = {"control.test_endpoints": "true", "workers.count": 2, "workers.stalled_after": "300ms"}
COUNTS = ("active_connections", "total", "failed", "sent_bytes", "received_bytes")
NOTHING = dict.fromkeys(COUNTS, 0)


def split(addresses):
    """The addresses of a ready line."""
    return [(host, int(port)) for host, port in (text.rsplit(":", 1) for text in addresses.split(","))]


def listeners(proxy):
    """(service, address) -> its counts. The control port may answer with what it saw 250 ms ago."""
    rows = proxy.stats()["listeners"]
    found = {(row["service"], row["address"]): {key: row[key] for key in COUNTS} for row in rows}
    assert len(found) == len(rows), rows
    return found


def at(service, where):
    return service, "{}:{}".format(*where)


def eventually_counted(proxy, expected):
    eventually(lambda: listeners(proxy) == expected, what=lambda: f"{expected}; it is {listeners(proxy)}")


@contextlib.contextmanager
def by(proxy, where):
    """Within it clients come by another of the proxy's listeners."""
    before, proxy.socks = proxy.socks, where
    yield
    proxy.socks = before


def exchange(connection, count):
    connection.sendall(b"x" * count)
    assert len(socks5.receive_exactly(connection, count)) == count


def unlike_totals(proxy):
    """Where the sums over listeners are not what the services did, and where metrics tell otherwise than the page."""
    stats, metrics = proxy.stats(), proxy.metrics()
    pairs = {}

    def over(service, key):
        return sum(row[key] for row in stats["listeners"] if row["service"] in (service, f"{service}_tls"))

    for key in ("active_connections", "total", "failed"):
        pairs[key] = over("socks5", key), stats["connections"][key]
    pairs["failed of the gateway"] = over("websocket", "failed"), stats["websocket"]["failed"]
    for key in ("sent_bytes", "received_bytes"):
        pairs[key] = over("socks5", key), stats["traffic"][key]
        pairs[f"{key} of the gateway"] = over("websocket", key), stats["websocket"][key]
    for row in stats["listeners"]:
        labels = {"service": row["service"], "address": row["address"]}
        told = {
            "active_connections": metrics("listener_connections_active", **labels),
            "total": metrics("listener_connections_total", **labels),
            "failed": metrics("listener_connections_failed_total", **labels),
            "sent_bytes": metrics("listener_traffic_bytes_total", **labels, direction="sent"),
            "received_bytes": metrics("listener_traffic_bytes_total", **labels, direction="received"),
        }
        pairs.update({(*labels.values(), key): (row[key], told[key]) for key in COUNTS})
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def sums_are_totals(proxy):
    """Once nothing moves: cells are read one after the other."""
    eventually(lambda: unlike_totals(proxy) == {}, what=lambda: unlike_totals(proxy))


# Each its own


@pytest.mark.parametrize("driver", ["io_uring", "epoll"])
def test_each_listener_counts_what_came_in_by_it_and_the_sums_are_the_totals(ringway, target, websocket, driver):
    server = target(echo)
    proxy = ringway({"socks5.listen": "['127.0.0.1:0', '127.0.0.1:0']", "websocket.echo": "true", "workers.driver": driver, "workers.count": 2})
    first, second = split(proxy.socks5_text)
    expected = {at("socks5", first): dict(NOTHING), at("socks5", second): dict(NOTHING), at("websocket", proxy.websocket): dict(NOTHING)}
    eventually_counted(proxy, expected)

    one = proxy.tunnel(server.address)
    exchange(one, 1000)
    with by(proxy, second):
        other, third = proxy.tunnel(server.address), proxy.tunnel(server.address)
        exchange(other, 70_000)
        exchange(third, 1)
        assert proxy.refusal("127.0.0.1", free_port()) == socks5.REFUSED
    echoing = websocket(proxy, "/echo")
    echoing.send(BINARY, b"y" * 300)
    assert echoing.message() == (BINARY, b"y" * 300)
    expected[at("socks5", first)].update(active_connections=1, total=1, sent_bytes=1000, received_bytes=1000)
    expected[at("socks5", second)].update(active_connections=2, total=3, failed=1, sent_bytes=70_001, received_bytes=70_001)
    # To clients the gateway counts all it says: the upgrade's answer, and the head of the frame.
    said = len(echoing.head) + 4 + 300
    expected[at("websocket", proxy.websocket)].update(active_connections=1, total=1, sent_bytes=said, received_bytes=300)
    eventually_counted(proxy, expected)
    sums_are_totals(proxy)

    for connection in (one, other, third):
        connection.close()
    echoing.send(CLOSE, close_payload(1000))
    echoing.ended(1000)
    for counts in expected.values():
        counts["active_connections"] = 0
    expected[at("websocket", proxy.websocket)]["sent_bytes"] += 4
    eventually_counted(proxy, expected)
    sums_are_totals(proxy)


def test_megabytes_that_are_spliced_are_counted_to_the_byte(ringway, target):
    server, many = target(echo), 32 << 20
    proxy = ringway()
    connection = proxy.tunnel(server.address)
    sender = threading.Thread(target=connection.sendall, args=(b"z" * many,))
    sender.start()
    assert len(socks5.receive_exactly(connection, many)) == many
    sender.join()
    assert proxy.metrics()("worker_splice_starts_total") > 0
    row = eventually(lambda: (row := listeners(proxy)[at("socks5", proxy.socks)])["received_bytes"] == many and row)
    assert row["sent_bytes"] == many


def test_tls_listeners_stand_beside_the_plain_ones(ringway, target, websocket, tmp_path):
    server, authority = target(echo), Authority(tmp_path)
    certificate, key = authority.sign("proxy", "localhost")
    shown = json.dumps([{"certificate": str(certificate), "key": str(key)}])
    proxy = ringway({
        "socks5.tls.listen": "['127.0.0.1:0']",
        "socks5.tls.certificates": shown,
        "websocket.tls.listen": "['127.0.0.1:0']",
        "websocket.tls.certificates": shown,
        "websocket.echo": "true",
    })
    secured = address(proxy.log().split("socks5_tls=")[1].split()[0])
    context = authority.context()
    connection = context.wrap_socket(socket.create_connection(secured), server_hostname="localhost")
    proxy.sockets.append(connection)
    socks5.handshake(connection)
    connection.sendall(socks5.request(*server.address))
    assert socks5.read_reply(connection).code == socks5.SUCCEEDED
    exchange(connection, 77)
    echoing = WebSocket(proxy.websocket_tls, "/echo", tls=context)
    proxy.sockets.append(echoing)
    echoing.send(BINARY, b"y" * 50)
    assert echoing.message() == (BINARY, b"y" * 50)
    # Who speaks no TLS there has failed.
    with socket.create_connection(secured) as stranger:
        stranger.sendall(b"\x05\x01\x00" * 10)
        socks5.receive_until_closed(stranger)
    proxy.eventually_closed("tls_failed")
    expected = {
        at("socks5", proxy.socks): NOTHING,
        at("socks5_tls", secured): {**NOTHING, "active_connections": 1, "total": 2, "failed": 1, "sent_bytes": 77, "received_bytes": 77},
        at("websocket", proxy.websocket): NOTHING,
        at("websocket_tls", proxy.websocket_tls): {**NOTHING, "active_connections": 1, "total": 1, "sent_bytes": len(echoing.head) + 52, "received_bytes": 50},
    }
    eventually_counted(proxy, expected)
    sums_are_totals(proxy)


# What else a connection does


def test_datagrams_count_where_their_association_was_asked_for(ringway, udp_target, associate):
    server = udp_target()
    proxy = ringway({"socks5.listen": "['127.0.0.1:0', '127.0.0.1:0']"})
    first, second = split(proxy.socks5_text)
    with by(proxy, second):
        association = associate(proxy)
    assert association.echoes(server, b"d" * 500) and association.echoes(server, b"d" * 11)
    counts = eventually(lambda: (counts := listeners(proxy))[at("socks5", second)]["received_bytes"] == 511 and counts)
    assert counts[at("socks5", second)] == {**NOTHING, "active_connections": 1, "total": 1, "sent_bytes": 511, "received_bytes": 511}
    assert counts[at("socks5", first)] == NOTHING
    sums_are_totals(proxy)


def test_what_a_bound_port_brings_counts_where_it_was_asked_for(ringway):
    proxy = ringway({"socks5.listen": "['127.0.0.1:0', '127.0.0.1:0']"})
    first, second = split(proxy.socks5_text)
    with by(proxy, second):
        connection, reply = proxy.ask("127.0.0.1", 0, command=BIND)
    with socket.create_connection((reply.address, reply.port)) as peer:
        assert socks5.read_reply(connection).code == socks5.SUCCEEDED
        peer.sendall(b"p" * 40)
        socks5.receive_exactly(connection, 40)
        connection.sendall(b"c" * 7)
        socks5.receive_exactly(peer, 7)
        counts = eventually(lambda: (counts := listeners(proxy))[at("socks5", second)]["sent_bytes"] == 7 and counts)
        assert counts[at("socks5", second)]["received_bytes"] == 40
        assert counts[at("socks5", first)] == NOTHING
    connection.close()


def test_a_socket_that_another_worker_serves_counts_where_it_came_in(ringway, target):
    server = target(echo)
    proxy = ringway({"socks5.listen": "['127.0.0.1:0', '127.0.0.1:0']", **DRILLS})
    first, second = split(proxy.socks5_text)
    proxy.metrics()
    # While worker 1 takes nothing, worker 0 fills.
    assert proxy.http("POST", "/api/v1/drill?kind=stall&worker=1&ms=2000").status == 202
    with by(proxy, second):
        crowd = [proxy.connect() for _ in range(200)]
    for connection in crowd:
        connection.sendall(socks5.greeting(socks5.NO_AUTH) + socks5.request(*server.address))
    for connection in crowd:
        assert socks5.receive_exactly(connection, 2) == b"\x05\x00"
        assert socks5.read_reply(connection).code == socks5.SUCCEEDED
        exchange(connection, 10)
    eventually(lambda: proxy.metrics()("worker_connections_handed_over_total", worker="0") > 0)
    expected = {**NOTHING, "active_connections": 200, "total": 200, "sent_bytes": 2000, "received_bytes": 2000}
    eventually(lambda: listeners(proxy)[at("socks5", second)] == expected, what=lambda: listeners(proxy))
    assert listeners(proxy)[at("socks5", first)] == NOTHING
    sums_are_totals(proxy)


# Failures


def test_who_leaves_has_not_failed_and_who_is_refused_has(ringway, listener, websocket):
    waiting = listener()
    proxy = ringway({"socks5.timeouts.idle": "1s"})
    where = at("socks5", proxy.socks)
    # Gone before it asked, idle, reset by the client: none of them a failure.
    proxy.connect().close()
    idle = proxy.tunnel(waiting.address)
    waiting.accept()
    proxy.eventually_closed("idle_timeout")
    idle.close()
    # A target that is not there, a rule, and what is no SOCKS at all.
    assert proxy.refusal("127.0.0.1", free_port()) == socks5.REFUSED
    assert proxy.refusal("224.0.0.1", 80) == socks5.NOT_ALLOWED
    noise = proxy.connect()
    noise.sendall(b"\xff" * 20)
    socks5.receive_until_closed(noise)
    expected = {**NOTHING, "total": 5, "failed": 3}
    eventually(lambda: listeners(proxy)[where] == expected, what=lambda: f"{listeners(proxy)}; {proxy.closed()}")
    # Counted a moment after the listener's.
    eventually(lambda: proxy.stats()["connections"]["failed"] == 3, what="the total has them too")

    # Of the gateway: a refused upgrade and a broken protocol; not one that closes, and not one that is simply gone.
    assert answer_to(proxy.websocket, upgrade_request("/nowhere")).status == 404
    broken, gone, closing = (websocket(proxy) for _ in range(3))
    broken.raw(b"\x81\x00")
    broken.ended(1002)
    gone.reset()
    closing.send(CLOSE, close_payload(1000))
    closing.ended(1000)
    gateway = at("websocket", proxy.websocket)
    eventually(lambda: (row := listeners(proxy)[gateway])["failed"] == 2 and row["active_connections"] == 0, what=lambda: listeners(proxy))
    assert listeners(proxy)[gateway]["total"] == 4
    eventually(lambda: proxy.stats()["websocket"]["failed"] == 2, what="the total has them too")
    sums_are_totals(proxy)


def test_a_user_s_failed_connections_are_that_user_s(ringway, target, users_file):
    server = target(echo)
    proxy = ringway(users_file(alice="secret", bob="secret"))
    alice, bob = ("alice", "secret"), ("bob", "secret")
    exchange(proxy.tunnel(server.address, alice), 5)
    for _ in range(3):
        assert proxy.refusal("127.0.0.1", free_port(), bob) == socks5.REFUSED
    proxy.eventually_closed("connect_refused", 3)
    failed = proxy.metrics().by("socks5_user_connections_failed_total", "user")
    assert failed == {"alice": 0, "bob": 3}


# Reloads


def test_a_listener_that_is_taken_away_keeps_its_counts_and_goes_on_with_them_when_it_is_back(ringway, target, tmp_path):
    server = target(echo)
    stays, comes_and_goes = ("127.0.0.1", free_port()), ("127.0.0.1", free_port())
    both = ["{}:{}".format(*stays), "{}:{}".format(*comes_and_goes)]
    reloading = Reloading(ringway, tmp_path, {"socks5.listen": both, "socks5.open_proxy": True})
    proxy = reloading.proxy
    with by(proxy, comes_and_goes):
        held = proxy.tunnel(server.address)
    exchange(held, 100)

    reloading.reloaded(socks5__listen=both[:1])
    exchange(held, 10)
    expected = {**NOTHING, "active_connections": 1, "total": 1, "sent_bytes": 110, "received_bytes": 110}
    row = at("socks5", comes_and_goes)
    eventually(lambda: listeners(proxy)[row] == expected, what=lambda: listeners(proxy))
    sums_are_totals(proxy)
    assert list(listeners(proxy))[-1] == row, "who is listened at comes first"

    reloading.reloaded(socks5__listen=both)
    with by(proxy, comes_and_goes):
        exchange(proxy.tunnel(server.address), 7)
    expected.update(active_connections=2, total=2, sent_bytes=117, received_bytes=117)
    eventually(lambda: listeners(proxy)[row] == expected, what=lambda: listeners(proxy))

    # Widened: another address, with counts of its own; those of before stay.
    wide = "0.0.0.0:{}".format(comes_and_goes[1])
    reloading.reloaded(socks5__listen=[both[0], wide])
    with by(proxy, comes_and_goes):
        exchange(proxy.tunnel(server.address), 9)
    eventually(lambda: listeners(proxy).get(("socks5", wide), NOTHING)["sent_bytes"] == 9, what=lambda: listeners(proxy))
    assert listeners(proxy)[row] == expected
    sums_are_totals(proxy)


def test_an_address_that_leads_to_the_other_service_counts_anew(ringway, target, tmp_path):
    server = target(echo)
    one, other = ("127.0.0.1", free_port()), ("127.0.0.1", free_port())
    texts = ["{}:{}".format(*one), "{}:{}".format(*other)]
    reloading = Reloading(ringway, tmp_path, {"socks5.listen": texts[:1], "websocket.listen": texts[1:], "websocket.echo": True})
    proxy = reloading.proxy
    exchange(proxy.tunnel(server.address), 12)
    reloading.reloaded(socks5__listen=texts[1:], websocket__listen=texts[:1])
    echoing = WebSocket(one, "/echo")
    proxy.sockets.append(echoing)
    echoing.send(BINARY, b"y" * 20)
    assert echoing.message() == (BINARY, b"y" * 20)
    with by(proxy, other):
        exchange(proxy.tunnel(server.address), 30)
    expected = {
        at("socks5", one): {**NOTHING, "active_connections": 1, "total": 1, "sent_bytes": 12, "received_bytes": 12},
        at("socks5", other): {**NOTHING, "active_connections": 1, "total": 1, "sent_bytes": 30, "received_bytes": 30},
        at("websocket", one): {**NOTHING, "active_connections": 1, "total": 1, "sent_bytes": len(echoing.head) + 22, "received_bytes": 20},
        at("websocket", other): NOTHING,
    }
    eventually_counted(proxy, expected)
    sums_are_totals(proxy)


def test_the_metrics_go_on_in_the_process_that_follows(tmp_path, target, users_file):
    server = target(echo)
    proxy = Succession(tmp_path, users_file(alice="secret"))
    try:
        alice = ("alice", "secret")
        exchange(proxy.tunnel(server.address, alice), 100)
        assert proxy.refusal("127.0.0.1", free_port(), alice) == socks5.REFUSED
        proxy.eventually_closed("connect_refused")
        proxy.upgrade()
        exchange(proxy.tunnel(server.address, alice), 20)
        where = {"service": "socks5", "address": "{}:{}".format(*proxy.socks)}
        expected = {
            "listener_connections_total": 3,
            "listener_connections_failed_total": 1,
            "listener_traffic_bytes_total": 240,
        }
        for name, count in expected.items():
            eventually(lambda: proxy.metrics()(name, **where) == count, what=lambda: f"{name}: {proxy.metrics()(name, **where)}")
        assert proxy.metrics()("socks5_user_connections_failed_total", user="alice") == 1
    finally:
        proxy.close()


# Of late


def test_rates_slide_and_quantiles_tell_of_the_last_seconds_beside_those_of_all_time(ringway, target):
    server = target(echo)
    proxy = ringway()
    for _ in range(20):
        proxy.tunnel(server.address).close()
    connect = eventually(lambda: (told := proxy.stats()["quantiles"]["connect"])["recent"]["count"] == 20 and told)
    assert connect["count"] == 20 and connect["recent"]["max_ms"] == connect["max_ms"] > 0
    assert 0 < connect["recent"]["seconds"] < 60
    eventually(lambda: proxy.stats()["connections"]["per_second"] > 0)
    eventually(lambda: proxy.stats()["connections"]["per_second"] == 0)
    # They are all of the past once ten seconds have gone by.
    eventually(lambda: proxy.stats()["quantiles"]["connect"]["recent"]["count"] == 0, 30)
    assert proxy.stats()["quantiles"]["connect"]["count"] == 20
    assert proxy.stats()["quantiles"]["loop_lag"]["recent"]["count"] > 50
