"""HTTP CONNECT as bytes: what a client says, and a reader for what it hears (RFC 9110 section 9.3.6)."""

import base64
import email.parser
from dataclasses import dataclass
from email.message import Message

import socks5

MESSAGE_BYTES_MAX = 64 * 1024


@dataclass
class Response:
    status: int
    headers: Message


def authority(host, port):
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def request(host, port, user=None, version="1.1"):
    to = authority(host, port)
    return (f"CONNECT {to} HTTP/{version}\r\nHost: {to}\r\n" + (basic(user) if user else "") + "\r\n").encode()


def basic(user):
    """The header field of a login (RFC 7617)."""
    return "Proxy-Authorization: Basic " + base64.b64encode(":".join(user).encode()).decode() + "\r\n"


def read_response(connection):
    """Up to the empty line and not a byte further."""
    head = bytearray()
    while not head.endswith(b"\r\n\r\n"):
        assert len(head) < MESSAGE_BYTES_MAX
        head += socks5.receive_exactly(connection, 1)
    line, _, fields = head.decode().partition("\r\n")
    version, status, _ = line.split(" ", 2)
    assert version == "HTTP/1.1"
    return Response(int(status), email.parser.HeaderParser().parsestr(fields))


def ask(proxy, host, port, user=None):
    """A connection that has asked for a target, and the response."""
    connection = proxy.connect()
    connection.sendall(request(host, port, user))
    return connection, read_response(connection)


def tunnel(proxy, target):
    """A connection relayed to `target`."""
    connection, response = ask(proxy, *target[:2])
    assert response.status == 200, response
    return connection
