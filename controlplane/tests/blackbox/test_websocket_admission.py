"""Who may open a WebSocket connection: tokens, JSON Web Tokens, limits of users and rates."""

import base64
import hashlib
import hmac
import json
import subprocess
import time

import pytest

from waiting import eventually
from websocket_client import CLOSE, answer_to, close_payload, upgrade_request

ALICES = "alices-token-1234567890"
BOBS = "bobs-token-12345678901"
SECRET = b"0123456789abcdef0123456789abcdef"


@pytest.fixture
def tokens(tmp_path):
    """The options of `auth: token`: Bob's token is kept as its hash."""
    path = tmp_path / "tokens.yaml"
    hashed = "{sha256}" + hashlib.sha256(BOBS.encode()).hexdigest()
    path.write_text(f'tokens:\n  - {{user: alice, token: "{ALICES}"}}\n  - {{user: bob, token: "{hashed}"}}\n')
    return {"websocket.auth": "token", "websocket.tokens_file": str(path)}


def status(proxy, path="/ws", **headers):
    """101 of an upgrade that is accepted, else the refusal's status."""
    return answer_to(proxy.websocket, upgrade_request(path, **headers)).status


# Tokens


def test_a_token_is_asked_for_and_may_come_in_two_ways(ringway, tokens):
    proxy = ringway(tokens)
    for token in (ALICES, BOBS):
        assert status(proxy, f"/ws?token={token}") == 101
        assert status(proxy, Authorization=f"Bearer {token}") == 101
    for path in ("/ws", "/ws?token=", "/ws?token=wrong", f"/ws?token={ALICES}x", f"/ws?other={ALICES}"):
        assert status(proxy, path) == 401, path
    answer = answer_to(proxy.websocket, upgrade_request())
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert status(proxy, Authorization=f"Basic {ALICES}") == 401
    eventually(lambda: proxy.metrics()("websocket_upgrades_refused_total", reason="unauthorized") == 7)


def test_no_token_is_ever_logged(ringway, tokens, websocket):
    proxy = ringway({**tokens, "log.level": "debug"})
    client = websocket(proxy, f"/ws?token={ALICES}")
    status(proxy, "/ws?token=a-wrong-token-123456")
    client.close()
    eventually(lambda: proxy.metrics()("websocket_connections") == 0)
    assert ALICES not in proxy.log() and "a-wrong-token" not in proxy.log()


def test_users_online_are_counted_once_each(ringway, tokens, websocket):
    proxy = ringway({**tokens, "workers.count": 2})
    clients = [websocket(proxy, f"/ws?token={token}") for token in (ALICES, ALICES, BOBS)]
    eventually(lambda: proxy.metrics()("websocket_gateway_online_users") == 2)
    clients[0].close()
    clients[2].close()
    eventually(lambda: proxy.metrics()("websocket_gateway_online_users") == 1)


def test_a_user_has_only_so_many_connections(ringway, tokens, websocket):
    proxy = ringway({**tokens, "websocket.max_connections_per_user": 2, "workers.count": 2})
    held = [websocket(proxy, f"/ws?token={ALICES}") for _ in range(2)]
    assert status(proxy, f"/ws?token={ALICES}") == 429
    assert status(proxy, f"/ws?token={BOBS}") == 101
    held[0].close()
    eventually(lambda: status(proxy, f"/ws?token={ALICES}") == 101)


def test_a_new_session_takes_the_place_of_the_old_one(ringway, tokens, websocket):
    proxy = ringway({**tokens, "websocket.one_session_per_user": "replace", "workers.count": 2})
    bob, sessions = websocket(proxy, f"/ws?token={BOBS}"), [websocket(proxy, f"/ws?token={ALICES}")]
    for _ in range(6):
        sessions.append(websocket(proxy, f"/ws?token={ALICES}"))
        sessions[-2].ended(3503)
        sessions[-2].close()
    sessions[-1].silent()
    bob.silent()


def test_a_second_session_can_be_refused_instead(ringway, tokens, websocket):
    proxy = ringway({**tokens, "websocket.one_session_per_user": "refuse", "workers.count": 2})
    first = websocket(proxy, f"/ws?token={ALICES}")
    assert status(proxy, f"/ws?token={ALICES}") == 429
    first.silent()
    first.close()
    eventually(lambda: status(proxy, f"/ws?token={ALICES}") == 101)


# JSON Web Tokens


def encoded(data):
    data = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(claims, sign, **header):
    body = encoded({"typ": "JWT", **header}) + "." + encoded(claims)
    return body + "." + encoded(sign(body.encode()))


def by_secret(claims, secret=SECRET):
    return signed(claims, lambda body: hmac.digest(secret, body, "sha256"), alg="HS256")


def in_an_hour():
    return int(time.time()) + 3600


@pytest.fixture
def jwt(tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(SECRET + b"\n")
    return {"websocket.auth": "jwt", "websocket.jwt.secret_file": str(path)}


def test_a_signed_token_names_its_user(ringway, jwt, websocket):
    proxy = ringway({**jwt, "websocket.namespaces": '[{prefix: "", presence: true}]'})
    websocket(proxy, "/ws?token=" + by_secret({"sub": "alice", "exp": in_an_hour()})).subscribe("t")
    eventually(lambda: proxy.metrics()("websocket_gateway_online_users") == 1)
    present = json.loads(proxy.http("POST", "/api/presence", {"Content-Type": "application/json"}, '{"channel":"t"}').text)
    assert [told["user"] for told in present["result"]["presence"].values()] == ["alice"]


def test_tokens_that_are_not_right_are_refused(ringway, jwt):
    proxy = ringway({**jwt, "websocket.jwt.issuer": "us", "websocket.jwt.audience": "ringway"})
    right = {"sub": "alice", "exp": in_an_hour(), "iss": "us", "aud": ["other", "ringway"]}
    assert status(proxy, "/ws?token=" + by_secret(right)) == 101
    body = encoded({"alg": "none"}) + "." + encoded(right) + "."
    wrong = {
        "expired": by_secret({**right, "exp": 1}),
        "not_yet": by_secret({**right, "nbf": in_an_hour()}),
        "another_secret": by_secret(right, b"x" * 32),
        "unsigned": body,
        "another_issuer": by_secret({**right, "iss": "them"}),
        "another_audience": by_secret({**right, "aud": "other"}),
        "changed": by_secret(right)[:-4] + "AAAA",
        "cut": by_secret(right).rsplit(".", 1)[0],
        "noise": "a.b.c",
    }
    for name, token in wrong.items():
        assert status(proxy, "/ws?token=" + token) == 401, name


@pytest.mark.parametrize("driver", ["auto", "epoll"])
def test_a_connection_ends_when_its_token_expires(ringway, jwt, websocket, driver):
    proxy = ringway({**jwt, "workers.driver": driver})
    expires = int(time.time()) + 2
    client = websocket(proxy, "/ws?token=" + by_secret({"sub": "alice", "exp": expires}))
    stays = websocket(proxy, "/ws?token=" + by_secret({"sub": "bob", "exp": in_an_hour()}))
    heard = client.frame()
    assert heard.opcode == CLOSE and heard.payload[:2] == close_payload(3005)
    assert -0.2 < time.time() - expires < 2.5
    stays.silent()


@pytest.mark.parametrize(("algorithm", "make"), [("RS256", ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]), ("ES256", ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"])])
def test_tokens_signed_by_a_key_pair_are_believed(ringway, tmp_path, algorithm, make):
    def openssl(*words, stdin=b""):
        return subprocess.run(["openssl", *map(str, words)], input=stdin, capture_output=True, check=True, timeout=30).stdout

    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    openssl("genpkey", *make, "-out", private)
    openssl("pkey", "-in", private, "-pubout", "-out", public)

    def sign(body):
        made = openssl("dgst", "-sha256", "-sign", private, stdin=body)
        return made if algorithm == "RS256" else raw_signature(made)

    proxy = ringway({"websocket.auth": "jwt", "websocket.jwt.public_key_files": f"[{public}]"})
    claims = {"sub": "alice", "exp": in_an_hour()}
    assert status(proxy, "/ws?token=" + signed(claims, sign, alg=algorithm)) == 101
    assert status(proxy, "/ws?token=" + signed(claims, lambda body: sign(body + b"x"), alg=algorithm)) == 401
    # The public key is no secret: who signs with it as one is a forger.
    forged = signed(claims, lambda body: hmac.digest(public.read_bytes(), body, "sha256"), alg="HS256")
    assert status(proxy, "/ws?token=" + forged) == 401


def raw_signature(der):
    """Two numbers of 32 bytes (RFC 7518 section 3.4), of openssl's SEQUENCE of INTEGERs."""
    numbers, at = [], 2
    for _ in range(2):
        length = der[at + 1]
        numbers.append(int.from_bytes(der[at + 2 : at + 2 + length], "big"))
        at += 2 + length
    return b"".join(number.to_bytes(32, "big") for number in numbers)


# Rates


def test_new_connections_come_only_so_fast(ringway):
    proxy = ringway({"websocket.connection_rate": 10, "websocket.connection_burst": 5, "workers.count": 2})
    begun = time.monotonic()
    answers = [answer_to(proxy.websocket, upgrade_request()) for _ in range(40)]
    seconds = time.monotonic() - begun
    refused = [answer for answer in answers if answer.status == 503]
    accepted = len(answers) - len(refused)
    assert all(answer.status in (101, 503) for answer in answers)
    assert 5 <= accepted <= 6 + 10 * seconds
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
    eventually(lambda: proxy.metrics()("websocket_upgrades_refused_total", reason="rate") == len(refused))
    assert eventually(lambda: status(proxy) == 101)


def test_a_fresh_process_warms_up(ringway):
    proxy = ringway({"websocket.connection_rate": 1000, "websocket.ramp_up.over": "60s", "websocket.ramp_up.from": 5})
    answers = [answer_to(proxy.websocket, upgrade_request()).status for _ in range(100)]
    assert 0 < answers.count(101) < 60 and answers.count(503) == 100 - answers.count(101)
