"""WebSocket as bytes (RFC 6455): a client that sends whatever a test wants, and reads strictly what comes back."""

import base64
import hashlib
import http.client
import json
import os
import socket
import ssl
import struct
import zlib
from dataclasses import dataclass

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
# Rsv bit 1 of the first byte: a compressed message (RFC 7692 section 6).
COMPRESSED = 4
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TIMEOUT_SECONDS = 20
MASK = b"\x37\xfa\x21\x3d"


@dataclass
class Frame:
    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0


class Ended(ConnectionError):
    """The server ended the connection where more was expected."""


def frame(opcode, payload=b"", fin=True, rsv=0, mask=MASK, length=None, length_form=None):
    """A client's frame. `length` lies about the payload's; `length_form` is 7, 16 or 64 bits whatever the length needs."""
    length = len(payload) if length is None else length
    form = length_form or (7 if length < 126 else 16 if length < 1 << 16 else 64)
    masked = 0x80 if mask else 0
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    head += {
        7: lambda: bytes([masked | length]),
        16: lambda: struct.pack("!BH", masked | 126, length),
        64: lambda: struct.pack("!BQ", masked | 127, length),
    }[form]()
    return head + (mask + masked_with(mask, payload) if mask else payload)


def masked_with(mask, payload):
    key = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(len(payload), "big")


def close_payload(code=None, reason=b""):
    return b"" if code is None else struct.pack("!H", code) + reason


def deflated(payload, window_bits=15):
    """A compressed message's payload (RFC 7692 section 7.2.1)."""
    squeezer = zlib.compressobj(wbits=-window_bits)
    return (squeezer.compress(payload) + squeezer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def inflated(payload):
    return zlib.decompressobj(wbits=-15).decompress(payload + b"\x00\x00\xff\xff")


def upgrade_request(path="/ws", host="127.0.0.1", key=None, method="GET", version="HTTP/1.1", without=(), more=(), **headers):
    """The request of an upgrade. `headers` are set (`Sec_WebSocket_Version="8"`), those named in `without` left out, `more` pairs added."""
    key = key or base64.b64encode(os.urandom(16)).decode()
    fields = {
        "Host": host,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": key,
        "Sec-WebSocket-Version": "13",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    kept = [(name, value) for name, value in fields.items() if name not in without]
    lines = [f"{name}: {value}" for name, value in [*kept, *more]]
    return "\r\n".join([f"{method} {path} {version}", *lines, "", ""]).encode()


def accept_of(key):
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()


def connect(where, tls=None, source=None):
    """A bare connection; through TLS with an `ssl.SSLContext`."""
    connection = socket.create_connection(where, TIMEOUT_SECONDS, source_address=source)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return tls.wrap_socket(connection, server_hostname="localhost") if tls else connection


def answer_to(where, request, tls=None):
    """The HTTP answer to a request that is not (or should not be) an upgrade."""
    with connect(where, tls) as connection:
        connection.sendall(request)
        return read_answer(connection)


@dataclass
class HttpAnswer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


def read_answer(connection):
    response = http.client.HTTPResponse(connection)
    response.begin()
    body = b"" if response.status == http.client.SWITCHING_PROTOCOLS else response.read()
    return HttpAnswer(response.status, response.headers, body)


class WebSocket:
    """An upgraded connection: `WebSocket(proxy.websocket)`."""

    def __init__(self, where, path="/ws", tls=None, source=None, offer=None, early=b"", **headers):
        key = base64.b64encode(os.urandom(16)).decode()
        host = "{}:{}".format(*where)
        more = [("Sec-WebSocket-Extensions", offer)] if offer else []
        self.connection = connect(where, tls, source)
        self.buffer = b""
        self.connection.sendall(upgrade_request(path, host, key, more=more, **headers) + early)
        self.head = self.take_until(b"\r\n\r\n").decode()
        assert self.head.startswith("HTTP/1.1 101 "), self.head
        lines = [line.split(": ", 1) for line in self.head.split("\r\n")[1:] if line]
        self.headers = {name.lower(): value for name, value in lines}
        assert self.headers["sec-websocket-accept"] == accept_of(key)
        assert self.headers["upgrade"].lower() == "websocket" and self.headers["connection"].lower() == "upgrade"
        self.extensions = self.headers.get("sec-websocket-extensions")

    def close(self):
        self.connection.close()

    def fileno(self):
        return self.connection.fileno()

    def reset(self):
        """Ends it with a TCP reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    # Bytes

    def more(self):
        heard = self.connection.recv(1 << 16)
        if not heard:
            raise Ended(f"ended by the server; unread: {self.buffer[:100]!r}")
        self.buffer += heard

    def take(self, count):
        while len(self.buffer) < count:
            self.more()
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def take_until(self, end):
        while end not in self.buffer:
            self.more()
        return self.take(self.buffer.index(end) + len(end))

    # Frames

    def send(self, opcode, payload=b"", **how):
        self.connection.sendall(frame(opcode, payload, **how))

    def raw(self, data):
        self.connection.sendall(data)

    def frame(self):
        """The next frame, which must be one that a server may send."""
        first, second = self.take(2)
        assert second < 0x80, "a server never masks (section 5.1)"
        length = second
        if second == 126:
            (length,) = struct.unpack("!H", self.take(2))
            assert length > 125, "lengths are minimal (section 5.2)"
        elif second == 127:
            (length,) = struct.unpack("!Q", self.take(8))
            assert length > 0xFFFF, "lengths are minimal (section 5.2)"
        read = Frame(first & 15, self.take(length), bool(first & 0x80), first >> 4 & 7)
        assert read.opcode in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG)
        assert read.opcode < CLOSE or (read.fin and length <= 125), "control frames are whole and short (section 5.5)"
        assert read.rsv == 0 or (read.rsv == COMPRESSED and self.extensions and read.opcode in (TEXT, BINARY)), read
        return read

    def message(self):
        """The next data message: (opcode, payload), inflated. Pings on the way are answered."""
        opcode, rsv, parts = None, 0, []
        while True:
            heard = self.frame()
            if heard.opcode == PING:
                self.send(PONG, heard.payload)
            elif heard.opcode in (TEXT, BINARY, CONTINUATION):
                assert (heard.opcode == CONTINUATION) == bool(parts)
                opcode, rsv = (heard.opcode, heard.rsv) if not parts else (opcode, rsv)
                parts.append(heard.payload)
                if heard.fin:
                    whole = b"".join(parts)
                    return opcode, inflated(whole) if rsv else whole
            else:
                raise AssertionError(f"a message was expected: {heard}")

    def text(self):
        opcode, payload = self.message()
        assert opcode == TEXT, opcode
        return payload.decode()

    def ended(self, code=None):
        """Reads until the server's close frame, answers it, and sees the connection end: its code and reason."""
        while (heard := self.frame()).opcode != CLOSE:
            pass
        told, reason = (struct.unpack("!H", heard.payload[:2])[0], heard.payload[2:].decode()) if heard.payload else (None, "")
        try:
            self.send(CLOSE, heard.payload[:2])
        except OSError:
            pass  # It answered a close of ours, and is gone.
        self.at_end()
        assert code is None or told == code, f"{told} {reason!r}"
        return told, reason

    def at_end(self):
        """The connection ends with nothing more in it."""
        assert self.buffer == b"", self.buffer[:100]
        try:
            assert self.connection.recv(100) == b""
        except ConnectionResetError:
            pass  # Some of ours lay unread there.
        except ssl.SSLEOFError:
            pass

    # The plain JSON protocol

    def tell(self, **request):
        self.send(TEXT, json.dumps(request).encode())

    def ask(self, **request):
        """Sends a request and returns the next message, which answers it unless publications come in between."""
        self.tell(**request)
        return self.heard()

    def heard(self):
        return json.loads(self.text())

    def subscribe(self, *topics):
        for topic in topics:
            answer = self.ask(type="subscribe", topic=topic)
            assert answer == {"type": "subscribed", "topic": topic}, answer
        return self

    def silent(self):
        """Whatever was on its way has come: a ping is answered, and there was nothing before it."""
        self.send(PING, b"silent?")
        heard = self.frame()
        assert heard == Frame(PONG, b"silent?"), heard
