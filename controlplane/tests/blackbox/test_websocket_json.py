"""The plain JSON protocol at /ws: requirements.md, sections 2 and 9."""

import json
import time

import pytest

from waiting import eventually
from websocket_client import BINARY, PING, TEXT

ANYONE = {"websocket.namespaces": '[{prefix: "", publish: anyone}]'}
SUBSCRIBERS = {"websocket.namespaces": '[{prefix: "", publish: server}, {prefix: chat., publish: subscribers}, {prefix: open., publish: anyone}]'}


@pytest.fixture
def client(ringway, websocket):
    return websocket(ringway(ANYONE))


# Requests and their answers


def test_every_request_has_its_answer(client):
    assert client.ask(type="subscribe", topic="news") == {"type": "subscribed", "topic": "news"}
    assert client.ask(type="ping") == {"type": "pong"}
    assert client.ask(type="unsubscribe", topic="news") == {"type": "unsubscribed", "topic": "news"}
    assert client.ask(type="publish", topic="news", data=1) == {"type": "published", "topic": "news"}


@pytest.mark.parametrize("task", ["subscribe", "unsubscribe"])
def test_the_topic_may_stand_in_data(client, task):
    client.subscribe("a")
    topic = "b" if task == "subscribe" else "a"
    assert client.ask(type=task, data={"topic": topic}) == {"type": task + "d", "topic": topic}


@pytest.mark.parametrize("task", [{"type": "subscribe", "topic": "t"}, {"type": "publish", "topic": "t", "data": {}}, {"type": "ping"}, {"type": "nonsense"}, {}])
@pytest.mark.parametrize("id", [1, 0, -7, 2**53, "a", "", "ü\"\\\n", 1.5])
def test_an_id_comes_back_on_the_answer(client, task, id):
    assert client.ask(**task, id=id)["id"] == id


def test_an_answer_without_an_id_has_none(client):
    for task in ({"type": "subscribe", "topic": "t"}, {"type": "ping"}, {"type": "nonsense"}):
        assert "id" not in client.ask(**task)


def test_a_bare_ping_is_answered_with_pong(client):
    client.send(TEXT, b"ping")
    assert client.text() == "pong"


@pytest.mark.parametrize(
    "text", ['{"type":"ping"}', ' {"type" : "ping"} \n', '{"extra":[{"a":null}],"type":"ping"}', '{"t\\u0079pe":"p\\u0069ng"}', '{"type":"ping","topic":null}']
)
def test_a_request_may_be_written_in_any_json(client, text):
    client.send(TEXT, text.encode())
    assert client.heard() == {"type": "pong"}


def test_a_topic_comes_back_as_it_was_named(client, ringway):
    for topic in ("ü€😀", 'qu"ote', "back\\slash", "x" * 255, "a.b.c", "-", "0"):
        client.subscribe(topic)
        assert client.ask(type="publish", topic=topic, data=0)["type"] in ("published", "message")
        other = client.heard()
        assert other["topic"] == topic


# Publications


@pytest.mark.parametrize("data", [{"a": [1, 2, {"b": None}]}, [], {}, "text", "ü😀\"\\", 0, -1.5e300, True, None, 12345678901234567890])
def test_data_of_any_kind_reaches_subscribers_as_it_is(client, websocket, data):
    client.subscribe("t")
    client.tell(type="publish", topic="t", data=data)
    heard = [client.heard(), client.heard()]
    assert {"type": "published", "topic": "t"} in heard
    assert {"type": "message", "topic": "t", "data": data} in heard


def test_data_is_passed_on_byte_for_byte(client):
    client.subscribe("t")
    data = '{"b":1.0,  "a":1e2,"a":2, "big":123456789012345678901234567890,"e":"\\u00e9"}'
    client.send(TEXT, b'{"type":"publish","topic":"t","data":' + data.encode() + b"}")
    texts = [client.text(), client.text()]
    assert any(data in text for text in texts), texts


def test_publications_reach_subscribers_alone_each_once_and_in_order(ringway, websocket):
    proxy = ringway({**ANYONE, "workers.count": 2})
    publisher, stranger = websocket(proxy), websocket(proxy).subscribe("other")
    subscribers = [websocket(proxy).subscribe("t", "u") for _ in range(8)]
    for number in range(200):
        publisher.tell(type="publish", topic="t", data=number, id=number)
    assert [publisher.heard()["id"] for _ in range(200)] == list(range(200))
    for subscriber in subscribers:
        assert [subscriber.heard() for _ in range(200)] == [{"type": "message", "topic": "t", "data": number} for number in range(200)]
        subscriber.silent()
    stranger.silent()


def test_after_unsubscribing_nothing_more_comes(client, ringway, websocket):
    client.subscribe("t", "u")
    client.ask(type="unsubscribe", topic="t")
    client.tell(type="publish", topic="t", data=1)
    assert client.heard()["type"] == "published"
    client.tell(type="publish", topic="u", data=2)
    assert {client.heard()["type"], client.heard()["type"]} == {"published", "message"}
    client.silent()


def test_wildcards_match_what_begins_so(ringway, websocket):
    proxy = ringway({**ANYONE, "workers.count": 2})
    publisher = websocket(proxy)
    news, everything, sport = (websocket(proxy).subscribe(pattern) for pattern in ("news.*", "*", "news.sport.*"))
    topics = ["news.a", "news.sport.b", "news", "newsx", "other.c", "news.sport"]
    for number, topic in enumerate(topics):
        assert publisher.ask(type="publish", topic=topic, data=number) == {"type": "published", "topic": topic}

    def got(client, count):
        return sorted(client.heard()["topic"] for _ in range(count))

    assert got(news, 3) == ["news.a", "news.sport", "news.sport.b"]
    assert got(sport, 1) == ["news.sport.b"]
    assert got(everything, 6) == sorted(topics)
    for client in (news, sport, everything):
        client.silent()


def test_topic_and_pattern_together_deliver_once_each_message(ringway, websocket):
    proxy = ringway({**ANYONE, "workers.count": 2})
    client, publisher = websocket(proxy).subscribe("news.a", "news.*"), websocket(proxy)
    for number in range(10):
        publisher.ask(type="publish", topic="news.a", data=number)
    assert [client.heard()["data"] for _ in range(10)] == list(range(10))
    client.silent()


@pytest.mark.parametrize("pattern", ["news*", "*.news", "a.*.b", "**"])
def test_a_star_elsewhere_is_refused(client, pattern):
    assert client.ask(type="subscribe", topic=pattern)["type"] == "error"
    assert client.ask(type="publish", topic="news.*", data=1)["type"] == "error"


def test_who_may_publish_is_said_by_the_longest_prefix(ringway, websocket):
    client = websocket(ringway(SUBSCRIBERS))
    assert client.ask(type="publish", topic="news", data=1)["type"] == "error"
    assert client.ask(type="publish", topic="chat.a", data=1)["type"] == "error"
    assert client.ask(type="publish", topic="open.a", data=1)["type"] == "published"
    client.subscribe("news", "chat.a")
    assert client.ask(type="publish", topic="news", data=1)["type"] == "error"
    client.tell(type="publish", topic="chat.a", data=1)
    assert {client.heard()["type"], client.heard()["type"]} == {"published", "message"}


def test_requests_in_a_row_need_not_wait_for_their_answers(ringway, websocket):
    """Whoever subscribes and publishes behind it is a subscriber then, whichever worker is the topic's home."""
    proxy = ringway({**SUBSCRIBERS, "workers.count": 4})
    for number in range(20):
        client, topic = websocket(proxy), f"chat.{number}"
        client.tell(type="subscribe", topic=topic)
        client.tell(type="publish", topic=topic, data=1)
        heard = [client.heard() for _ in range(3)]
        assert heard[0] == {"type": "subscribed", "topic": topic}
        assert {"type": "published", "topic": topic} in heard and {"type": "message", "topic": topic, "data": 1} in heard


def test_by_default_clients_may_not_publish(ringway, websocket):
    answer = websocket(ringway()).ask(type="publish", topic="t", data=1, id=3)
    assert answer["type"] == "error" and answer["id"] == 3 and "publish" in answer["message"]


# Errors

BAD_REQUESTS = {
    "no_json": b"hello",
    "half_json": b'{"type":',
    "two_jsons": b'{"type":"ping"}{"type":"ping"}',
    "empty": b"",
    "an_array": b"[]",
    "a_number": b"1",
    "a_string": b'"ping"',
    "null": b"null",
    "no_type": b'{"topic":"t"}',
    "a_type_that_is_no_text": b'{"type":1}',
    "unknown_type": b'{"type":"dance"}',
    "type_in_capitals": b'{"type":"PING"}',
    "no_topic": b'{"type":"subscribe"}',
    "an_empty_topic": b'{"type":"subscribe","topic":""}',
    "a_topic_that_is_no_text": b'{"type":"subscribe","topic":5}',
    "a_long_topic": b'{"type":"subscribe","topic":"' + b"x" * 256 + b'"}',
    "a_topic_with_a_control_character": b'{"type":"subscribe","topic":"a\\u0000b"}',
    "a_topic_with_a_space": b'{"type":"subscribe","topic":"a b"}',
    "a_lone_surrogate": b'{"type":"subscribe","topic":"\\ud800"}',
    "publish_without_data": b'{"type":"publish","topic":"t"}',
    "publish_without_topic": b'{"type":"publish","data":1}',
    "an_object_as_id": b'{"type":"ping","id":{}}',
    "a_long_id": b'{"type":"ping","id":"' + b"x" * 300 + b'"}',
    "deep_nesting": b'{"type":"publish","topic":"t","data":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_a_bad_request_is_answered_with_what_is_wrong_and_the_connection_goes_on(client, case):
    client.send(TEXT, BAD_REQUESTS[case])
    answer = client.heard()
    assert answer["type"] == "error", answer
    assert isinstance(answer["code"], int) and len(answer["message"]) > 5, answer
    assert client.ask(type="ping") == {"type": "pong"}


def test_subscribing_twice_is_said(client):
    client.subscribe("t")
    answer = client.ask(type="subscribe", topic="t", id=1)
    assert answer["type"] in ("subscribed", "error") and answer["id"] == 1
    client.tell(type="publish", topic="t", data=1)
    assert {client.heard()["type"], client.heard()["type"]} == {"published", "message"}
    client.silent()


def test_binary_is_no_request(client):
    client.send(BINARY, b'{"type":"ping"}')
    heard = client.frame()
    assert heard.opcode == 8 or json.loads(heard.payload)["type"] in ("error", "pong")


def test_a_client_that_only_talks_nonsense_is_shown_out(client):
    for _ in range(10_000):
        try:
            client.send(TEXT, b"nonsense")
        except ConnectionError:
            break
    assert client.ended()[0] == 3501


def test_refused_requests_are_counted(ringway, websocket):
    proxy = ringway()
    client = websocket(proxy)
    for _ in range(5):
        client.ask(type="nonsense")
    eventually(lambda: proxy.metrics()("websocket_requests_refused_total") == 5)


# Limits


def test_only_so_many_subscriptions(ringway, websocket):
    proxy = ringway({"websocket.max_subscriptions_per_client": 3})
    client = websocket(proxy).subscribe("a", "b", "c.*")
    answer = client.ask(type="subscribe", topic="d", id="x")
    assert answer["type"] == "error" and answer["id"] == "x" and "subscription" in answer["message"]
    eventually(lambda: proxy.metrics()("websocket_subscriptions") == 3)
    client.ask(type="unsubscribe", topic="a")
    client.subscribe("d")
    websocket(proxy).subscribe("e")


def test_the_subscriptions_of_those_who_leave_are_gone(ringway, websocket):
    proxy = ringway({**ANYONE, "workers.count": 2})
    clients = [websocket(proxy).subscribe("t", "u", f"own.{number}", "p.*") for number in range(20)]
    eventually(lambda: proxy.metrics()("websocket_subscriptions") == 80)
    for client in clients:
        client.close()
    eventually(lambda: proxy.metrics()("websocket_subscriptions") == 0)
    eventually(lambda: proxy.metrics()("websocket_topics") == 0)
    assert websocket(proxy).ask(type="publish", topic="t", data=1)["type"] == "published"


@pytest.mark.parametrize(
    "limit", [{"websocket.max_messages_per_second": 20}, {"websocket.max_bytes_per_second": 20 * 15}], ids=["messages", "bytes"]
)
def test_more_than_so_much_per_second_ends_the_connection(ringway, websocket, limit):
    proxy = ringway(limit)
    client, neighbour = websocket(proxy), websocket(proxy)
    for _ in range(10):
        assert client.ask(type="ping") == {"type": "pong"}
    for _ in range(60):
        client.tell(type="ping")
    pongs = 0
    while (heard := client.frame()).opcode == TEXT:
        pongs += 1
    assert pongs < 55
    assert heard.payload[:2] == (3013).to_bytes(2, "big"), heard
    assert neighbour.ask(type="ping") == {"type": "pong"}
    client.close()
    eventually(lambda: proxy.metrics()("websocket_closes_total", code="3013") == 1)


def test_pings_count_as_messages(ringway, websocket):
    client = websocket(ringway({"websocket.max_messages_per_second": 20}))
    for _ in range(100):
        try:
            client.send(PING)
        except ConnectionError:
            break
    started = time.monotonic()
    assert client.ended()[0] == 3013
    assert time.monotonic() - started < 3, "its answer to the close is heard, though it may send nothing more"


def test_a_message_beyond_the_limit_ends_the_connection(ringway, websocket):
    client = websocket(ringway({**ANYONE, "websocket.max_message_size": "4KiB"}))
    client.tell(type="publish", topic="t", data="x" * 4000)
    assert client.heard()["type"] == "published"
    client.tell(type="publish", topic="t", data="x" * 5000)
    client.ended(1009)


# Counting


def test_messages_are_counted_both_ways(ringway, websocket):
    proxy = ringway({**ANYONE, "workers.count": 2})
    subscribers = [websocket(proxy).subscribe("t") for _ in range(5)]
    publisher = websocket(proxy)
    for number in range(20):
        publisher.ask(type="publish", topic="t", data=number)
    for subscriber in subscribers:
        assert [subscriber.heard()["data"] for _ in range(20)] == list(range(20))
    eventually(lambda: proxy.metrics()("websocket_deliveries_total") == 100)
    metrics = proxy.metrics()
    assert metrics("websocket_publications_total") == 20
    assert metrics("websocket_deliveries_due_total") == 100
    assert metrics("websocket_dropped_total") == 0
    assert metrics("websocket_messages_received_total") == 5 + 20
    assert metrics("websocket_messages_sent_total") == 5 + 20 + 100
    assert metrics("websocket_messages_total", type="text", direction="received") == 25
    assert metrics("websocket_message_size_bytes_count") == 25
    assert metrics("websocket_push_latency_seconds_count") == 100
    assert metrics("websocket_subscriptions") == 5
    assert metrics("websocket_topics") == 1
