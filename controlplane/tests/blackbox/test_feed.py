"""The live feed: what is told, to whom, by the control port's /ws and by the gateway."""

import base64
import json
import os
import re
import socket
import subprocess
import time
from datetime import datetime, timedelta, timezone

import pytest
from jsonschema import Draft202012Validator

from reloading import Reloading
from ringway import REPOSITORY
from succession import Succession
from targets import echo
from test_control_auth import TOKENS, bearer, tokens_of
from test_openapi import strict
from tls_files import Authority
from waiting import eventually
from websocket_client import CLOSE, TEXT, Ended, WebSocket, accept_of, answer_to, connect, frame, inflated, read_answer, upgrade_request

WSCAT = REPOSITORY / "target/node/node_modules/.bin/wscat"
TOPICS = ["traffic_data", "proxy_health", "system_performance", "user_activity", "alerts"]
SCHEMAS = {
    "traffic_data": "TrafficData",
    "proxy_health": "ProxyHealth",
    "system_performance": "SystemPerformance",
    "user_activity": "UserActivity",
    "alerts": "AlertsNow",
}
CONTROL_TLS = re.compile(r"control_tls=([^\s,\"]+):(\d+)")
UNAUTHORIZED = 3507
DEFLATE = "permessage-deflate"


class Reader(WebSocket):
    """A subscriber of the feed: `Reader(proxy.control).subscribe("alerts").told("alerts")`."""

    def __init__(self, where, path="/ws", bare=None, **how):
        if bare is None:
            super().__init__(where, path, **how)
        else:
            key = base64.b64encode(os.urandom(16)).decode()
            self.connection, self.buffer, self.extensions = bare, b"", None
            self.connection.sendall(upgrade_request(path, "localhost", key))
            self.head = self.take_until(b"\r\n\r\n").decode()
            assert self.head.startswith("HTTP/1.1 101 ") and accept_of(key) in self.head, self.head
        self.waiting = []

    def subscribe(self, *topics):
        for topic in topics:
            self.tell(type="subscribe", topic=topic)
            while (heard := self.heard())["type"] == "message":
                self.waiting.append(heard)
            assert heard == {"type": "subscribed", "topic": topic}, heard
        return self

    def told(self, topic):
        """The next snapshot of a topic."""
        while True:
            heard = self.waiting.pop(0) if self.waiting else self.heard()
            assert heard["type"] == "message" and heard["topic"] in TOPICS, heard
            if heard["topic"] == topic:
                return heard["data"]

    def told_until(self, topic, holds):
        """The first one from here on that `holds`."""
        deadline = time.monotonic() + 20
        while not holds(data := self.told(topic)):
            assert time.monotonic() < deadline, data
        return data


@pytest.fixture
def read(closing):
    """Subscribes: `read(proxy.control, "traffic_data")`."""
    return lambda where, *topics, **how: closing(Reader(where, **how)).subscribe(*topics)


@pytest.fixture
def guarded(ringway):
    """One that asks for tokens."""
    return lambda options=None: ringway({"control.tokens": tokens_of(), "control.metrics_open": "true", **(options or {})})


def authorized(scope):
    return bearer(TOKENS[scope])


def refusal(proxy, path="/ws", **headers):
    """What is answered to an upgrade that is not let in."""
    return answer_to(proxy.control, upgrade_request(path, "{}:{}".format(*proxy.control), **headers))


def ticket(proxy, **headers):
    answer = proxy.http("POST", "/api/v1/feed/ticket", headers)
    assert answer.status == 200, answer.text
    return answer.json


# What is told


def validator(proxy, topic):
    document = proxy.get("/openapi.json").json
    return Draft202012Validator({**strict(document["components"]["schemas"][SCHEMAS[topic]]), "components": strict(document["components"])})


def test_every_snapshot_is_what_its_schema_says(ringway, read, target, users_file):
    proxy = ringway({**users_file(alice={"quota": "1GiB"}), "workers.count": 2})
    tunnel = proxy.tunnel(target(echo).address, user=("alice", "secret"))
    tunnel.sendall(b"x" * 1000)
    reader = read(proxy.control, *TOPICS)
    for topic in TOPICS:
        schema = validator(proxy, topic)
        for _ in range(2):
            told = reader.told(topic)
            faults = [f"{list(fault.absolute_path)}: {fault.message}" for fault in schema.iter_errors(told)]
            assert not faults, f"{topic}: {faults}\n{told}"
            assert len(json.dumps(told)) < 16_000


@pytest.mark.parametrize("port", ["control", "websocket"])
def test_each_reader_gets_what_stands_there_and_then_all_that_comes(ringway, read, port):
    proxy = ringway({"workers.count": 2})
    reader = read(getattr(proxy, port), "traffic_data", "proxy_health")
    first = reader.told("traffic_data")
    age = datetime.now(timezone.utc) - datetime.fromisoformat(first["time"])
    assert abs(age) < timedelta(seconds=5), first["time"]
    assert re.fullmatch(r"[0-9a-f]{8}", first["boot"]) and first["interval_ms"] == 250
    seqs = [first["seq"]]
    started = time.monotonic()
    while len(seqs) < 14:
        told = reader.told("traffic_data")
        assert told["boot"] == first["boot"]
        seqs.append(told["seq"])
    assert time.monotonic() - started < 30
    # What stood there may come a second time; nothing is left out.
    distinct = sorted(set(seqs))
    assert distinct == list(range(seqs[0], seqs[0] + len(distinct))) and len(seqs) - len(distinct) <= 1, seqs


def test_figures_are_those_of_stats(ringway, read, target):
    proxy = ringway({"workers.count": 2})
    server = target(echo)
    for size in (1, 10, 100_000):
        tunnel = proxy.tunnel(server.address)
        tunnel.sendall(b"x" * size)
        taken = 0
        while taken < size:
            taken += len(tunnel.recv(1 << 16))
    assert proxy.refusal("127.0.0.1", 1) == 5
    read(proxy.websocket).ask(type="ping")
    reader = read(proxy.control, "traffic_data")

    def equal():
        stats = proxy.stats()
        told = reader.told_until("traffic_data", lambda told: told["uptime_seconds"] >= stats["uptime_seconds"])
        pairs = [
            (told["connections"]["active"], stats["connections"]["active_connections"]),
            (told["connections"]["total"], stats["connections"]["total"]),
            (told["connections"]["failed"], stats["connections"]["failed"]),
            *((told["traffic"][name], stats["traffic"][name]) for name in ("sent_bytes", "received_bytes")),
            (told["closed"], {reason: count for reason, count in stats["connections"]["closed"].items() if count}),
            (told["udp"], stats["udp"]),
            (told["latency"]["connect"]["count"], stats["quantiles"]["connect"]["count"]),
            (told["latency"]["connect"]["p99_ms"], stats["quantiles"]["connect"]["p99_ms"]),
            (told["websocket"]["total"], stats["websocket"]["total"]),
        ]
        return all(mine == theirs for mine, theirs in pairs) and told["connections"]["active"] == 3

    eventually(equal, 20)
    told = reader.told("traffic_data")
    assert told["traffic"]["sent_bytes"] == told["traffic"]["received_bytes"] == 100_011
    assert told["closed"] == {"connect_refused": 1} and told["connections"]["failed"] == 1


def test_users_targets_and_topics_are_told_while_somebody_reads(ringway, read, target, websocket, users_file):
    proxy = ringway({**users_file(alice="secret", bob="secret"), "workers.count": 2, "websocket.namespaces": '[{prefix: "", publish: anyone}]'})
    server = target(echo)
    assert proxy.get("/api/v1/feed/user_activity").status == 404, "nobody reads it"
    tunnel = proxy.tunnel(server.address, user=("alice", "secret"))
    client = websocket(proxy).subscribe("news")
    client.ask(type="publish", topic="news", data=1)
    reader = read(proxy.control, "user_activity")

    def busy(told):
        tunnel.sendall(b"x" * 10_000)
        client.tell(type="publish", topic="news", data=2)
        return told["users"] and told["users"][0]["sent_bytes_per_second"] > 0 and told["targets"] and told["targets"][0]["bytes_per_second"] > 0

    told = reader.told_until("user_activity", busy)
    assert [row["user"] for row in told["users"]] == ["alice"] and told["users_known"] == 2, "bob has done nothing"
    assert told["users"][0]["active"] == 1 and told["users"][0]["quota_left_bytes"] is None
    name = "{}:{}".format(*server.address)
    assert told["targets"][0]["target"] == name and told["targets"][0]["connections"] == 1
    assert [row["topic"] for row in told["topics"]] == ["news"] and told["topics"][0]["subscribers"] == 1
    assert told["partial"] == [] and told["at_most_off_by"] == 0
    assert proxy.get("/api/v1/feed/user_activity").status == 200
    reader.close()
    eventually(lambda: proxy.get("/api/v1/feed/user_activity").status == 404, what="what nobody reads is taken down")


def test_health_tells_of_a_reload_and_of_a_fault(ringway, read, tmp_path):
    reloading = Reloading(ringway, tmp_path)
    proxy = reloading.proxy
    reader = read(proxy.control, "proxy_health")
    first = reader.told("proxy_health")
    assert first["status"] == "ok" and first["reasons"] == [] and first["configuration"]["last_reload"] is None
    services = {(row["service"], row["address"]) for row in first["listeners"]}
    assert services == {("socks5", proxy.socks5_text), ("websocket", proxy.websocket_text), ("control", proxy.control_text)}
    reloading.set(log__level="debug")
    assert proxy.http("POST", "/admin/reload-config").status == 200
    told = reader.told_until("proxy_health", lambda told: told["configuration"]["last_reload"])
    assert told["configuration"]["generation"] == 2 and told["configuration"]["last_reload"]["ok"]
    assert "log.level" in told["configuration"]["last_reload"]["message"]
    assert told["configuration"]["etag"] == proxy.get("/config").headers["ETag"]
    reloading.write("log: {level: nonsense}")
    assert proxy.http("POST", "/admin/reload-config").status == 422
    told = reader.told_until("proxy_health", lambda told: told["status"] == "degraded")
    assert any("reload" in reason for reason in told["reasons"]) and "log.level" in told["configuration"]["last_reload"]["message"]


def test_wscat_subscribes_and_prints_snapshots(ringway):
    proxy = ringway()
    for port in (proxy.control, proxy.websocket):
        command = ["node", str(WSCAT), "-c", "ws://{}:{}/ws".format(*port), "-x", '{"type":"subscribe","topic":"traffic_data"}', "-w", "2"]
        wscat = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        lines = [wscat.stdout.readline() for _ in range(4)]
        wscat.kill()
        wscat.wait()
        assert '"subscribed"' in lines[0], lines
        assert all('"traffic_data"' in line and '"seq"' in line for line in lines[1:]), lines


# How one comes in


def test_bytes_behind_the_upgrade_are_not_lost(ringway, closing):
    proxy = ringway()
    early = frame(TEXT, b'{"type":"ping","id":"1"}') + frame(TEXT, b'{"type":"subscribe","topic":"alerts"}')
    for _ in range(10):
        client = closing(WebSocket(proxy.control, early=early))
        assert client.heard() == {"type": "pong", "id": "1"}
        assert client.heard() == {"type": "subscribed", "topic": "alerts"}


def test_an_upgrade_may_follow_other_requests(ringway, closing):
    proxy = ringway()
    connection = closing(connect(proxy.control))
    host = "{}:{}".format(*proxy.control)
    for _ in range(3):
        connection.sendall(f"GET /livez HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert read_answer(connection).status == 200
    reader = Reader(None, bare=connection).subscribe("proxy_health")
    assert reader.told("proxy_health")["status"] == "ok"


def test_what_is_no_upgrade_is_told_so(ringway):
    proxy = ringway()
    answer = proxy.get("/ws")
    assert answer.status == 426 and answer.headers["Upgrade"] == "websocket" and "wscat" in answer.json["hint"]
    assert refusal(proxy, Sec_WebSocket_Version="8").status == 426
    assert refusal(proxy, without=("Sec-WebSocket-Key",)).status == 400
    assert proxy.http("POST", "/ws").status == 405


@pytest.mark.parametrize("port", ["control", "websocket"])
def test_an_upgrade_with_a_body_is_refused(ringway, port):
    """Else the frames behind it would be read as the body, or the body as frames."""
    where = getattr(ringway(), port)
    told = frame(TEXT, b'{"type":"subscribe","topic":"alerts"}')
    json_body = {"Content_Type": "application/json"}
    bodies = (
        ({"Content_Length": str(len(told))}, told),
        ({"Content_Length": "5", "Expect": "100-continue"}, b""),
        ({"Transfer_Encoding": "chunked"}, b"5\r\nhello\r\n0\r\n\r\n" + told),
    )
    for headers, body in bodies:
        answer = answer_to(where, upgrade_request("/ws", "{}:{}".format(*where), **json_body, **headers) + body)
        assert answer.status == 400 and b"no body" in answer.body, (headers, answer)
    empty = upgrade_request("/ws", "{}:{}".format(*where), **json_body, Content_Length="0")
    assert answer_to(where, empty).status == 101


def test_compression_is_spoken_as_on_the_gateway(ringway, closing):
    proxy = ringway()
    client = closing(WebSocket(proxy.control, offer=f"{DEFLATE}; server_no_context_takeover"))
    assert client.extensions.startswith(DEFLATE)
    client.tell(type="subscribe", topic="traffic_data")
    assert json.loads(client.text())["type"] == "subscribed"
    while not (heard := client.frame()).rsv:
        pass
    assert json.loads(inflated(heard.payload))["topic"] == "traffic_data"


def test_it_comes_over_https(ringway, tmp_path, closing):
    authority = Authority(tmp_path)
    certificate, key = authority.sign("control", "localhost")
    proxy = ringway({"control.tls.listen": "[127.0.0.1:0]", "control.tls.certificates": json.dumps([{"certificate": str(certificate), "key": str(key)}])})
    where = CONTROL_TLS.search(proxy.log()).groups()
    where = where[0], int(where[1])
    reader = closing(Reader(where, tls=authority.context(), early=frame(TEXT, b'{"type":"ping"}')))
    assert reader.heard() == {"type": "pong"}
    reader.subscribe(*TOPICS)
    for _ in range(3):
        assert reader.told("traffic_data")["boot"]
    eventually(lambda: proxy.metrics()("websocket_connections") == 1)
    # The client's end is the worker's, and the other way round.
    reader.close()
    eventually(lambda: proxy.metrics()("websocket_connections") == 0)
    descriptors = proxy.descriptors()
    for _ in range(5):
        other = Reader(where, tls=authority.context())
        other.send(CLOSE, b"\x03\xe8")
        other.ended(1000)
        other.close()
    eventually(lambda: proxy.descriptors() <= descriptors, what="bridges are gone with their clients")


def test_it_comes_over_the_unix_socket(ringway, tmp_path, closing):
    path = tmp_path / "control.sock"
    proxy = ringway({"control.unix": str(path)})
    bare = closing(socket.socket(socket.AF_UNIX))
    bare.settimeout(20)
    bare.connect(str(path))
    reader = Reader(None, bare=bare).subscribe("traffic_data")
    assert reader.told("traffic_data")["boot"] == reader.told("traffic_data")["boot"]
    reader.send(CLOSE, b"\x03\xe8")
    reader.waiting.clear()
    reader.ended(1000)
    eventually(lambda: proxy.metrics()("websocket_connections") == 0)


def test_metrics_and_the_log_of_requests_tell_of_it(ringway, read, tmp_path):
    log = tmp_path / "requests.log"
    proxy = ringway({"log.control": str(log)})
    shown = ticket(proxy)["ticket"]
    read(proxy.control, path=f"/ws?ticket={shown}")
    assert proxy.get("/ws").status == 426
    counted = proxy.metrics()
    assert counted("http_requests_total", path="/ws", method="GET", status="101") == 1
    assert counted("http_requests_total", path="/ws", method="GET", status="426") == 1
    assert counted("http_requests_in_flight") == 1, "the scrape itself"
    eventually(lambda: "path=/ws status=101" in log.read_text(), what=log.read_text)
    assert shown not in log.read_text() and shown not in proxy.log()


# Who may


def test_a_token_of_scope_read_is_enough_and_less_is_not(guarded, read):
    proxy = guarded()
    for scope in TOKENS:
        assert read(proxy.control, "traffic_data", **authorized(scope)).told("traffic_data")["seq"] > 0
    assert refusal(proxy).status == 401
    assert refusal(proxy, Authorization="Bearer nobody-knows-this-one").status == 401
    assert refusal(proxy, Authorization="Basic " + base64.b64encode(b"reader:" + TOKENS["read"].encode()).decode()).status == 101


def test_who_reads_does_nothing_else(ringway, read):
    proxy = ringway({"websocket.namespaces": '[{prefix: "", publish: anyone}]'})
    reader = read(proxy.control)
    for request in ({"type": "subscribe", "topic": "news"}, {"type": "publish", "topic": "news", "data": 1}, {"type": "publish", "topic": "alerts", "data": 1}):
        answer = reader.ask(**request)
        assert answer["type"] == "error", answer


def test_no_foreign_page_reads(ringway):
    proxy = ringway()
    own = "http://{}:{}".format(*proxy.control)
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"}):
        answer = refusal(proxy, **headers)
        assert answer.status == 403, headers
    navigation = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    assert refusal(proxy, **navigation).status == 403
    assert refusal(proxy, Origin=own, Sec_Fetch_Site="same-origin").status == 101


def test_a_ticket_lets_in_once(guarded, read):
    proxy = guarded()
    given = ticket(proxy, **bearer(TOKENS["read"]))
    assert re.fullmatch("[0-9a-f]{32}", given["ticket"]) and given["expires_in_seconds"] == 10
    assert read(proxy.control, "alerts", path=f"/ws?ticket={given['ticket']}").told("alerts")["firing"] == 0
    assert refusal(proxy, f"/ws?ticket={given['ticket']}").status == 401, "it is used up"
    assert refusal(proxy, "/ws?ticket=" + "0" * 32).status == 401
    assert proxy.http("POST", "/api/v1/feed/ticket").status == 401
    foreign = ticket(proxy, **bearer(TOKENS["read"]))["ticket"]
    assert refusal(proxy, f"/ws?ticket={foreign}", Origin="http://evil.example").status == 403
    assert proxy.http("GET", f"/stats?ticket={foreign}").status == 401, "it is good for /ws alone"


def test_a_ticket_is_over_after_ten_seconds(guarded):
    proxy = guarded()
    given = ticket(proxy, **bearer(TOKENS["read"]))
    # The one wait that cannot be for a condition: that nothing can be done with it any more is what is asked.
    time.sleep(given["expires_in_seconds"] + 0.2)
    assert refusal(proxy, f"/ws?ticket={given['ticket']}").status == 401


def test_no_more_tickets_wait_than_may(ringway):
    proxy = ringway()
    answers = [proxy.http("POST", "/api/v1/feed/ticket").status for _ in range(65)]
    assert answers == [200] * 64 + [503]


def test_there_are_no_more_clients_than_may_be(ringway, read):
    proxy = ringway({"control.feed.clients_max": 3, "workers.count": 2, "control.connections_max": 2})
    readers = [read(proxy.control, "alerts") for _ in range(3)]
    answer = refusal(proxy)
    assert answer.status == 503 and int(answer.headers["Retry-After"]) > 0 and "clients_max" in answer.json["hint"]
    assert proxy.get("/stats").status == 200, "they hold none of the control port's own connections"
    readers[0].close()
    eventually(lambda: refusal(proxy).status == 101)


def test_clients_are_spread_over_the_workers(ringway, read):
    proxy = ringway({"workers.count": 2})
    for _ in range(8):
        read(proxy.control, "alerts")
    eventually(lambda: [row["connections"] for row in proxy.stats()["workers"]] == [4, 4], what=lambda: proxy.stats()["workers"])


def test_a_reload_takes_the_leave_from_whoever_loses_their_token(ringway, tmp_path, closing):
    path = tmp_path / "tokens.yaml"
    path.write_text("tokens: " + tokens_of())
    reloading = Reloading(ringway, tmp_path, {"control.tokens_file": str(path), "control.metrics_open": True})
    proxy = reloading.proxy
    given = ticket(proxy, **bearer(TOKENS["read"]))["ticket"]
    out = [
        closing(Reader(proxy.control, **authorized("read"))).subscribe("alerts"),
        closing(Reader(proxy.control, path=f"/ws?ticket={given}")).subscribe("alerts"),
    ]
    stays = closing(Reader(proxy.control, **authorized("operate"))).subscribe("traffic_data")
    late = ticket(proxy, **bearer(TOKENS["read"]))["ticket"]
    path.write_text("tokens: " + tokens_of({scope: token for scope, token in TOKENS.items() if scope != "read"}))
    assert proxy.http("POST", "/admin/reload-config", bearer(TOKENS["admin"])).status == 200
    for reader in out:
        assert reader.ended()[0] == UNAUTHORIZED
    assert refusal(proxy, f"/ws?ticket={late}").status in (401, 403), "given before, shown after"
    seen = stays.told("traffic_data")["seq"]
    assert stays.told_until("traffic_data", lambda told: told["seq"] > seen + 5)


def test_a_reload_takes_the_leave_from_names_and_pages_that_are_no_more_listed(ringway, tmp_path, closing):
    listed = {"control.allowed_hosts": ["ops.lan"], "control.allowed_origins": ["https://ops.example"]}
    reloading = Reloading(ringway, tmp_path, listed)
    proxy = reloading.proxy
    page = closing(Reader(proxy.control, Origin="https://ops.example", Sec_Fetch_Site="cross-site")).subscribe("alerts")
    named = closing(Reader(proxy.control, Host="ops.lan")).subscribe("alerts")
    by_gateway = closing(Reader(proxy.websocket, Host="ops.lan")).subscribe("alerts")
    stays = closing(Reader(proxy.control, Origin="http://{}:{}".format(*proxy.control))).subscribe("traffic_data")
    reloading.set(control__allowed_hosts=[], control__allowed_origins=[])
    assert proxy.http("POST", "/admin/reload-config").status == 200
    for reader in (page, named):
        assert reader.ended()[0] == UNAUTHORIZED
    while (heard := by_gateway.heard())["type"] == "message":
        pass
    assert (heard["type"], heard["topic"]) == ("unsubscribed", "alerts")
    assert by_gateway.ask(type="subscribe", topic="alerts")["type"] == "error"
    seen = stays.told("traffic_data")["seq"]
    assert stays.told_until("traffic_data", lambda told: told["seq"] > seen + 5)


# When things go wrong


def test_a_stalled_worker_gets_nobody_new_and_health_names_it(ringway, closing):
    proxy = ringway({"workers.count": 3, "workers.stalled_after": "500ms", "control.test_endpoints": "true"})
    for victim in range(3):
        first = closing(Reader(proxy.control)).subscribe("proxy_health")
        assert proxy.http("POST", f"/api/v1/drill?kind=stall&worker={victim}&ms=4000").status == 202
        eventually(lambda: proxy.get("/livez").status == 503)
        # Whoever comes meanwhile is not sent there: the upgrade is answered at once.
        others = [closing(WebSocket(proxy.control)) for _ in range(4)]
        assert all(other.ask(type="ping") == {"type": "pong"} for other in others)
        # Even if it is the feed's home, and nothing is published: what is told stands there to be asked for.
        board = eventually(lambda: (told := proxy.get("/api/v1/feed/proxy_health").json)["status"] == "stalled" and told)
        assert board["stalled_workers"] == [victim] and f"worker {victim}" in board["reasons"][0]
        eventually(lambda: proxy.get("/livez").status == 200)
        first.told_until("proxy_health", lambda told: told["status"] == "ok" and told["seq"] > board["seq"])
        for other in others:
            other.close()


def test_a_hot_restart_sends_readers_to_the_new_process(tmp_path, closing):
    proxy = closing(Succession(tmp_path, {"workers.count": 2, "websocket.drain_window": "100ms"}))
    reader = closing(Reader(proxy.control)).subscribe("traffic_data")
    before = reader.told("traffic_data")
    proxy.upgrade()
    code, _ = reader.ended()
    assert code == 1012
    fresh = closing(Reader(proxy.control)).subscribe("traffic_data").told("traffic_data")
    assert fresh["boot"] != before["boot"]


def test_a_reader_that_does_not_read_holds_nothing_up(ringway, closing):
    proxy = ringway()
    slow = closing(Reader(proxy.control)).subscribe(*TOPICS)
    quick = closing(Reader(proxy.control)).subscribe("traffic_data")
    seen = quick.told("traffic_data")["seq"]
    assert quick.told_until("traffic_data", lambda told: told["seq"] >= seen + 8)
    del slow


def test_it_works_without_a_gateway_port(ringway, read):
    proxy = ringway({"websocket.listen": "[]"})
    assert read(proxy.control, "traffic_data").told("traffic_data")["seq"] > 0
