"""Metrics whole: every family of the contract is there and true, exemplars, the flight recorder, histograms, and all of it while a worker is stuck."""

import base64
import json
import re
import statistics
import time
from pathlib import Path

import pytest
from hdrh.histogram import HdrHistogram
from prometheus_client.openmetrics.parser import text_string_to_metric_families as strictly

import socks5
from reloading import Reloading
from ringway import Ringway
from targets import Server, echo
from waiting import eventually
from websocket_client import BINARY, CLOSE, PING, TEXT, WebSocket, close_payload

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
CONNECTION = re.compile(r"^[01]-[sw]-[1-9][0-9]*$")
DRILLS = {"control.test_endpoints": "true", "workers.count": 2, "workers.stalled_after": "300ms"}
MESSAGES = 5


def openmetrics(proxy):
    """A scrape as the strict parser of prometheus_client reads it: family name -> family."""
    text = proxy.get("/metrics", Accept=OPENMETRICS, Cache_Control="no-cache").text
    return {family.name: family for family in strictly(text)}


def drill(proxy, **what):
    query = "&".join(f"{key}={value}" for key, value in what.items())
    answer = proxy.http("POST", f"/api/v1/drill?{query}")
    assert answer.status == 202, answer.text


def flight(proxy, **query):
    asked = "&".join(f"{key}={value}" for key, value in query.items())
    answer = proxy.get(f"/debug/flight?{asked}")
    assert answer.status == 200, answer.text
    return answer.json["events"]


def life_of(proxy, connection):
    return [event["event"] for event in reversed(flight(proxy, connection=connection))]


# Every family


class Day:
    """What one ringway counts before, while and after something of everything happens, each a known number of times."""

    def __init__(self, folder):
        (folder / "users.yaml").write_text("users: [{name: alice, password: '{plain}secret'}]\n")
        options = {
            "workers.count": 2,
            "socks5.auth": "password",
            "socks5.users_file": str(folder / "users.yaml"),
            "websocket.namespaces": '[{prefix: "", publish: anyone}]',
            "websocket.echo": "true",
        }
        self.proxy, self.server = Ringway(folder, options), Server(echo)
        try:
            self.before = self.proxy.metrics()
            self.live()
            self.after = self.proxy.metrics()
        finally:
            self.proxy.close()
            self.server.close()

    def live(self):
        proxy, alice = self.proxy, ("alice", "secret")
        relayed = proxy.tunnel(("localhost", self.server.address[1]), alice)
        relayed.sendall(b"x" * 1000)
        assert len(socks5.receive_exactly(relayed, 1000)) == 1000
        assert proxy.refusal("127.0.0.1", closed_port(), alice) == 5
        subscriber, publisher, binary = WebSocket(proxy.websocket), WebSocket(proxy.websocket), WebSocket(proxy.websocket, "/echo")
        begun = time.monotonic()
        subscriber.subscribe("news")
        for number in range(MESSAGES):
            assert publisher.ask(type="publish", topic="news", data=number)["type"] == "published"
            assert subscriber.heard()["data"] == number
        binary.send(BINARY, b"y" * 300)
        assert binary.message() == (BINARY, b"y" * 300)
        binary.send(PING, b"")
        binary.frame()
        for _ in range(3):
            proxy.get("/livez")
        # Rates are those of a whole second.
        eventually(lambda: proxy.metrics()("socks5_traffic_speed_bytes_per_second") > 0)
        self.during = proxy.metrics()
        self.own = {"rss": proxy.resident_bytes(), "fds": proxy.descriptors(), "threads": len(proxy.threads())}
        self.seconds = time.monotonic() - begun
        relayed.close()
        proxy.eventually_closed("finished")
        # Never unmasked (RFC 6455, section 5.1).
        publisher.raw(b"\x81\x00")
        publisher.ended(1002)
        publisher.close()
        binary.send(CLOSE, close_payload(1000))
        binary.ended(1000)
        binary.close()
        subscriber.reset()
        eventually(lambda: (now := proxy.metrics())("websocket_connections") + now("websocket_subscriptions") == 0)

    def moved(self, name, **labels):
        return self.after(name, **labels) - self.before(name, **labels)


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    return Day(tmp_path_factory.mktemp("day"))


def closed_port():
    """A port where nobody listens."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("socks5_proxy_connections_total", {}, 2),
        ("socks5_traffic_bytes_sent_total", {}, 1000),
        ("socks5_traffic_bytes_received_total", {}, 1000),
        ("socks5_user_traffic_total", {"user": "alice", "direction": "sent"}, 1000),
        ("socks5_user_traffic_total", {"user": "alice", "direction": "received"}, 1000),
        ("socks5_handshakes_total", {"result": "success"}, 1),
        ("socks5_handshakes_total", {"result": "connect_refused"}, 1),
        ("socks5_handshakes_total", {}, 2),
        ("socks5_connections_closed_total", {"reason": "finished"}, 1),
        ("socks5_connections_closed_total", {"reason": "connect_refused"}, 1),
        ("socks5_connections_closed_total", {}, 2),
        ("socks5_connect_duration_seconds_count", {}, 2),
        ("socks5_dns_duration_seconds_count", {}, 1),
        ("socks5_session_duration_seconds_count", {}, 2),
        ("websocket_connections_opened_total", {}, 3),
        # One subscription, the publications, the binary one.
        ("websocket_messages_received_total", {}, MESSAGES + 2),
        # Its answer, theirs, the deliveries, the echo.
        ("websocket_messages_sent_total", {}, 2 * MESSAGES + 2),
        ("websocket_messages_total", {"type": "text", "direction": "received"}, MESSAGES + 1),
        ("websocket_messages_total", {"type": "text", "direction": "sent"}, 2 * MESSAGES + 1),
        ("websocket_messages_total", {"type": "binary", "direction": "received"}, 1),
        ("websocket_messages_total", {"type": "binary", "direction": "sent"}, 1),
        ("websocket_messages_total", {"type": "ping", "direction": "received"}, 1),
        ("websocket_messages_total", {"type": "pong", "direction": "sent"}, 1),
        ("websocket_message_size_bytes_count", {}, MESSAGES + 2),
        ("websocket_errors_total", {"kind": "protocol"}, 1),
        ("websocket_errors_total", {"kind": "client_reset"}, 1),
        ("websocket_errors_total", {}, 2),
        ("websocket_closes_total", {"code": "1000"}, 1),
        ("websocket_closes_total", {"code": "1002"}, 1),
        ("websocket_closes_total", {"code": "1006"}, 1),
        ("websocket_closes_total", {}, 3),
        ("websocket_push_latency_seconds_count", {}, MESSAGES),
        ("websocket_deliveries_total", {}, MESSAGES),
        ("websocket_connection_duration_seconds_count", {}, 3),
        ("http_requests_total", {"method": "GET", "path": "/livez", "status": "200"}, 3),
        ("config_generation", {}, 0),
        ("config_reloads_total", {}, 0),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_counter_moves_by_what_happened(day, name, labels, expected):
    assert name in day.after.names()
    assert day.moved(name, **labels) == expected


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("socks5_proxy_connections_active", {}, 1),
        ("socks5_user_connections_active", {"user": "alice"}, 1),
        ("websocket_connections", {}, 3),
        ("websocket_subscriptions", {}, 1),
        ("websocket_gateway_online_users", {}, 0),
        ("worker_connections", {}, 4),
        ("http_requests_in_flight", {}, 1),
        ("config_generation", {}, 1),
        ("config_last_reload_successful", {}, 1),
        ("build_info", {}, 1),
        ("worker_generation", {"worker": "0"}, 1),
        ("worker_generation", {"worker": "1"}, 1),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_gauge_shows_what_is_there(day, name, labels, expected):
    assert day.during(name, **labels) == expected
    if name.startswith(("socks5_", "websocket_", "worker_connections")):
        assert day.after(name, **labels) == 0


def test_durations_and_sizes_add_up_to_what_was_measured(day):
    assert day.moved("websocket_message_size_bytes_sum") >= 300
    assert 0 < day.moved("socks5_connect_duration_seconds_sum") < 10
    assert day.seconds < day.moved("socks5_session_duration_seconds_sum") < day.seconds + 10
    assert 3 * day.seconds < day.moved("websocket_connection_duration_seconds_sum") < 3 * day.seconds + 30
    assert 0 < day.moved("websocket_push_latency_seconds_sum") < 10
    assert day.moved("http_request_duration_seconds_count") == day.moved("http_requests_total") > 3


def test_workers_tell_of_their_loops(day):
    for worker in ("0", "1"):
        assert day.moved("worker_busy_seconds_total", worker=worker) > 0
        assert day.moved("worker_timeslices_total", worker=worker) > 10
        assert day.moved("worker_io_submissions_total", worker=worker) > 0
        assert day.moved("worker_io_completions_total", worker=worker) > 0
        assert day.after("worker_runnable_wait_seconds_total", worker=worker) > 0
        assert day.during("worker_heartbeat_age_seconds", worker=worker) < 5
    assert day.moved("worker_loop_lag_seconds_count") > 10


def test_skew_is_the_busiest_by_the_mean(day):
    loads = day.during.by("worker_connections", "worker").values()
    assert day.during("worker_connections_skew_ratio") == pytest.approx(max(loads) / statistics.mean(loads))
    assert day.after("worker_connections_skew_ratio") == 1
    assert 1 <= day.during("worker_busy_skew_ratio") <= 2


def test_the_start_counts_as_the_last_good_reload(day):
    started = day.after("process_start_time_seconds")
    assert started - 2 <= day.after("config_last_reload_success_timestamp_seconds") <= started + 20


def test_the_process_tells_of_itself_what_the_kernel_does(day):
    assert day.during("process_resident_memory_bytes") == pytest.approx(day.own["rss"], rel=0.2)
    assert day.during("process_open_fds") == pytest.approx(day.own["fds"], abs=4)
    assert day.during("process_threads") == day.own["threads"]
    assert day.moved("process_cpu_seconds_total") > 0


def interfaces():
    """Bytes received and sent over all interfaces but loopback."""
    lines = [line.split(":") for line in Path("/proc/net/dev").read_text().splitlines()[2:]]
    counts = [fields.split() for name, fields in lines if name.strip() != "lo"]
    return sum(int(fields[0]) for fields in counts), sum(int(fields[8]) for fields in counts)


def test_the_host_is_told_as_the_kernel_tells_it(ringway):
    before = interfaces()
    proxy = ringway()
    metrics = eventually(lambda: (seen := proxy.metrics())("socks5_system_cpu_usage_percent") > 0 and seen)
    after = interfaces()
    for index, direction in enumerate(("received", "sent")):
        assert before[index] <= metrics("socks5_system_network_bytes_total", direction=direction) <= after[index]
    assert metrics("socks5_system_cpu_usage_percent") <= 100
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    total, free = (int(fields[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    assert metrics("socks5_system_memory_usage_bytes") == pytest.approx(total - free, abs=total * 0.1)


def test_what_a_client_does_not_take_is_dropped_and_told(ringway, websocket):
    proxy = ringway({"websocket.namespaces": '[{prefix: "", publish: anyone}]'})
    reader, publisher = websocket(proxy).subscribe("news"), websocket(proxy)
    data = "x" * 100_000
    # More than the sockets between them hold: the rest is in its queue.
    eventually(lambda: publisher.ask(type="publish", topic="news", data=data) and proxy.metrics()("websocket_queued_messages") > 2)
    reader.reset()
    eventually(lambda: proxy.metrics()("websocket_dropped_total", reason="connection_closed") > 2)
    metrics = proxy.metrics()
    due = metrics("websocket_deliveries_due_total")
    assert due == metrics("websocket_deliveries_total") + metrics("websocket_dropped_total")


# Both formats


def test_the_strict_parser_accepts_a_busy_scrape_and_finds_what_the_plain_one_has(ringway, target, users_file):
    proxy = ringway(users_file(**{"alice": "secret", 'o"b\\r': "other"}))
    proxy.tunnel(target(echo).address, ("alice", "secret"))
    proxy.get("/metrics")
    plain = proxy.metrics()
    families = openmetrics(proxy)
    assert families["socks5_proxy_connections"].type == "counter"
    assert families["socks5_connect_duration_seconds"].unit == "seconds"
    users = {sample.labels["user"] for sample in families["socks5_user_connections_active"].samples}
    assert users == {"alice", 'o"b\\r'}
    told = {sample.name for family in families.values() for sample in family.samples}
    assert told == plain.names()


# Exemplars


def exemplars(family):
    return [sample.exemplar for sample in family.samples if sample.exemplar]


def test_connects_and_pushes_have_exemplars_that_name_a_connection(ringway, websocket, target):
    proxy = ringway({"websocket.namespaces": '[{prefix: "", publish: anyone}]', "workers.count": 2})
    begun = time.time()
    proxy.tunnel(target(echo).address)
    subscriber, publisher = websocket(proxy).subscribe("news"), websocket(proxy)
    publisher.ask(type="publish", topic="news", data=1)
    subscriber.heard()
    families = eventually(lambda: (seen := openmetrics(proxy)) and exemplars(seen["websocket_push_latency_seconds"]) and seen)
    for name, letter in ("socks5_connect_duration_seconds", "s"), ("websocket_push_latency_seconds", "w"):
        (exemplar,) = exemplars(families[name])
        assert set(exemplar.labels) == {"connection"}
        connection = exemplar.labels["connection"]
        assert CONNECTION.match(connection) and connection.split("-")[1] == letter
        assert begun - 1 <= float(exemplar.timestamp) <= time.time() + 1
        bounds = [float(sample.labels["le"]) for sample in families[name].samples if sample.exemplar]
        assert 0 <= exemplar.value <= bounds[0]
        # The name leads to the connection's life.
        assert life_of(proxy, connection)[0] == "accepted"
    others = [name for name, family in families.items() if exemplars(family)]
    assert sorted(others) == ["socks5_connect_duration_seconds", "websocket_push_latency_seconds"]
    assert " # {" not in proxy.get("/metrics").text


# The flight recorder


def test_the_life_of_a_connection_is_told_in_order(ringway, websocket, target):
    proxy = ringway({"workers.count": 2})
    proxy.tunnel(target(echo).address).close()
    proxy.eventually_closed("finished")
    assert proxy.refusal("127.0.0.1", closed_port()) == 5
    proxy.eventually_closed("connect_refused")
    gone = websocket(proxy)
    gone.send(CLOSE, close_payload(1001))
    gone.ended(1001)
    gone.close()
    eventually(lambda: proxy.metrics()("websocket_connections") == 0)

    ended = {event["reason"]: event for event in flight(proxy) if event["event"] in ("closed", "websocket_closed")}
    assert life_of(proxy, ended["finished"]["connection"]) == ["accepted", "handshake_done", "dial_begun", "dial_established", "closed"]
    assert life_of(proxy, ended["connect_refused"]["connection"]) == ["accepted", "handshake_done", "dial_begun", "dial_failed", "closed"]
    assert life_of(proxy, ended["client_closed"]["connection"]) == ["accepted", "upgraded", "websocket_closed"]
    assert ended["client_closed"]["code"] == 1001
    events = flight(proxy)
    times = [event["since_start_us"] for event in events]
    assert times == sorted(times, reverse=True)
    assert {event["worker"] for event in events if event["event"] == "began"} == {0, 1}
    assert {event["worker"] for event in flight(proxy, worker=1)} == {1}
    assert len(flight(proxy, limit=2)) == 2


def test_faults_are_told(ringway):
    proxy = ringway(DRILLS)
    proxy.panics_expected = True
    drill(proxy, kind="panic", worker=1, tasks=3)
    eventually(lambda: [event["event"] for event in flight(proxy, worker=1)].count("panicked") == 3)
    assert "drilled" in [event["event"] for event in flight(proxy, worker=1)]
    # Longer than a tick: one of them comes late for certain.
    drill(proxy, kind="stall", worker=0, ms=300)
    late = eventually(lambda: [event for event in flight(proxy, worker=0) if event["event"] == "loop_lag" and event["ms"] >= 20])
    assert late[0]["ms"] <= 60_000


def test_what_a_worker_is_given_while_it_is_stuck_is_a_burst_and_a_handing_over(ringway):
    proxy = ringway(DRILLS)
    proxy.panics_expected = True
    drill(proxy, kind="stall", worker=1, ms=2000)
    for _ in range(100):
        drill(proxy, kind="stall", worker=1, ms=1)
    # While worker 1 takes nothing worker 0 fills, and hands over what is too much when worker 1 is back.
    crowd = [proxy.connect() for _ in range(200)]
    for connection in crowd:
        connection.sendall(socks5.greeting(socks5.NO_AUTH))
    for connection in crowd:
        assert socks5.receive_exactly(connection, 2) == b"\x05\x00"
    events = eventually(lambda: (seen := flight(proxy, limit=5000)) and any(event["event"] == "mail_burst" for event in seen) and seen)
    assert max(event["messages"] for event in events if event["event"] == "mail_burst") >= 64
    given = [event for event in events if event["event"] == "handed_over"]
    assert len(given) == proxy.metrics()("worker_connections_handed_over_total")
    assert len(given) == sum(event["event"] == "adopted" for event in events)
    for connection in crowd:
        connection.close()


# Without the workers' help

WITHIN_SECONDS = 0.05
ASKED = 20


def test_all_of_it_answers_while_a_worker_is_stuck(ringway):
    proxy = ringway(DRILLS)
    proxy.get("/metrics")
    drill(proxy, kind="stall", worker=1, ms=6000)
    named = eventually(lambda: (answer := proxy.get("/livez")).status == 503 and answer.json)
    assert [worker["worker"] for worker in named["workers"]] == [1]
    told = {}
    for path in ("/metrics", "/livez", "/stats", "/debug/flight?worker=1", "/debug/hist/connect"):
        took = []
        for _ in range(ASKED):
            begun = time.monotonic()
            answer = proxy.get(path, Cache_Control="no-cache")
            took.append(time.monotonic() - begun)
            assert answer.status == (503 if path == "/livez" else 200)
        told[path] = answer
        assert statistics.median(took) < WITHIN_SECONDS, f"{path}: {took}"
    assert told["/stats"].json["workers"][1]["state"] == "stalled"
    # What it did last is why it is stuck.
    assert told["/debug/flight?worker=1"].json["events"][0]["event"] == "drilled"
    assert proxy.metrics()("worker_heartbeat_age_seconds", worker="1") > 0.3
    eventually(lambda: proxy.get("/livez").status == 200, 20)


def test_a_storm_of_scrapes_is_answered_from_few_pages(ringway):
    proxy = ringway()
    begun = time.monotonic()
    pages = [proxy.get("/metrics").text for _ in range(100)]
    took = time.monotonic() - begun
    # Each page counts the requests before it: no two that were written are the same.
    assert len(set(pages)) <= took / 0.25 + 2
    fresh = [proxy.get("/metrics", Cache_Control="no-cache").text for _ in range(5)]
    assert len(set(fresh)) == 5


# Histograms


def test_a_histogram_is_read_by_hdrhistograms_own_tools(ringway, target):
    proxy, server = ringway(), target(echo)
    for _ in range(20):
        proxy.tunnel(server.address).close()
    eventually(lambda: proxy.metrics()("socks5_connect_duration_seconds_count") == 20)
    listed = {row["name"]: row for row in proxy.get("/debug/hist").json["histograms"]}
    assert {"connect", "dns", "session", "loop_lag", "websocket_push", "websocket_message_size"} <= set(listed)
    assert listed["connect"]["count"] == 20 and listed["connect"]["metric"] == "socks5_connect_duration_seconds"
    for name, row in listed.items():
        answer = proxy.get(row["path"])
        assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/plain")
        lines = answer.text.splitlines()
        assert lines[0].startswith(f"#ringway {name} ({row['metric']}), all workers, values in {row['unit']}")
        start, length, greatest, encoded = lines[-1].split(",")
        assert float(start) == 0 and float(length) > 0 and base64.b64decode(encoded)
        read = HdrHistogram.decode(encoded)
        assert read.get_total_count() >= row["count"]
        if name == "connect":
            microseconds = proxy.metrics()("socks5_connect_duration_seconds_sum") * 1e6
            assert read.get_mean_value() * 20 == pytest.approx(microseconds, rel=0.02)
            assert read.get_max_value() / 1000 == pytest.approx(float(greatest), rel=0.02)
    assert proxy.get("/debug/hist/nothing").status == 404
    assert json.loads(proxy.get("/debug/hist/nothing").text)["status"] == 404


# Reloads


def test_a_reload_is_told_by_counters_workers_and_the_flight_recorder(ringway, tmp_path):
    file = Reloading(ringway, tmp_path)
    before = file.proxy.metrics()("config_last_reload_success_timestamp_seconds")
    file.set(socks5__timeouts__idle="7m")
    assert file.reload().status == 200
    assert file.reload().status == 200
    file.write("socks5: [")
    assert file.reload().status == 422
    metrics = file.proxy.metrics()
    counted = metrics.by("config_reloads_total", "result")
    assert counted == {"succeeded": 1, "unchanged": 1, "failed": 1}
    assert metrics("config_last_reload_successful") == 0
    assert metrics("config_last_reload_success_timestamp_seconds") >= before
    assert metrics("config_generation") == 2
    assert set(metrics.by("worker_generation", "worker").values()) == {2}
    told = [(event["worker"], event["generation"]) for event in flight(file.proxy) if event["event"] == "generation"]
    assert sorted(told) == [(worker, 2) for worker in range(len(metrics.by("worker_generation", "worker")))]
