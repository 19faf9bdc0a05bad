"""GET /debug/bundle: all that helps somebody far away, and no secret."""

import io
import hashlib
import json
import subprocess
import tarfile
from concurrent.futures import ThreadPoolExecutor

import pytest

import socks5
from ports import free_port
from ringway import binary
from targets import echo
from waiting import eventually

API_KEY, KEY_IN_FILE = "api-key-planted-1", "api-key-planted-2"
ALICE, BOB = "alices-planted-password", "bobs-planted-password"
JWT_SECRET = "jwt-secret-planted-of-thirty-two-bytes"
UPSTREAM, UPSTREAM_ENV = "upstream-planted-1", "upstream-planted-2"
WRONG = "wrong-planted-password"
TOKEN = "control-planted-token-of-some-length"
TOKEN_HASH = hashlib.sha256(TOKEN.encode()).hexdigest()
SECRETS = [API_KEY, KEY_IN_FILE, ALICE, BOB, JWT_SECRET, UPSTREAM, UPSTREAM_ENV, WRONG, TOKEN, TOKEN_HASH]


def bundle(proxy, **headers):
    answer = proxy.http("GET", "/debug/bundle", headers)
    assert answer.status == 200, answer.text
    assert answer.headers["Content-Type"] == "application/gzip"
    folder = answer.headers["Content-Disposition"].split('"')[1].removesuffix(".tar.gz")
    files = {}
    with tarfile.open(fileobj=io.BytesIO(answer.body)) as archive:
        for member in archive:
            assert member.isfile() and member.name.startswith(folder + "/"), member
            files[member.name.removeprefix(folder + "/")] = archive.extractfile(member).read().decode()
    return files


def test_it_holds_what_the_pages_show(ringway, target):
    proxy = ringway({"workers.count": 2})
    tunnel = proxy.tunnel(target(echo).address)
    files = bundle(proxy)
    for name in ["version", "livez", "readyz", "health", "stats", "memory", "config", "doctor", "flight", "histograms", "generations"]:
        json.loads(files[name + ".json"])
    assert json.loads(files["version.json"])["process"] == proxy.pid
    assert json.loads(files["config.json"]) == proxy.get("/config").json
    assert json.loads(files["livez.json"]) == {"status": "ok"}
    assert "socks5_proxy_connections_total 1" in files["metrics.txt"]
    checks = {check["check"]: check for check in json.loads(files["doctor.json"])["checks"]}
    assert checks["io_uring"]["level"] in ("ok", "note", "warning")
    assert "Max open files" in files["proc/self/limits"]
    assert any(text.strip() == "ringway-w1" for name, text in files.items() if name.endswith("/comm"))
    assert "ready socks5=" in files["log.txt"]
    for name in files:
        assert name in files["README.txt"] or name == "README.txt"
    tunnel.close()


def test_running_listeners_are_no_failure_to_doctor(ringway):
    first = ringway()
    proxy = ringway({"socks5.listen": f"[127.0.0.1:{free_port()}]"})
    checks = json.loads(bundle(proxy)["doctor.json"])["checks"]
    listen = [check for check in checks if check["check"] == "listen"]
    assert listen and all(check["level"] == "ok" for check in listen)
    assert any(f"process {proxy.pid}" in check["found"] for check in listen)
    assert first.process.poll() is None


@pytest.fixture
def planted(ringway, users_file, tmp_path, closing):
    """A ringway with a secret in each place that can hold one."""
    keys = tmp_path / "keys"
    keys.write_text(KEY_IN_FILE + "\n")
    password = tmp_path / "upstream"
    password.write_text(UPSTREAM + "\n")
    secret = tmp_path / "jwt"
    secret.write_text(JWT_SECRET + "\n")
    hashed = subprocess.run([binary(), "passwd"], input=BOB, capture_output=True, text=True, timeout=30).stdout.strip()
    options = {
        **users_file(alice=ALICE, bob=hashed),
        "control.api_keys": [API_KEY],
        "control.api_keys_file": str(keys),
        "control.tokens": [{"name": "root", "scope": "admin", "token": "{sha256}" + TOKEN_HASH}],
        "control.metrics_open": True,
        "websocket.auth": "jwt",
        "websocket.jwt.secret_file": str(secret),
        "socks5.upstream.proxies": [
            {"name": "one", "address": "127.0.0.1:9", "protocol": "socks5", "username": "u", "password_file": str(password)},
            {"name": "two", "address": "127.0.0.1:9", "protocol": "http_connect", "username": "u", "password_env": "PLANTED"},
        ],
    }
    return ringway(options, env={"PLANTED": UPSTREAM_ENV}), hashed


def test_no_secret_is_in_it(planted):
    proxy, hashed = planted
    for user in [("alice", ALICE), ("alice", WRONG), ("bob", BOB)]:
        connection = proxy.connect()
        connection.sendall(socks5.greeting(2) + socks5.credentials(*user))
        connection.recv(4)
    proxy.http("POST", "/api/info", {"X-API-Key": API_KEY, "Content-Type": "application/json"}, body="{}")
    proxy.http("POST", "/api/info", {"X-API-Key": WRONG, "Content-Type": "application/json"}, body="{}")
    proxy.eventually_logs("login failed")
    token = {"Authorization": f"Bearer {TOKEN}"}
    eventually(lambda: "login failed" in bundle(proxy, **token)["log.txt"], 10, "the failed login in the bundle's log")
    files = bundle(proxy, **token)
    for secret in [*SECRETS, hashed, hashed.split("$")[-1]]:
        holders = [name for name, text in files.items() if secret in text]
        assert not holders, f"{secret} is in {holders}"
    assert "api_keys" in files["config.json"], "the key is there, its value is not"


def test_who_went_where_is_not_in_it(ringway, target):
    """Lines of the access log are left out, even where they go to standard error."""
    proxy = ringway()
    echoing = target(echo)
    proxy.tunnel(echoing.address).close()
    eventually(lambda: proxy.access_lines(), 10, "an access line")
    assert "reason=" not in bundle(proxy)["log.txt"]


def test_it_is_there_while_a_worker_is_stuck(ringway):
    proxy = ringway({"workers.count": 2, "control.test_endpoints": True, "workers.stalled_after": "100ms"})
    assert proxy.http("POST", "/api/v1/drill?kind=stall&worker=0&ms=3000").status == 202
    eventually(lambda: proxy.get("/livez").status == 503, 10, "a stalled worker")
    assert json.loads(bundle(proxy)["livez.json"])["status"] == "stalled"
    eventually(lambda: proxy.get("/livez").status == 200, 20, "a worker that goes on")



def test_ctl_fetches_it(ringway, tmp_path):
    proxy = ringway()
    done = subprocess.run([binary(), "ctl", "--control", f"http://{proxy.control_text}", "bundle"], capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        assert any(name.endswith("/stats.json") for name in archive.getnames())


def test_one_is_packed_at_a_time(ringway):
    proxy = ringway()

    def storm():
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(lambda _: proxy.http("GET", "/debug/bundle"), range(8)))

    def refused():
        answers = storm()
        assert {answer.status for answer in answers} <= {200, 503} and any(answer.status == 200 for answer in answers)
        return [answer for answer in answers if answer.status == 503]

    answer = eventually(refused)[0]
    assert answer.headers["Retry-After"] == "1" and "another bundle" in answer.text
    assert bundle(proxy)["metrics.txt"]
