"""/api/v1/connections: listing, paging, showing and killing connections of both services, over several workers."""

import json
import socket
import time
from threading import Event, Thread

import pytest

import socks5
from targets import echo, swallow
from waiting import eventually

LIST = "/api/v1/connections"
DRILLS = {"control.test_endpoints": "true"}


def pages(proxy, query=""):
    """Every page's connections, and how many pages they were."""
    found, cursor, count = [], None, 0
    while True:
        more = f"&cursor={cursor}" if cursor else ""
        page = eventually(lambda: whole(proxy.get(f"{LIST}?{query}{more}")))
        found += page["connections"]
        count += 1
        cursor = page["next"]
        if cursor is None:
            return found, count


def whole(answer):
    """The page, if no worker was too busy to answer: such a page is asked for again."""
    assert answer.status == 200, answer.text
    return None if answer.json["partial"] else answer.json


def listed(proxy, query=""):
    return pages(proxy, query)[0]


def kill(proxy, **body):
    return proxy.http("POST", f"{LIST}/kill", {"content-type": "application/json"}, json.dumps(body))


def name_of(connection):
    return "{}:{}".format(*connection.getsockname())


def serial(row):
    return int(row["id"].split("-")[2])


def test_each_standing_connection_is_listed_once_while_others_come_and_go(ringway):
    proxy = ringway({"workers.count": 3, "socks5.timeouts.greeting": "5m", "socks5.timeouts.handshake": "5m"})
    standing = [proxy.connect() for _ in range(2_000)]
    names = {name_of(connection) for connection in standing}
    over = Event()

    def come_and_go():
        while not over.is_set():
            passing = [socket.create_connection(proxy.socks, 20) for _ in range(20)]
            for connection in passing:
                connection.close()

    eventually(lambda: proxy.active() == 2_000, 20)
    traffic = [Thread(target=come_and_go) for _ in range(2)]
    for thread in traffic:
        thread.start()
    try:
        for _ in range(3):
            rows, count = pages(proxy, "limit=150")
            clients = [row["client"] for row in rows if row["client"] in names]
            assert count >= 2_000 // 150
            assert len(clients) == 2_000 and set(clients) == names
            assert len({row["id"] for row in rows}) == len(rows)
            workers = [row["worker"] for row in rows]
            assert workers == sorted(workers)
            assert {row["worker"] for row in rows} == {0, 1, 2}
    finally:
        over.set()
        for thread in traffic:
            thread.join()
    for connection in standing:
        connection.close()


def test_filters_find_what_they_say(ringway, target, websocket, users_file):
    proxy = ringway({"workers.count": 2, **users_file(alice="secret", bob="secret")})
    echoing, swallowing = target(echo), target(swallow)
    alice = [proxy.tunnel(echoing.address, user=("alice", "secret")) for _ in range(3)]
    bob = proxy.tunnel(swallowing.address, user=("bob", "secret"))
    client = websocket(proxy).subscribe("news")
    alice[0].sendall(b"x" * 1000)
    eventually(lambda: len(listed(proxy, "min_bytes=2000")) == 1)
    names = {"alice": {name_of(one) for one in alice}, "bob": {name_of(bob)}, "ws": {name_of(client.connection)}}
    everybody = names["alice"] | names["bob"] | names["ws"]
    for query, expected in [
        ("", everybody),
        ("user=alice", names["alice"]),
        ("user=alice&service=websocket", set()),
        ("user=", names["ws"]),
        ("service=websocket", names["ws"]),
        ("service=socks5", names["alice"] | names["bob"]),
        ("topic=news", names["ws"]),
        ("topic=new", set()),
        (f"target=127.0.0.1:{swallowing.address[1]}", names["bob"]),
        (f"target=:{echoing.address[1]}", names["alice"]),
        ("target=127.0.0.0/8", names["alice"] | names["bob"]),
        ("client=127.0.0.1", everybody),
        ("client=10.0.0.0/8", set()),
        ("min_age=1h", set()),
        ("min_age=0s", everybody),
        ("min_bytes=1000", {name_of(alice[0])}),
        ("phase=relay", names["alice"] | names["bob"]),
        ("phase=open", names["ws"]),
    ]:
        assert {row["client"] for row in listed(proxy, query)} == expected, query
    by_worker = [listed(proxy, f"worker={worker}") for worker in (0, 1)]
    assert sum(map(len, by_worker)) == 5
    assert all(row["worker"] == worker for worker, rows in enumerate(by_worker) for row in rows)
    for query, fault in [
        ("service=ftp", "socks5 or websocket"),
        ("min_age=5", "no unit"),
        ("worker=2", "worker"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("cursor=9s0", "cursor"),
        ("cursor=x", "cursor"),
        ("phase=asleep", "phase"),
    ]:
        answer = proxy.get(f"{LIST}?{query}")
        assert answer.status in (400, 422) and fault in answer.json["detail"], answer.text


def test_one_connection_tells_all_and_its_id_dies_with_it(ringway, target, websocket):
    proxy = ringway({"workers.count": 1})
    server = target(echo)
    tunnel = proxy.tunnel(server.address)
    tunnel.sendall(b"hello")
    tunnel.recv(5)
    row = eventually(lambda: next((row for row in listed(proxy) if row["received_bytes"] == 5), None))
    details = proxy.get(f"{LIST}/{row['id']}").json
    assert details["target"] == f"127.0.0.1:{server.address[1]}" == details["address"]
    assert (details["protocol"], details["command"], details["phase"]) == ("socks5", "connect", "relay")
    assert (details["sent_bytes"], details["tls"], details["user"]) == (5, False, None)
    client = websocket(proxy).subscribe("news", "weather")
    [open_one] = listed(proxy, "service=websocket")
    details = proxy.get(f"{LIST}/{open_one['id']}").json
    assert (details["path"], details["subscriptions"], sorted(details["topics"])) == ("/ws", 2, ["news", "weather"])
    assert len(details["client_id"]) == 36 and details["received_messages"] == 2
    for connection, row in ((tunnel, row), (client, open_one)):
        connection.close()
        eventually(lambda: proxy.get(f"{LIST}/{row['id']}").status == 404)
        # The next one takes its place in the table; it is not to be had by the old name.
        again = proxy.tunnel(server.address) if row["service"] == "socks5" else websocket(proxy)
        [new] = listed(proxy, f"service={row['service']}")
        assert serial(new) > serial(row)
        assert proxy.get(f"{LIST}/{row['id']}").status == 404
        assert proxy.http("DELETE", f"{LIST}/{row['id']}").status == 404
        assert proxy.get(f"{LIST}/{new['id']}").status == 200
        again.close()
    for nonsense in ("x", "0-s-1", "7-s-1", "0-s-99999999", "0-s-01"):
        assert proxy.get(f"{LIST}/{nonsense}").status == 404


def test_one_is_killed_with_a_reason(ringway, target, websocket):
    proxy = ringway({"log.access": "true"})
    tunnel = proxy.tunnel(target(echo).address)
    client = websocket(proxy)
    [row] = listed(proxy, "service=socks5")
    answer = proxy.http("DELETE", f"{LIST}/{row['id']}?reason=too%20long")
    assert answer.json == {"matched": 1, "killed": 1, "dry_run": False, "complete": True, "partial": []}
    with pytest.raises(ConnectionResetError):
        tunnel.recv(1)
    line = proxy.eventually_logs("reason=killed")
    assert "too long" in line
    [row] = listed(proxy, "service=websocket")
    assert proxy.http("DELETE", f"{LIST}/{row['id']}?reason=bye").json["killed"] == 1
    assert client.ended() == (3503, "bye")
    metrics = proxy.metrics()
    assert metrics.by("socks5_connections_closed_total", "reason")["killed"] == 1
    eventually(lambda: proxy.stats()["websocket"]["closed"]["killed"] == 1)
    for query in ("reason=" + "x" * 124, "reason=%0a", "dry_run=1"):
        assert proxy.http("DELETE", f"{LIST}/{row['id']}?{query}").status in (400, 422)


def test_many_are_killed_by_a_filter(ringway, target, websocket, users_file):
    proxy = ringway({"workers.count": 3, **users_file(alice="secret", bob="secret")})
    server = target(echo)
    alice = [proxy.tunnel(server.address, user=("alice", "secret")) for _ in range(40)]
    bob = [proxy.tunnel(server.address, user=("bob", "secret")) for _ in range(5)]
    clients = [websocket(proxy).subscribe("news") for _ in range(6)]
    done = {"dry_run": False, "complete": True, "partial": []}
    assert kill(proxy, filter={"user": "alice"}, dry_run=True).json == {**done, "matched": 40, "killed": 0, "dry_run": True}
    assert kill(proxy, filter={"user": "alice"}, most=15).json == {**done, "matched": 15, "killed": 15, "complete": False}
    eventually(lambda: len(listed(proxy, "user=alice")) == 25)
    assert kill(proxy, filter={"user": "alice", "min_age": "1h"}).json == {**done, "matched": 0, "killed": 0}
    assert kill(proxy, filter={"user": "alice"}, reason="over").json == {**done, "matched": 25, "killed": 25}
    for connection in alice:
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    for connection in bob:
        connection.sendall(b"still")
        assert connection.recv(5) == b"still"
    assert kill(proxy, filter={"topic": "news"}, reason="over").json["killed"] == 6
    assert {client.ended() for client in clients} == {(3503, "over")}
    ids = [row["id"] for row in listed(proxy, "user=bob")]
    assert kill(proxy, ids=[*ids[:2], "no id", ids[0]], dry_run=True).json["matched"] == 2
    assert kill(proxy, ids=ids[:2]).json == {**done, "matched": 2, "killed": 2}
    eventually(lambda: len(listed(proxy)) == 3)
    assert kill(proxy, all=True).json["killed"] == 3
    eventually(lambda: listed(proxy) == [])


@pytest.mark.parametrize(
    "body, fault",
    [
        ({}, "all"),
        ({"filter": {}}, "all"),
        ({"filter": {"colour": "red"}}, "colour"),
        ({"filter": {"user": "alice"}, "dryrun": True}, "dryrun"),
        ({"filter": {"user": "alice"}, "dry_run": 1}, "dry_run"),
        ({"filter": {"user": ["alice"]}}, "user"),
        ({"filter": {"user": "alice"}, "most": 0}, "most"),
        ({"filter": {"user": "alice"}, "reason": "x" * 124}, "reason"),
        ({"filter": "user=alice"}, "filter"),
        ({"ids": ["x"], "all": True}, "ids"),
        ({"ids": "x"}, "ids"),
        ([], "object"),
    ],
)
def test_what_is_not_understood_kills_nobody(ringway, body, fault):
    proxy = ringway({"workers.count": 1})
    connection = proxy.connect()
    socks5.handshake(connection)
    answer = proxy.http("POST", f"{LIST}/kill", {"content-type": "application/json"}, json.dumps(body))
    assert answer.status == 422 and fault in answer.json["detail"], answer.text
    assert len(listed(proxy)) == 1


def test_a_stalled_worker_makes_the_answer_partial_and_in_time(ringway):
    proxy = ringway({"workers.count": 3, "socks5.timeouts.greeting": "5m", "socks5.timeouts.handshake": "5m", **DRILLS})
    connections = [proxy.connect() for _ in range(300)]
    eventually(lambda: len(listed(proxy, "limit=1000")) == 300)
    rows = listed(proxy, "limit=1000")
    stuck = [row for row in rows if row["worker"] == 1]
    assert proxy.http("POST", "/api/v1/drill?kind=stall&worker=1&ms=4000").status == 202
    # The worker takes the drill when it next looks into its inbox; from then on it is silent.
    answer = eventually(lambda: (page := proxy.get(f"{LIST}?limit=1000").json)["partial"] and page)
    asked = time.monotonic()
    page = proxy.get(f"{LIST}?limit=1000").json
    took = time.monotonic() - asked
    for page in (answer, page):
        assert page["partial"] == [1]
        assert sorted(row["id"] for row in page["connections"]) == sorted(row["id"] for row in rows if row["worker"] != 1)
    assert took < 2, took
    assert proxy.get(f"{LIST}/{stuck[0]['id']}").status == 503
    # What it was told and did not do in time it does not do later.
    answer = kill(proxy, filter={"worker": 1})
    assert answer.json == {"matched": 0, "killed": 0, "dry_run": False, "complete": False, "partial": [1]}
    eventually(lambda: proxy.get(f"{LIST}?worker=1&limit=1000").json["partial"] == [])
    assert len(listed(proxy, "worker=1&limit=1000")) == len(stuck)
    for connection in connections:
        connection.close()
