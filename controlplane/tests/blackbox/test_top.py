"""/api/v1/top: the largest users, targets and topics, and by how much the figures may be off."""

import json
import threading

import pytest

from targets import echo, swallow
from waiting import eventually


def top(proxy, **query):
    answer = proxy.get("/api/v1/top?" + "&".join(f"{name}={value}" for name, value in query.items()))
    assert answer.status == 200, answer.text
    return answer.json


def values(answer):
    return [(one["key"], one["value"]) for one in answer["top"]]


def exchange(connection, count):
    connection.sendall(b"x" * count)
    left = count
    while left:
        left -= len(connection.recv(left))


def test_users_and_targets_by_connections_and_bytes_also_of_those_that_ended(ringway, target, users_file):
    proxy = ringway({"workers.count": 3, "log.access": "true", **users_file(alice="secret", bob="secret", carol="secret")})
    one, other = target(echo), target(echo)
    open_ones = {}
    for user, server, count, sent in (("alice", one, 6, 1000), ("bob", other, 3, 9000), ("carol", one, 1, 100)):
        open_ones[user] = [proxy.tunnel(server.address, user=(user, "secret")) for _ in range(count)]
        for connection in open_ones[user]:
            exchange(connection, sent)
    assert values(top(proxy, by="user", of="connections")) == [("alice", 6), ("bob", 3), ("carol", 1)]
    assert values(top(proxy, by="user", of="connections", k=1)) == [("alice", 6)]
    names = ["{}:{}".format(*server.address) for server in (one, other)]
    assert values(top(proxy, by="target", of="connections")) == [(names[0], 7), (names[1], 3)]
    by_bytes = [("bob", 54_000), ("alice", 12_000), ("carol", 200)]
    eventually(lambda: values(top(proxy)) == by_bytes, what=lambda: top(proxy))
    answer = top(proxy, by="user", of="bytes")
    assert answer["at_most_off_by"] == 0 and answer["keys_max"] >= 100 and answer["partial"] == []
    # Who has ended is counted on: its record comes within a moment.
    for connection in open_ones["bob"]:
        connection.close()
    eventually(lambda: values(top(proxy, by="user", of="connections")) == [("alice", 6), ("carol", 1)])
    eventually(lambda: values(top(proxy, by="user", of="bytes")) == by_bytes)
    assert values(top(proxy, by="target", of="bytes")) == [(names[1], 54_000), (names[0], 12_200)]
    assert top(proxy, by="user", of="bytes")["ended_seconds"] > 0


def test_without_an_access_log_only_standing_connections_count(ringway, target):
    proxy = ringway({"workers.count": 1, "log.access": "false"})
    server = target(echo)
    exchange(proxy.tunnel(server.address), 1000)
    eventually(lambda: values(top(proxy, by="user", of="bytes")) == [("", 2000)])
    assert top(proxy)["ended_seconds"] is None
    proxy.sockets[-1].close()
    eventually(lambda: top(proxy)["top"] == [])


def test_a_rate_is_of_now(ringway, target, users_file):
    proxy = ringway({"workers.count": 2, **users_file(alice="secret", bob="secret")})
    server = target(swallow)
    busy, idle = (proxy.tunnel(server.address, user=(user, "secret")) for user in ("alice", "bob"))
    idle.sendall(b"x" * 100_000)

    # Once the idle one's bytes are through nobody sends: no rate.
    eventually(lambda: top(proxy, by="user", of="rate")["top"] == [])
    over = threading.Event()

    def keep_sending():
        while not over.is_set():
            busy.sendall(b"x" * 1000)
            over.wait(0.01)

    sender = threading.Thread(target=keep_sending)
    sender.start()
    try:
        answer = eventually(lambda: (found := top(proxy, by="user", of="rate"))["top"] and found)
    finally:
        over.set()
        sender.join()
    [(user, per_second)] = values(answer)
    assert user == "alice" and 0 < per_second < 10_000_000


def test_topics_by_subscribers_and_publications(ringway, websocket):
    proxy = ringway({"workers.count": 3, "control.api_keys": None})
    clients = [websocket(proxy).subscribe("all", *(["few"] if number < 2 else []), f"own-{number}") for number in range(7)]
    answer = top(proxy, by="topic", k=2)
    assert (answer["of"], values(answer)) == ("subscribers", [("all", 7), ("few", 2)])
    assert len(top(proxy, by="topic", of="subscribers", k=100)["top"]) == 9
    for _ in range(5):
        proxy.http("POST", "/api/publish", {"content-type": "application/json"}, json.dumps({"channel": "few", "data": 1}))
    for client in clients[:2]:
        for _ in range(5):
            assert client.heard()["topic"] == "few"
    assert values(top(proxy, by="topic", of="publications")) == [("few", 5)]


def test_more_keys_than_are_held_say_how_far_off_they_are(ringway, websocket):
    proxy = ringway({"workers.count": 2, "websocket.max_subscriptions_per_client": "1024"})
    clients = [websocket(proxy) for _ in range(4)]
    for number, client in enumerate(clients):
        for index in range(500):
            client.tell(type="subscribe", topic=f"t-{number}-{index}")
        client.tell(type="subscribe", topic="large")
        for _ in range(501):
            assert client.heard()["type"] == "subscribed"
    answer = top(proxy, by="topic", of="subscribers", k=100)
    off_by = answer["at_most_off_by"]
    assert answer["keys_max"] < 2001 and 0 < off_by <= 2004 // answer["keys_max"] + 4
    found = dict(values(answer))
    assert abs(found.get("large", 0) - 4) <= off_by


@pytest.mark.parametrize(
    "query, fault",
    [("by=colour", "by"), ("of=colour", "of"), ("by=topic&of=bytes", "of"), ("by=user&of=subscribers", "of"), ("k=0", "k"), ("k=101", "k")],
)
def test_what_cannot_be_added_up_is_refused(ringway, query, fault):
    proxy = ringway({"workers.count": 1})
    answer = proxy.get(f"/api/v1/top?{query}")
    assert answer.status in (400, 422) and answer.json["detail"].startswith(fault), answer.text
