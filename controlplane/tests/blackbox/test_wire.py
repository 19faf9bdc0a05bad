"""SOCKS5 byte by byte, against the running program (RFC 1928, RFC 1929)."""

import socket
import time

import pytest

import socks5
from ringway import refusing
from socks5 import CONNECT, NO_AUTH, PASSWORD, credentials, greeting, receive_exactly, receive_until_closed, request
from targets import echo

UNBOUND = b"\x00\x01" + bytes(6)


def says(proxy, *sent):
    """All that the proxy says to these bytes, sent in one segment, until it closes."""
    connection = proxy.connect()
    connection.sendall(b"".join(sent))
    return receive_until_closed(connection)


def failure(code):
    """A failed reply: no address to tell."""
    return b"\x05" + bytes([code]) + UNBOUND


# Greeting


@pytest.mark.parametrize(
    "methods", [[PASSWORD], [1], [3, 0x80, 0xFE], [], [0xFF]], ids=["password", "gssapi", "others", "none", "ff"]
)
def test_no_acceptable_method_is_answered_05_ff_and_closed(ringway, methods):
    proxy = ringway()
    assert says(proxy, greeting(*methods)) == b"\x05\xff"
    proxy.eventually_closed("no_acceptable_method")


def test_no_authentication_is_no_acceptable_method_where_a_password_is_wanted(ringway, users_file):
    assert says(ringway(users_file(alice="secret")), greeting(NO_AUTH)) == b"\x05\xff"


@pytest.mark.parametrize("methods", [[NO_AUTH], [PASSWORD, NO_AUTH], list(range(1, 255)) + [NO_AUTH]])
def test_the_method_is_found_anywhere_in_the_offer(ringway, methods):
    connection = ringway().connect()
    connection.sendall(greeting(*methods))
    assert receive_exactly(connection, 2) == b"\x05\x00"


@pytest.mark.parametrize("first", [b"\x16\x03\x01", b"\x00", b"\x03", b"\x06", b"\n", b"\x80", b"\xff"])
def test_a_first_byte_of_no_protocol_is_closed_without_an_answer(ringway, first):
    proxy = ringway()
    assert says(proxy, first) == b""
    proxy.eventually_closed("bad_version")


@pytest.mark.parametrize("served", [["socks4", "http_connect"], ["socks4"], ["http_connect"]], ids=str)
def test_socks5_can_be_switched_off(ringway, served):
    proxy = ringway({"socks5.protocols": served})
    assert says(proxy, greeting(NO_AUTH)) == b""
    proxy.eventually_closed("bad_version")


# RFC 1929


def password_answer(proxy, name, password):
    connection = proxy.connect()
    connection.sendall(greeting(PASSWORD))
    assert receive_exactly(connection, 2) == b"\x05\x02"
    connection.sendall(credentials(name, password))
    return receive_exactly(connection, 2), connection


@pytest.mark.parametrize(
    ("name", "password"),
    [("alice", "secret"), ("a", ""), ("n" * 255, "p" * 255), ("zoë", "пароль")],
    ids=["plain", "empty", "longest", "utf8"],
)
def test_the_right_password_is_accepted(ringway, users_file, name, password):
    proxy = ringway(users_file([(name, "{plain}" + password)]))
    answer, _ = password_answer(proxy, name, password)
    assert answer == b"\x01\x00"


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("alice", "wrong"),
        ("alice", ""),
        ("", "secret"),
        ("", ""),
        ("alice", "secret\0"),
        ("alice\0", "secret"),
        ("alice", "secre"),
        ("alice", "secrett"),
        ("ALICE", "secret"),
        ("a" * 255, "b" * 255),
    ],
)
def test_a_wrong_password_is_refused_and_closed(ringway, users_file, name, password):
    proxy = ringway(users_file(alice="secret"))
    answer, connection = password_answer(proxy, name, password)
    assert answer == b"\x01\x01"
    assert receive_until_closed(connection) == b""
    proxy.eventually_closed("auth_failed")


def test_a_wrong_version_of_the_password_message_is_refused_and_closed(ringway, users_file):
    proxy = ringway(users_file(alice="secret"))
    answer = says(proxy, greeting(PASSWORD), b"\x05" + credentials("alice", "secret")[1:])
    assert answer == b"\x05\x02" + b"\x01\x01"
    proxy.eventually_closed("malformed")


def test_a_request_behind_a_wrong_password_is_not_served(ringway, users_file, listener):
    server = listener()
    proxy = ringway(users_file(alice="secret"))
    answer = says(proxy, greeting(PASSWORD), credentials("alice", "wrong"), request(*server.address))
    assert answer == b"\x05\x02" + b"\x01\x01"
    assert server.nobody_came()


# From the reference implementations of argon2 and bcrypt.
HASHES = {
    "password": "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
    "secret": "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
}


@pytest.mark.parametrize("password", HASHES, ids=["argon2id", "bcrypt"])
def test_a_hashed_password_is_verified_and_then_remembered(ringway, users_file, password):
    proxy = ringway(users_file([("alice", HASHES[password])]))
    for _ in range(3):
        assert password_answer(proxy, "alice", password)[0] == b"\x01\x00"
        assert password_answer(proxy, "alice", password + "\0")[0] == b"\x01\x01"
        assert password_answer(proxy, "bob", password)[0] == b"\x01\x01"


# Replies and their causes


def test_success_names_the_address_that_the_target_sees(ringway, listener):
    for host, family in [("127.0.0.1", 1), ("::1", 4)]:
        server = listener(host)
        connection, reply = ringway().ask(*server.address)
        server.accept()
        assert reply.code == socks5.SUCCEEDED
        assert (reply.address, reply.port) == server.peer[:2], "BND is the outgoing socket's own address"
        assert (family == 4) == (":" in reply.address), "in its own family"


def test_a_closed_port_is_connection_refused(ringway, listener):
    server = listener()
    server.close()
    proxy = ringway()
    assert says(proxy, greeting(NO_AUTH), request(*server.address)) == b"\x05\x00" + failure(socks5.REFUSED)
    proxy.eventually_closed("connect_refused")


def test_an_address_without_a_route_is_network_unreachable(ringway):
    # TCP to a multicast group: connect(2) says ENETUNREACH on every host.
    proxy = ringway({"socks5.allow_targets": "[multicast]"})
    assert proxy.refusal("224.0.0.1", 80) == socks5.NETWORK_UNREACHABLE
    proxy.eventually_closed("network_unreachable")


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        ("ENETUNREACH", socks5.NETWORK_UNREACHABLE, "network_unreachable"),
        ("EHOSTUNREACH", socks5.HOST_UNREACHABLE, "host_unreachable"),
        ("EACCES", socks5.NOT_ALLOWED, "connect_forbidden"),
        ("EPERM", socks5.NOT_ALLOWED, "connect_forbidden"),
        ("ETIMEDOUT", socks5.TTL_EXPIRED, "connect_timeout"),
        ("EADDRNOTAVAIL", socks5.GENERAL_FAILURE, "no_resources"),
        ("EINVAL", socks5.GENERAL_FAILURE, "connect_failed"),
    ],
)
def test_what_the_kernel_says_becomes_the_reply(ringway, error, code, reason):
    proxy = ringway(launcher=refusing(connect=error))
    assert proxy.refusal("127.0.0.1", 80) == code
    proxy.eventually_closed(reason)


def test_a_target_that_never_answers_is_ttl_expired(ringway, listener, closing):
    server = listener(backlog=0)
    fill_the_backlog(server, closing)
    proxy = ringway({"socks5.timeouts.connect": "1s"})
    begun = time.monotonic()
    assert proxy.refusal(*server.address) == socks5.TTL_EXPIRED
    assert 0.9 < time.monotonic() - begun < 4
    proxy.eventually_closed("connect_timeout")


def fill_the_backlog(server, closing):
    """Connects until the kernel drops the next SYN: from then on the target is a black hole."""
    while True:
        connection = closing(socket.socket(socket.AF_INET6 if ":" in server.address[0] else socket.AF_INET))
        connection.settimeout(0.3)
        try:
            connection.connect(server.address)
        except TimeoutError:
            return


def test_success_is_not_said_before_the_target_accepts(ringway, listener, closing):
    server = listener(backlog=0)
    fill_the_backlog(server, closing)
    connection = ringway({"socks5.timeouts.connect": "15s"}).connect()
    socks5.handshake(connection)
    connection.sendall(request(*server.address))
    connection.settimeout(0.5)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    connection.settimeout(15)
    while True:  # Frees the backlog: the kernel repeats its SYN and now it is answered.
        server.accept()
        connection.settimeout(3)
        try:
            assert socks5.read_reply(connection).code == socks5.SUCCEEDED
            return
        except TimeoutError:
            continue


@pytest.mark.parametrize("command", [0, 4, 0x7F, 255])
def test_a_command_that_is_not_served_is_answered_07(ringway, command):
    proxy = ringway()
    answer = says(proxy, greeting(NO_AUTH), request("127.0.0.1", 80, command))
    assert answer == b"\x05\x00" + failure(socks5.COMMAND_NOT_SUPPORTED)
    proxy.eventually_closed("command_not_supported")


@pytest.mark.parametrize("served", ["connect", "bind", "udp_associate"])
def test_each_command_has_its_switch(ringway, listener, served):
    server = listener()
    proxy = ringway({"socks5.commands": [served]})
    for command, name in [(CONNECT, "connect"), (socks5.BIND, "bind"), (socks5.UDP_ASSOCIATE, "udp_associate")]:
        host, port = ("0.0.0.0", 0) if command == socks5.UDP_ASSOCIATE else server.address
        connection, reply = proxy.ask(host, port, command=command)
        assert reply.code == (socks5.SUCCEEDED if name == served else socks5.COMMAND_NOT_SUPPORTED), name
        connection.close()
    proxy.eventually_closed("command_not_supported", 2)


@pytest.mark.parametrize("kind", [0, 2, 5, 255])
def test_an_unknown_address_type_is_answered_08(ringway, kind):
    proxy = ringway()
    answer = says(proxy, greeting(NO_AUTH), bytes([5, CONNECT, 0, kind]) + bytes(6))
    assert answer == b"\x05\x00" + failure(socks5.ADDRESS_TYPE_NOT_SUPPORTED)
    proxy.eventually_closed("address_type_not_supported")


@pytest.mark.parametrize("name", [b"", b"local\0host", b"localhost\0", b"a b", b"127.1", b"0x7f000001", b"2130706433", b"\xff\xfe"])
def test_a_name_that_is_none_is_an_error_and_never_a_target(ringway, dns, listener, name):
    server, names = listener(), dns()
    proxy = ringway({"socks5.dns.servers": f"[{names.text}]"})
    answer = says(proxy, greeting(NO_AUTH), request(name, server.address[1]))
    assert answer == b"\x05\x00" + failure(socks5.HOST_UNREACHABLE)
    proxy.eventually_closed("bad_name")
    assert not names.asked and server.nobody_came()


def test_a_request_of_another_version_is_answered_01(ringway):
    proxy = ringway()
    assert says(proxy, greeting(NO_AUTH), b"\x04" + request("127.0.0.1", 80)[1:]) == b"\x05\x00" + failure(socks5.GENERAL_FAILURE)
    proxy.eventually_closed("malformed")


# Chunking


def everything(server, payload, user=None):
    """Greeting, authentication, request and payload."""
    login = credentials(*user) if user else b""
    return greeting(PASSWORD if user else NO_AUTH) + login + request(*server.address) + payload


@pytest.mark.parametrize("size", [1, 100, 1_000, 60_000])
@pytest.mark.parametrize("user", [None, ("alice", "secret")], ids=["open", "password"])
def test_a_payload_in_the_same_segment_reaches_the_target_once(ringway, listener, users_file, size, user):
    server, payload = listener(), bytes(number % 251 for number in range(size))
    connection = ringway(users_file(alice="secret") if user else {}).connect()
    connection.sendall(everything(server, payload, user))
    connection.shutdown(socket.SHUT_WR)
    accepted = server.accept()
    assert receive_until_closed(accepted) == payload
    assert receive_exactly(connection, 4 if user else 2)[:2] == (b"\x05\x02" if user else b"\x05\x00")
    assert socks5.read_reply(connection).code == socks5.SUCCEEDED


@pytest.mark.parametrize("user", [None, ("alice", "secret")], ids=["open", "password"])
def test_a_client_may_send_one_byte_at_a_time(ringway, listener, users_file, user):
    server = listener()
    connection = ringway(users_file(alice="secret") if user else {}).connect()
    for byte in everything(server, b"payload", user):
        connection.sendall(bytes([byte]))
        time.sleep(0.001)  # Paces the client, waits for nothing: each byte is to be a segment of its own.
    accepted = server.accept()
    assert receive_exactly(accepted, 7) == b"payload"
    assert receive_exactly(connection, 4 if user else 2) == (b"\x05\x02\x01\x00" if user else b"\x05\x00")
    assert socks5.read_reply(connection).code == socks5.SUCCEEDED
    accepted.sendall(b"answer")
    assert receive_exactly(connection, 6) == b"answer"


def test_any_cut_in_two_gives_the_same_answer(ringway, target):
    proxy, server = ringway(), target(echo)
    stream = greeting(1, NO_AUTH) + request(*server.address) + b"payload"
    for cut in range(1, len(stream)):
        connection = proxy.connect()
        connection.sendall(stream[:cut])
        connection.sendall(stream[cut:])
        assert receive_exactly(connection, 2) == b"\x05\x00"
        assert socks5.read_reply(connection).code == socks5.SUCCEEDED
        assert receive_exactly(connection, 7) == b"payload", f"cut at {cut}"
        connection.close()


def test_a_client_that_leaves_in_the_middle_is_forgotten(ringway):
    proxy = ringway()
    stream = greeting(NO_AUTH) + request("127.0.0.1", 80)
    for length in range(len(stream)):
        connection = proxy.connect()
        connection.sendall(stream[:length])
        connection.close() if length % 2 else socks5.reset(connection)
    proxy.eventually_closed("client_gone", len(stream))


def test_what_a_refused_client_still_sends_does_not_lose_it_the_reply(ringway, listener):
    server = listener()
    server.close()
    proxy = ringway()
    for _ in range(20):
        answer = says(proxy, greeting(NO_AUTH), request(*server.address), bytes(30_000))
        assert answer == b"\x05\x00" + failure(socks5.REFUSED)
