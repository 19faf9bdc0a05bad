"""POST /admin/drain, GET /admin/drain, POST /admin/undrain: no new clients for now, nobody cut, and the way back."""

import json
import signal

import pytest

from reloading import Reloading
from succession import Succession
from targets import echo
from waiting import eventually
from websocket_client import WebSocket, answer_to, upgrade_request

AT_ONCE = {"grace": "0s"}
QUICK = {"websocket.drain_window": "0s"}


def drain(proxy, **body):
    answer = proxy.http("POST", "/admin/drain", {"content-type": "application/json"}, json.dumps(body))
    assert answer.status == 202, answer.text
    return answer.json


def state(proxy):
    return proxy.get("/admin/drain").json


def undrain(proxy):
    answer = proxy.http("POST", "/admin/undrain")
    assert answer.status == 200, answer.text
    return answer.json


def rests(proxy):
    """Every worker refuses new clients."""
    return eventually(lambda: (now := state(proxy))["state"] == "draining" and all(row["told"] for row in now["workers"]) and now)


def is_refused(proxy):
    try:
        with proxy.connect() as connection:
            connection.sendall(b"\x05\x01\x00")
            return connection.recv(2) == b""
    except ConnectionError:
        return True


def serves(proxy, target):
    connection = proxy.tunnel(target)
    connection.sendall(b"hi")
    assert connection.recv(2) == b"hi"
    connection.close()
    return True


def test_in_the_grace_only_readyz_says_so(ringway, target):
    proxy = ringway({"workers.count": 2})
    server = target(echo)
    assert proxy.get("/readyz").status == 200 and state(proxy)["state"] == "serving"
    told = drain(proxy, grace="1h")
    assert told["state"] == "grace" and 3500 < told["grace_left_seconds"] <= 3600 and told["since"]
    ready = proxy.get("/readyz")
    assert (ready.status, ready.json["status"]) == (503, "draining")
    assert (proxy.get("/livez").status, proxy.get("/health").json["status"]) == (200, "draining")
    assert serves(proxy, server.address)
    WebSocket(proxy.websocket).close()
    assert undrain(proxy)["state"] == "serving"
    assert proxy.get("/readyz").status == 200 and serves(proxy, server.address)


def test_then_new_clients_are_refused_and_transfers_go_on_and_undrain_brings_all_back(ringway, target, websocket):
    proxy = ringway({"workers.count": 3, **QUICK})
    server = target(echo)
    standing = [proxy.tunnel(server.address) for _ in range(9)]
    half_way = proxy.connect()
    half_way.sendall(b"\x05\x01\x00")
    assert half_way.recv(2) == b"\x05\x00"
    clients = [websocket(proxy).subscribe("news") for _ in range(6)]
    drain(proxy, **AT_ONCE)
    rests(proxy)
    for _ in range(5):
        assert is_refused(proxy)
    refusal = answer_to(proxy.websocket, upgrade_request())
    assert refusal.status == 503 and int(refusal.headers["retry-after"]) > 0
    assert {client.ended() for client in clients} == {(1012, "service restart")}
    for connection in [*standing, *standing]:
        connection.sendall(b"still here")
        assert connection.recv(10) == b"still here"
    now = eventually(lambda: (now := state(proxy))["websocket_gone"] == 6 and now["refused"]["websocket"] and now)
    assert now["connections"] == {"socks5": 10, "websocket": 0} and now["refused"]["socks5"] >= 5
    assert sum(row["socks5"] for row in now["workers"]) == 10
    assert proxy.closed()["draining"] == now["refused"]["socks5"]
    half_way.close()
    assert undrain(proxy)["state"] == "serving"
    eventually(lambda: not is_refused(proxy))
    # Every worker has been told: connections land on all of them.
    eventually(lambda: all(serves(proxy, server.address) for _ in range(20)))
    WebSocket(proxy.websocket).close()
    for connection in standing:
        connection.sendall(b"still here")
        assert connection.recv(10) == b"still here"
        connection.close()
    assert proxy.get("/readyz").status == 200 and proxy.process.poll() is None


def test_in_a_drain_and_after_it_reloads_open_and_close_what_is_said(ringway, tmp_path, target):
    file = Reloading(ringway, tmp_path)
    drain(file.proxy, **AT_ONCE)
    rests(file.proxy)
    told = file.reloaded(**{"socks5.listen": ["127.0.0.1:0", "127.0.0.2:0"], "socks5.limits.connections": 7})
    assert [place["key"] for place in told["opened"]] == ["socks5.listen"] and told["closed"] == []
    assert is_refused(file.proxy)
    undrain(file.proxy)
    eventually(lambda: not is_refused(file.proxy))
    told = file.reloaded(**{"socks5.listen": ["127.0.0.1:0"], "socks5.limits.connections": 8})
    assert told["opened"] == [] and [place["key"] for place in told["closed"]] == ["socks5.listen"]
    assert serves(file.proxy, target(echo).address)


@pytest.mark.parametrize("undrained", [False, True])
def test_in_a_drain_and_after_it_a_hot_restart_serves(tmp_path, closing, target, undrained):
    proxy = closing(Succession(tmp_path, {"workers.count": 2, **QUICK}))
    server, old = target(echo), proxy.current
    standing = proxy.tunnel(server.address)
    drain(proxy, **AT_ONCE)
    rests(proxy)
    if undrained:
        undrain(proxy)
        eventually(lambda: not is_refused(proxy))
    proxy.upgrade()
    # A drain is the process's own: the next one serves.
    assert state(proxy)["state"] == "serving" and serves(proxy, server.address)
    standing.sendall(b"still here")
    assert standing.recv(10) == b"still here"
    standing.close()
    assert proxy.code_of(old) == 0


def test_websocket_clients_are_told_over_the_window(ringway, websocket):
    proxy = ringway({"workers.count": 1, "websocket.drain_window": "20s"})
    clients = [websocket(proxy) for _ in range(40)]
    drain(proxy, **AT_ONCE)
    now = eventually(lambda: (now := state(proxy))["websocket_told_in_seconds"] and now)
    assert 10 < now["websocket_told_in_seconds"] <= 20
    # Some are told early in the window, and once it is taken back nobody is any more.
    left = eventually(lambda: 0 < (count := state(proxy)["connections"]["websocket"]) < 40 and count, seconds=20)
    undrain(proxy)
    assert left > 0
    for client in clients:
        client.close()


def test_a_drain_for_a_time_takes_itself_back(ringway, target):
    proxy = ringway({"workers.count": 1})
    server = target(echo)
    assert drain(proxy, grace="0s", **{"for": "2s"})["undrain_in_seconds"] <= 2
    rests(proxy)
    assert is_refused(proxy)
    eventually(lambda: state(proxy)["state"] == "serving")
    eventually(lambda: not is_refused(proxy))
    assert serves(proxy, server.address)


def test_with_stop_the_process_ends_when_the_last_one_has_gone(ringway, target):
    proxy = ringway({"workers.count": 2})
    connection = proxy.tunnel(target(echo).address)
    assert drain(proxy, grace="0s", stop=True)["stop"] is True
    rests(proxy)
    connection.sendall(b"bye")
    assert connection.recv(3) == b"bye" and proxy.process.poll() is None
    connection.close()
    assert proxy.exit_code() == 0


def test_who_reads_the_feed_looks_on_and_holds_nothing_up(ringway, target, closing):
    proxy = ringway({"workers.count": 2, "websocket.drain_window": "1h"})
    connection = proxy.tunnel(target(echo).address)
    before = closing(WebSocket(proxy.control))
    drain(proxy, grace="0s", stop=True)
    rests(proxy)
    after = closing(WebSocket(proxy.control))
    for reader in (before, after):
        reader.tell(type="subscribe", topic="proxy_health")
        eventually(lambda: reader.heard()["type"] == "message")
    assert state(proxy)["connections"] == {"socks5": 1, "websocket": 0} and proxy.process.poll() is None
    connection.close()
    for reader in (before, after):
        reader.ended(1012)
    assert proxy.exit_code() == 0


def test_a_stop_in_a_drain_is_a_stop(ringway, target):
    proxy = ringway({"workers.count": 2, "socks5.timeouts.drain": "30s"})
    connection = proxy.tunnel(target(echo).address)
    drain(proxy, **AT_ONCE)
    rests(proxy)
    proxy.signal(signal.SIGTERM)
    eventually(lambda: state(proxy)["state"] == "stopping")
    assert proxy.http("POST", "/admin/undrain").status == 409
    assert proxy.http("POST", "/admin/drain").status == 409
    connection.close()
    assert proxy.exit_code() == 0


def test_a_stalled_worker_is_told_when_it_is_back(ringway):
    proxy = ringway({"workers.count": 2, "control.test_endpoints": "true"})
    assert proxy.http("POST", "/api/v1/drill?kind=stall&worker=1&ms=1500").status == 202
    drain(proxy, **AT_ONCE)
    rests(proxy)
    eventually(lambda: all(is_refused(proxy) for _ in range(20)))


@pytest.mark.parametrize(
    "body, fault",
    [
        ({"grace": 5}, "grace"),
        ({"grace": "5"}, "no unit"),
        ({"grace": "8d"}, "7d"),
        ({"wait": "5s"}, "wait"),
        ({"stop": "yes"}, "stop"),
        ({"stop": True, "for": "1h"}, "exclude"),
        ({"grace": "5s", "for": "5s"}, "longer"),
        ([], "object"),
    ],
)
def test_what_is_not_understood_changes_nothing(ringway, body, fault):
    proxy = ringway({"workers.count": 1})
    answer = proxy.http("POST", "/admin/drain", {"content-type": "application/json"}, json.dumps(body))
    assert answer.status == 422 and fault in answer.json["detail"], answer.text
    assert state(proxy)["state"] == "serving" and proxy.get("/readyz").status == 200
