"""HTTP CONNECT on the same port, told apart by the first byte (RFC 9110 section 9.3.6, RFC 9112)."""

import base64
import hashlib
import socket
import threading
import time

import pytest

import http_connect
import socks5
from fake_dns import NXDOMAIN, SERVFAIL, SILENCE
from http_connect import read_response, request
from socks5 import receive_exactly, receive_until_closed
from targets import answer_after_end, echo
from test_wire import fill_the_backlog

BULK_BYTES = 8 << 20
ALICE = ("alice", "secret")


def first_status(proxy, sent):
    """The status that these bytes are answered with; a tunnel stays open."""
    connection = proxy.connect()
    connection.sendall(sent)
    return read_response(connection).status


def status(proxy, sent):
    """The status that these bytes are answered with, and that the connection then ends."""
    connection = proxy.connect()
    connection.sendall(sent)
    response = read_response(connection)
    receive_exactly(connection, int(response.headers.get("Content-Length", 0)))
    assert receive_until_closed(connection) == b"", "nothing behind the answer"
    return response.status


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_target_is_reached_by_address_and_by_name(ringway, target, host, version):
    server = target(echo, "::1" if host == "::1" else "127.0.0.1")
    connection = ringway().connect()
    connection.sendall(request(host, server.address[1], version=version))
    assert read_response(connection).status == 200
    connection.sendall(b"hello")
    assert receive_exactly(connection, 5) == b"hello"


def test_success_has_no_body_and_no_length(ringway, target):
    """RFC 9110 section 9.3.6: what follows the header section is the tunnel."""
    _, response = http_connect.ask(ringway(), *target(echo).address)
    assert response.headers.get("Content-Length") is None
    assert response.headers.get("Transfer-Encoding") is None


def test_other_header_fields_are_read_over(ringway, target):
    to = http_connect.authority(*target(echo).address)
    fields = "User-Agent: x\r\nProxy-Connection: keep-alive\r\nX-Long: " + "y" * 2_000 + "\r\nX-Empty:\r\n"
    connection = ringway().connect()
    connection.sendall(f"CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n{fields}\r\npayload".encode())
    assert read_response(connection).status == 200
    assert receive_exactly(connection, 7) == b"payload"


def test_any_cut_in_two_gives_the_same_answer(ringway, target):
    proxy, server = ringway(), target(echo)
    stream = request(*server.address) + b"payload"
    for cut in range(1, len(stream)):
        connection = proxy.connect()
        connection.sendall(stream[:cut])
        connection.sendall(stream[cut:])
        assert read_response(connection).status == 200, f"cut at {cut}"
        assert receive_exactly(connection, 7) == b"payload", f"cut at {cut}"
        connection.close()


def test_a_client_may_send_one_byte_at_a_time(ringway, listener, users_file):
    server = listener()
    connection = ringway(users_file(alice="secret")).connect()
    for byte in request("localhost", server.address[1], ALICE) + b"payload":
        connection.sendall(bytes([byte]))
        time.sleep(0.001)  # Paces the client, waits for nothing: each byte is to be a segment of its own.
    assert receive_exactly(server.accept(), 7) == b"payload"
    assert read_response(connection).status == 200


@pytest.mark.parametrize("size", [1, 1_000, 60_000])
def test_a_payload_in_the_same_segment_reaches_the_target_once(ringway, listener, size):
    server, payload = listener(), bytes(number % 251 for number in range(size))
    connection = ringway().connect()
    connection.sendall(request(*server.address) + payload)
    connection.shutdown(socket.SHUT_WR)
    assert receive_until_closed(server.accept()) == payload
    assert read_response(connection).status == 200


def test_half_close_keeps_the_other_direction(ringway, target):
    connection = http_connect.tunnel(ringway(), target(answer_after_end).address)
    connection.sendall(b"question")
    connection.shutdown(socket.SHUT_WR)
    assert receive_until_closed(connection).decode() == hashlib.sha256(b"question").hexdigest()


@pytest.mark.parametrize("who_resets", ["client", "target"])
def test_a_reset_is_passed_on(ringway, listener, who_resets):
    server = listener()
    connection, accepted = http_connect.tunnel(ringway(), server.address), server.accept()
    one, other = (connection, accepted) if who_resets == "client" else (accepted, connection)
    one.sendall(b"half a trans")
    assert receive_exactly(other, 12) == b"half a trans"
    socks5.reset(one)
    assert socks5.is_reset(other)


def test_a_reset_in_the_middle_of_bulk_never_looks_complete(ringway, listener):
    server = listener()
    connection, accepted = http_connect.tunnel(ringway(), server.address), server.accept()
    received = threading.Thread(target=lambda: receive_exactly(accepted, BULK_BYTES))
    received.start()
    connection.sendall(bytes(BULK_BYTES))
    received.join()
    socks5.reset(connection)
    assert socks5.is_reset(accepted)


# Passwords (RFC 7617)


@pytest.mark.parametrize(
    ("name", "password"), [("alice", "secret"), ("a", ""), ("zoë", "пароль"), ("alice", "with:colons:in it")], ids=str
)
def test_the_right_password_is_accepted(ringway, users_file, target, name, password):
    proxy = ringway(users_file([(name, "{plain}" + password)]))
    _, response = http_connect.ask(proxy, *target(echo).address, (name, password))
    assert response.status == 200


@pytest.mark.parametrize("scheme", ["basic", "BASIC", "Basic  "])
def test_the_scheme_is_read_in_any_case(ringway, users_file, target, scheme):
    to = http_connect.authority(*target(echo).address)
    login = base64.b64encode(b"alice:secret").decode()
    connection = ringway(users_file(alice="secret")).connect()
    connection.sendall(f"CONNECT {to} HTTP/1.1\r\nHost: {to}\r\nproxy-authorization: {scheme} {login}\r\n\r\n".encode())
    assert read_response(connection).status == 200


def test_without_a_password_the_answer_asks_for_one(ringway, users_file, listener):
    server = listener()
    proxy = ringway(users_file(alice="secret"))
    _, response = http_connect.ask(proxy, *server.address)
    assert response.status == 407
    assert response.headers["Proxy-Authenticate"].startswith("Basic realm=")
    assert server.nobody_came()
    proxy.eventually_closed("auth_required")


@pytest.mark.parametrize("user", [("alice", "wrong"), ("bob", "secret"), ("alice", ""), ("", ""), ("alice", "secret\0")])
def test_a_wrong_password_is_407_and_counted_as_a_failed_login(ringway, users_file, listener, user):
    server = listener()
    proxy = ringway(users_file(alice="secret"))
    assert status(proxy, request(*server.address, user)) == 407
    assert server.nobody_came()
    proxy.eventually_closed("auth_failed")
    assert proxy.metrics()("socks5_logins_failed_total") == 1


@pytest.mark.parametrize("login", ["Basic", "Basic !!!!", "Basic YWxpY2U=", "Bearer YWxpY2U6c2VjcmV0", "Digest x=y"])
def test_a_login_that_is_none_lets_nobody_in(ringway, users_file, listener, login):
    server = listener()
    to = http_connect.authority(*server.address)
    proxy = ringway(users_file(alice="secret"))
    assert status(proxy, f"CONNECT {to} HTTP/1.1\r\nHost: {to}\r\nProxy-Authorization: {login}\r\n\r\n".encode()) in (400, 407)
    assert server.nobody_came()


# Statuses and their causes


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS", "CONNECTED", "connect"])
def test_another_method_is_405(ringway, method):
    proxy = ringway()
    connection = proxy.connect()
    connection.sendall(f"{method} http://127.0.0.1/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    response = read_response(connection)
    assert response.status == 405
    assert response.headers["Allow"] == "CONNECT", "RFC 9110 section 15.5.6"
    proxy.eventually_closed("method_not_allowed")


@pytest.mark.parametrize(
    "head",
    [
        "CONNECT 127.0.0.1 HTTP/1.1",
        "CONNECT 127.0.0.1: HTTP/1.1",
        "CONNECT 127.0.0.1:http HTTP/1.1",
        "CONNECT 127.0.0.1:65536 HTTP/1.1",
        "CONNECT 127.0.0.1:+80 HTTP/1.1",
        "CONNECT :80 HTTP/1.1",
        "CONNECT ::1:80 HTTP/1.1",
        "CONNECT [::1:80 HTTP/1.1",
        "CONNECT user@127.0.0.1:80 HTTP/1.1",
        "CONNECT http://127.0.0.1:80/ HTTP/1.1",
        "CONNECT 127.0.0.1:80",
        "CONNECT  127.0.0.1:80 HTTP/1.1",
        "CONNECT 127.0.0.1:80 HTTP/1.1 more",
        "CONNECT 127.0.0.1:80 HTTPS/1.1",
        "CONNECT 127.0.0.1:80 HTTP/1.1\r\nno colon",
        "CONNECT 127.0.0.1:80 HTTP/1.1\r\nSpace : before the colon",
        "CONNECT 127.0.0.1:80 HTTP/1.1\r\nA: b\r\n folded",
        "CONNECT 127.0.0.1:80 HTTP/1.1\r\nNul: \0",
    ],
)
def test_what_is_not_http_is_400(ringway, head):
    proxy = ringway()
    assert status(proxy, head.encode() + b"\r\nHost: a\r\n\r\n") == 400
    assert set(proxy.closed()) <= {"malformed", "bad_name"}


@pytest.mark.parametrize("fields", ["", "Host: a\r\nHost: a\r\n", "Host: a/b\r\n"])
def test_one_host_is_due_in_http_1_1(ringway, target, fields):
    """RFC 9112 section 3.2; HTTP/1.0 has none."""
    proxy, to = ringway(), http_connect.authority(*target(echo).address)
    assert status(proxy, f"CONNECT {to} HTTP/1.1\r\n{fields}\r\n".encode()) == 400
    assert first_status(proxy, f"CONNECT {to} HTTP/1.0\r\n\r\n".encode()) == 200


def test_an_empty_line_before_the_request_is_read_over(ringway, target):
    """RFC 9112 section 2.2."""
    assert first_status(ringway(), b"\r\n" + request(*target(echo).address)) == 200


@pytest.mark.parametrize("version", ["0.9", "2.0", "9.9"])
def test_another_version_of_http_is_no_success(ringway, target, version):
    assert status(ringway(), request(*target(echo).address, version=version)) in (400, 505)


ENDLESS = {
    "target": b"CONNECT " + b"n" * 100_000,
    "field": b"CONNECT a:1 HTTP/1.1\r\nX: " + b"y" * 100_000,
    "fields": b"CONNECT a:1 HTTP/1.1\r\n" + b"X: y\r\n" * 20_000,
}


@pytest.mark.parametrize("what", ENDLESS)
def test_a_header_section_without_end_is_431(ringway, what):
    proxy = ringway()
    connection = proxy.connect()
    try:
        connection.sendall(ENDLESS[what])
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert read_response(connection).status in (414, 431)
    proxy.eventually_closed("header_too_large")


def test_a_closed_port_is_502(ringway, listener):
    server = listener()
    server.close()
    proxy = ringway()
    assert status(proxy, request(*server.address)) == 502
    proxy.eventually_closed("connect_refused")


@pytest.mark.parametrize(
    ("answer", "expected", "reason"),
    [(NXDOMAIN, 502, "name_not_found"), (SERVFAIL, 502, "name_lookup_failed"), (SILENCE, 504, "name_lookup_timeout")],
)
def test_a_name_without_an_address_is_a_bad_gateway_or_a_late_one(ringway, dns, answer, expected, reason):
    names = dns({"nowhere.example": answer})
    proxy = ringway({"socks5.dns.servers": f"[{names.text}]", "socks5.timeouts.name_lookup": "500ms"})
    assert status(proxy, request("nowhere.example", 80)) == expected
    proxy.eventually_closed(reason)


def test_a_target_that_never_answers_is_504(ringway, listener, closing):
    server = listener(backlog=0)
    fill_the_backlog(server, closing)
    proxy = ringway({"socks5.timeouts.connect": "1s"})
    assert status(proxy, request(*server.address)) == 504
    proxy.eventually_closed("connect_timeout")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "169.254.169.254"])
def test_a_forbidden_target_is_403(ringway, host):
    proxy = ringway({"socks5.allow_targets": None})
    assert status(proxy, request(host, 80)) == 403
    proxy.eventually_closed("denied_target")


def test_a_denied_rule_is_403(ringway, listener):
    server = listener()
    proxy = ringway({"socks5.acl": [{"action": "deny", "ports": [server.address[1]]}]})
    assert status(proxy, request(*server.address)) == 403
    proxy.eventually_closed("denied_acl")
    assert server.nobody_came()


def test_it_can_be_switched_off(ringway, target):
    server = target(echo)
    proxy = ringway({"socks5.protocols": ["socks5", "socks4"]})
    connection = proxy.connect()
    connection.sendall(request(*server.address))
    assert receive_until_closed(connection) == b""
    proxy.eventually_closed("bad_version")


def test_the_command_switch_holds_here_too(ringway):
    proxy = ringway({"socks5.commands": ["bind", "udp_associate"]})
    assert status(proxy, request("127.0.0.1", 80)) in (403, 405, 501)
    proxy.eventually_closed("command_not_supported")


def test_requests_are_counted_by_protocol(ringway, target):
    server, proxy = target(echo), ringway()
    http_connect.tunnel(proxy, server.address)
    assert proxy.metrics()("socks5_requests_total", protocol="http_connect", command="connect") == 1


def test_a_client_that_sends_its_header_too_slowly_is_ended(ringway):
    proxy = ringway({"socks5.timeouts.handshake": "1s"})
    connection = proxy.connect()
    connection.sendall(b"CONNECT 127.0.0.1:80 HT")
    begun = time.monotonic()
    try:
        receive_until_closed(connection)
    except ConnectionResetError:
        pass
    assert 0.8 < time.monotonic() - begun < 4
    assert set(proxy.closed()) <= {"handshake_timeout", "request_timeout"}
