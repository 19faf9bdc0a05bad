"""Keys of JSON Web Tokens that are exchanged while ringway runs: from a file, and from a URL."""

import http.server
import socket
import ssl
import threading
import time

import pytest

from ringway import REPOSITORY, run
from test_websocket_admission import in_an_hour, raw_signature, signed, status
from tls_files import Authority, openssl
from waiting import eventually

KEYS = REPOSITORY / "dataplane/tests/jwt_keys"


def key_set(*names):
    return '{"keys": [%s]}' % ",".join((KEYS / f"{name}.jwk.json").read_text() for name in names)


def token(name):
    """Alice's, signed by the key of this name."""

    def sign(body):
        return raw_signature(openssl("dgst", "-sha256", "-sign", KEYS / f"{name}.pem", stdin=body))

    return signed({"sub": "alice", "exp": in_an_hour()}, sign, alg="ES256", kid=name)


class Issuer:
    """A server of keys that does as it is told: `status`, `body`, and whether it answers at all."""

    def __init__(self, tls=None):
        self.status, self.body, self.asked = 200, key_set("ec"), 0
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.asked += 1
                self.send_response(issuer.status)
                self.send_header("Content-Length", str(len(issuer.body)))
                self.end_headers()
                self.wfile.write(issuer.body.encode())

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://localhost:{self.server.server_address[1]}/keys.json"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def issuer():
    issuers = []

    def begin(tls=None):
        issuers.append(Issuer(tls))
        return issuers[-1]

    yield begin
    for one in issuers:
        one.server.shutdown()
        one.server.server_close()


def fetches(proxy, result):
    return proxy.metrics()("websocket_token_key_fetches_total", result=result)


def test_a_changed_file_of_keys_is_believed_at_once(ringway, tmp_path):
    path = tmp_path / "keys.json"
    path.write_text(key_set("ec"))
    proxy = ringway({"websocket.auth": "jwt", "websocket.jwt.jwks_file": str(path)})
    old, new = f"/ws?token={token('ec')}", f"/ws?token={token('ec2')}"
    assert (status(proxy, old), status(proxy, new)) == (101, 401)
    path.write_text("{")
    eventually(lambda: "its former keys stay" in proxy.log())
    assert (status(proxy, old), status(proxy, new)) == (101, 401)
    path.write_text(key_set("ec2"))
    eventually(lambda: (status(proxy, old), status(proxy, new)) == (401, 101))


def test_keys_are_fetched_again_and_again_and_outlive_the_issuers_faults(ringway, issuer):
    begun = issuer()
    proxy = ringway({"websocket.auth": "jwt", "websocket.jwt.jwks_url": begun.url, "websocket.jwt.jwks_refresh": "1s"})
    old, new = f"/ws?token={token('ec')}", f"/ws?token={token('ec2')}"
    eventually(lambda: status(proxy, old) == 101)
    begun.status = 500
    eventually(lambda: fetches(proxy, "failed") >= 1)
    begun.status, begun.body = 200, "{}"
    eventually(lambda: fetches(proxy, "failed") >= 2)
    assert (status(proxy, old), status(proxy, new)) == (101, 401)
    begun.body = key_set("ec2")
    eventually(lambda: (status(proxy, old), status(proxy, new)) == (401, 101))
    assert fetches(proxy, "succeeded") >= 2


def test_an_issuer_must_prove_its_name(ringway, issuer, tmp_path):
    authority = Authority(tmp_path)
    certificate, key = authority.sign("issuer", "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    begun = issuer(context)
    options = {"websocket.auth": "jwt", "websocket.jwt.jwks_url": begun.url, "websocket.jwt.jwks_refresh": "1s"}
    good = f"/ws?token={token('ec')}"
    trusting = ringway(options, env={"SSL_CERT_FILE": str(authority.certificate)})
    eventually(lambda: status(trusting, good) == 101)
    asked = begun.asked
    doubting = ringway(options, env={"SSL_CERT_FILE": str(certificate)})
    eventually(lambda: fetches(doubting, "failed") >= 1)
    assert status(doubting, good) == 401 and asked >= 1
    assert "UnknownIssuer" in doubting.log()


def test_an_issuer_that_hangs_holds_nothing_up(ringway):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = "http://127.0.0.1:%d/" % silent.getsockname()[1]
        proxy = ringway({"websocket.auth": "jwt", "websocket.jwt.jwks_url": url})
        connection, _ = silent.accept()
        with connection:
            assert connection.recv(4096).startswith(b"GET / HTTP/1.1\r\n")
            begun = time.monotonic()
            assert proxy.http("GET", "/livez").status == 200
            assert status(proxy, f"/ws?token={token('ec')}") == 401
            assert time.monotonic() - begun < 5
            connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + key_set("ec").encode())
        eventually(lambda: status(proxy, f"/ws?token={token('ec')}") == 101)


def test_a_file_that_holds_no_usable_key_is_told_before_the_start(tmp_path):
    path = tmp_path / "keys.json"
    for text, told in [("{}", "is no JWK Set"), ('{"keys": []}', "holds no key for HS256 or RS256 or ES256")]:
        path.write_text(text)
        ended = run("check", "--set", "websocket.auth=jwt", "--set", f"websocket.jwt.jwks_file={path}")
        assert ended.returncode != 0 and f"websocket.jwt.jwks_file {path}: {told}" in ended.stderr, ended
