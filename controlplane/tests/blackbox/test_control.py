"""The control port and the logs: what an operator and a Prometheus see."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading
import time

import pytest

import socks5
from prometheus import Metrics
from targets import echo
from waiting import eventually

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
GAUGES_OF_LOAD = ("socks5_proxy_connections_active", "worker_connections", "worker_pipes_in_use", "http_requests_in_flight")


def some_traffic(proxy, target):
    server = target(echo)
    connection = proxy.tunnel(server.address)
    connection.sendall(b"hello")
    assert connection.recv(5) == b"hello"
    connection.close()
    proxy.eventually_closed("client_gone" if "client_gone" in proxy.closed() else "finished")
    return server


# Metrics


@pytest.mark.parametrize("accept", [None, OPENMETRICS], ids=["text", "openmetrics"])
def test_promtool_accepts_the_metrics(ringway, target, users_file, accept):
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("promtool is not installed")
    proxy = ringway(users_file(alice="secret"))
    proxy.tunnel(target(echo).address, ("alice", "secret"))
    text = proxy.get("/metrics", **({"Accept": accept} if accept else {})).text
    if accept:
        # promtool reads the plain format; of OpenMetrics it takes the catalogue's names without their end mark.
        assert text.endswith("# EOF\n")
        return
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=20)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert not checked.stdout + checked.stderr


def test_the_metrics_content_type_follows_accept(ringway):
    proxy = ringway()
    plain = proxy.get("/metrics")
    assert plain.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    modern = proxy.get("/metrics", Accept=f"{OPENMETRICS};q=0.8,text/plain;version=0.0.4;q=0.5")
    assert modern.headers["Content-Type"].startswith("application/openmetrics-text")
    assert modern.text.endswith("# EOF\n") and "# EOF" not in plain.text
    assert "# TYPE socks5_proxy_connections counter" in modern.text
    assert "# TYPE socks5_proxy_connections_total counter" in plain.text


@pytest.mark.parametrize(
    "name",
    [
        "socks5_proxy_connections_active",
        "socks5_proxy_connections_total",
        "socks5_traffic_bytes_sent_total",
        "socks5_traffic_bytes_received_total",
        "socks5_traffic_speed_bytes_per_second",
        "socks5_user_connections_active",
        "socks5_user_traffic_total",
        "socks5_handshakes_total",
        "socks5_connections_closed_total",
        "socks5_connect_duration_seconds_bucket",
        "socks5_dns_duration_seconds_count",
        "socks5_session_duration_seconds_sum",
        "socks5_system_cpu_usage_percent",
        "socks5_system_memory_usage_bytes",
        "socks5_system_network_bytes_total",
        "process_cpu_seconds_total",
        "process_open_fds",
        "process_resident_memory_bytes",
        "http_requests_total",
        "http_request_duration_seconds_count",
        "http_requests_in_flight",
        "worker_loop_lag_seconds_bucket",
        "worker_busy_seconds_total",
        "worker_connections",
        "build_info",
    ],
)
def test_a_promised_family_is_published(ringway_for_families, name):
    assert name in ringway_for_families


@pytest.fixture(scope="module")
def ringway_for_families(tmp_path_factory):
    """One scrape after one connection, for all promised families."""
    from ringway import Ringway  # A fixture of this name stands in every test.
    from targets import Server

    folder = tmp_path_factory.mktemp("families")
    (folder / "users.yaml").write_text("users: [{name: alice, password: '{plain}secret'}]\n")
    proxy, server = Ringway(folder, {"socks5.auth": "password"}), Server(echo)
    try:
        proxy.tunnel(("localhost", server.address[1]), ("alice", "secret")).close()
        proxy.get("/livez")
        eventually(lambda: proxy.closed())
        # The rates are of the last second: they stand after the first.
        return eventually(lambda: (names := proxy.metrics().names()) and "socks5_traffic_speed_bytes_per_second" in names and names)
    finally:
        proxy.close()
        server.close()


def test_a_users_traffic_is_counted_under_the_name(ringway, target, users_file):
    proxy = ringway(users_file(alice="secret", bob="other"))
    connection = proxy.tunnel(target(echo).address, ("alice", "secret"))
    connection.sendall(b"x" * 1000)
    assert len(socks5.receive_exactly(connection, 1000)) == 1000
    eventually(lambda: proxy.metrics()("socks5_user_traffic_total", user="alice") == 2000)
    metrics = proxy.metrics()
    assert metrics("socks5_user_connections_active", user="alice") == 1
    assert metrics("socks5_user_connections_active", user="bob") == 0
    assert metrics("socks5_user_traffic_total", user="bob") == 0
    connection.close()
    eventually(lambda: proxy.metrics()("socks5_user_connections_active", user="alice") == 0)


POLLS = 150


def test_no_gauge_is_ever_negative_and_no_counter_ever_falls_under_load(ringway, target):
    proxy, server = ringway(), target(echo)
    stop = threading.Event()

    def churn():
        while not stop.is_set():
            proxy.tunnel(server.address).close()

    churners = [threading.Thread(target=churn) for _ in range(3)]
    for thread in churners:
        thread.start()
    try:
        last = {}
        for _ in range(POLLS):
            metrics = proxy.metrics()
            for name, labels, value in metrics.samples:
                assert value >= 0, f"{name}{labels} {value}"
                assert value < 1 << 60 or name.startswith("process_"), f"{name}{labels} {value} has wrapped"
                if name.endswith(("_total", "_count", "_bucket")):
                    key = name, tuple(sorted(labels.items()))
                    assert value >= last.get(key, 0), f"{key} fell"
                    last[key] = value
            connections = proxy.stats()["connections"]
            # How many a busy target has not closed is its affair; more than there ever were would be ours.
            assert 0 <= connections["active_connections"] <= connections["total"]
    finally:
        stop.set()
        for thread in churners:
            thread.join()
    assert last["socks5_proxy_connections_total", ()] > 0


def test_histogram_buckets_add_up(ringway, target):
    proxy = ringway()
    some_traffic(proxy, target)
    metrics = proxy.metrics()
    for name in ("socks5_connect_duration_seconds", "socks5_session_duration_seconds", "http_request_duration_seconds"):
        buckets = [(labels["le"], value) for sample, labels, value in metrics.samples if sample == f"{name}_bucket"]
        counts = [value for _, value in buckets]
        assert buckets[-1][0] == "+Inf" and counts == sorted(counts)
        assert counts[-1] == metrics(f"{name}_count")


# Health, statistics, configuration


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health"])
def test_a_healthy_ringway_says_so(ringway, path):
    answer = ringway().get(path)
    assert answer.status == 200
    assert answer.text


def test_statistics_have_the_promised_shape(ringway, target):
    proxy = ringway({"workers.count": 2})
    proxy.tunnel(target(echo).address)
    answer = proxy.get("/stats")
    assert answer.headers["Content-Type"].startswith("application/json")
    eventually(lambda: proxy.stats()["connections"]["active_connections"] == 1)
    stats = proxy.stats()
    assert "memory" in stats and "message_queue" in stats
    assert len(stats["workers"]) == 2


def test_the_configuration_is_shown_with_an_etag(ringway):
    proxy = ringway()
    answer = proxy.get("/config")
    assert answer.status == 200 and "socks5" in answer.text
    tag = answer.headers["ETag"]
    assert tag.startswith('"')
    again = proxy.get("/config", If_None_Match=tag)
    assert again.status == 304 and again.body == b"" and again.headers["ETag"] == tag
    assert proxy.get("/config", If_None_Match='"other"').status == 200


def test_an_unknown_path_is_404(ringway):
    assert ringway().get("/no/such/path").status == 404


@pytest.mark.parametrize("path", ["/metrics", "/livez", "/stats", "/config"])
def test_a_wrong_method_is_405_and_names_the_right_one(ringway, path):
    answer = ringway().http("DELETE", path)
    assert answer.status == 405
    assert "GET" in answer.headers["Allow"]


def test_unknown_paths_do_not_grow_the_metrics(ringway):
    proxy = ringway()
    for number in range(50):
        proxy.get(f"/made-up/{number}")
    assert "made-up" not in proxy.metrics().text


def test_head_answers_like_get_without_a_body(ringway):
    answer = ringway().http("HEAD", "/metrics")
    assert answer.status in (200, 405) and answer.body == b""


# Logs


def test_every_json_line_parses_and_the_access_line_tells_all(ringway, target):
    proxy = ringway({"log.format": "json"})
    server = some_traffic(proxy, target)
    line = json.loads(proxy.eventually_logs('"reason"'))
    for text in proxy.log().splitlines():
        json.loads(text)
    said = json.dumps(line)
    assert "127.0.0.1:{}".format(server.address[1]) in said
    facts = {**line, **line.get("fields", {})}
    assert facts["reason"] == "finished"
    assert {"client", "target", "sent", "received", "reason"} <= facts.keys()
    assert (facts["sent"], facts["received"]) == (5, 5)
    assert any("duration" in key for key in facts)


def test_the_text_access_line_tells_who_where_how_much_and_why(ringway, target, users_file):
    proxy, server = ringway(users_file(alice="secret")), target(echo)
    connection = proxy.tunnel(server.address, ("alice", "secret"))
    connection.sendall(b"hello")
    assert connection.recv(5) == b"hello"
    where = "{}:{}".format(*connection.getsockname())
    connection.close()
    line = proxy.eventually_logs("reason=finished")
    for part in (where, "alice", "127.0.0.1:{}".format(server.address[1]), "sent=5", "received=5", "duration"):
        assert part in line
    assert "\x1b" not in line, "no colours in a file"


def test_a_client_cannot_write_lines_into_the_log(ringway, dns):
    proxy = ringway({"socks5.dns.servers": f"[{dns().text}]"})
    for name in (b"evil\nINFO forged reason=finished", b"evil\r\n", b"evil\x1b[31m", "evil\u2028x".encode()):
        proxy.refusal(name, 80)
    eventually(lambda: len(proxy.access_lines()) >= 4)
    assert not any(line.startswith("INFO forged") for line in proxy.log().splitlines())
    assert "\x1b" not in proxy.log()


def test_the_access_log_can_be_switched_off(ringway, target):
    proxy = ringway({"log.access": "false"})
    some_traffic(proxy, target)
    proxy.stop()
    assert not proxy.access_lines()


# The queue of lines to write holds 8,192, the pipe some 400 more.
UNREAD_LINES = 10_000


def test_a_log_that_nobody_reads_stops_neither_relaying_nor_metrics(ringway, target):
    read_end, write_end = os.pipe()
    proxy = ringway({}, ready=False, stderr=write_end)
    os.close(write_end)
    heard = bytearray()

    def log():
        if b"\n" not in heard or b"ready socks5=" not in heard:
            heard.extend(os.read(read_end, 4096))
        return heard.decode()

    proxy.wait_ready(log)
    server = target(echo)
    try:
        for _ in range(UNREAD_LINES):
            with socket.create_connection(proxy.socks, 10) as connection:
                connection.sendall(b"\x03")
                assert connection.recv(1) == b""
        connection = proxy.tunnel(server.address)
        connection.sendall(b"x")
        assert connection.recv(1) == b"x", "relaying goes on"
        connection.close()
        begun = time.monotonic()
        for path in ("/metrics", "/livez", "/stats"):
            assert proxy.get(path).status == 200
        assert time.monotonic() - begun < 2

        os.set_blocking(read_end, False)

        def told_or_counted():
            with contextlib.suppress(BlockingIOError):
                while news := os.read(read_end, 1 << 16):
                    heard.extend(news)
            lost = sum(proxy.metrics()(f"{what}_dropped_total") for what in ("log_lines", "socks5_session_records"))
            return heard.count(b"reason=bad_version") + lost >= UNREAD_LINES

        eventually(told_or_counted, 30)
        proxy.stop()
    finally:
        os.close(read_end)


def test_one_scrape_does_not_repeat_a_sample(ringway):
    seen = set()
    for name, labels, _ in Metrics(ringway().get("/metrics").text).samples:
        key = name, tuple(sorted(labels.items()))
        assert key not in seen
        seen.add(key)
