"""SOCKS4 and SOCKS4a as bytes: what a client says, and a reader for what it hears."""

import ipaddress
import struct

import socks5
from socks5 import Reply

CONNECT, BIND = 1, 2
GRANTED, REJECTED = 90, 91
# An address 0.0.0.x with x not 0 says that a name follows (SOCKS4a).
NAME_FOLLOWS = bytes([0, 0, 0, 1])


def request(host, port, command=CONNECT, user_id=b""):
    """Text that is an IPv4 address goes as one, anything else as a name."""
    try:
        address, name = ipaddress.IPv4Address(host).packed, b""
    except ValueError:
        address, name = NAME_FOLLOWS, socks5.as_bytes(host) + b"\0"
    return bytes([4, command]) + struct.pack("!H", port) + address + user_id + b"\0" + name


def read_reply(connection):
    version, code, port, address = struct.unpack("!BBH4s", socks5.receive_exactly(connection, 8))
    assert version == 0
    return Reply(code, str(ipaddress.IPv4Address(address)), port)


def ask(proxy, host, port, command=CONNECT):
    """A connection that has asked for a target, and the reply."""
    connection = proxy.connect()
    connection.sendall(request(host, port, command))
    return connection, read_reply(connection)


def tunnel(proxy, target):
    """A connection relayed to `target`."""
    connection, reply = ask(proxy, *target[:2])
    assert reply.code == GRANTED, reply
    return connection
