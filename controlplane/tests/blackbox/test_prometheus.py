"""A real Prometheus scrapes ringway under load: no error, and its totals are those of the load."""

import json
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

import socks5
from ringway import REPOSITORY
from targets import echo
from waiting import eventually

TUNING = REPOSITORY / "tuning" / "prometheus"
LOADED_SECONDS = 20
STARTED_SECONDS = 30
CLIENTS = 3
PAYLOAD = b"x" * 1000
ANYONE = {"websocket.namespaces": '[{prefix: "", publish: anyone}]', "workers.count": 2}


def tool(name):
    """A program of Debian's package `prometheus`; scripts/test.sh fetches it."""
    path = shutil.which(name)
    if not path:
        pytest.skip(f"{name} is not installed: it is in Debian's package prometheus")
    return path


class Prometheus:
    """A Prometheus with ringway's own configuration, but each second and of this one."""

    def __init__(self, folder, target):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        text = (TUNING / "prometheus.yml").read_text()
        assert '["127.0.0.1:9003"]' in text
        text = text.replace("127.0.0.1:9003", "{}:{}".format(*target)).replace("interval: 15s", "interval: 1s")
        (folder / "prometheus.yml").write_text(text)
        shutil.copy(TUNING / "recording.yml", folder)
        self.log = open(folder / "prometheus.log", "wb")
        command = [
            tool("prometheus"),
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--enable-feature=exemplar-storage",
        ]
        self.process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        eventually(self.is_ready, STARTED_SECONDS, lambda: Path(self.log.name).read_text()[-2000:])

    def is_ready(self):
        assert self.process.poll() is None, Path(self.log.name).read_text()[-2000:]
        try:
            return self.fetch("/-/ready") is not None
        except OSError:
            return False

    def fetch(self, path, **query):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}?{urllib.parse.urlencode(query)}", timeout=10) as answer:
            return answer.read()

    def ask(self, path, **query):
        answer = json.loads(self.fetch(f"/api/v1/{path}", **query))
        assert answer["status"] == "success"
        return answer["data"]

    def value(self, query):
        """The one value of a query; `None`: there is none."""
        result = self.ask("query", query=query)["result"]
        assert len(result) <= 1, result
        return float(result[0]["value"][1]) if result else None

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        finally:
            self.process.kill()
            self.log.close()


class Load:
    """Clients that connect, send, read and close for as long as they may, and count what they did."""

    def __init__(self, proxy, server, seconds):
        self.until = time.monotonic() + seconds
        self.connections, self.bytes, self.faults = 0, 0, []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.client, args=(proxy, server)) for _ in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def client(self, proxy, server):
        connections, moved = 0, 0
        try:
            while time.monotonic() < self.until:
                with socket.create_connection(proxy.socks, 20) as connection:
                    socks5.handshake(connection)
                    connection.sendall(socks5.request(*server.address, socks5.CONNECT))
                    assert socks5.read_reply(connection).code == socks5.SUCCEEDED
                    connection.sendall(PAYLOAD)
                    assert socks5.receive_exactly(connection, len(PAYLOAD)) == PAYLOAD
                connections, moved = connections + 1, moved + len(PAYLOAD)
        except Exception as fault:  # Told where it is looked at.
            self.faults.append(fault)
        with self.lock:
            self.connections += connections
            self.bytes += moved

    def wait(self):
        for thread in self.threads:
            thread.join()
        assert not self.faults, self.faults


@pytest.fixture
def prometheus(tmp_path, closing):
    return lambda target: closing(Prometheus(tmp_path, target))


def test_prometheus_scrapes_it_under_load_and_has_the_loads_totals(ringway, target, websocket, prometheus):
    proxy = ringway(ANYONE)
    watching = prometheus(proxy.control)
    subscriber, publisher = websocket(proxy).subscribe("news"), websocket(proxy)
    load = Load(proxy, target(echo), LOADED_SECONDS)
    publications = 0
    while time.monotonic() < load.until:
        assert publisher.ask(type="publish", topic="news", data=publications)["type"] == "published"
        assert subscriber.heard()["data"] == publications
        publications += 1
    load.wait()
    assert load.connections > 50

    def caught_up(name, total):
        eventually(lambda: watching.value(f"sum({name})") == total, 15, lambda: f"{name} {watching.value(f'sum({name})')} of {total}")

    caught_up("socks5_proxy_connections_total", load.connections)
    caught_up('socks5_connections_closed_total{reason=~"finished|client_gone|client_reset"}', load.connections)
    caught_up("socks5_traffic_bytes_sent_total", load.bytes)
    caught_up("socks5_traffic_bytes_received_total", load.bytes)
    caught_up("socks5_connect_duration_seconds_count", load.connections)
    caught_up("websocket_publications_total", publications)
    caught_up("websocket_deliveries_total", publications)
    # The names without `_total` hold the same.
    caught_up("socks5_proxy_connections", load.connections)
    caught_up("websocket_messages_received", publications + 1)

    # No scrape failed, none was late, and no sample was refused.
    (scraped,) = watching.ask("targets")["activeTargets"]
    assert scraped["health"] == "up" and not scraped["lastError"]
    assert watching.value("min_over_time(up[1m])") == 1
    assert watching.value("count_over_time(up[1m])") >= LOADED_SECONDS * 0.8
    assert watching.value("max_over_time(scrape_duration_seconds[1m])") < 1
    log = Path(watching.log.name).read_text()
    complaints = [line for line in log.splitlines() if re.search(r"level=(warn|error)", line)]
    assert not complaints, complaints
    assert all(rule["health"] == "ok" for group in watching.ask("rules")["groups"] for rule in group["rules"])

    # It has the exemplars, and they lead to connections.
    now = time.time()
    for family, letter in ("socks5_connect_duration_seconds", "s"), ("websocket_push_latency_seconds", "w"):
        series = watching.ask("query_exemplars", query=f"{family}_bucket", start=now - 120, end=now + 5)
        names = {exemplar["labels"]["connection"] for one in series for exemplar in one["exemplars"]}
        assert names and all(re.fullmatch(rf"[01]-{letter}-\d+", name) for name in names), names


@pytest.mark.parametrize("check", [("check", "rules", "recording.yml"), ("check", "config", "prometheus.yml")])
def test_promtool_accepts_what_is_shipped(check):
    checked = subprocess.run([tool("promtool"), *check], cwd=TUNING, capture_output=True, text=True, timeout=20)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_rule_records_what_is_scraped(ringway):
    names = ringway().metrics().names()
    text = (TUNING / "recording.yml").read_text()
    rules = re.findall(r"- record: (\w+)\n +expr: (\w+)\n", text)
    assert len(rules) == text.count("record:") > 40
    kinds = dict(line.split()[2:4] for line in ringway().get("/metrics").text.splitlines() if line.startswith("# TYPE"))
    for record, expression in rules:
        assert kinds[expression] == "counter" and expression == f"{record}_total" and record not in names
