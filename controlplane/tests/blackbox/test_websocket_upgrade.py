"""How a WebSocket connection begins (RFC 6455 section 4), and every way it is refused."""

import socket
import time

import pytest

from ringway import Ringway
from waiting import eventually
from websocket_client import TEXT, answer_to, connect, frame, upgrade_request

ECHO = {"websocket.echo": "true"}


def refused(proxy):
    """How many upgrades were refused, by reason."""
    counts = proxy.metrics().by("websocket_upgrades_refused_total", "reason")
    return {reason: int(count) for reason, count in counts.items() if count}


# What is accepted


def test_an_upgrade_is_answered_as_the_rfc_says(ringway, websocket):
    client = websocket(ringway())
    assert client.head.split("\r\n")[0] == "HTTP/1.1 101 Switching Protocols"
    assert client.extensions is None and "sec-websocket-protocol" not in client.headers
    client.silent()


def test_names_of_headers_and_tokens_are_read_in_any_case(ringway):
    request = upgrade_request(
        without=("Upgrade", "Connection", "Sec-WebSocket-Version"),
        more=[("uPGRADE", "WebSocket"), ("CONNECTION", "keep-alive, UPGRADE"), ("sec-websocket-VERSION", "13")],
    )
    assert heard_status(ringway(), request) == 101


def heard_status(proxy, request):
    with connect(proxy.websocket) as connection:
        connection.sendall(request)
        heard = b""
        while b"\r\n" not in heard:
            more = connection.recv(1000)
            assert more, heard
            heard += more
        return int(heard.split()[1])


def test_a_request_may_come_byte_by_byte_and_a_frame_right_behind_it(ringway):
    proxy = ringway(ECHO)
    with connect(proxy.websocket) as connection:
        for byte in upgrade_request("/echo") + frame(TEXT, b"early"):
            connection.send(bytes([byte]))
        heard = b""
        while not heard.endswith(b"\r\n\r\n\x81\x05early"):
            more = connection.recv(1000)
            assert more, heard
            heard += more


@pytest.mark.parametrize("count", [1, 100])
def test_frames_in_the_same_segment_as_the_request_are_all_served(ringway, websocket, count):
    client = websocket(ringway(ECHO), "/echo", early=b"".join(frame(TEXT, b"%d" % number) for number in range(count)))
    assert [client.text() for _ in range(count)] == [str(number) for number in range(count)]


def test_a_query_does_not_matter_to_the_path(ringway, websocket):
    assert websocket(ringway(), "/ws?a=b&c").ask(type="ping") == {"type": "pong"}


def test_echo_is_served_only_where_it_is_switched_on(ringway):
    assert answer_to(ringway().websocket, upgrade_request("/echo")).status == 404


# What is refused


def header(name, value):
    return lambda: upgrade_request(without=(name,), more=[(name, value)])


def lacking(*names):
    return lambda: upgrade_request(without=names)


REFUSED = {
    "another_path": (lambda: upgrade_request("/nowhere"), 404, "not_found"),
    "plain_http": (lambda: b"GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n", 426, "upgrade_required"),
    "plain_http_elsewhere": (lambda: b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 426, "upgrade_required"),
    "an_old_version": (header("Sec-WebSocket-Version", "8"), 426, "upgrade_required"),
    "no_version": (lacking("Sec-WebSocket-Version"), 426, "upgrade_required"),
    "a_post": (lambda: upgrade_request(method="POST"), 405, "method"),
    "no_key": (lacking("Sec-WebSocket-Key"), 400, "bad_request"),
    "a_short_key": (header("Sec-WebSocket-Key", "c2hvcnQ="), 400, "bad_request"),
    "a_key_that_is_no_base64": (header("Sec-WebSocket-Key", "!" * 24), 400, "bad_request"),
    "two_keys": (lambda: upgrade_request(more=[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]), 400, "bad_request"),
    "no_host": (lacking("Host"), 400, "bad_request"),
    "two_hosts": (lambda: upgrade_request(more=[("Host", "other")]), 400, "bad_request"),
    "another_upgrade": (header("Upgrade", "h2c"), 426, "upgrade_required"),
    "a_header_beyond_its_limit": (lambda: upgrade_request(more=[("X-Long", "x" * 9000)]), 431, "header_too_large"),
    "too_many_headers": (lambda: upgrade_request(more=[(f"X-{number}", "") for number in range(100)]), 431, "header_too_large"),
    "another_origin": (lambda: upgrade_request(Origin="https://evil.example"), 403, "origin"),
    "http_1_0": (lambda: upgrade_request(version="HTTP/1.0"), 400, "bad_request"),
    "a_space_in_a_header_name": (lambda: upgrade_request(more=[("X Y", "z")]), 400, "bad_request"),
    "a_folded_header": (lambda: upgrade_request(more=[("X-A", "b\r\n c")]), 400, "bad_request"),
    "a_body": (lambda: upgrade_request(more=[("Content-Length", "5")]), 400, "bad_request"),
    "a_broken_extension_header": (header("Sec-WebSocket-Extensions", "permessage-deflate; ;"), 400, "bad_request"),
    "binary_noise": (lambda: bytes(range(1, 256)) + b"\r\n\r\n", 400, "bad_request"),
    "a_tls_hello_on_the_plain_port": (lambda: b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03" + bytes(200), 400, "bad_request"),
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One ringway for the many that are only refused."""
    proxy = Ringway(tmp_path_factory.mktemp("shared"))
    yield proxy
    proxy.close()


@pytest.mark.parametrize("case", REFUSED)
def test_a_request_that_is_no_upgrade_of_ours_is_refused_with_its_reason(shared, case):
    request, status, reason = REFUSED[case]
    before = refused(shared).get(reason, 0)
    answer = answer_to(shared.websocket, request())
    assert answer.status == status, answer
    assert answer.headers["Connection"].lower() == "close"
    assert answer.headers["Content-Type"].startswith("application/") and answer.json["error"]["hint"], "it says what to do instead"
    if status == 426:
        assert answer.headers["Sec-WebSocket-Version"] == "13" and answer.headers["Upgrade"].lower() == "websocket"
    if status == 405:
        assert answer.headers["Allow"] == "GET"
    assert refused(shared).get(reason, 0) == before + 1


def test_plain_http_is_told_how_to_connect(shared):
    hint = answer_to(shared.websocket, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").json["error"]["hint"]
    assert "WebSocket" in hint and "/ws" in hint


ORIGINS = [
    # Host, Origin, allowed_origins, whether it may.
    ("127.0.0.1:{port}", None, "[]", True),
    ("127.0.0.1:{port}", "http://127.0.0.1:{port}", "[]", True),
    ("localhost:{port}", "http://LOCALHOST:{port}", "[]", True),
    ("127.0.0.1:{port}", "http://127.0.0.1", "[]", False),
    ("127.0.0.1:{port}", "http://127.0.0.1:1", "[]", False),
    ("127.0.0.1:{port}", "http://localhost:{port}", "[]", False),
    ("127.0.0.1:{port}", "null", "[]", False),
    ("127.0.0.1:{port}", "http://127.0.0.1:{port}.evil.example", "[]", False),
    ("127.0.0.1:{port}", "https://app.example", '["https://app.example"]', True),
    ("127.0.0.1:{port}", "https://app.example:444", '["https://app.example"]', False),
    ("127.0.0.1:{port}", "http://app.example", '["https://app.example"]', False),
    ("127.0.0.1:{port}", "https://app.example.evil.example", '["https://app.example"]', False),
    ("127.0.0.1:{port}", "https://a.app.example", '["https://*.app.example"]', True),
    ("127.0.0.1:{port}", "https://app.example", '["https://*.app.example"]', False),
    ("127.0.0.1:{port}", "https://any.example", '["*"]', True),
    ("127.0.0.1:{port}", "null", '["*"]', True),
]


def test_only_pages_of_allowed_origins_may_connect(ringway):
    lists = {}
    for host, origin, allowed, may in ORIGINS:
        proxy = lists.get(allowed) or lists.setdefault(allowed, ringway({"websocket.allowed_origins": allowed}))
        port = proxy.websocket[1]
        more = [("Origin", origin.format(port=port))] if origin else []
        status = heard_status(proxy, upgrade_request(host=host.format(port=port), more=more))
        assert status == (101 if may else 403), f"{host} {origin} {allowed}"


# Time


@pytest.mark.parametrize("begun", [b"", b"GET /ws HT", upgrade_request()[:-1]], ids=["silent", "begun", "all_but_a_byte"])
def test_an_upgrade_that_does_not_come_is_given_up(ringway, begun):
    proxy = ringway({"websocket.handshake_timeout": "500ms"})
    started = time.monotonic()
    with connect(proxy.websocket) as connection:
        connection.sendall(begun)
        try:
            heard = connection.recv(1000)
            assert heard == b"" or heard.startswith(b"HTTP/1.1 408 "), heard
        except ConnectionResetError:
            pass
        assert 0.4 < time.monotonic() - started < 3
    eventually(lambda: proxy.metrics()("websocket_connections_closed_total", reason="handshake_timeout") == 1)


def test_a_byte_at_a_time_does_not_stretch_the_handshake(ringway):
    proxy = ringway({"websocket.handshake_timeout": "1s"})
    started = time.monotonic()
    with connect(proxy.websocket) as connection:
        connection.settimeout(0.05)
        for byte in upgrade_request(more=[("X-Long", "x" * 4000)]):
            try:
                connection.send(bytes([byte]))
                heard = connection.recv(1000)
                assert heard == b"" or heard.startswith(b"HTTP/1.1 408 "), heard
                break
            except TimeoutError:
                assert time.monotonic() - started < 4, "it goes on and on"
            except ConnectionError:
                break
    assert time.monotonic() - started > 0.9


# How many


def test_beyond_max_connections_upgrades_are_told_to_come_later(ringway, websocket):
    proxy = ringway({"workers.count": 2, "websocket.max_connections": 5})
    held = [websocket(proxy) for _ in range(5)]
    answer = answer_to(proxy.websocket, upgrade_request())
    assert answer.status == 503 and int(answer.headers["Retry-After"]) >= 1
    eventually(lambda: refused(proxy) == {"connection_limit": 1})
    for client in held:
        client.silent()
    held[0].close()
    eventually(lambda: heard_status(proxy, upgrade_request()) == 101, what="a place that is left is taken")


def test_one_client_has_only_so_many_connections(ringway, websocket):
    proxy = ringway({"workers.count": 2, "websocket.max_connections_per_client": 2})
    held = [websocket(proxy) for _ in range(2)]
    assert answer_to(proxy.websocket, upgrade_request()).status == 429
    websocket(proxy, source=("127.0.0.2", 0)).silent()
    held[0].close()
    eventually(lambda: heard_status(proxy, upgrade_request()) == 101, what="a place that is left is taken")


def test_silent_connections_do_not_keep_others_out(ringway, websocket, closing):
    proxy = ringway()
    for _ in range(300):
        closing(connect(proxy.websocket))
    started = time.monotonic()
    websocket(proxy).silent()
    assert time.monotonic() - started < 1


# Families


def test_what_was_opened_and_refused_is_counted(ringway, websocket):
    proxy = ringway({"workers.count": 2})
    clients = [websocket(proxy) for _ in range(10)]
    for path in ("/a", "/b", "/c"):
        answer_to(proxy.websocket, upgrade_request(path))
    metrics = proxy.metrics()
    assert metrics("websocket_connections") == 10
    assert metrics("websocket_connections_opened_total") == 10
    assert metrics("websocket_sockets_accepted_total") == 13
    assert refused(proxy) == {"not_found": 3}
    for client in clients:
        client.close()
    eventually(lambda: proxy.metrics()("websocket_connections") == 0)
    metrics = proxy.metrics()
    assert metrics("websocket_connections_closed_total", reason="client_gone") == 10
    assert metrics("websocket_connections_closed_total", reason="upgrade_refused") == 3
    assert metrics("websocket_closes_total", code="1006") == 10
    assert metrics("websocket_connection_duration_seconds_count") == 10


def test_a_client_that_leaves_before_its_request_is_whole_harms_nobody(ringway, websocket):
    proxy = ringway()
    for size in range(0, 150, 10):
        with connect(proxy.websocket) as connection:
            connection.sendall(upgrade_request()[:size])
            connection.shutdown(socket.SHUT_WR)
            heard = connection.recv(1000)
            assert heard == b"" or heard.startswith(b"HTTP/1.1 400 "), heard
    assert websocket(proxy).ask(type="ping") == {"type": "pong"}
