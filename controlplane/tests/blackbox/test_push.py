"""The publish API as back ends use it: by Centrifugo's own library for Python (PyPI `cent`), under attack, and with a worker that hangs.

Its methods, one by one and by curl, are in test_websocket_push.py.
"""

import json
import socket
import time

import pytest
from cent import CentApiResponseError, CentUnauthorizedError, Client
from cent import BatchRequest, BroadcastRequest, ChannelsRequest, DisconnectRequest, HistoryRemoveRequest, HistoryRequest, InfoRequest
from cent import PresenceRequest, PresenceStatsRequest, PublishRequest, SubscribeRequest, UnsubscribeRequest
from cent import Disconnect, StreamPosition

from ringway import run
from waiting import eventually
from websocket_client import CLOSE

NAMESPACES = '[{prefix: "", publish: anyone}, {prefix: kept., history: {size: 100, ttl: 1m}, presence: true}]'
OPTIONS = {"websocket.namespaces": NAMESPACES, "workers.count": 2}
KEY = "correct-horse-battery"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def cent(closing):
    """Centrifugo's client for a ringway: `cent(proxy)`."""

    class Closing(Client):
        def close(self):
            self._session.close()

    return lambda proxy, key="": closing(Closing("http://{}:{}/api".format(*proxy.control), key, timeout=10))


@pytest.fixture
def connect(ringway, websocket, tmp_path):
    """A ringway whose users have tokens, and a way to connect as one: `proxy, connect = connect()`."""

    def start(options=None):
        path = tmp_path / "tokens.yaml"
        path.write_text("tokens: [{user: alice, token: alices-token-1234567890}, {user: bob, token: bobs-token-1234567890}]\n")
        proxy = ringway({**OPTIONS, "websocket.auth": "token", "websocket.tokens_file": str(path), **(options or {})})
        return proxy, lambda user: websocket(proxy, f"/ws?token={user}s-token-1234567890")

    return start


def post(proxy, method, body, headers=JSON, **how):
    text = body if isinstance(body, (str, bytes)) else json.dumps(body)
    return proxy.http("POST", f"/api/{method}", headers, text, **how)


def closed_with(client):
    """The code and reason of the close frame; what came before is read over."""
    while (heard := client.frame()).opcode != CLOSE:
        pass
    return int.from_bytes(heard.payload[:2], "big"), heard.payload[2:].decode()


# Centrifugo's library


def test_cent_publishes_and_reads_history(ringway, websocket, cent):
    proxy = ringway(OPTIONS)
    subscriber, client = websocket(proxy).subscribe("kept.a"), cent(proxy)
    sent = [client.publish(PublishRequest(channel="kept.a", data={"n": number})) for number in range(5)]
    assert [result.offset for result in sent] == [1, 2, 3, 4, 5]
    assert [subscriber.heard()["data"] for _ in range(5)] == [{"n": number} for number in range(5)]
    position = client.history(HistoryRequest(channel="kept.a"))
    assert (position.offset, position.epoch, position.publications) == (5, sent[0].epoch, [])
    page = client.history(HistoryRequest(channel="kept.a", limit=2, since=StreamPosition(offset=1, epoch=position.epoch)))
    assert [(kept.offset, kept.data) for kept in page.publications] == [(2, {"n": 1}), (3, {"n": 2})]
    newest = client.history(HistoryRequest(channel="kept.a", limit=1, reverse=True))
    assert [kept.offset for kept in newest.publications] == [5]
    with pytest.raises(CentApiResponseError) as refused:
        client.history(HistoryRequest(channel="kept.a", limit=2, since=StreamPosition(offset=1, epoch="older")))
    assert refused.value.code == 112
    client.history_remove(HistoryRemoveRequest(channel="kept.a"))
    assert client.history(HistoryRequest(channel="kept.a", limit=-1)).publications == []


def test_cent_publishes_once_for_one_idempotency_key(ringway, websocket, cent):
    proxy = ringway(OPTIONS)
    subscriber, client = websocket(proxy).subscribe("kept.a"), cent(proxy)
    first, again = [client.publish(PublishRequest(channel="kept.a", data=number, idempotency_key="order-7")) for number in (1, 2)]
    assert first == again
    client.publish(PublishRequest(channel="kept.a", data=3))
    assert [subscriber.heard()["data"] for _ in range(2)] == [1, 3]


def test_a_publication_may_leave_history_as_it_is(ringway, websocket, cent):
    proxy = ringway(OPTIONS)
    subscriber, client = websocket(proxy).subscribe("kept.a"), cent(proxy)
    for number in range(3):
        client.publish(PublishRequest(channel="kept.a", data=number, skip_history=number == 1))
    assert [subscriber.heard()["data"] for _ in range(3)] == [0, 1, 2]
    told = client.history(HistoryRequest(channel="kept.a", limit=-1))
    assert [(kept.offset, kept.data) for kept in told.publications] == [(1, 0), (3, 2)]


def test_connections_without_a_user_are_reached_by_their_name(ringway, websocket, cent):
    proxy = ringway(OPTIONS)
    client = cent(proxy)
    one, two = [websocket(proxy).subscribe("kept.a") for _ in range(2)]
    name = min(client.presence(PresenceRequest(channel="kept.a")).presence)
    client.disconnect(DisconnectRequest(user="", client=name))
    eventually(lambda: name not in client.presence(PresenceRequest(channel="kept.a")).presence)
    assert client.presence_stats(PresenceStatsRequest(channel="kept.a")).num_clients == 1
    client.disconnect(DisconnectRequest(user=""))
    assert [closed_with(each)[0] for each in (one, two)] == [3503, 3503]


def test_cent_sees_who_is_there(connect, cent):
    proxy, connected = connect()
    client = cent(proxy)
    for user in ("alice", "alice", "bob"):
        connected(user).subscribe("kept.room", "other")
    present = client.presence(PresenceRequest(channel="kept.room")).presence
    assert sorted(told.user for told in present.values()) == ["alice", "alice", "bob"]
    assert all(told.client == name for name, told in present.items())
    stats = client.presence_stats(PresenceStatsRequest(channel="kept.room"))
    assert (stats.num_clients, stats.num_users) == (3, 2)
    channels = client.channels(ChannelsRequest()).channels
    assert {name: told.num_clients for name, told in channels.items()} == {"kept.room": 3, "other": 3}
    assert list(client.channels(ChannelsRequest(pattern="kept.*")).channels) == ["kept.room"]
    eventually(lambda: client.info(InfoRequest()).nodes[0].num_users == 2)
    (node,) = client.info(InfoRequest()).nodes
    assert (node.num_clients, node.num_subs, node.num_channels) == (3, 6, 2)
    assert node.uid and "_" in node.name and node.version


def test_cent_subscribes_unsubscribes_and_disconnects_a_user(connect, cent):
    proxy, connected = connect()
    client = cent(proxy)
    alices, bob = [connected("alice") for _ in range(3)], connected("bob")
    client.subscribe(SubscribeRequest(user="alice", channel="personal"))
    # It is answered before every worker has recorded it.
    eventually(lambda: getattr(client.channels(ChannelsRequest()).channels.get("personal"), "num_clients", 0) == 3)
    client.publish(PublishRequest(channel="personal", data="hello"))
    for alice in alices:
        while (heard := alice.heard())["type"] != "message":
            assert heard["type"] == "subscribed"
        assert heard["data"] == "hello"
    client.unsubscribe(UnsubscribeRequest(user="alice", channel="personal"))
    eventually(lambda: "personal" not in client.channels(ChannelsRequest()).channels)
    client.disconnect(DisconnectRequest(user="alice", disconnect=Disconnect(code=4001, reason="maintenance")))
    assert [closed_with(alice) for alice in alices] == [(4001, "maintenance")] * 3
    bob.silent()
    client.disconnect(DisconnectRequest(user="bob"))
    assert closed_with(bob)[0] == 3503
    client.disconnect(DisconnectRequest(user="nobody"))


def test_one_of_a_users_connections_may_be_meant_or_spared(connect, cent):
    proxy, connected = connect()
    client = cent(proxy)
    one, two, three = [connected("alice").subscribe("kept.a") for _ in range(3)]
    present = client.presence(PresenceRequest(channel="kept.a")).presence
    first, second, _ = sorted(present)
    client.disconnect(DisconnectRequest(user="alice", client=first))
    eventually(lambda: first not in client.presence(PresenceRequest(channel="kept.a")).presence)
    assert len(client.presence(PresenceRequest(channel="kept.a")).presence) == 2
    client.disconnect(DisconnectRequest(user="alice", whitelist=[second]))
    eventually(lambda: list(client.presence(PresenceRequest(channel="kept.a")).presence) == [second])


def test_cent_sends_batches(ringway, websocket, cent):
    proxy = ringway(OPTIONS)
    subscriber, client = websocket(proxy).subscribe("a"), cent(proxy)
    commands = [PublishRequest(channel="a", data=1), BroadcastRequest(channels=["a", "b"], data=2), InfoRequest()]
    published, broadcast, info = client.batch(BatchRequest(requests=commands)).replies
    assert published.offset is not None and len(broadcast.responses) == 2 and info.nodes[0].num_clients == 1
    assert [subscriber.heard()["data"] for _ in range(2)] == [1, 2]


def test_cent_needs_the_key_where_there_is_one(ringway, cent, tmp_path):
    (tmp_path / "keys").write_text(f"# of the shop\n{KEY}\n")
    proxy = ringway({**OPTIONS, "control.api_keys_file": str(tmp_path / "keys")})
    cent(proxy, KEY).publish(PublishRequest(channel="a", data=1))
    for key in ("", KEY[:-1]):
        with pytest.raises(CentUnauthorizedError):
            cent(proxy, key).publish(PublishRequest(channel="a", data=1))


# Data


@pytest.mark.parametrize("data", ['{"n": 1.50, "big": 12345678901234567890123, "a":  [ "\\u0041", "\\/" ]}', "null", '"\\ud83d\\ude00"', "-0.0e-0"])
def test_data_arrives_byte_for_byte(ringway, websocket, data):
    proxy = ringway(OPTIONS)
    subscriber = websocket(proxy).subscribe("a")
    assert post(proxy, "publish", f'{{"channel":"a","data": {data} }}').json["result"]
    assert data in subscriber.frame().payload.decode()


def test_a_broadcast_to_ten_thousand_channels(ringway, websocket):
    proxy = ringway(OPTIONS)
    names = [f"channel-{number}" for number in range(10_000)]
    subscriber = websocket(proxy).subscribe(*names[5_000:5_050])
    responses = post(proxy, "broadcast", {"channels": names, "data": 1}, timeout=30).json["result"]["responses"]
    assert len(responses) == 10_000 and all("result" in response for response in responses)
    assert {subscriber.heard()["topic"] for _ in range(50)} == set(names[5_000:5_050])
    subscriber.silent()


def test_one_bad_channel_does_not_spoil_a_broadcast(ringway, websocket):
    proxy = ringway(OPTIONS)
    subscriber = websocket(proxy).subscribe("b")
    responses = post(proxy, "broadcast", {"channels": ["a b", "b", "x*"], "data": 1}).json["result"]["responses"]
    assert [response.get("error", {}).get("code") for response in responses] == [107, None, 107]
    assert subscriber.heard()["data"] == 1


# Attacks


@pytest.mark.parametrize(
    "headers, status",
    [
        ({}, 415),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({**JSON, "Origin": "https://evil.example"}, 403),
        ({**JSON, "Origin": "null"}, 403),
        ({**JSON, "Host": "evil.example:9003"}, 403),
    ],
)
def test_a_web_page_cannot_publish(ringway, websocket, headers, status):
    proxy = ringway(OPTIONS)
    subscriber = websocket(proxy).subscribe("a")
    answer = post(proxy, "publish", {"channel": "a", "data": 1}, headers)
    assert answer.status == status and answer.json["hint"], answer.text
    subscriber.silent()
    assert post(proxy, "publish", {"channel": "a", "data": 2}).status == 200
    assert subscriber.heard()["data"] == 2


def test_no_preflight_is_granted(ringway):
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    answer = ringway(OPTIONS).http("OPTIONS", "/api/publish", asked)
    assert answer.status == 405 and not [name for name in answer.headers if name.lower().startswith("access-control")]


def test_keys_are_told_to_nobody(ringway, tmp_path):
    (tmp_path / "keys").write_text("another-horse-battery\n")
    proxy = ringway({**OPTIONS, "control.api_keys": f'["{KEY}"]', "control.api_keys_file": str(tmp_path / "keys")})
    post(proxy, "publish", {"channel": "a", "data": 1}, {**JSON, "X-API-Key": KEY})
    post(proxy, "publish", {"channel": "a", "data": 1}, {**JSON, "X-API-Key": "guessed-horse-battery"})
    told = [proxy.log(), *(proxy.get(path).text for path in ("/config", "/stats", "/metrics", "/health", "/"))]
    assert not any("horse-battery" in text for text in told)
    assert '"<redacted>"' in proxy.get("/config").text
    for words in (["config", "effective"], ["check"], ["check", "--set", "control.api_keys=[horse-battery, {}]"]):
        done = run(*words, "--set", f"control.api_keys={KEY}", "--set", f"control.api_keys_file={tmp_path / 'keys'}")
        assert "horse-battery" not in done.stdout + done.stderr


@pytest.mark.parametrize("body", ["", "{", "[]", "\0", '{"channel":"a","channel":"b","data":1}', '{"channel":{},"data":1}', "[" * 100_000, b"\xff\xfe{}", '{"channel":"a","data":' + "[" * 50_000 + "}"])
@pytest.mark.parametrize("method", ["publish", "broadcast", "batch", "history"])
def test_garbage_is_answered(ringway_for_garbage, method, body):
    answer = post(ringway_for_garbage, method, body)
    assert answer.status in (200, 400) and answer.json["error"]["code"] == 107, answer.text


@pytest.fixture(scope="module")
def ringway_for_garbage(tmp_path_factory):
    """One ringway for all of it: none of it may do it harm."""
    from ringway import Ringway  # A fixture of this name stands in every test.

    proxy = Ringway(tmp_path_factory.mktemp("garbage"), OPTIONS)
    yield proxy
    proxy.close()


def test_bodies_have_a_limit_however_they_are_sent(ringway):
    proxy = ringway(OPTIONS)
    assert post(proxy, "publish", {"channel": "a", "data": "x" * (1 << 20)}).json["error"]["code"] == 106
    connection = socket.create_connection(proxy.control, 10)
    proxy.sockets.append(connection)
    connection.sendall(b"POST /api/publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 5000000\r\n\r\n")
    assert connection.recv(100).startswith(b"HTTP/1.1 413")
    resident = proxy.resident_bytes()
    assert proxy.resident_bytes() < resident + (64 << 20)


# A worker that hangs


def test_a_worker_that_hangs_is_named_and_the_others_serve(ringway):
    proxy = ringway({**OPTIONS, "control.test_endpoints": "true", "workers.wedged_after": "60s"})
    names = [f"channel-{number}" for number in range(20)]
    assert proxy.http("POST", "/api/v1/drill?worker=1&kind=stall&ms=6000").status == 202
    started = time.monotonic()
    responses = post(proxy, "broadcast", {"channels": names, "data": 1}).json["result"]["responses"]
    assert 1.5 < time.monotonic() - started < 5
    faults = [response["error"] for response in responses if "error" in response]
    assert 0 < len(faults) < len(names), "each worker is home to some"
    assert all(fault["code"] == 100 and "worker 1" in fault["message"] for fault in faults)
    # The port itself waits for nobody.
    started = time.monotonic()
    assert proxy.get("/health").status in (200, 503)
    assert time.monotonic() - started < 1
    eventually(lambda: "result" in post(proxy, "info", {}).json, 10)


# The access log


def test_a_connections_line_tells_how_it_ended(connect, cent):
    proxy, connected = connect()
    alice = connected("alice").subscribe("a")
    cent(proxy).publish(PublishRequest(channel="a", data="hello"))
    assert alice.heard()["data"] == "hello"
    cent(proxy).disconnect(DisconnectRequest(user="alice"))
    assert closed_with(alice)[0] == 3503
    alice.close()
    line = proxy.eventually_logs("protocol=websocket")
    for part in ("path=/ws", "user=alice", "client_id=", "sent_messages=", "received_messages=1", "reason=kicked", "code_sent=3503", "worker="):
        assert f" {part}" in line, line
    assert "alices-token" not in proxy.log()
