"""SOCKS5 and HTTP CONNECT over TLS, as Python's ssl, openssl(1) and curl see it; certificates renewed while running."""

import hashlib
import json
import os
import socket
import ssl
import subprocess

import pytest

import socks5
from ringway import address, run
from socks5 import receive_exactly
from targets import PAGE, answer_after_end, echo
from tls_files import Authority, serial, serial_of
from waiting import eventually

CLIENT_SECONDS = 20


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def secured(ringway, authority):
    """Starts a ringway with a TLS listener: `secured({"socks5.auth": …})`; `secured.address` is where."""

    def start(options=None, certificates=None):
        certificates = certificates or [authority.sign("proxy", "proxy.example")]
        listed = [{"certificate": str(certificate), "key": str(key)} for certificate, key in certificates]
        proxy = ringway(
            {
                "websocket.listen": "[]",
                "socks5.tls.listen": "[127.0.0.1:0]",
                "socks5.tls.certificates": json.dumps(listed),
                **(options or {}),
            }
        )
        proxy.tls = address(proxy.log().split("socks5_tls=")[1].split()[0])
        return proxy

    return start


def tcp(proxy):
    connection = socket.create_connection(proxy.tls, CLIENT_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    proxy.sockets.append(connection)
    return connection


def client(proxy, authority, version=None, name="proxy.example"):
    secured = authority.context(version).wrap_socket(tcp(proxy), server_hostname=name)
    proxy.sockets.append(secured)
    return secured


def tunnel(proxy, authority, target, version=None, user=None):
    connection = client(proxy, authority, version)
    socks5.handshake(connection, user)
    connection.sendall(socks5.request(*target[:2]))
    reply = socks5.read_reply(connection)
    assert reply.code == socks5.SUCCEEDED, reply
    return connection


@pytest.mark.parametrize("driver", ["auto", "epoll"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_tunnel_carries_everything_both_ways(secured, authority, target, version, driver):
    proxy = secured({"workers.driver": driver})
    connection = tunnel(proxy, authority, target(echo).address, version)
    assert connection.version() == {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}[version]
    sent, received, piece = hashlib.sha256(), hashlib.sha256(), 200_000
    for _ in range(40):
        data = os.urandom(piece)
        sent.update(data)
        connection.sendall(data)
        received.update(receive_exactly(connection, piece))
    assert sent.digest() == received.digest()
    # unwrap() says close_notify and insists on the answer's.
    connection.unwrap()
    proxy.eventually_closed("finished")
    assert proxy.metrics()("tls_handshakes_total", service="socks5", result="success") == 1


def test_what_is_sent_after_the_clients_end_still_arrives(secured, authority, target):
    proxy = secured()
    server = target(answer_after_end)
    context = authority.context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    raw = tcp(proxy)
    tls = context.wrap_bio(incoming, outgoing, server_hostname="proxy.example")

    def until_done(act):
        while True:
            try:
                return act()
            except ssl.SSLWantReadError:
                raw.sendall(outgoing.read())
                data = raw.recv(65536)
                incoming.write(data) if data else incoming.write_eof()

    def write(data):
        until_done(lambda: tls.write(data))
        raw.sendall(outgoing.read())

    until_done(tls.do_handshake)
    write(socks5.greeting(socks5.NO_AUTH) + socks5.request(*server.address))
    told = b""
    while len(told) < 12:
        told += until_done(lambda: tls.read(64))
    assert told[:4] == b"\x05\x00\x05\x00"
    payload = os.urandom(1 << 20)
    write(payload)
    # The client's end, and nothing of the answer's: it is still to come.
    with pytest.raises(ssl.SSLWantReadError):
        tls.unwrap()
    raw.sendall(outgoing.read())
    answer = b""
    while len(answer) < 64:
        # OpenSSL no longer reads after its own close_notify in unwrap(); the records are there all the same.
        data = raw.recv(65536)
        assert data, "closed before the answer"
        incoming.write(data)
        try:
            while piece := tls.read(65536):
                answer += piece
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass
    assert answer.decode() == hashlib.sha256(payload).hexdigest()


def test_the_name_asked_for_chooses_the_certificate(secured, authority):
    pairs = [authority.sign("first", "proxy.example"), authority.sign("second", "*.example.net", rsa=True)]
    proxy = secured(certificates=pairs)
    assert serial(proxy.tls, "proxy.example") == serial_of(pairs[0][0])
    assert serial(proxy.tls, "a.example.net") == serial_of(pairs[1][0])
    assert serial(proxy.tls, "nobody.example") == serial_of(pairs[0][0])
    proxy.eventually_closed("client_gone", 3)


def test_the_lowest_version_is_kept(secured, authority, target):
    proxy = secured({"socks5.tls.min_version": '"1.3"'})
    with pytest.raises(ssl.SSLError, match="(?i)protocol.version"):
        client(proxy, authority, ssl.TLSVersion.TLSv1_2)
    line = proxy.eventually_logs("reason=tls_failed")
    assert "nothing_in_common" in line
    tunnel(proxy, authority, target(echo).address, ssl.TLSVersion.TLSv1_3).unwrap()


def test_curl_speaks_to_an_https_proxy(secured, authority, page):
    proxy = secured()
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "20", "--proxytunnel", "--proxy", "https://127.0.0.1:{}".format(proxy.tls[1])]
        + ["--proxy-cacert", str(authority.certificate), page().url()],
        capture_output=True,
    )
    assert done.stdout == PAGE, done.stderr


def test_a_password_is_asked_for_behind_tls(secured, authority, target, users_file):
    proxy = secured(users_file(alice="secret"))
    connection = tunnel(proxy, authority, target(echo).address, user=("alice", "secret"))
    connection.sendall(b"hello")
    assert receive_exactly(connection, 5) == b"hello"
    connection.unwrap()
    line = proxy.eventually_logs("reason=finished")
    assert "protocol=socks5 tls=true" in line and "user=alice" in line


def test_an_end_without_close_notify_is_a_reset_for_the_target(secured, authority, listener):
    proxy = secured()
    server = listener()
    connection = tunnel(proxy, authority, server.address)
    far = server.accept()
    connection.sendall(b"half a messa")
    assert receive_exactly(far, 12) == b"half a messa"
    socket.socket.shutdown(connection, socket.SHUT_WR)
    with pytest.raises(ConnectionResetError):
        far.recv(16)
    proxy.eventually_closed("client_reset")


def test_a_reset_of_the_target_is_no_clean_end(secured, authority, listener):
    proxy = secured()
    server = listener()
    connection = tunnel(proxy, authority, server.address)
    far = server.accept()
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    far.close()
    # suppress_ragged_eofs would hide the very thing.
    with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
        connection.suppress_ragged_eofs = False
        connection.recv(16)
    proxy.eventually_closed("target_reset")


def test_plain_bytes_on_the_tls_port_are_told(secured):
    proxy = secured()
    connection = tcp(proxy)
    connection.sendall(socks5.greeting(socks5.NO_AUTH))
    connection.sendall(b"\0" * 100)
    assert connection.recv(1) == b"\x15", "an alert"
    connection.close()
    line = proxy.eventually_logs("reason=tls_failed")
    assert "the TLS handshake failed: not_tls" in line
    assert proxy.metrics()("tls_handshakes_total", service="socks5", result="not_tls") == 1


def test_a_silent_client_is_cut_at_the_handshakes_deadline(secured):
    proxy = secured({"socks5.timeouts.handshake": "300ms"})
    connection = tcp(proxy)
    connection.sendall(b"\x16\x03\x01\x02\x00\x01")
    assert connection.recv(1) == b""
    proxy.eventually_closed("handshake_timeout")
    assert proxy.metrics()("tls_handshakes_total", service="socks5", result="timeout") == 1


def test_renewed_files_are_shown_without_a_restart(secured, authority, target):
    proxy = secured()
    before = serial(proxy.tls)
    old = tunnel(proxy, authority, target(echo).address)
    certificate, key = authority.sign("proxy", "proxy.example", end="20991231000000Z")
    renewed = serial_of(certificate)
    eventually(lambda: serial(proxy.tls) == renewed, 20, lambda: f"{renewed}; {serial(proxy.tls)}")
    assert before != renewed
    end = 4102358400  # 2099-12-31
    eventually(lambda: proxy.metrics()("tls_certificate_expiry_timestamp_seconds", service="socks5") == end, 20, lambda: "expiry")
    proxy.eventually_logs("socks5.tls.certificates: renewed")
    old.sendall(b"still here")
    assert receive_exactly(old, 10) == b"still here"

    certificate.write_text("not a certificate")
    line = proxy.eventually_logs("the certificate from before is still shown")
    assert 'holds no \\"BEGIN CERTIFICATE\\"' in line or 'holds no "BEGIN CERTIFICATE"' in line
    failures = "tls_certificate_reload_failures_total"
    eventually(lambda: proxy.metrics()(failures) == 1, 20, lambda: failures)
    assert serial(proxy.tls) == renewed
    certificate, key = authority.sign("proxy", "proxy.example")
    again = serial_of(certificate)
    eventually(lambda: serial(proxy.tls) == again, 20, lambda: f"{again}; {serial(proxy.tls)}")
    assert proxy.log().count("is still shown") <= 2, "told once for each change"
    old.unwrap()


def test_check_reads_the_files(tmp_path, authority):
    certificate, key = authority.sign("old", "old.example", end="20210101000000Z")
    file = tmp_path / "ringway.yaml"
    whole = "websocket: {listen: []}\nsocks5:\n  tls: {listen: ['127.0.0.1:0'], certificates: [{certificate: %s, key: %s}]}\n"
    file.write_text(whole % ("old.pem", "old.key"))
    done = run("check", "-c", file)
    assert done.returncode == 0 and "old.pem expired" in done.stdout, done
    file.write_text(whole % ("old.pem", "ca.key"))
    done = run("check", "-c", file)
    assert done.returncode == 2, done
    assert "ringway.yaml:3:" in done.stderr and "certificates[0].key: is not the certificate's key" in done.stderr, done.stderr
    file.write_text(whole % ("gone.pem", "old.key"))
    done = run("check", "-c", file)
    assert "certificates[0].certificate: cannot read" in done.stderr, done.stderr
    assert "PRIVATE" not in done.stderr


# The gateway: wss://


def frame(opcode, payload):
    """A client's frame, masked with zeros (RFC 6455 section 5.2)."""
    assert len(payload) < 126
    return bytes([0x80 | opcode, 0x80 | len(payload)]) + b"\0\0\0\0" + payload


def read_frame(connection):
    opcode, length = receive_exactly(connection, 2)
    return opcode & 0x0F, receive_exactly(connection, length)


def upgrade(connection, path="/ws"):
    connection.sendall(
        f"GET {path} HTTP/1.1\r\nHost: proxy.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += receive_exactly(connection, 1)
    assert b"101" in head.split(b"\r\n")[0] and b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head, head


@pytest.fixture
def gateway(ringway, authority):
    def start(options=None):
        certificate, key = authority.sign("push", "proxy.example")
        proxy = ringway(
            {
                "websocket.listen": "[]",
                "websocket.tls.listen": "[127.0.0.1:0]",
                "websocket.tls.certificates": json.dumps([{"certificate": str(certificate), "key": str(key)}]),
                **(options or {}),
            }
        )
        proxy.tls = address(proxy.log().split("websocket_tls=")[1].split()[0])
        return proxy

    return start


@pytest.mark.parametrize("driver", ["auto", "epoll"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_gateway_speaks_tls(gateway, authority, version, driver):
    proxy = gateway({"workers.driver": driver, "websocket.echo": "true"})
    context = authority.context(version)
    context.set_alpn_protocols(["http/1.1"])
    connection = context.wrap_socket(tcp(proxy), server_hostname="proxy.example")
    proxy.sockets.append(connection)
    assert connection.selected_alpn_protocol() == "http/1.1"
    upgrade(connection)
    connection.sendall(frame(1, b"ping"))
    opcode, answer = read_frame(connection)
    assert (opcode, json.loads(answer)["type"] if answer.startswith(b"{") else answer.decode()) == (1, "pong")
    connection.sendall(frame(8, b"\x03\xe8"))
    assert read_frame(connection) == (8, b"\x03\xe8")
    # Behind the close frames the stream ends in order, with close_notify.
    connection.suppress_ragged_eofs = False
    assert connection.recv(1) == b""
    eventually(lambda: proxy.metrics()("websocket_connections") == 0, 10, lambda: "no connection")
    assert proxy.metrics()("tls_handshakes_total", service="websocket", result="success") == 1


def test_bulk_through_the_gateway_comes_back_whole(gateway, authority):
    proxy = gateway({"websocket.echo": "true", "websocket.max_message_size": "2MiB"})
    connection = client(proxy, authority)
    upgrade(connection, "/echo")
    for size in (200, 20_000, 1_500_000):
        payload = os.urandom(size)
        length = bytes([0x80 | 126]) + size.to_bytes(2, "big") if size < 65536 else bytes([0x80 | 127]) + size.to_bytes(8, "big")
        connection.sendall(b"\x82" + length + b"\0\0\0\0" + payload)
        first, second = receive_exactly(connection, 2)
        assert first == 0x82
        told = int.from_bytes(receive_exactly(connection, 2 if second == 126 else 8), "big")
        assert told == size and receive_exactly(connection, told) == payload
    connection.sendall(frame(8, b"\x03\xe8"))
    assert read_frame(connection) == (8, b"\x03\xe8")


def test_an_end_that_comes_with_the_last_bytes_is_heard(gateway, authority):
    proxy = gateway()
    connection = client(proxy, authority)
    upgrade(connection)
    eventually(lambda: proxy.metrics()("websocket_connections") == 1, 10, lambda: "one connection")
    # One write holds a message and close_notify; the TCP connection stays open and silent.
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    raw = tcp(proxy)
    tls = authority.context().wrap_bio(incoming, outgoing, server_hostname="proxy.example")

    def until_done(act):
        while True:
            try:
                return act()
            except ssl.SSLWantReadError:
                raw.sendall(outgoing.read())
                incoming.write(raw.recv(65536))

    until_done(tls.do_handshake)
    tls.write(
        b"GET /ws HTTP/1.1\r\nHost: proxy.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    raw.sendall(outgoing.read())
    eventually(lambda: proxy.metrics()("websocket_connections") == 2, 10, lambda: "two connections")
    tls.write(frame(1, b"ping"))
    with pytest.raises(ssl.SSLWantReadError):
        tls.unwrap()
    raw.sendall(outgoing.read())
    eventually(lambda: proxy.metrics()("websocket_connections") == 1, 10, lambda: "one connection again")


def test_a_failed_handshake_of_the_gateway_is_told(gateway, authority):
    proxy = gateway({"websocket.handshake_timeout": "500ms"})
    connection = tcp(proxy)
    connection.sendall(b"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n")
    assert connection.recv(1) == b"\x15", "an alert"
    connection.close()
    silent = tcp(proxy)
    silent.sendall(b"\x16\x03\x01\x02\x00\x01")
    with pytest.raises(ConnectionResetError):
        silent.recv(1)
    for result in ("not_tls", "timeout"):
        count = lambda: proxy.metrics()("tls_handshakes_total", service="websocket", result=result)
        eventually(lambda: count() == 1, 10, lambda: f"{result}: {count()}")
