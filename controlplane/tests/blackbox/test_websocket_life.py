"""Heartbeats, idleness, closing by the server, and the drain."""

import signal
import time

import pytest

from waiting import eventually
from websocket_client import BINARY, CLOSE, PING, PONG, TEXT, WebSocket, answer_to, close_payload, connect, frame, upgrade_request

# Tables are scanned once a second.
SCAN_SECONDS = 1.5


def lives(client, seconds):
    """What the server sends meanwhile, pings answered."""
    heard, deadline = [], time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        client.connection.settimeout(left)
        try:
            heard.append(client.frame())
        except TimeoutError:
            break
        if heard[-1].opcode == PING:
            client.send(PONG, heard[-1].payload)
    client.connection.settimeout(20)
    return heard


# Heartbeats


def test_a_silent_client_is_pinged_and_lives_if_it_answers(ringway, websocket):
    proxy = ringway({"websocket.heartbeat_interval": "500ms", "websocket.pong_timeout": "500ms"})
    client = websocket(proxy)
    heard = lives(client, 3.5)
    assert {frame.opcode for frame in heard} == {PING} and 2 <= len(heard) <= 8
    client.silent()


def test_a_client_that_talks_is_not_pinged(ringway, websocket):
    client = websocket(ringway({"websocket.heartbeat_interval": "1500ms"}))
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline:
        assert client.ask(type="ping") == {"type": "pong"}
        assert not lives(client, 0.2)


@pytest.mark.parametrize("driver", ["auto", "epoll"])
def test_a_client_that_does_not_answer_pings_is_cut(ringway, websocket, driver):
    proxy = ringway({"websocket.heartbeat_interval": "300ms", "websocket.pong_timeout": "500ms", "websocket.close_timeout": "500ms", "workers.driver": driver})
    dead = websocket(proxy)
    started = time.monotonic()
    assert dead.frame().opcode == PING
    close = dead.frame()
    assert close.opcode == CLOSE and close.payload[:2] == close_payload(3012)
    assert 0.5 < time.monotonic() - started < 0.8 + 2 * SCAN_SECONDS
    dead.at_end()
    eventually(lambda: proxy.metrics()("websocket_errors_total", kind="heartbeat_timeout") == 1)
    assert proxy.metrics()("websocket_closes_total", code="3012") == 1


def test_any_frame_is_a_sign_of_life(ringway, websocket):
    client = websocket(ringway({"websocket.heartbeat_interval": "300ms", "websocket.pong_timeout": "1s"}))
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline:
        client.tell(type="ping")
        while client.frame().opcode != TEXT:
            pass  # Pings, which it leaves unanswered.
        client.connection.settimeout(0.3)
        try:
            assert client.frame().opcode == PING
        except TimeoutError:
            pass
        client.connection.settimeout(20)


# Idleness


def test_a_connection_without_messages_ends_though_it_answers_pings(ringway, websocket):
    proxy = ringway({"websocket.idle_timeout": "1s", "websocket.heartbeat_interval": "300ms"})
    idle, busy = websocket(proxy), websocket(proxy)
    started = time.monotonic()
    while (heard := idle.frame()).opcode == PING:
        idle.send(PONG, heard.payload)
        busy.tell(type="ping")
    assert heard.opcode == CLOSE and heard.payload[:2] == close_payload(3000)
    assert 0.8 < time.monotonic() - started < 1 + SCAN_SECONDS + 1
    idle.send(CLOSE, heard.payload[:2])
    idle.at_end()
    idle.close()
    eventually(lambda: proxy.metrics()("websocket_connections_closed_total", reason="idle_timeout") == 1)
    assert busy.ask(type="ping")["type"] == "pong"


# Closing


def test_a_client_that_does_not_answer_a_close_is_cut(ringway, websocket):
    proxy = ringway({"websocket.close_timeout": "500ms"})
    client = websocket(proxy)
    client.send(TEXT, b"\xff")
    assert client.frame().opcode == CLOSE
    started = time.monotonic()
    client.at_end()
    assert time.monotonic() - started < 0.5 + SCAN_SECONDS + 0.5
    eventually(lambda: proxy.metrics()("websocket_connections") == 0)


def test_the_answer_to_our_close_is_heard_behind_whatever_was_on_its_way(ringway, websocket):
    proxy = ringway({"websocket.max_messages_per_second": 20, "websocket.close_timeout": "10s"})
    client, started = websocket(proxy), time.monotonic()
    client.raw(frame(TEXT, b'{"type":"ping"}') * 100 + frame(CLOSE, close_payload(1000)))
    while (heard := client.frame()).opcode != CLOSE:
        assert heard.payload == b'{"type":"pong"}'
    assert heard.payload[:2] == close_payload(3013)
    client.at_end()
    assert time.monotonic() - started < 5


def test_a_client_that_half_closes_is_let_go(ringway, websocket):
    proxy = ringway()
    client = websocket(proxy)
    client.connection.shutdown(1)
    with pytest.raises(ConnectionError):
        while True:
            client.frame()
    eventually(lambda: proxy.metrics()("websocket_connections_closed_total", reason="client_gone") == 1)


def test_nothing_is_left_of_a_thousand_connections(ringway, websocket):
    proxy = ringway({"workers.count": 2, "websocket.echo": "true"})

    def come_and_go(count):
        for number in range(count):
            client = WebSocket(proxy.websocket, "/echo", offer="permessage-deflate" if number % 2 else None)
            client.send(BINARY, bytes(10_000))
            assert client.message() == (BINARY, bytes(10_000))
            if number % 3 == 0:
                client.send(CLOSE, close_payload(1000))
                client.ended(1000)
            client.close()
        eventually(lambda: proxy.metrics()("websocket_connections") == 0)

    come_and_go(100)
    descriptors, memory = proxy.descriptors(), proxy.resident_bytes()
    come_and_go(1_000)
    eventually(lambda: proxy.descriptors() <= descriptors)
    assert proxy.resident_bytes() - memory < 4 << 20
    assert proxy.metrics()("websocket_connections_opened_total") == 1_100


def test_threads_are_those_of_the_design(ringway, websocket):
    proxy = ringway({"workers.count": 2, "websocket.echo": "true"})
    for _ in range(20):
        client = websocket(proxy, "/echo")
        client.send(BINARY, bytes(100_000))
        assert client.message()[1] == bytes(100_000)
    assert set(proxy.threads()) == {"ringway", "ringway-dns", "ringway-history", "ringway-w0", "ringway-w1"}


# The drain

WINDOW_SECONDS = 2


@pytest.mark.parametrize("driver", ["auto", "epoll"])
def test_a_drain_tells_clients_to_come_back_spread_over_its_window(ringway, websocket, driver):
    proxy = ringway({"websocket.drain_window": f"{WINDOW_SECONDS}s", "workers.count": 2, "workers.driver": driver})
    clients = [websocket(proxy) for _ in range(100)]
    proxy.signal(signal.SIGTERM)
    started, ends = time.monotonic(), []
    answer = eventually(lambda: refusal(proxy), 1.5)
    assert answer.status == 503 and int(answer.headers["Retry-After"]) >= 1
    for client in clients:
        client.connection.settimeout(0.02)
    while clients:
        assert time.monotonic() - started < WINDOW_SECONDS + 3
        for client in list(clients):
            try:
                heard = client.frame()
            except TimeoutError:
                continue
            assert heard.opcode == CLOSE and heard.payload[:2] in (close_payload(1012), close_payload(1001)), heard
            ends.append(time.monotonic() - started)
            client.send(CLOSE, heard.payload[:2])
            clients.remove(client)
    assert min(ends) < WINDOW_SECONDS / 2 < max(ends) < WINDOW_SECONDS + 1.5, "they do not come back all at once"
    for client in proxy.sockets:
        client.close()
    assert proxy.exit_code() == 0


def refusal(proxy):
    """The answer to an upgrade, once it is one that refuses."""
    try:
        with connect(proxy.websocket) as connection:
            connection.settimeout(1)
            connection.sendall(upgrade_request())
            if connection.recv(12, 2) == b"HTTP/1.1 101":
                return None
        return answer_to(proxy.websocket, upgrade_request())
    except TimeoutError:
        return None


def test_clients_are_served_until_their_turn_comes(ringway, websocket):
    proxy = ringway({"websocket.drain_window": "1s"})
    clients = [websocket(proxy).subscribe("t") for _ in range(5)]
    proxy.signal(signal.SIGTERM)
    eventually(lambda: proxy.get("/readyz").status == 503, 5)
    for client in clients:
        client.tell(type="ping")
        heard = client.frame()
        if heard.opcode == TEXT:
            assert heard.payload == b'{"type":"pong"}'
            client.ended(1012)
    for client in proxy.sockets:
        client.close()
    assert proxy.exit_code() == 0


def test_a_client_that_ignores_the_drain_does_not_hold_up_the_end(ringway, websocket):
    proxy = ringway({"websocket.drain_window": "200ms", "websocket.close_timeout": "500ms", "socks5.timeouts.drain": "30s"})
    for _ in range(3):
        websocket(proxy)
    started = time.monotonic()
    proxy.signal(signal.SIGTERM)
    assert proxy.exit_code() == 0
    assert time.monotonic() - started < 6


def test_an_idle_gateway_ends_at_once(ringway):
    proxy = ringway({"websocket.drain_window": "30s"})
    started = time.monotonic()
    proxy.signal(signal.SIGTERM)
    assert proxy.exit_code() == 0
    assert time.monotonic() - started < 3
