"""BIND against the running program, by SOCKS5 and SOCKS4 (RFC 1928 sections 4 and 6)."""

import hashlib
import socket
import time

import pytest

import socks4
import socks5
from ports import free_ports, is_free
from socks5 import BIND
from waiting import eventually

DRIVERS = ["io_uring", "epoll"]


class Peer:
    """Who connects to the port that a client had opened."""

    def __init__(self, address, source="127.0.0.1"):
        source = "::1" if ":" in address[0] else source
        self.connection = socket.create_connection(address, 10, source_address=(source, 0))
        self.address = self.connection.getsockname()[:2]

    def close(self):
        self.connection.close()


@pytest.fixture
def peer(closing):
    return lambda address, source="127.0.0.1": closing(Peer(address, source))


def bind(proxy, expected="127.0.0.1", user=None):
    """A client that waits for `expected`, and where."""
    connection, reply = proxy.ask(expected, 0, user, BIND)
    assert reply.code == socks5.SUCCEEDED, f"{reply}; its log:\n{proxy.log()[-2000:]}"
    return connection, (reply.address, reply.port)


def is_refused(address):
    """Whether nobody listens there."""
    try:
        socket.create_connection(address, 5).close()
        return False
    except ConnectionRefusedError:
        return True


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_first_reply_says_where_and_the_second_who(ringway, peer, driver):
    proxy = ringway({"workers.driver": driver})
    connection, where = bind(proxy)
    came = peer(where)
    reply = socks5.read_reply(connection)
    assert (reply.code, reply.address, reply.port) == (socks5.SUCCEEDED, *came.address)


@pytest.mark.parametrize("expected", ["127.0.0.1", "::1"])
def test_it_listens_before_it_says_so_in_the_family_of_the_peer(ringway, peer, expected):
    proxy = ringway()
    for _ in range(20):
        connection, where = bind(proxy, expected)
        came = peer(where)
        assert where[0] == expected, "the address by which the peer reaches this host"
        assert socks5.read_reply(connection).port == came.address[1]
        connection.close()


def test_a_peer_may_be_named(ringway, peer, dns):
    names = dns({"peer.example": ["127.0.0.3", "127.0.0.4"]})
    connection, where = bind(ringway({"socks5.dns.servers": f"[{names.text}]"}), "peer.example")
    came = peer(where, "127.0.0.4")
    assert socks5.read_reply(connection).port == came.address[1]


@pytest.mark.parametrize("driver", DRIVERS)
def test_data_flows_both_ways_and_half_closes(ringway, peer, driver):
    proxy = ringway({"workers.driver": driver})
    connection, where = bind(proxy)
    came = peer(where).connection
    came.sendall(b"welcome")
    assert socks5.read_reply(connection).code == socks5.SUCCEEDED
    assert socks5.receive_exactly(connection, 7) == b"welcome", "what the peer said at once is not lost"
    data = bytes(range(256)) * 4_096
    came.sendall(data)
    came.shutdown(socket.SHUT_WR)
    assert hashlib.sha256(socks5.receive_until_closed(connection)).digest() == hashlib.sha256(data).digest()
    connection.sendall(b"thanks")
    connection.shutdown(socket.SHUT_WR)
    assert socks5.receive_until_closed(came) == b"thanks"
    proxy.eventually_closed("finished")


def test_what_the_client_sends_before_the_peer_comes_reaches_the_peer(ringway, peer):
    connection, where = bind(ringway())
    connection.sendall(b"early")
    came = peer(where).connection
    assert socks5.read_reply(connection).code == socks5.SUCCEEDED
    assert socks5.receive_exactly(came, 5) == b"early"


@pytest.mark.parametrize("who_resets", ["client", "peer"])
def test_a_reset_is_passed_on(ringway, peer, who_resets):
    connection, where = bind(ringway())
    came = peer(where).connection
    assert socks5.read_reply(connection).code == socks5.SUCCEEDED
    one, other = (connection, came) if who_resets == "client" else (came, connection)
    one.sendall(b"half a trans")
    assert socks5.receive_exactly(other, 12) == b"half a trans"
    socks5.reset(one)
    assert socks5.is_reset(other)


def test_a_peer_that_was_not_asked_for_is_refused_and_the_right_one_still_gets_in(ringway, peer):
    connection, where = bind(ringway(), "127.0.0.2")
    for source in ("127.0.0.1", "127.0.0.3"):
        try:
            assert peer(where, source).connection.recv(1) == b""
        except ConnectionResetError:
            # It may come as soon as the connection stands, before connect(2) has returned.
            pass
    right = peer(where, "127.0.0.2")
    reply = socks5.read_reply(connection)
    assert (reply.code, reply.address, reply.port) == (socks5.SUCCEEDED, *right.address)
    right.connection.sendall(b"hello")
    assert socks5.receive_exactly(connection, 5) == b"hello"


CROWD = 2_000


def test_too_many_wrong_peers_end_it(ringway):
    proxy = ringway({"socks5.timeouts.bind": "60s"})
    connection, where = bind(proxy, "127.0.0.2")
    connection.setblocking(False)

    def answered():
        try:
            return connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return None

    for _ in range(CROWD):
        try:
            socket.create_connection(where, 5).close()
        except OSError:
            pass
        if answered():
            break
    connection.settimeout(10)
    assert socks5.read_reply(connection).code != socks5.SUCCEEDED
    proxy.eventually_closed("bind_peer_refused")
    assert is_refused(where)


def test_only_one_is_let_in(ringway, peer):
    connection, where = bind(ringway())
    came = peer(where)
    assert socks5.read_reply(connection).port == came.address[1]
    eventually(lambda: is_refused(where), what="the listener gone")
    came.connection.sendall(b"still here")
    assert socks5.receive_exactly(connection, 10) == b"still here"


def test_a_peer_that_never_comes_is_answered_06(ringway):
    proxy = ringway({"socks5.timeouts.bind": "1s"})
    connection, where = bind(proxy)
    begun = time.monotonic()
    assert socks5.read_reply(connection).code == socks5.TTL_EXPIRED
    assert 0.8 < time.monotonic() - begun < 4
    assert is_refused(where)
    assert socks5.receive_until_closed(connection) == b""
    proxy.eventually_closed("bind_timeout")


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_leaves_frees_the_port(ringway, how):
    proxy = ringway()
    connection, where = bind(proxy)
    connection.close() if how == "close" else socks5.reset(connection)
    # In this order: whoever asks whether somebody listens there may be the awaited peer.
    proxy.eventually_closed("client_gone")
    assert is_refused(where)


def test_a_hundred_binds_leave_no_descriptor(ringway, peer):
    proxy = ringway({"log.access": "off"})
    bind(proxy)[0].close()
    eventually(lambda: proxy.active() == 0)
    before = proxy.descriptors()
    for number in range(100):
        connection, where = bind(proxy)
        if number % 2:
            peer(where).close()
            assert socks5.read_reply(connection).code == socks5.SUCCEEDED
        connection.close()
    eventually(lambda: proxy.active() == 0)
    eventually(lambda: proxy.descriptors() <= before, what=lambda: f"{proxy.descriptors()} descriptors, {before} before")


def test_the_advertised_address_is_told_and_the_port_is_real(ringway, peer):
    connection, where = bind(ringway({"socks5.bind.advertise": ["203.0.113.7"]}))
    assert where[0] == "203.0.113.7"
    came = peer(("127.0.0.1", where[1]))
    assert socks5.read_reply(connection).port == came.address[1]


def test_ports_come_from_the_range(ringway):
    first, last = free_ports(2, socket.SOCK_STREAM)
    proxy = ringway({"socks5.bind.ports": f"{first}-{last}"})
    held = [bind(proxy), bind(proxy)]
    assert {where[1] for _, where in held} == {first, last}
    assert proxy.ask("127.0.0.1", 0, None, BIND)[1].code == socks5.GENERAL_FAILURE, "the range is used up"
    proxy.eventually_closed("no_resources")
    held[0][0].close()
    eventually(lambda: is_free(("127.0.0.1", held[0][1][1]), socket.SOCK_STREAM))


def test_peers_of_a_forbidden_class_are_refused(ringway):
    proxy = ringway({"socks5.allow_targets": None})
    assert proxy.ask("127.0.0.1", 0, None, BIND)[1].code == socks5.NOT_ALLOWED
    proxy.eventually_closed("denied_target")


def test_rules_apply(ringway):
    proxy = ringway({"socks5.acl": [{"action": "deny", "commands": ["bind"]}]})
    assert proxy.ask("127.0.0.1", 0, None, BIND)[1].code == socks5.NOT_ALLOWED
    proxy.eventually_closed("denied_acl")


def test_it_can_be_switched_off(ringway):
    proxy = ringway({"socks5.commands": ["connect", "udp_associate"]})
    assert proxy.ask("127.0.0.1", 0, None, BIND)[1].code == socks5.COMMAND_NOT_SUPPORTED
    proxy.eventually_closed("command_not_supported")


def test_bytes_and_the_command_are_in_the_access_line(ringway, peer):
    proxy = ringway()
    connection, where = bind(proxy)
    came = peer(where).connection
    came.sendall(b"sixsix")
    assert socks5.read_reply(connection).code == socks5.SUCCEEDED
    assert socks5.receive_exactly(connection, 6) == b"sixsix"
    connection.sendall(b"four")
    assert socks5.receive_exactly(came, 4) == b"four"
    connection.close()
    came.close()
    line = proxy.eventually_logs("command=bind")
    for said in ("sent=4", "received=6"):
        assert said in line


# SOCKS4


def test_socks4_answers_twice_too(ringway, peer):
    proxy = ringway()
    connection, reply = socks4.ask(proxy, "127.0.0.1", 0, socks4.BIND)
    assert reply.code == socks4.GRANTED
    came = peer((reply.address, reply.port))
    second = socks4.read_reply(connection)
    assert (second.code, second.address, second.port) == (socks4.GRANTED, *came.address)
    came.connection.sendall(b"hello")
    assert socks5.receive_exactly(connection, 5) == b"hello"


def test_a_socks4_peer_that_never_comes_is_answered_91(ringway):
    proxy = ringway({"socks5.timeouts.bind": "1s"})
    connection, reply = socks4.ask(proxy, "127.0.0.1", 0, socks4.BIND)
    assert reply.code == socks4.GRANTED
    assert socks4.read_reply(connection).code == socks4.REJECTED
    proxy.eventually_closed("bind_timeout")


def test_socks4_obeys_the_switch(ringway):
    proxy = ringway({"socks5.commands": ["connect"]})
    assert socks4.ask(proxy, "127.0.0.1", 0, socks4.BIND)[1].code == socks4.REJECTED
    proxy.eventually_closed("command_not_supported")
