"""The PROXY protocol as bytes, version 1 and 2: headers, and a reader for them."""

import ipaddress
import socket
import struct

import socks5

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL, PROXY = 0x20, 0x21
TCP_OVER_IPV4, TCP_OVER_IPV6, UNSPECIFIED = 0x11, 0x21, 0x00
V1_BYTES_MAX = 107


def v1(source, destination):
    family = "TCP6" if ":" in source[0] else "TCP4"
    return f"PROXY {family} {source[0]} {destination[0]} {source[1]} {destination[1]}\r\n".encode()


def v2(source, destination, command=PROXY, more=b""):
    family = TCP_OVER_IPV6 if ":" in source[0] else TCP_OVER_IPV4
    packed = [ipaddress.ip_address(host).packed for host, _ in (source, destination)]
    body = b"".join(packed) + struct.pack("!HH", source[1], destination[1]) + more
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


def local_v2():
    """The sender speaks for itself: a health check."""
    return SIGNATURE + struct.pack("!BBH", LOCAL, UNSPECIFIED, 0)


def read_v1(connection):
    """Source and destination."""
    line = bytearray()
    while not line.endswith(b"\r\n"):
        assert len(line) < V1_BYTES_MAX
        line += socks5.receive_exactly(connection, 1)
    word, family, source, destination, source_port, destination_port = line.decode().split(" ")
    assert word == "PROXY" and family == ("TCP6" if ":" in source else "TCP4")
    return (source, int(source_port)), (destination, int(destination_port))


def read_v2(connection):
    """Source and destination."""
    assert socks5.receive_exactly(connection, len(SIGNATURE)) == SIGNATURE
    command, family, length = struct.unpack("!BBH", socks5.receive_exactly(connection, 4))
    assert command == PROXY
    body = socks5.receive_exactly(connection, length)
    size, kind = {TCP_OVER_IPV4: (4, socket.AF_INET), TCP_OVER_IPV6: (16, socket.AF_INET6)}[family]
    ports = struct.unpack("!HH", body[2 * size : 2 * size + 4])
    hosts = [socket.inet_ntop(kind, body[start : start + size]) for start in (0, size)]
    return tuple(zip(hosts, ports))
