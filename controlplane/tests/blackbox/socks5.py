"""SOCKS5 as bytes: what a client says, and readers for what it hears (RFC 1928, RFC 1929)."""

import ipaddress
import socket
import struct
from dataclasses import dataclass

NO_AUTH, PASSWORD = 0, 2
CONNECT, BIND, UDP_ASSOCIATE = 1, 2, 3
SUCCEEDED, GENERAL_FAILURE, NOT_ALLOWED, NETWORK_UNREACHABLE, HOST_UNREACHABLE = 0, 1, 2, 3, 4
REFUSED, TTL_EXPIRED, COMMAND_NOT_SUPPORTED, ADDRESS_TYPE_NOT_SUPPORTED = 5, 6, 7, 8


@dataclass
class Reply:
    code: int
    address: str
    port: int


@dataclass
class Datagram:
    """One that came through an association: who sent it, and what."""

    address: str
    port: int
    payload: bytes


def greeting(*methods):
    return bytes([5, len(methods), *methods])


def credentials(name, password):
    name, password = as_bytes(name), as_bytes(password)
    return bytes([1, len(name)]) + name + bytes([len(password)]) + password


def request(host, port, command=CONNECT):
    return bytes([5, command, 0]) + target(host) + struct.pack("!H", port)


def datagram(host, port, payload, fragment=0):
    """A datagram with its header (RFC 1928 section 7)."""
    return bytes([0, 0, fragment]) + target(host) + struct.pack("!H", port) + payload


def read_datagram(data):
    reserved, fragment, kind = struct.unpack("!HBB", data[:4])
    assert (reserved, fragment) == (0, 0)
    end = 4 + {1: 4, 4: 16}[kind]
    (port,) = struct.unpack("!H", data[end : end + 2])
    return Datagram(str(ipaddress.ip_address(data[4:end])), port, data[end + 2 :])


def target(host):
    """ATYP and DST.ADDR: text that is an address goes as one, anything else as a name."""
    if isinstance(host, bytes):
        return bytes([3, len(host)]) + host
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return target(host.encode())
    return bytes([1 if address.version == 4 else 4]) + address.packed


def as_bytes(text):
    return text.encode() if isinstance(text, str) else text


def receive_exactly(connection, count):
    data = bytearray()
    while len(data) < count:
        piece = connection.recv(min(count - len(data), 1 << 20))
        assert piece, f"closed after {data[:64].hex(' ')!r} ({len(data)} bytes), {count} bytes were due"
        data += piece
    return bytes(data)


def receive_until_closed(connection):
    data = bytearray()
    while piece := connection.recv(1 << 20):
        data += piece
    return bytes(data)


def is_reset(connection):
    """Reads to the end: True if that is a reset, False if it is a clean end of stream."""
    try:
        while connection.recv(65536):
            pass
        return False
    except (ConnectionResetError, BrokenPipeError):
        return True


def read_reply(connection):
    version, code, reserved, kind = receive_exactly(connection, 4)
    assert (version, reserved) == (5, 0)
    size = {1: 4, 4: 16}[kind]
    address = str(ipaddress.ip_address(receive_exactly(connection, size)))
    (port,) = struct.unpack("!H", receive_exactly(connection, 2))
    return Reply(code, address, port)


def handshake(connection, user=None):
    """The greeting and, with `user=(name, password)`, the authentication."""
    connection.sendall(greeting(PASSWORD if user else NO_AUTH))
    assert receive_exactly(connection, 2) == bytes([5, PASSWORD if user else NO_AUTH])
    if user:
        connection.sendall(credentials(*user))
        assert receive_exactly(connection, 2) == b"\x01\x00", "the password was not accepted"


def reset(connection):
    """Closes with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
