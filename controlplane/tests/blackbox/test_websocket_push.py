"""The publish API on the control port, all the way to subscribers: Centrifugo's requests and answers."""

import json
import subprocess
import time

import pytest

from ringway import environment
from waiting import eventually
from websocket_client import CLOSE, close_payload

KEEPS = {
    "websocket.namespaces": '[{prefix: "", publish: anyone}, {prefix: kept., history: {size: 5, ttl: 1m}, presence: true}, {prefix: brief., history: {size: 5, ttl: 1s}}]',
    "workers.count": 2,
}
KEY = "correct-horse-battery"
TOKENS = 'tokens:\n  - {user: alice, token: "alices-token-1234567890"}\n  - {user: bob, token: "bobs-token-1234567890"}\n'


def call(proxy, method, **params):
    """The answer's JSON; it must be one of the API's own."""
    answer = proxy.http("POST", f"/api/{method}", {"Content-Type": "application/json"}, json.dumps(params))
    assert answer.status == 200, answer.text
    return answer.json


def result(proxy, method, **params):
    answer = call(proxy, method, **params)
    assert "error" not in answer, answer
    return answer["result"]


def curl(proxy, method, body, *headers):
    url = "http://{}:{}/api/{}".format(*proxy.control, method)
    words = ["curl", "--silent", "--max-time", "10", "--noproxy", "*", "--write-out", "\n%{http_code}", "--json", body, url]
    done = subprocess.run([*words, *(word for header in headers for word in ("-H", header))], capture_output=True, text=True, timeout=20, env=environment())
    text, status = done.stdout.rsplit("\n", 1)
    return int(status), text


# Publishing


def test_curl_publishes_to_subscribers(ringway, websocket):
    proxy = ringway(KEEPS)
    subscribers = [websocket(proxy).subscribe("news") for _ in range(6)]
    status, text = curl(proxy, "publish", '{"channel":"news","data":{"a": [1, "ü"]}}')
    assert status == 200 and "result" in json.loads(text), text
    for subscriber in subscribers:
        assert subscriber.heard() == {"type": "message", "topic": "news", "data": {"a": [1, "ü"]}}
        subscriber.silent()


def test_a_broadcast_reaches_every_channel_once(ringway, websocket):
    proxy = ringway(KEEPS)
    a, both, neither = websocket(proxy).subscribe("a"), websocket(proxy).subscribe("a", "b"), websocket(proxy).subscribe("c")
    assert len(result(proxy, "broadcast", channels=["a", "b"], data=1)["responses"]) == 2
    assert a.heard() == {"type": "message", "topic": "a", "data": 1}
    assert sorted(both.heard()["topic"] for _ in range(2)) == ["a", "b"]
    for client in (a, both, neither):
        client.silent()


def test_publications_in_a_row_keep_their_order(ringway, websocket):
    proxy = ringway(KEEPS)
    subscriber = websocket(proxy).subscribe("t")
    for number in range(100):
        result(proxy, "publish", channel="t", data=number)
    assert [subscriber.heard()["data"] for _ in range(100)] == list(range(100))


def test_the_same_idempotency_key_publishes_once(ringway, websocket):
    proxy = ringway(KEEPS)
    subscriber = websocket(proxy).subscribe("kept.a")
    answers = [result(proxy, "publish", channel="kept.a", data=number, idempotency_key="k") for number in range(3)]
    assert answers[0] == answers[1] == answers[2]
    result(proxy, "publish", channel="kept.a", data=9)
    assert [subscriber.heard()["data"] for _ in range(2)] == [0, 9]


# Asking


def test_history_is_kept_within_its_size(ringway):
    proxy = ringway(KEEPS)
    for number in range(8):
        last = result(proxy, "publish", channel="kept.a", data=number)
    told = result(proxy, "history", channel="kept.a", limit=-1)
    assert [(entry["offset"], entry["data"]) for entry in told["publications"]] == [(number + 1, number) for number in range(3, 8)]
    assert told["offset"] == last["offset"] == 8 and told["epoch"] == last["epoch"]
    assert not result(proxy, "history", channel="kept.a").get("publications"), "without a limit only where it stands"
    since = {"offset": 6, "epoch": told["epoch"]}
    assert [entry["data"] for entry in result(proxy, "history", channel="kept.a", limit=-1, since=since)["publications"]] == [6, 7]
    assert [entry["data"] for entry in result(proxy, "history", channel="kept.a", limit=2, reverse=True)["publications"]] == [7, 6]
    result(proxy, "history_remove", channel="kept.a")
    assert not result(proxy, "history", channel="kept.a", limit=-1).get("publications")


def test_history_ages(ringway):
    proxy = ringway(KEEPS)
    result(proxy, "publish", channel="brief.a", data=1)
    assert result(proxy, "history", channel="brief.a", limit=-1)["publications"]
    started = time.monotonic()
    eventually(lambda: not result(proxy, "history", channel="brief.a", limit=-1).get("publications"), 4)
    assert time.monotonic() - started > 0.5


def test_what_a_namespace_does_not_keep_is_not_available(ringway):
    proxy = ringway(KEEPS)
    for method in ("history", "presence", "presence_stats"):
        assert call(proxy, method, channel="other")["error"]["code"] == 108


def test_presence_knows_who_is_subscribed(ringway, websocket):
    proxy = ringway(KEEPS)
    clients = [websocket(proxy).subscribe("kept.a") for _ in range(4)]
    present = result(proxy, "presence", channel="kept.a")["presence"]
    assert len(present) == 4 and all(told["client"] == client for client, told in present.items())
    assert result(proxy, "presence_stats", channel="kept.a")["num_clients"] == 4
    clients[0].ask(type="unsubscribe", topic="kept.a")
    clients[1].close()
    eventually(lambda: result(proxy, "presence_stats", channel="kept.a")["num_clients"] == 2)


def test_channels_and_info_tell_of_all_workers(ringway, websocket):
    proxy = ringway(KEEPS)
    for _ in range(8):
        websocket(proxy).subscribe("news.a", "news.b", "other")
    channels = result(proxy, "channels")["channels"]
    assert channels == {name: {"num_clients": 8} for name in ("news.a", "news.b", "other")}
    assert set(result(proxy, "channels", pattern="news.*")["channels"]) == {"news.a", "news.b"}
    nodes = result(proxy, "info")["nodes"]
    assert sum(node["num_clients"] for node in nodes) == 8
    assert sum(node["num_channels"] for node in nodes) == 3


# Users


@pytest.fixture
def users(ringway, websocket, tmp_path):
    """A ringway with tokens, and how a user connects: `proxy, connect = users()`; `connect("alice")`."""

    def start(options=None):
        path = tmp_path / "tokens.yaml"
        path.write_text(TOKENS)
        proxy = ringway({**KEEPS, "websocket.auth": "token", "websocket.tokens_file": str(path), **(options or {})})
        return proxy, lambda user: websocket(proxy, more_headers(user))

    def more_headers(user):
        return "/ws?token=" + {"alice": "alices-token-1234567890", "bob": "bobs-token-1234567890"}[user]

    return start


def test_a_user_is_subscribed_unsubscribed_and_shown_out(users):
    proxy, connect = users()
    alices, bob = [connect("alice") for _ in range(3)], connect("bob")
    result(proxy, "subscribe", user="alice", channel="personal")
    eventually(lambda: result(proxy, "channels")["channels"].get("personal") == {"num_clients": 3})
    result(proxy, "publish", channel="personal", data="hello")
    for client in alices:
        while (heard := client.heard())["type"] != "message":
            assert heard["type"] == "subscribed"
        assert heard == {"type": "message", "topic": "personal", "data": "hello"}
    result(proxy, "unsubscribe", user="alice", channel="personal")
    eventually(lambda: "personal" not in result(proxy, "channels")["channels"])
    result(proxy, "disconnect", user="alice")
    for client in alices:
        while (heard := client.frame()).opcode != CLOSE:
            pass
        assert heard.payload[:2] == close_payload(3503)
    bob.silent()
    eventually(lambda: proxy.metrics()("websocket_gateway_online_users") == 1)


def test_presence_names_users(users):
    proxy, connect = users()
    connect("alice").subscribe("kept.a")
    connect("alice").subscribe("kept.a")
    connect("bob").subscribe("kept.a")
    assert sorted(told["user"] for told in result(proxy, "presence", channel="kept.a")["presence"].values()) == ["alice", "alice", "bob"]
    assert result(proxy, "presence_stats", channel="kept.a") == {"num_clients": 3, "num_users": 2}


# Who may


def test_without_the_key_nothing_is_done(ringway, websocket):
    proxy = ringway({**KEEPS, "control.api_keys": f'["{KEY}"]'})
    subscriber, body = websocket(proxy).subscribe("t"), '{"channel":"t","data":1}'
    for headers in ((), ("X-API-Key: wrong",), ("X-API-Key: " + KEY + "x",), ("X-API-Key:",)):
        assert curl(proxy, "publish", body, *headers)[0] == 401
    subscriber.silent()
    assert curl(proxy, "publish", body, "X-API-Key: " + KEY)[0] == 200
    assert subscriber.heard()["data"] == 1


@pytest.mark.parametrize("body", ["", "{", "[]", '{"data":1}', '{"channel":"t"}', '{"channel":"","data":1}', '{"channel":"a.*","data":1}', '{"channel":5,"data":1}'])
def test_a_bad_request_is_told(ringway, body):
    answer = ringway(KEEPS).http("POST", "/api/publish", {"Content-Type": "application/json"}, body)
    assert answer.status in (200, 400) and answer.json["error"]["code"] and answer.json["error"]["message"]


def test_an_unknown_method_is_not_found(ringway):
    assert ringway(KEEPS).http("POST", "/api/nonsense", {"Content-Type": "application/json"}, "{}").status == 404
