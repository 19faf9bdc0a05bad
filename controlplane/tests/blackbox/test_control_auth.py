"""Who may do what on the control port: every route, from outside, as strangers, web pages and holders of tokens would try."""

import base64
import hashlib
import http.client
import json
import os
import pwd
import re
import signal
import socket
import ssl
import stat
import subprocess

import pytest

from ringway import run
from tls_files import Authority
from waiting import eventually

TOKENS = {"read": "rw_look_look_look_look", "operate": "rw_do_do_do_do_do_do", "admin": "rw_own_own_own_own_own"}
RANK = {"open": 0, "read": 1, "operate": 2, "admin": 3}
PUBLISH = re.compile(r"^/api(/(?!v1/).*)?$")
# What ends the process, or takes a while, is asked for by those alone who must not get it.
SPARED = re.compile(r"drill|drain|upgrade|profile|restart|bundle|shutdown")


def hashed(token):
    return "{sha256}" + hashlib.sha256(token.encode()).hexdigest()


def tokens_of(tokens=TOKENS):
    return json.dumps([{"name": f"{scope}er", "scope": scope, "token": hashed(token)} for scope, token in tokens.items()])


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def basic(name, token):
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{token}".encode()).decode()}


@pytest.fixture
def guarded(ringway):
    """One that asks for tokens; `Ringway`'s own looks are made with one."""

    def start(options=None, tokens=TOKENS, **how):
        proxy = ringway({"control.tokens": tokens_of(tokens), "control.test_endpoints": "true", **(options or {})}, **how)
        plain = proxy.http

        def http(method, path, headers=None, **more):
            given = headers or {}
            own = {} if {"Authorization", "X-API-Key", "Anonymous"} & given.keys() else bearer(tokens["admin"])
            return plain(method, path, {name: value for name, value in {**own, **given}.items() if name != "Anonymous"}, **more)

        proxy.http = http
        return proxy

    return start


def routes(proxy, **headers):
    """(method, path, scope) of every route served: from the index, and the scopes from the OpenAPI document."""
    lines = [line.split(None, 2) for line in proxy.get("/", **headers).text.splitlines()[2:]]
    document = proxy.get("/openapi.json", **headers).json
    found = [(line[0], line[1].replace("{", "").replace("}", "")) for line in lines if len(line) > 1]
    assert len(found) > 20
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item if method in ("get", "post", "put", "delete", "patch")}
    assert {(line[0], line[1]) for line in lines if len(line) > 1} == described, "the index and the document tell of the same routes"
    return found


def body_of(method, path):
    return {} if method == "GET" else {"body": b"{}"}


def ask(proxy, method, path, headers, body=None):
    """With exactly these headers."""
    connection = http.client.HTTPConnection(*proxy.control, timeout=10)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        if method != "GET":
            connection.putheader("Content-Length", str(len(body or b"")))
        connection.endheaders(body)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


JSON = ("Content-Type", "application/json")
OWN = ("Host", "127.0.0.1:9003")
FOREIGN_PAGES = [
    [("Host", "evil.example")],
    [("Host", "evil.example:9003"), ("Origin", "http://evil.example:9003"), ("Sec-Fetch-Site", "same-origin")],
    [("Host", "127.0.0.1.nip.example")],
    [("Host", "localhost.evil.example")],
    [("Host", "evil.example"), OWN],
    [OWN, ("Origin", "http://evil.example")],
    [OWN, ("Origin", "null")],
    [OWN, ("Origin", "http://127.0.0.1")],
    [OWN, ("Origin", "http://localhost:9003")],
    [OWN, ("Origin", "http://127.0.0.1:9003"), ("Origin", "http://evil.example")],
    [OWN, ("Sec-Fetch-Site", "cross-site")],
    [OWN, ("Sec-Fetch-Site", "same-site")],
    [OWN, ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "image")],
    [OWN, ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe")],
]


@pytest.mark.parametrize("tokens", [False, True], ids=["open", "tokens"])
def test_no_foreign_page_finds_anything_on_any_route(ringway, guarded, tokens):
    proxy = guarded() if tokens else ringway({"control.test_endpoints": "true"})
    shown = [("Authorization", f"Bearer {TOKENS['admin']}")] if tokens else []
    for method, path in routes(proxy):
        for page in FOREIGN_PAGES:
            foreign_host = page[0] != OWN
            if tokens and foreign_host and PUBLISH.match(path):
                continue  # Who knows a token may publish by any name.
            for kind in ([JSON], [("Content-Type", "text/plain")]):
                status, body = ask(proxy, method, path, [*page, *shown, *kind], b"{}" if method != "GET" else None)
                assert status in (403, 415), f"{method} {path} {page} {kind}: {status} {body[:200]}"
                assert b"ringway_version" not in body and b"socks5" not in body
    kinds = proxy.metrics().by("control_auth_failures_total", "kind")
    assert kinds["host"] > 50 and kinds["origin"] > 50
    assert proxy.get("/livez").status == 200, "the drills of strangers did nothing"


def test_a_form_of_a_page_changes_nothing_even_without_fetch_metadata(ringway):
    proxy = ringway({"control.test_endpoints": "true"})
    for method, path in routes(proxy):
        if method == "GET":
            continue
        for kind in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"):
            status, body = ask(proxy, method, path, [OWN, ("Content-Type", kind)], b"a=b")
            assert status == 415, f"{method} {path} {kind}: {status} {body[:200]}"


def test_a_link_from_elsewhere_may_be_followed(ringway):
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    proxy = ringway()
    assert proxy.http("GET", "/stats", followed).status == 200
    assert proxy.http("POST", "/api/info", {**followed, "Content-Type": "application/json"}, body="{}").status == 403


def test_names_and_origins_that_are_listed_are_fine(ringway):
    proxy = ringway({"control.allowed_hosts": "[ops.example, '*.internal']", "control.allowed_origins": '["https://ops.example"]'})
    for host, status in [("ops.example", 200), ("OPS.example:9003", 200), ("a.b.internal", 200), ("internal", 403), ("evil.example", 403)]:
        assert ask(proxy, "GET", "/stats", [("Host", host)])[0] == status, host
    page = [("Host", "ops.example"), ("Origin", "https://ops.example"), ("Sec-Fetch-Site", "same-origin"), JSON]
    assert ask(proxy, "POST", "/api/info", page, b"{}")[0] == 200
    page[1] = ("Origin", "http://ops.example")
    status, body = ask(proxy, "POST", "/api/info", page, b"{}")
    assert status == 200, "the same origin: plain HTTP on port 80 is what Host says"
    page[1] = ("Origin", "https://other.example")
    assert ask(proxy, "POST", "/api/info", page, b"{}")[0] == 403


# Tokens


def test_no_wrong_or_missing_token_finds_any_route_open(guarded):
    proxy = guarded()
    free = {"/livez": 200, "/readyz": 200, "/dashboard/file": 404, "/dashboard/panels/file": 404}
    wrong = [
        {},
        bearer("wrong"),
        bearer(hashed(TOKENS["admin"])),
        bearer(hashlib.sha256(TOKENS["admin"].encode()).hexdigest()),
        basic("admin", TOKENS["admin"]),
        basic("adminer", "wrong"),
    ]
    for method, path in routes(proxy):
        for number, shown in enumerate(wrong):
            answer = proxy.http(method, path, {"Anonymous": "", "Content-Type": "application/json", **shown}, **body_of(method, path))
            expected = (free[path],) if path in free else (401, 429)
            assert answer.status in expected, f"{method} {path} {number}: {answer.status} {answer.text[:200]}"
            if answer.status == 401:
                challenges = answer.headers.get_all("WWW-Authenticate")
                assert challenges[0].startswith("Bearer") and challenges[1].startswith("Basic")
                assert "hint" in answer.json
    assert proxy.get("/livez").status == 200


def test_each_scope_opens_what_it_should_and_no_more(guarded):
    proxy = guarded()
    needs = {}
    for method, path in routes(proxy):
        if SPARED.search(path):
            continue
        opened = []
        for scope, token in TOKENS.items():
            answer = proxy.http(method, path, {"Content-Type": "application/json", **bearer(token)}, **body_of(method, path))
            refused = answer.status == 403 and "needed" in answer.json
            if refused:
                assert answer.json["held"] == scope and RANK[answer.json["needed"]] > RANK[scope]
                assert f"{scope}er" in answer.json["detail"]
            else:
                assert answer.status not in (401, 429, 500), f"{method} {path} {scope}: {answer.text[:300]}"
                opened.append(scope)
        assert opened == list(TOKENS)[len(TOKENS) - len(opened) :], f"{method} {path}: {opened}"
        needs[method, path] = opened[0]
    assert needs["GET", "/stats"] == needs["GET", "/config"] == "read"
    assert needs["POST", "/api/publish"] == "operate"
    assert all(scope == "read" for (method, path), scope in needs.items() if method == "GET" and path.count("/") == 1)


def test_spared_routes_refuse_low_scopes_too(guarded):
    proxy = guarded()
    for method, path in routes(proxy):
        if SPARED.search(path):
            answer = proxy.http(method, path, {"Content-Type": "application/json", **bearer(TOKENS["read"])}, **body_of(method, path))
            if method == "GET" and answer.status == 200:
                continue
            assert answer.status == 403, f"{method} {path}: {answer.status}"


def test_bearer_and_basic_say_the_same(guarded):
    proxy = guarded()
    for shown in (bearer(TOKENS["read"]), basic("reader", TOKENS["read"])):
        assert proxy.http("GET", "/stats", shown).status == 200
    two = [("Authorization", f"Bearer {TOKENS['read']}"), ("Authorization", f"Bearer {TOKENS['admin']}")]
    assert ask(proxy, "GET", "/stats", [OWN, *two])[0] == 401
    curl = subprocess.run(
        ["curl", "-s", "-o", os.devnull, "-w", "%{http_code}", "-u", f"reader:{TOKENS['read']}", "http://{}:{}/stats".format(*proxy.control)],
        capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    assert curl.stdout == "200"


def test_metrics_can_be_left_open(guarded):
    proxy = guarded({"control.metrics_open": "true"})
    assert proxy.http("GET", "/metrics", {"Anonymous": ""}).status == 200
    assert proxy.http("GET", "/stats", {"Anonymous": ""}).status == 401
    assert guarded().http("GET", "/metrics", {"Anonymous": ""}).status == 401


def test_publishing_takes_a_key_or_a_token(guarded):
    proxy = guarded({"control.api_keys": "[a-long-key-of-the-shop]"})
    body = json.dumps({"channel": "news", "data": {}})
    for shown, status in [
        ({"X-API-Key": "a-long-key-of-the-shop"}, 200),
        (bearer(TOKENS["operate"]), 200),
        (bearer(TOKENS["read"]), 403),
        ({"X-API-Key": TOKENS["operate"]}, 401),
        ({"Anonymous": ""}, 401),
        ({"X-API-Key": "a-long-key-of-the-shop", **bearer(TOKENS["operate"])}, 401),
    ]:
        answer = proxy.http("POST", "/api/publish", shown, body=body)
        assert answer.status == status, (shown, answer.text)
    assert proxy.http("GET", "/stats", {"X-API-Key": "a-long-key-of-the-shop"}).status == 401, "keys publish, nothing else"


def test_guessing_is_throttled_and_counted(guarded):
    proxy = guarded()
    for number in range(5):
        assert proxy.http("GET", "/stats", bearer(f"guess {number}")).status == 401
    locked = proxy.http("GET", "/stats", bearer(TOKENS["read"]))
    assert locked.status == 429 and locked.headers["Retry-After"] == "1"
    assert proxy.get("/livez").status == 200
    assert proxy.http("GET", "/stats", bearer("guess 4")).status == 401, "the same one again is no guess"
    eventually(lambda: proxy.http("GET", "/stats", bearer(TOKENS["read"])).status == 200, 5)
    for _ in range(20):
        proxy.http("GET", "/stats", bearer("guess 4"))
    assert proxy.http("GET", "/stats", bearer(TOKENS["read"])).status == 200
    assert proxy.http("GET", "/stats", bearer("guess 6")).status == 401
    assert proxy.http("GET", "/stats", bearer(TOKENS["read"])).headers["Retry-After"] == "2"
    eventually(lambda: proxy.http("GET", "/stats", bearer(TOKENS["read"])).status == 200, 5)
    kinds = proxy.metrics().by("control_auth_failures_total", "kind")
    assert kinds["wrong_token"] >= 26 and kinds["throttled"] >= 2


def test_a_token_is_made_once_and_works(ringway, tmp_path):
    made = run("token", "alice@example.org", "operate")
    assert made.returncode == 0
    token, line = made.stdout.splitlines()[0], made.stdout.splitlines()[-1]
    assert re.fullmatch(r"rw_[A-Za-z0-9_-]{43}", token) and token not in line
    path = tmp_path / "tokens.yaml"
    path.write_text(f"tokens:\n{line}\n")
    proxy = ringway({"control.tokens_file": str(path), "control.metrics_open": "true"})
    assert proxy.http("GET", "/stats", bearer(token)).status == 200
    assert proxy.get("/stats").status == 401
    shown = proxy.http("GET", "/config", bearer(token)).text
    assert hashed(token)[8:] not in shown and token not in shown and token not in proxy.log()
    refused = run("token", "a b", "read")
    assert refused.returncode == 2 and "letters" in refused.stderr


def test_tokens_are_reloaded_and_the_audit_log_tells_by_whom(ringway, tmp_path):
    path, audit = tmp_path / "tokens.yaml", tmp_path / "audit.log"

    def write(**tokens):
        path.write_text("tokens: " + tokens_of(tokens))

    write(read=TOKENS["read"], admin=TOKENS["admin"])
    proxy = ringway({"control.tokens_file": str(path), "control.metrics_open": "true", "log.audit": str(audit)})
    assert proxy.http("GET", "/stats", bearer(TOKENS["read"])).status == 200
    write(read=TOKENS["operate"], admin=TOKENS["admin"])
    assert proxy.http("POST", "/admin/reload-config", bearer(TOKENS["operate"])).status == 401
    answer = proxy.http("POST", "/admin/reload-config", bearer(TOKENS["admin"]))
    assert answer.status == 200 and answer.json["applied"][0]["key"] == "control.tokens_file"
    assert not any(token in answer.text for token in TOKENS.values())
    assert proxy.http("GET", "/stats", bearer(TOKENS["read"])).status == 401
    assert proxy.http("GET", "/stats", bearer(TOKENS["operate"])).status == 200
    path.write_text("tokens: []")
    assert proxy.http("POST", "/admin/reload-config", bearer(TOKENS["admin"])).status == 422, "no reload opens it"
    assert proxy.http("GET", "/stats", {}).status == 401
    write(admin=TOKENS["admin"])
    proxy.signal(signal.SIGHUP)
    eventually(lambda: proxy.http("GET", "/stats", bearer(TOKENS["operate"])).status == 401)
    lines = eventually(lambda: len(audit.read_text().splitlines()) >= 4 and audit.read_text().splitlines(), what=audit.read_text)
    assert "by=adminer scope=admin" in lines[1] and "result=done" in lines[1] and "control.tokens_file" in lines[1]
    assert "by=adminer" in lines[2] and "status=422 result=failed" in lines[2]
    assert "by=SIGHUP action=reload result=done" in lines[3] and "control.tokens_file" in lines[3]


def test_listeners_open_and_close_on_reload(ringway, tmp_path, authority):
    path, file = tmp_path / "control.sock", tmp_path / "ringway.yaml"
    certificate, key = authority.sign("control.example", "control.example")
    file.write_text("log: {level: info}\n")
    proxy = ringway(arguments=["-c", str(file)])
    more = {"unix": str(path), "tls": {"listen": ["127.0.0.1:0"], "certificates": [{"certificate": str(certificate), "key": str(key)}]}}
    file.write_text(file.read_text() + "control: " + json.dumps(more) + "\n")
    answer = proxy.http("POST", "/admin/reload-config")
    assert answer.status == 200, answer.text
    assert ask_unix(path)[0] == 200
    opened = [place["address"] for place in answer.json["opened"] if place["key"] == "control.tls.listen"]
    host, port = opened[0].rsplit(":", 1)
    connection = http.client.HTTPSConnection(host, int(port), context=authority.context(), timeout=10)
    connection.request("GET", "/stats")
    assert connection.getresponse().status == 200
    connection.close()
    file.write_text("log: {level: info}\n")
    assert ask_unix(path, "POST", "/admin/reload-config")[0] == 200, "the answer comes by the socket that is closed"
    eventually(lambda: not path.exists())
    with pytest.raises(OSError):
        socket.create_connection((host, int(port)), 5)


# Listeners beyond loopback


@pytest.mark.parametrize(
    "options, told",
    [
        (["control.listen=[0.0.0.0:0]"], "0.0.0.0:0 is not loopback and nobody would be asked for a token"),
        (["control.listen=[192.0.2.1:9003]"], "`ringway token` makes one"),
        (["control.open=true"], 'did you mean "control.insecure"'),
        (["control.tls.listen=[0.0.0.0:0]"], "nobody would be asked who they are"),
        (["control.tls.client_auth=required"], "needs control.tls.client_ca_file"),
        (['control.tokens=[{name: a, scope: read, token: plain-text-of-a-token}]'], "stands here in plain"),
        (['control.allowed_origins=["*"]'], "name the origins"),
    ],
)
def test_what_would_be_open_by_chance_is_refused_with_the_remedy(options, told):
    refused = run("check", *(word for option in options for word in ("--set", option)))
    assert refused.returncode == 2 and told in refused.stderr
    assert "plain-text-of-a-token" not in refused.stderr


def test_beyond_loopback_with_tokens_or_the_word_for_it(ringway, guarded):
    proxy = guarded({"control.listen": "[0.0.0.0:0]"})
    assert proxy.control_text.startswith("0.0.0.0:") and "tokens can be read on their way" in proxy.log()
    proxy = ringway({"control.listen": "[0.0.0.0:0]", "control.insecure": "true"})
    assert proxy.get("/stats").status == 200 and "may do everything" in proxy.log()


# The Unix socket


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def ask_unix(path, method="GET", target="/stats", headers=None):
    connection = UnixConnection(path)
    connection.request(method, target, headers=headers or {})
    response = connection.getresponse()
    status = response.status, response.read()
    connection.close()
    return status


ASK = """
import http.client, socket, sys
connection = http.client.HTTPConnection("localhost", timeout=10)
connection.sock = socket.socket(socket.AF_UNIX)
try:
    connection.sock.connect(sys.argv[1])
except PermissionError:
    sys.exit("no way in")
connection.request("GET", "/stats", headers=dict(line.split("=", 1) for line in sys.argv[2:]))
print(connection.getresponse().status)
"""


def ask_as_nobody(path, *headers):
    nobody = pwd.getpwnam("nobody")
    done = subprocess.run(
        ["/usr/bin/python3", "-c", ASK, str(path), *headers],
        user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[], cwd="/", capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    return done.stdout.strip() or done.stderr.strip()


def test_ringways_own_user_is_admin_at_the_unix_socket(guarded, tmp_path):
    path = tmp_path / "control.sock"
    proxy = guarded({"control.unix": str(path)})
    assert f"control_unix={path}" in proxy.log()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ask_unix(path)[0] == 200
    assert ask_unix(path, headers={"Host": "any.name.example"})[0] == 200
    assert ask_unix(path, "POST", "/api/v1/drill?kind=panic&worker=0&tasks=1", {"Origin": "http://evil.example"})[0] == 403
    proxy.panics_expected = True
    assert ask_unix(path, "POST", "/api/v1/drill?kind=panic&worker=0&tasks=1")[0] == 202
    line = proxy.eventually_logs("audit: asked by=uid:")
    assert f"by=uid:{os.getuid()} scope=admin from=unix:{os.getuid()}:{os.getpid()} method=POST path=/api/v1/drill" in line
    proxy.stop()
    assert not path.exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_others_at_the_unix_socket_have_what_is_configured(guarded):
    # Where everybody may walk to.
    for options, plain, with_token in [
        ({"control.unix_mode": "0600"}, "no way in", "no way in"),
        ({"control.unix_mode": "0666"}, "401", "200"),
        ({"control.unix_mode": "0666", "control.unix_scope": "read"}, "200", "200"),
    ]:
        path = f"/tmp/ringway-{os.getpid()}.sock"
        proxy = guarded({"control.unix": path, **options})
        assert ask_as_nobody(path) == plain, options
        assert ask_as_nobody(path, f"Authorization=Bearer {TOKENS['read']}") == with_token, options
        proxy.stop()


def test_a_stale_socket_is_replaced_and_a_live_one_is_not(guarded, ringway, tmp_path):
    path = tmp_path / "control.sock"
    first = guarded({"control.unix": str(path)})
    second = ringway({"control.unix": str(path)}, ready=False)
    assert second.exit_code() == 3
    assert "control.unix" in second.log() and "another process answers there" in second.log()
    assert ask_unix(path)[0] == 200
    first.process.kill()
    first.process.wait()
    assert path.exists()
    third = ringway({"control.unix": str(path)})
    assert ask_unix(path)[0] == 200
    third.stop()
    assert not path.exists()


def test_who_may_use_the_unix_socket_gets_in_when_strangers_fill_the_port(guarded, tmp_path):
    path = tmp_path / "control.sock"
    proxy = guarded({"control.unix": str(path), "control.connections_max": "2"})
    held = [socket.create_connection(proxy.control) for _ in range(2)]
    eventually(lambda: ask(proxy, "GET", "/livez", [OWN])[0] == 503)
    assert ask_unix(path)[0] == 200
    for connection in held:
        connection.close()
    eventually(lambda: ask(proxy, "GET", "/livez", [OWN])[0] == 200)


# TLS


CONTROL_TLS = re.compile(r"control_tls=([^\s,\"]+):(\d+)")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


def https(proxy, authority, *arguments, path="/stats"):
    """The status of a request by curl, or why there is none."""
    host, port = CONTROL_TLS.search(proxy.log()).groups()
    done = subprocess.run(
        ["curl", "-s", "-S", "-o", os.devnull, "-w", "%{http_code}", "--cacert", str(authority.certificate), *map(str, arguments), f"https://{host}:{port}{path}"],
        capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    return done.stdout if done.returncode == 0 else f"curl {done.returncode}"


def tls_options(authority, **more):
    certificate, key = authority.sign("control.example", "control.example")
    written = json.dumps([{"certificate": str(certificate), "key": str(key)}])
    return {"control.tls.listen": "[127.0.0.1:0]", "control.tls.certificates": written, **more}


def test_https_asks_for_tokens_like_http(guarded, authority):
    proxy = guarded(tls_options(authority))
    assert https(proxy, authority) == "401"
    assert https(proxy, authority, "-H", f"Authorization: Bearer {TOKENS['read']}") == "200"
    assert https(proxy, authority, path="/livez") == "200"
    plain = socket.create_connection(tuple(CONTROL_TLS.search(proxy.log()).groups()), 10)
    plain.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
    assert not plain.recv(4096).startswith(b"HTTP"), "nothing is said in plain"
    expiry = proxy.metrics()("tls_certificate_expiry_timestamp_seconds", service="control")
    assert expiry > 4e9


def test_a_renewed_certificate_is_shown(guarded, authority):
    from tls_files import serial, serial_of

    proxy = guarded(tls_options(authority))
    address = CONTROL_TLS.search(proxy.log()).groups()
    before = serial(address)
    certificate, _ = authority.sign("control.example", "control.example")
    after = serial_of(certificate)
    assert before != after
    eventually(lambda: serial(address) == after, 10)


@pytest.mark.parametrize("client_auth", ["optional", "required"])
def test_a_client_certificate_says_who_it_is(guarded, authority, tmp_path, client_auth):
    client = authority.sign("monitor", "client.example")
    shown = ("--cert", client[0], "--key", client[1])
    (tmp_path / "other").mkdir()
    strangers = Authority(tmp_path / "other").sign("monitor", "client.example")
    proxy = guarded(
        tls_options(
            authority,
            **{
                "control.tls.client_auth": client_auth,
                "control.tls.client_ca_file": str(authority.certificate),
                "control.tls.client_scope": "operate",
            },
        )
    )
    assert https(proxy, authority, *shown) == "200"
    drill = "/api/v1/drill?kind=panic&worker=0&tasks=1"
    assert https(proxy, authority, *shown, "-X", "POST", path=drill) == "403"
    line = proxy.eventually_logs("by=certificate:monitor")
    assert "result=refused why=scope" in line and "path=/api/v1/drill" in line
    assert https(proxy, authority, "--cert", strangers[0], "--key", strangers[1]).startswith("curl ")
    without = https(proxy, authority)
    token = https(proxy, authority, "-H", f"Authorization: Bearer {TOKENS['read']}")
    if client_auth == "required":
        assert without.startswith("curl ") and token.startswith("curl ")
    else:
        assert (without, token) == ("401", "200")
    refused = proxy.metrics().by("control_auth_failures_total", "kind")["client_certificate"]
    assert refused == (3 if client_auth == "required" else 1)


def test_a_common_name_cannot_forge_log_lines(ringway, authority):
    client = authority.sign("monitor\nforged", "client.example")
    proxy = ringway(
        tls_options(
            authority,
            **{"control.tls.client_auth": "optional", "control.tls.client_ca_file": str(authority.certificate), "control.tls.client_scope": "admin"},
        )
    )
    assert https(proxy, authority, "--cert", client[0], "--key", client[1], "-X", "POST", path="/admin/undrain").startswith("curl ")
    assert proxy.metrics().by("control_auth_failures_total", "kind")["client_certificate"] == 1


def test_certificates_alone_do_without_tokens(ringway, authority):
    client = authority.sign("monitor", "client.example")
    proxy = ringway(
        tls_options(
            authority,
            **{
                "control.listen": "[127.0.0.1:0]",
                "control.tls.listen": "[0.0.0.0:0]",
                "control.tls.client_auth": "optional",
                "control.tls.client_ca_file": str(authority.certificate),
            },
        )
    )
    port = CONTROL_TLS.search(proxy.log())[2]
    context = authority.context()
    context.check_hostname = False

    def status(context):
        connection = http.client.HTTPSConnection("127.0.0.1", int(port), context=context, timeout=10)
        connection.request("GET", "/stats")
        return connection.getresponse().status

    assert status(context) == 403, "showing none is not more than showing one"
    context.load_cert_chain(*client)
    assert status(context) == 200
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert status(context) == 200


# What is written down


def test_each_attempt_to_change_something_is_one_line_of_the_audit_log(guarded, tmp_path):
    path = tmp_path / "audit.log"
    proxy = guarded({"log.audit": str(path), "log.access_format": "json"})
    proxy.panics_expected = True
    drill = "/api/v1/drill?kind=panic&worker=0&tasks=1"
    shown = {"Anonymous": ""}
    proxy.http("POST", drill)
    proxy.http("POST", drill, bearer(TOKENS["read"]))
    proxy.http("POST", drill + "&access_token=hunter2", {**shown, "Cookie": "hunter2"})
    proxy.http("POST", drill, bearer("hunter2"))
    proxy.http("POST", drill, {"Origin": "http://evil.example", **shown})
    proxy.http("POST", "/api/v1/drill?kind=flood&worker=0")
    proxy.http("POST", "/api/publish", body=json.dumps({"channel": "news", "data": {}}))
    proxy.http("GET", "/stats")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    told = [(line.get("by"), line.get("scope"), line["result"], line.get("why"), line["status"]) for line in lines]
    assert told[:5] == [
        ("adminer", "admin", "done", None, 202),
        ("reader", None, "refused", "scope", 403),
        (None, None, "refused", "missing", 401),
        (None, None, "refused", "wrong_token", 401),
        (None, None, "refused", "origin", 403),
    ]
    assert told[5][:3] == ("adminer", "admin", "failed") and "no such fault" in told[5][3] and len(told) == 6
    assert all(line["method"] == "POST" and line["path"] == "/api/v1/drill" for line in lines)
    assert all(line["stream"] == "audit" and line["from"].startswith("127.0.0.1:") for line in lines)
    assert lines[0]["parameters"] == "kind=panic worker=0 tasks=1"
    assert "hunter2" not in path.read_text() and TOKENS["admin"] not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) & ~0o640 == 0


def test_the_audit_log_says_what_is_different_now(guarded, tmp_path):
    path = tmp_path / "audit.log"
    proxy = guarded({"log.audit": str(path), "log.access_format": "json"})
    kill = {"filter": {"user": "mallory"}, "reason": "enough"}
    for address, body in [
        ("/api/v1/connections/kill", json.dumps(kill)),
        ("/admin/drain", json.dumps({"grace": "1m"})),
        ("/admin/undrain", None),
        ("/admin/undrain", None),
        ("/admin/memory/collect", None),
    ]:
        headers = {"Content-Type": "application/json"} if body else {}
        assert proxy.http("POST", address, headers, body=body).status in (200, 202), address
    killed, drains, undrains, undrains_again, collects = [json.loads(line)["difference"] for line in path.read_text().splitlines()]
    assert killed.startswith("killed 0 of 0 that fit: ") and "mallory" in killed and "enough" in killed
    assert drains == "drains, with a grace of 60s"
    assert (undrains, undrains_again) == ("serves again", "did not drain")
    assert collects.endswith(" bytes purged")


def test_every_request_can_be_written_down(guarded, tmp_path):
    path = tmp_path / "control.log"
    proxy = guarded({"log.control": str(path)})
    proxy.http("GET", "/stats?token=hunter2", {"User-Agent": "probe/1 status=999", **bearer(TOKENS["read"])})
    proxy.http("GET", "/no\\such/path", {"Anonymous": ""})

    def lines():
        return [line for line in path.read_text().splitlines() if "probe/1" in line or "such" in line]

    first, second = eventually(lambda: len(lines()) == 2 and lines(), what=lambda: path.read_text())
    assert re.search(r" INFO control: answered from=127\.0\.0\.1:\d+ by=reader method=GET path=/stats status=200 bytes=\d+ duration_ms=[\d.]+ agent=\"probe/1 status=999\"$", first)
    assert 'path="/no' in second and "status=404" in second
    assert "hunter2" not in path.read_text()


def test_http_metrics_name_patterns_never_what_was_asked_for(guarded):
    proxy = guarded()
    for method, path in [("GET", "/stats"), ("BREW", "/stats"), ("GET", "/made-up/7"), ("PROPFIND", "/made-up")]:
        proxy.http(method, path)
    known = {line.split(None, 2)[1] for line in proxy.get("/").text.splitlines()[2:] if line}
    samples = [labels for name, labels, _ in proxy.metrics().samples if name == "http_requests_total"]
    assert {labels["path"] for labels in samples} <= known | {"other"}
    assert {labels["method"] for labels in samples} <= {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "other"}
    assert any(labels == {"method": "other", "path": "/stats", "status": "405"} for labels in samples)
