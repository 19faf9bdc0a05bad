"""Fan-out: order, exactness, and readers that are too slow."""

import resource
import selectors
import signal
import socket
import time

import pytest

from waiting import eventually
from websocket_client import CLOSE, TEXT, WebSocket, connect, frame, inflated, upgrade_request

ANYONE = {"websocket.namespaces": '[{prefix: "", publish: anyone}]'}
DEADLINE_SECONDS = 60
MANY = 10_000
# Of the descriptor limit, this many are left to everything but subscribers, on either side.
DESCRIPTORS_SPARED = 1_000


def publish(publisher, topic, values):
    """Publishes them all and has each answered."""
    pieces = []
    for value in values:
        text = value if isinstance(value, str) else str(value)
        pieces.append(frame(TEXT, f'{{"type":"publish","topic":"{topic}","data":{text}}}'.encode()))
    for start in range(0, len(pieces), 100):
        publisher.raw(b"".join(pieces[start : start + 100]))
        for _ in pieces[start : start + 100]:
            assert publisher.heard()["type"] == "published"


def balance(proxy):
    """Deliveries due less delivered, dropped and still queued: 0 when nothing is under way."""
    metrics = proxy.metrics()
    due = metrics("websocket_deliveries_due_total")
    return due - metrics("websocket_deliveries_total") - metrics("websocket_dropped_total") - metrics("websocket_queued_messages")


def all_due(proxy, deliveries):
    """Waits until all are counted: workers tell what their hub counts once a tick."""
    eventually(lambda: proxy.metrics()("websocket_deliveries_due_total") == deliveries, what=lambda: proxy.metrics()("websocket_deliveries_due_total"))
    eventually(lambda: balance(proxy) == 0, what=lambda: balance(proxy))


# Many


class Crowd:
    """Subscribers of one topic. What each hears is kept as bytes: all must hear the same."""

    def __init__(self, proxy, count, topic):
        subscribe = frame(TEXT, f'{{"type":"subscribe","topic":"{topic}"}}'.encode())
        self.answer = frame(TEXT, f'{{"type":"subscribed","topic":"{topic}"}}'.encode(), mask=None)
        self.selector = selectors.DefaultSelector()
        self.heard = {}
        for number in range(count):
            connection = connect(proxy.websocket, source=(f"127.0.1.{1 + number % 100}", 0))
            connection.sendall(upgrade_request() + subscribe)
            connection.setblocking(False)
            self.selector.register(connection, selectors.EVENT_READ)
            self.heard[connection] = bytearray()

    def read(self, enough):
        """Reads until `enough(bytes)` of each."""
        waiting = {connection for connection, heard in self.heard.items() if not enough(heard)}
        deadline = time.monotonic() + DEADLINE_SECONDS
        while waiting:
            assert time.monotonic() < deadline, f"{len(waiting)} of {len(self.heard)} wait; one heard {bytes(self.heard[waiting.pop()])[-200:]!r}"
            for key, _ in self.selector.select(1):
                more = key.fileobj.recv(1 << 18)
                assert more, "ended"
                heard = self.heard[key.fileobj]
                heard += more
                if enough(heard):
                    waiting.discard(key.fileobj)

    def is_subscribed(self):
        self.read(lambda heard: heard.endswith(self.answer))
        for heard in self.heard.values():
            heard.clear()

    def close(self):
        for connection in self.heard:
            connection.close()
        self.selector.close()


@pytest.mark.parametrize("driver", ["auto", "epoll"])
def test_ten_thousand_subscribers_all_hear_everything_once_and_in_one_order(ringway, websocket, closing, driver):
    # The default driver at full size; the other at a tenth, as it is the protocol above that is tested.
    wanted = MANY if driver == "auto" else MANY // 10
    count = min(wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - DESCRIPTORS_SPARED)
    proxy = ringway({**ANYONE, "workers.count": 3, "workers.driver": driver, "websocket.heartbeat_interval": "0s"})
    crowd = closing(Crowd(proxy, count, "t"))
    crowd.is_subscribed()
    publishers = [websocket(proxy) for _ in range(4)]
    rounds = 5
    for number in range(rounds):
        for who, publisher in enumerate(publishers):
            publisher.raw(b"".join(frame(TEXT, b'{"type":"publish","topic":"t","data":[%d,%d]}' % (who, number * 3 + burst)) for burst in range(3)))
    messages = [
        frame(TEXT, b'{"type":"message","topic":"t","data":[%d,%d]}' % (who, number), mask=None)
        for who in range(len(publishers))
        for number in range(rounds * 3)
    ]
    size = sum(map(len, messages))
    crowd.read(lambda heard: len(heard) >= size)
    (same,) = {bytes(heard) for heard in crowd.heard.values()}
    assert len(same) == size
    assert all(same.count(message) == 1 for message in messages), "none lost, none twice"
    for who in range(len(publishers)):
        places = [same.index(message) for message in messages[who * rounds * 3 : (who + 1) * rounds * 3]]
        assert places == sorted(places), "what one publisher sends stays in its order"
    deliveries = count * len(messages)
    all_due(proxy, deliveries)
    eventually(lambda: proxy.metrics()("websocket_deliveries_total") == deliveries)
    crowd.close()


def test_many_topics_over_several_workers_keep_their_orders(ringway, websocket):
    proxy = ringway({**ANYONE, "workers.count": 4})
    topics = [f"topic.{number}" for number in range(40)]
    subscribers = [websocket(proxy).subscribe(*topics) for _ in range(12)]
    publishers = [websocket(proxy) for _ in range(4)]
    for number in range(25):
        for publisher in publishers:
            publisher.raw(b"".join(frame(TEXT, f'{{"type":"publish","topic":"{topic}","data":{number}}}'.encode()) for topic in topics))
    orders = []
    for subscriber in subscribers:
        heard = {topic: [] for topic in topics}
        for _ in range(25 * len(topics) * len(publishers)):
            message = subscriber.heard()
            heard[message["topic"]].append(message["data"])
        orders.append(heard)
        subscriber.silent()
    assert all(order == orders[0] for order in orders)
    assert all(sorted(data) == sorted(list(range(25)) * 4) for data in orders[0].values())


def test_publications_are_compressed_once_they_are_large_enough(ringway, websocket):
    proxy = ringway({**ANYONE, "websocket.compression_threshold": "200B"})
    clients = [websocket(proxy, offer="permessage-deflate").subscribe("t") for _ in range(3)]
    plain = websocket(proxy).subscribe("t")
    publisher = websocket(proxy)
    publish(publisher, "t", ['"small"', '"' + "x" * 500 + '"'])
    for client in clients:
        small, large = client.frame(), client.frame()
        assert small.rsv == 0 and b'"small"' in small.payload
        assert large.rsv == 4 and len(large.payload) < 100 and b"x" * 500 in inflated(large.payload)
    assert plain.heard()["data"] == "small" and plain.heard()["data"] == "x" * 500


def test_batches_leave_when_full_or_when_their_time_has_come(ringway, websocket):
    proxy = ringway({**ANYONE, "websocket.batching": "true", "websocket.batch_size": 10, "websocket.batch_timeout": "400ms"})
    client, publisher = websocket(proxy).subscribe("t"), websocket(proxy)
    publish(publisher, "t", range(2))
    started = time.monotonic()
    publish(publisher, "t", range(2, 10))
    assert [client.heard()["data"] for _ in range(10)] == list(range(10))
    full = time.monotonic() - started
    started = time.monotonic()
    publish(publisher, "t", [10])
    assert client.heard()["data"] == 10
    assert full < 0.3 < time.monotonic() - started < 3


# Slow readers

QUEUED_MAX = 50
FLOOD = 3_000
# 12 MB in all: more than the kernel's buffers between the two hold.
FLOOD_DATA = 4_000


def flooded(ringway, websocket, overflow):
    """A proxy, a subscriber that has not read a flood of publications, and one that has read all."""
    proxy = ringway(
        {
            "websocket.namespaces": f'[{{prefix: "", publish: anyone, overflow: {overflow}}}]',
            "websocket.max_queued_messages": QUEUED_MAX,
            "websocket.compression": "false",
            "websocket.close_timeout": "1s",
            "workers.count": 2,
        }
    )
    slow, reader, publisher = (websocket(proxy) for _ in range(3))
    slow.subscribe("t")
    reader.subscribe("t")
    padding = "x" * FLOOD_DATA
    for number in range(FLOOD):
        publisher.tell(type="publish", topic="t", data=[number, padding])
        assert publisher.heard()["type"] == "published"
        assert reader.heard()["data"][0] == number, "one slow reader never delays another"
    if overflow != "disconnect":
        all_due(proxy, 2 * FLOOD)
    return proxy, slow, publisher


def dropped(proxy):
    return {reason: int(count) for reason, count in proxy.metrics().by("websocket_dropped_total", "reason").items() if count}


def numbers(client, until):
    heard = []
    while not heard or heard[-1] != until:
        heard.append(client.heard()["data"][0])
    return heard


def test_drop_oldest_keeps_the_newest(ringway, websocket):
    proxy, slow, _ = flooded(ringway, websocket, "drop_oldest")
    heard = numbers(slow, FLOOD - 1)
    slow.silent()
    assert heard == sorted(set(heard)), "in order, none twice"
    # One of those that wait may have left in part: it is never dropped.
    newest = QUEUED_MAX - 1
    assert heard[-newest:] == list(range(FLOOD - newest, FLOOD))
    eventually(lambda: proxy.metrics()("websocket_queued_messages") == 0)
    assert dropped(proxy) == {"drop_oldest": FLOOD - len(heard)}
    all_due(proxy, 2 * FLOOD)


def test_drop_newest_keeps_the_oldest(ringway, websocket):
    proxy, slow, publisher = flooded(ringway, websocket, "drop_newest")
    kept = FLOOD - dropped(proxy)["drop_newest"]
    assert QUEUED_MAX < kept < FLOOD
    assert numbers(slow, kept - 1) == list(range(kept))
    slow.silent()
    publish(publisher, "t", ["[-1]"])
    assert slow.heard()["data"] == [-1], "with room again it hears again"
    all_due(proxy, 2 * FLOOD + 2)


def test_conflate_latest_leaves_the_latest_of_each_topic(ringway, websocket):
    proxy, slow, publisher = flooded(ringway, websocket, "conflate_latest")
    assert proxy.metrics()("websocket_queued_messages") <= 2
    heard = numbers(slow, FLOOD - 1)
    slow.silent()
    assert heard == sorted(set(heard)) and len(heard) < FLOOD
    assert dropped(proxy) == {"conflated": FLOOD - len(heard)}


def test_disconnect_ends_a_slow_reader_with_its_code(ringway, websocket):
    proxy, slow, _ = flooded(ringway, websocket, "disconnect")
    eventually(lambda: proxy.metrics()("websocket_closes_total", code="3008") == 1)
    assert set(dropped(proxy)) <= {"slow_disconnected", "connection_closed"}
    delivered = 0
    try:
        while (heard := slow.frame()).opcode != CLOSE:
            assert b'"data":[%d,' % delivered in heard.payload[:60]
            delivered += 1
        assert heard.payload[:2] == (3008).to_bytes(2, "big")
    except ConnectionError:
        pass  # A reader that never reads is not sent a close frame in any sense of the word.
    assert 0 < delivered < FLOOD
    eventually(lambda: proxy.metrics()("websocket_connections") == 2)
    eventually(lambda: balance(proxy) == 0, what=lambda: balance(proxy))


def test_two_hundred_who_never_read_cost_bounded_memory_and_nothing_of_the_others(ringway, websocket, closing):
    proxy = ringway(
        {
            "websocket.namespaces": '[{prefix: "", publish: anyone, overflow: drop_oldest}]',
            "websocket.max_queued_size": "16KiB",
            "websocket.compression": "false",
            "workers.count": 2,
        }
    )
    for _ in range(200):
        client = closing(WebSocket.__new__(WebSocket))
        client.connection = socket.socket()
        client.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connection.connect(proxy.websocket)
        client.connection.sendall(upgrade_request() + frame(TEXT, b'{"type":"subscribe","topic":"t"}'))
    readers, publisher = [websocket(proxy).subscribe("t") for _ in range(5)], websocket(proxy)
    eventually(lambda: proxy.metrics()("websocket_subscriptions") == 205)
    before = proxy.resident_bytes()
    padding = "x" * 8_000
    for number in range(600):
        publisher.tell(type="publish", topic="t", data=[number, padding])
        assert publisher.heard()["type"] == "published"
        for reader in readers:
            assert reader.heard()["data"][0] == number
    all_due(proxy, 205 * 600)
    metrics = proxy.metrics()
    assert metrics("websocket_dropped_total", reason="drop_oldest") > 0
    assert metrics("websocket_queued_bytes") <= 200 * 16 * 1024
    assert proxy.resident_bytes() - before < 24 << 20


# Who leaves in the midst


def test_subscribers_that_leave_during_the_fan_out_are_counted_exactly(ringway, websocket):
    proxy = ringway({**ANYONE, "workers.count": 2})
    publisher, stays = websocket(proxy), websocket(proxy).subscribe("t")
    for _ in range(10):
        leaving = [websocket(proxy).subscribe("t") for _ in range(20)]
        publisher.raw(b"".join(frame(TEXT, b'{"type":"publish","topic":"t","data":%d}' % number) for number in range(50)))
        for number, client in enumerate(leaving):
            client.reset() if number % 2 else client.close()
        for _ in range(50):
            assert publisher.heard()["type"] == "published"
    heard = [stays.heard()["data"] for _ in range(500)]
    assert heard == list(range(50)) * 10
    eventually(lambda: proxy.metrics()("websocket_connections") == 2)
    eventually(lambda: balance(proxy) == 0, what=lambda: str(balance(proxy)))


def test_a_drain_leaves_nothing_uncounted_and_ends(ringway, websocket):
    proxy = ringway({**ANYONE, "websocket.drain_window": "200ms"})
    clients = [websocket(proxy).subscribe("t") for _ in range(20)]
    publish(websocket(proxy), "t", range(100))
    proxy.signal(signal.SIGTERM)
    for client in clients:
        assert [client.heard()["data"] for _ in range(100)] == list(range(100)), "what was published comes before the close"
        client.ended(1012)
    for client in proxy.sockets:
        client.close()
    assert proxy.exit_code() == 0
