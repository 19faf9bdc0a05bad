"""SOCKS4 and SOCKS4a on the same port, told apart by the first byte."""

import hashlib
import socket
import threading
import time

import pytest

import socks4
import socks5
from socks4 import GRANTED, REJECTED, request
from socks5 import receive_exactly, receive_until_closed
from targets import answer_after_end, echo

BULK_BYTES = 8 << 20
REJECTION = bytes([0, REJECTED]) + bytes(6)


def says(proxy, *sent):
    """All that the proxy says to these bytes, sent in one segment, until it closes."""
    connection = proxy.connect()
    connection.sendall(b"".join(sent))
    return receive_until_closed(connection)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_target_is_reached_by_address_and_by_name(ringway, target, host):
    connection = socks4.tunnel(ringway(), (host, target(echo).address[1]))
    connection.sendall(b"hello")
    assert receive_exactly(connection, 5) == b"hello"


def test_the_reply_names_the_address_that_the_target_sees(ringway, listener):
    server = listener()
    _, reply = socks4.ask(ringway(), *server.address)
    server.accept()
    assert (reply.address, reply.port) == server.peer


def test_a_name_that_has_only_ipv6_is_reached(ringway, target, dns):
    """The reply has no room for that address; the client does not need it."""
    server, names = target(echo, "::1"), dns({"six.example": ["::1"]})
    connection = socks4.tunnel(ringway({"socks5.dns.servers": f"[{names.text}]"}), ("six.example", server.address[1]))
    connection.sendall(b"hello")
    assert receive_exactly(connection, 5) == b"hello"


@pytest.mark.parametrize("user_id", [b"", b"alice", b"u" * 255, b"\xff\xfe"])
def test_a_user_id_is_read_over(ringway, target, user_id):
    connection = ringway().connect()
    connection.sendall(request(*target(echo).address, user_id=user_id) + b"payload")
    assert socks4.read_reply(connection).code == GRANTED
    assert receive_exactly(connection, 7) == b"payload"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_any_cut_in_two_gives_the_same_answer(ringway, target, host):
    proxy, server = ringway(), target(echo)
    stream = request(host, server.address[1], user_id=b"me") + b"payload"
    for cut in range(1, len(stream)):
        connection = proxy.connect()
        connection.sendall(stream[:cut])
        connection.sendall(stream[cut:])
        assert socks4.read_reply(connection).code == GRANTED, f"cut at {cut}"
        assert receive_exactly(connection, 7) == b"payload", f"cut at {cut}"
        connection.close()


def test_a_client_may_send_one_byte_at_a_time(ringway, listener):
    server = listener()
    connection = ringway().connect()
    for byte in request("localhost", server.address[1], user_id=b"me") + b"payload":
        connection.sendall(bytes([byte]))
        time.sleep(0.001)  # Paces the client, waits for nothing: each byte is to be a segment of its own.
    assert receive_exactly(server.accept(), 7) == b"payload"
    assert socks4.read_reply(connection).code == GRANTED


@pytest.mark.parametrize("size", [1, 1_000, 60_000])
def test_a_payload_in_the_same_segment_reaches_the_target_once(ringway, listener, size):
    server, payload = listener(), bytes(number % 251 for number in range(size))
    connection = ringway().connect()
    connection.sendall(request(*server.address) + payload)
    connection.shutdown(socket.SHUT_WR)
    assert receive_until_closed(server.accept()) == payload
    assert socks4.read_reply(connection).code == GRANTED


def test_half_close_keeps_the_other_direction(ringway, target):
    connection = socks4.tunnel(ringway(), target(answer_after_end).address)
    connection.sendall(b"question")
    connection.shutdown(socket.SHUT_WR)
    assert receive_until_closed(connection).decode() == hashlib.sha256(b"question").hexdigest()


@pytest.mark.parametrize("who_resets", ["client", "target"])
def test_a_reset_is_passed_on(ringway, listener, who_resets):
    server = listener()
    connection, accepted = socks4.tunnel(ringway(), server.address), server.accept()
    one, other = (connection, accepted) if who_resets == "client" else (accepted, connection)
    one.sendall(b"half a trans")
    assert receive_exactly(other, 12) == b"half a trans"
    socks5.reset(one)
    assert socks5.is_reset(other)


def test_a_reset_in_the_middle_of_bulk_never_looks_complete(ringway, listener):
    server = listener()
    connection, accepted = socks4.tunnel(ringway(), server.address), server.accept()
    received = threading.Thread(target=lambda: receive_exactly(connection, BULK_BYTES))
    received.start()
    accepted.sendall(bytes(BULK_BYTES))
    received.join()
    socks5.reset(accepted)
    assert socks5.is_reset(connection)


# Refusals


def test_a_closed_port_is_rejected(ringway, listener):
    server = listener()
    server.close()
    proxy = ringway()
    assert says(proxy, request(*server.address)) == REJECTION
    proxy.eventually_closed("connect_refused")


@pytest.mark.parametrize("name", [b"", b"a b", b"127.1", b"\xff\xfe", b"n" * 300])
def test_a_name_that_is_none_is_rejected_and_never_looked_up(ringway, dns, name):
    names = dns()
    proxy = ringway({"socks5.dns.servers": f"[{names.text}]"})
    assert says(proxy, request(name, 80)) == REJECTION
    assert not names.asked
    assert set(proxy.closed()) <= {"bad_name", "malformed"}


def test_a_user_id_that_never_ends_is_rejected(ringway):
    proxy = ringway()
    connection = proxy.connect()
    connection.sendall(b"\x04\x01\0\x50\x7f\0\0\x01" + b"u" * 10_000)
    assert receive_exactly(connection, 8) == REJECTION
    proxy.eventually_closed("malformed")


@pytest.mark.parametrize("command", [0, 3, 255])
def test_an_unknown_command_is_rejected(ringway, command):
    proxy = ringway()
    assert says(proxy, request("127.0.0.1", 80, command)) == REJECTION
    proxy.eventually_closed("command_not_supported")


def test_the_address_zero_is_no_name(ringway):
    """0.0.0.0 is an address; only 0.0.0.x with x not 0 announces a name."""
    proxy = ringway()
    assert says(proxy, request("0.0.0.0", 80)) == REJECTION
    proxy.eventually_closed("denied_target")


def test_forbidden_targets_are_rejected(ringway, listener):
    server = listener()
    proxy = ringway({"socks5.allow_targets": None})
    for host in ("127.0.0.1", "localhost"):
        assert says(proxy, request(host, server.address[1])) == REJECTION
    assert server.nobody_came()
    proxy.eventually_closed("denied_target", 2)


@pytest.mark.parametrize("user_id", [b"", b"alice"])
def test_where_a_password_is_wanted_it_is_rejected(ringway, users_file, listener, user_id):
    """SOCKS4 has no password to give: its user id proves nothing."""
    server = listener()
    proxy = ringway(users_file(alice="secret"))
    assert says(proxy, request(*server.address, user_id=user_id)) == REJECTION
    assert server.nobody_came()
    proxy.eventually_closed("auth_required")


def test_it_can_be_switched_off(ringway, target):
    server = target(echo)
    proxy = ringway({"socks5.protocols": ["socks5", "http_connect"]})
    assert says(proxy, request(*server.address)) == b""
    proxy.eventually_closed("bad_version")
    assert proxy.refusal(*server.address) == socks5.SUCCEEDED


def test_it_can_be_the_only_one(ringway, target):
    server = target(echo)
    proxy = ringway({"socks5.protocols": ["socks4"]})
    assert says(proxy, socks5.greeting(socks5.NO_AUTH)) == b""
    assert says(proxy, b"CONNECT localhost:80 HTTP/1.1\r\n\r\n") == b""
    proxy.eventually_closed("bad_version", 2)
    socks4.tunnel(proxy, server.address)


def test_requests_are_counted_by_protocol_and_command(ringway, target):
    server, proxy = target(echo), ringway()
    socks4.tunnel(proxy, server.address)
    metrics = proxy.metrics()
    assert metrics("socks5_requests_total", protocol="socks4", command="connect") == 1
    assert metrics("socks5_requests_total") == 1
