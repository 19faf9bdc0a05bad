"""The PROXY protocol, from load balancers in front and to targets behind (haproxy.org, proxy-protocol.txt)."""

import time

import pytest

import proxy_protocol
import socks5
from proxy_protocol import local_v2, v1, v2
from socks5 import receive_exactly, receive_until_closed
from targets import echo

FROM_LOOPBACK = {"socks5.proxy_protocol.from": ["127.0.0.0/8", "::1/128"]}
CLIENT, PROXY = ("192.0.2.7", 4242), ("198.51.100.1", 1080)
CLIENT_6, PROXY_6 = ("2001:db8::7", 4242), ("2001:db8::1", 1080)
HEADERS = {
    "v1": (v1(CLIENT, PROXY), "192.0.2.7:4242"),
    "v1_ipv6": (v1(CLIENT_6, PROXY_6), "[2001:db8::7]:4242"),
    "v2": (v2(CLIENT, PROXY), "192.0.2.7:4242"),
    "v2_ipv6": (v2(CLIENT_6, PROXY_6), "[2001:db8::7]:4242"),
    "v2_with_tlvs": (v2(CLIENT, PROXY, more=b"\x04\x00\x03abc" + b"\x01\x00\x02h2"), "192.0.2.7:4242"),
}


def everything(server, payload=b""):
    return socks5.greeting(socks5.NO_AUTH) + socks5.request(*server.address) + payload


def succeeds(connection):
    assert receive_exactly(connection, 2) == b"\x05\x00"
    return socks5.read_reply(connection).code == socks5.SUCCEEDED


def real(connection):
    return "{}:{}".format(*connection.getsockname()[:2])


@pytest.mark.parametrize("kind", HEADERS)
def test_the_header_says_who_the_client_is(ringway, target, kind):
    header, client = HEADERS[kind]
    proxy = ringway(FROM_LOOPBACK)
    connection = proxy.connect()
    connection.sendall(header + everything(target(echo), b"payload"))
    assert succeeds(connection)
    assert receive_exactly(connection, 7) == b"payload"
    connection.close()
    assert f"client={client}" in proxy.eventually_logs("reason=finished")


@pytest.mark.parametrize(
    "header", [local_v2(), v2(CLIENT, PROXY, proxy_protocol.LOCAL), b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN ffff::1 ::1 1 2\r\n"]
)
def test_a_header_that_speaks_of_nobody_leaves_the_real_address(ringway, target, header):
    proxy = ringway(FROM_LOOPBACK)
    connection = proxy.connect()
    connection.sendall(header + everything(target(echo)))
    assert succeeds(connection)
    address = real(connection)
    connection.close()
    assert f"client={address}" in proxy.eventually_logs("reason=finished")


@pytest.mark.parametrize("kind", HEADERS)
def test_any_cut_in_two_gives_the_same_answer(ringway, target, kind):
    proxy, server, header = ringway(FROM_LOOPBACK), target(echo), HEADERS[kind][0]
    stream = header + everything(server, b"payload")
    for cut in range(1, len(header) + 2):
        connection = proxy.connect()
        connection.sendall(stream[:cut])
        connection.sendall(stream[cut:])
        assert succeeds(connection), f"cut at {cut}"
        assert receive_exactly(connection, 7) == b"payload", f"cut at {cut}"
        connection.close()


def test_a_header_may_come_one_byte_at_a_time(ringway, target):
    connection = ringway(FROM_LOOPBACK).connect()
    for byte in HEADERS["v2"][0] + everything(target(echo)):
        connection.sendall(bytes([byte]))
        time.sleep(0.001)  # Paces the client, waits for nothing: each byte is to be a segment of its own.
    assert succeeds(connection)


def test_every_protocol_may_follow(ringway, target):
    server, proxy = target(echo), ringway(FROM_LOOPBACK)
    port = server.address[1]
    for request, answer in [
        (b"\x04\x01" + port.to_bytes(2, "big") + b"\x7f\0\0\x01\0", b"\0\x5a"),
        (f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode(), b"HTTP/1.1 200"),
    ]:
        connection = proxy.connect()
        connection.sendall(HEADERS["v1"][0] + request)
        assert receive_exactly(connection, len(answer)) == answer


@pytest.mark.parametrize(
    "rubbish",
    [
        socks5.greeting(socks5.NO_AUTH) + bytes(200),
        b"PROXY TCP4 192.0.2.7 198.51.100.1 4242\r\n" + bytes(200),
        b"PROXY TCP4 192.0.2.7 198.51.100.1 4242 99999\r\n" + bytes(200),
        b"PROXY TCP4 192.0.2.777 198.51.100.1 4242 1080\r\n" + bytes(200),
        b"PROXY TCP4 2001:db8::1 198.51.100.1 4242 1080\r\n" + bytes(200),
        b"PROXY TCP5 192.0.2.7 198.51.100.1 4242 1080\r\n" + bytes(200),
        b"PROXY TCP4 192.0.2.7 198.51.100.1 4242 1080 " + b" " * 200,
        b"proxy TCP4 192.0.2.7 198.51.100.1 4242 1080\r\n" + bytes(200),
        proxy_protocol.SIGNATURE + b"\x11\x11\x00\x0c" + bytes(200),
        proxy_protocol.SIGNATURE + b"\x22\x11\x00\x0c" + bytes(200),
        proxy_protocol.SIGNATURE + b"\x21\x11\x00\x04" + bytes(200),
        proxy_protocol.SIGNATURE[:-1] + b"\r" + bytes(200),
    ],
)
def test_what_is_no_header_is_closed_without_an_answer(ringway, rubbish):
    proxy = ringway(FROM_LOOPBACK)
    connection = proxy.connect()
    connection.sendall(rubbish)
    try:
        assert receive_until_closed(connection) == b""
    except ConnectionResetError:
        pass
    proxy.eventually_closed("bad_proxy_header")


@pytest.mark.parametrize("sent", [b"", b"PROXY TCP4 192.0.2.7", proxy_protocol.SIGNATURE])
def test_a_header_that_does_not_come_is_not_waited_for_long(ringway, sent):
    proxy = ringway({**FROM_LOOPBACK, "socks5.timeouts.proxy_header": "1s"})
    connection = proxy.connect()
    connection.sendall(sent)
    begun = time.monotonic()
    try:
        assert receive_until_closed(connection) == b""
    except ConnectionResetError:
        pass
    assert 0.8 < time.monotonic() - begun < 4
    proxy.eventually_closed("proxy_header_timeout")


@pytest.mark.parametrize("kind", ["v1", "v2"])
@pytest.mark.parametrize("trusted", [[], ["192.0.2.0/24", "127.0.0.2/32"]], ids=["nobody", "others"])
def test_a_header_of_a_stranger_is_no_header(ringway, listener, kind, trusted):
    """Whoever may write a header may be anybody: only listed networks may."""
    server = listener()
    proxy = ringway({"socks5.proxy_protocol.from": trusted})
    connection = proxy.connect()
    address = real(connection)
    connection.sendall(HEADERS[kind][0] + everything(server))
    try:
        assert b"\x05\x00" not in receive_until_closed(connection)
    except ConnectionResetError:
        pass
    assert server.nobody_came()
    line = proxy.eventually_logs("reason=")
    assert f"client={address}" in line and "192.0.2.7" not in line


def test_clients_outside_the_listed_networks_need_none(ringway, target):
    proxy = ringway({"socks5.proxy_protocol.from": ["127.0.0.2/32"]})
    connection = proxy.tunnel(target(echo).address)
    connection.sendall(b"x")
    assert connection.recv(1) == b"x"
    listed = proxy.connect(("127.0.0.2", 0))
    listed.sendall(everything(target(echo)) + bytes(200))
    try:
        assert receive_until_closed(listed) == b""
    except ConnectionResetError:
        pass
    proxy.eventually_closed("bad_proxy_header")


def test_rules_and_limits_are_about_the_address_in_the_header(ringway, target):
    server = target(echo)
    proxy = ringway(
        {
            **FROM_LOOPBACK,
            "socks5.acl": [{"action": "deny", "from": ["192.0.2.7/32"]}],
            "socks5.limits.connections_per_client": 1,
        }
    )

    def code(client):
        connection = proxy.connect()
        connection.sendall(v2((client, 1), PROXY) + everything(server))
        assert receive_exactly(connection, 2) == b"\x05\x00"
        return socks5.read_reply(connection).code

    assert code("192.0.2.7") == socks5.NOT_ALLOWED
    assert code("192.0.2.8") == socks5.SUCCEEDED
    assert code("192.0.2.9") == socks5.SUCCEEDED, "another client, though behind the same load balancer"
    connection = proxy.connect()
    connection.sendall(v2(("192.0.2.9", 2), PROXY) + everything(server))
    try:
        assert b"\x05\x00\x00\x01" not in receive_until_closed(connection)
    except ConnectionResetError:
        pass
    proxy.eventually_closed("limit_client_connections")


# To targets

READERS = {"v1": proxy_protocol.read_v1, "v2": proxy_protocol.read_v2}


@pytest.mark.parametrize("version", READERS)
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_listed_target_hears_first_who_the_client_is(ringway, listener, version, host):
    server = listener(host)
    listen = "['[::1]:0']" if host == "::1" else "['127.0.0.1:0']"
    proxy = ringway(
        {
            "socks5.listen": listen,
            "socks5.proxy_protocol.to": ["127.0.0.0/8", "::1/128"],
            "socks5.proxy_protocol.version": version,
        }
    )
    connection = proxy.connect()
    connection.sendall(everything(server, b"payload"))
    accepted = server.accept()
    source, destination = READERS[version](accepted)
    assert source == connection.getsockname()[:2]
    assert destination == server.address
    assert receive_exactly(accepted, 7) == b"payload", "and then the client's bytes"
    accepted.sendall(b"answer")
    assert succeeds(connection) and receive_exactly(connection, 6) == b"answer"
    connection.close()
    accepted.close()
    assert "sent=7" in proxy.eventually_logs("reason=finished"), "the header is no payload"


def test_v2_is_the_default(ringway, listener):
    server = listener()
    proxy = ringway({"socks5.proxy_protocol.to": ["127.0.0.0/8"]})
    connection = proxy.tunnel(server.address)
    assert proxy_protocol.read_v2(server.accept())[0] == connection.getsockname()


def test_a_target_is_listed_by_its_domain_too(ringway, listener, dns):
    server, names = listener(), dns({"a.listed.example": ["127.0.0.1"], "unlisted.example": ["127.0.0.1"]})
    proxy = ringway({"socks5.proxy_protocol.to": ["listed.example"], "socks5.dns.servers": f"[{names.text}]"})
    connection = proxy.tunnel(("A.Listed.Example.", server.address[1]))
    assert proxy_protocol.read_v2(server.accept())[0] == connection.getsockname()
    connection = proxy.tunnel(("unlisted.example", server.address[1]))
    connection.sendall(b"payload")
    assert receive_exactly(server.accept(), 7) == b"payload"


def test_a_target_that_is_not_listed_hears_nothing_of_it(ringway, listener):
    server = listener()
    connection = ringway({"socks5.proxy_protocol.to": ["192.0.2.0/24"]}).tunnel(server.address)
    connection.sendall(b"payload")
    assert receive_exactly(server.accept(), 7) == b"payload"


def test_the_client_named_by_a_header_is_named_to_the_target(ringway, listener):
    server = listener()
    proxy = ringway({**FROM_LOOPBACK, "socks5.proxy_protocol.to": ["127.0.0.0/8"]})
    connection = proxy.connect()
    connection.sendall(v1(CLIENT, PROXY) + everything(server))
    assert proxy_protocol.read_v2(server.accept())[0] == CLIENT
    assert succeeds(connection)
