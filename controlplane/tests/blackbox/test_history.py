"""/api/v1/history: what was, by the minute: exact, in a file that survives, and never in the way of traffic."""

import calendar
import csv
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

import socks5
from ringway import run
from succession import Succession
from targets import echo
from waiting import eventually

LINES = ("sent_bytes", "received_bytes", "connections", "failed", "active_max")
FULL_BYTES = 1 << 20


def history(proxy, **query):
    answer = proxy.get("/api/v1/history?" + "&".join(f"{name}={value}" for name, value in query.items()))
    assert answer.status == 200, answer.text
    return answer.json


def sums(proxy, **query):
    """Key -> what each line of its series adds up to; of active_max the largest."""
    found = {}
    for series in history(proxy, **query)["series"]:
        of = {name: [value for value in series[name] if value is not None] for name in LINES}
        found[series["key"]] = {name: (max if name == "active_max" else sum)(values) for name, values in of.items()}
    return found


def exchange(connection, count):
    connection.sendall(b"x" * count)
    left = count
    while left:
        left -= len(connection.recv(left))


def moved(proxy, **query):
    """Key -> bytes sent and received."""
    return {key: (of["sent_bytes"], of["received_bytes"]) for key, of in sums(proxy, **query).items()}


def eventually_moved(proxy, expected, **query):
    """A snapshot may be a quarter of a second old."""
    eventually(lambda: moved(proxy, **query) == expected, what=lambda: history(proxy, **query))


def integrity(path):
    with sqlite3.connect(path) as database:
        return database.execute("PRAGMA integrity_check").fetchall()


def test_it_has_exactly_what_was_moved_in_total_and_by_user(ringway, target, users_file):
    proxy = ringway({"workers.count": 2, **users_file(alice="secret", bob="secret", idle="secret")})
    server = target(echo)
    for user, count, sent in (("alice", 3, 1000), ("bob", 1, 70_000)):
        for _ in range(count):
            exchange(proxy.tunnel(server.address, user=(user, "secret")), sent)
    eventually_moved(proxy, {"": (73_000, 73_000)})
    assert moved(proxy, by="user") == {"bob": (70_000, 70_000), "alice": (3_000, 3_000)}
    of = sums(proxy, by="user", step="minute")
    assert (of["alice"]["connections"], of["alice"]["active_max"]) == (3, 3)
    assert sums(proxy, step="day")[""] == {"sent_bytes": 73_000, "received_bytes": 73_000, "connections": 4, "failed": 0, "active_max": 4}
    # The order is that of bytes; a key alone is told alone.
    assert [series["key"] for series in history(proxy, by="user")["series"]] == ["bob", "alice"]
    assert list(moved(proxy, by="user", key="alice")) == ["alice"]
    assert moved(proxy, by="user", key="nobody") == {}
    answer = history(proxy, **{"from": "-30m", "step": "minute"})
    assert (answer["file"], answer["fault"], answer["truncated"], answer["step_seconds"]) == (False, None, False, 60)
    assert len(answer["times"]) == 31 and answer["times"][-1] % 60 == 0
    # Before it began nobody counted.
    assert answer["series"][0]["sent_bytes"][0] is None
    assert "ringway-history" in proxy.threads()


def test_the_second_under_way_is_part_of_it(ringway):
    """Without it the minute under way is missing in its first second. The clock is read after the answer: one that ends before now never passes."""
    proxy = ringway({"workers.count": 1})

    def ends_after_now():
        to = history(proxy)["to"]
        return calendar.timegm(time.strptime(to, "%Y-%m-%dT%H:%M:%SZ")) > time.time()

    eventually(ends_after_now)


def test_each_listener_has_its_part_and_what_failed_is_counted(ringway, target, websocket, users_file):
    proxy = ringway({"workers.count": 2, "websocket.echo": "true", **users_file(alice="secret")})
    exchange(proxy.tunnel(target(echo).address, user=("alice", "secret")), 1000)
    gone = target(echo)
    gone.close()
    assert proxy.refusal(*gone.address, user=("alice", "secret")) == socks5.REFUSED
    connection = websocket(proxy, "/echo")
    connection.send(1, b"x" * 200)
    assert connection.text() == "x" * 200
    socks, gateway = f"socks5 {proxy.socks5_text}", f"websocket {proxy.websocket_text}"
    eventually(lambda: sums(proxy, by="listener").get(gateway, {}).get("sent_bytes", 0) >= 200, what=lambda: sums(proxy, by="listener"))
    eventually(lambda: sums(proxy, by="listener")[socks]["failed"] == 1, what=lambda: sums(proxy, by="listener"))
    of = sums(proxy, by="listener")
    assert (of[socks]["sent_bytes"], of[socks]["received_bytes"], of[socks]["connections"]) == (1000, 1000, 2)
    assert of[gateway]["connections"] == 1 and of[gateway]["received_bytes"] >= 200
    # The total is that of all listeners.
    total = sums(proxy)[""]
    assert all(total[name] == of[socks][name] + of[gateway][name] for name in LINES[:4])
    assert total["active_max"] >= 2
    assert sums(proxy, by="user")["alice"]["failed"] == 1


def test_it_is_told_as_csv_and_on_the_command_line(ringway, target, users_file):
    proxy = ringway({"workers.count": 1, **users_file([("a,\"b", "secret")])})
    exchange(proxy.tunnel(target(echo).address, user=("a,\"b", "secret")), 500)
    eventually_moved(proxy, {"a,\"b": (500, 500)}, by="user")
    for answer in (proxy.get("/api/v1/history?by=user&format=csv"), proxy.get("/api/v1/history?by=user", Accept="text/csv")):
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert list(rows[0]) == ["time", "key", *LINES]
        assert sum(int(row["sent_bytes"]) for row in rows) == 500
        assert {row["key"] for row in rows} == {"a,\"b"} and rows[0]["time"].endswith(":00Z")
    told = run("ctl", "--control", proxy.control_text, "traffic", "--by", "user", "--format", "csv")
    assert told.returncode == 0 and "sent_bytes" in told.stdout and ",500,500," in told.stdout, told.stdout + told.stderr
    told = run("ctl", "--control", proxy.control_text, "traffic", "--by", "user")
    assert told.returncode == 0, told.stdout + told.stderr
    rows = [line.split() for line in told.stdout.splitlines() if "a,\"b" in line]
    assert rows[0][0].endswith(":00Z") and rows[0][2:4] == ["500", "500"], told.stdout
    # What users and what all have moved is looked at in turn.
    eventually_moved(proxy, {"": (500, 500)}, by="total")
    told = run("ctl", "--control", proxy.control_text, "traffic")
    assert told.returncode == 0 and "SENT_BYTES" in told.stdout, told.stdout + told.stderr
    assert len(told.stdout.splitlines()) < 12, "of 1441 minutes only those in which anything moved"
    told = run("ctl", "--control", proxy.control_text, "traffic", "--json")
    answer = json.loads(told.stdout)
    asked_to = calendar.timegm(time.strptime(answer["to"], "%Y-%m-%dT%H:%M:%SZ"))
    minutes = range((asked_to - 86_400) // 60 * 60, asked_to, 60)
    assert answer["times"] == list(minutes), "a day, and the minute under way"


def test_what_makes_no_sense_is_refused_with_a_hint(ringway):
    proxy = ringway({"workers.count": 1})
    for query in ("by=target", "step=week", "from=yesterday", "from=now", "format=xml", "key=alice", "from=-1h&to=-2h"):
        answer = proxy.get(f"/api/v1/history?{query}")
        assert answer.status == 422 and answer.json["hint"], answer.text
    answer = history(proxy, **{"from": "0", "step": "minute"})
    assert answer["truncated"] and len(answer["times"]) == 16_384
    off = ringway({"workers.count": 1, "history.enabled": "false"})
    answer = off.get("/api/v1/history")
    assert answer.status == 404 and "history.enabled" in answer.json["hint"]
    assert "ringway-history" not in off.threads()
    assert "\nhistory_" not in off.get("/metrics").text


def test_a_file_survives_a_restart_and_a_kill(ringway, target, users_file, tmp_path):
    path = tmp_path / "history.sqlite3"
    options = {"workers.count": 1, "history.file": "history.sqlite3", **users_file(alice="secret")}
    server = target(echo)
    first = ringway(options)
    exchange(first.tunnel(server.address, user=("alice", "secret")), 1000)
    first.sockets[-1].close()
    first.stop()
    assert integrity(path) == [("ok",)]
    assert os.stat(path).st_mode & 0o777 == 0o600
    second = ringway(options)
    eventually_moved(second, {"alice": (1000, 1000)}, by="user")
    exchange(second.tunnel(server.address, user=("alice", "secret")), 500)
    eventually_moved(second, {"alice": (1500, 1500)}, by="user")
    answer = history(second)
    assert answer["file"] is True and answer["kept"]["minute"]
    assert second.metrics()("history_last_write_successful") == 1
    second.panics_expected = True
    second.signal(signal.SIGKILL)
    second.process.wait()
    assert integrity(path) == [("ok",)]
    third = ringway(options)
    # All but the minute that was under way, which may have ended meanwhile.
    sent = moved(third, by="user")["alice"][0]
    assert sent in (1000, 1500), sent
    assert sums(third, by="user", step="day")["alice"]["connections"] == {1000: 1, 1500: 2}[sent]


def test_a_damaged_file_is_moved_aside_and_said_so(ringway, tmp_path):
    path = tmp_path / "history.sqlite3"
    path.write_bytes(b"SQLite format 3\0" + b"no database at all" * 1000)
    proxy = ringway({"workers.count": 1, "history.file": str(path)})
    proxy.eventually_logs("history.sqlite3.damaged")
    assert (tmp_path / "history.sqlite3.damaged").read_bytes().endswith(b"no database at all")
    eventually(lambda: history(proxy)["file"])
    proxy.stop()
    assert integrity(path) == [("ok",)]


def test_a_file_that_was_named_by_a_slip_is_left_as_it_is(ringway, tmp_path):
    path = tmp_path / "users.yaml"
    path.write_text("users: []\n")
    proxy = ringway({"workers.count": 1, "history.file": str(path)})
    proxy.eventually_logs("it is no SQLite file")
    assert path.read_text() == "users: []\n" and [entry.name for entry in tmp_path.iterdir() if entry.name.startswith("users")] == ["users.yaml"]


def test_a_file_that_cannot_be_had_is_reported_and_traffic_goes_on(ringway, target, tmp_path):
    later = tmp_path / "later"
    options = {"workers.count": 1, "history.file": str(later / "history.sqlite3")}
    proxy = ringway(options)
    proxy.eventually_logs("the history cannot be kept")
    exchange(proxy.tunnel(target(echo).address), 1000)
    eventually_moved(proxy, {"": (1000, 1000)})
    answer = history(proxy)
    assert answer["file"] is False and "later/history.sqlite3" in answer["fault"]
    found = proxy.metrics()
    assert found("history_last_write_successful") == 0 and found("history_write_failures_total") >= 1
    # What waits is written as soon as it can be, at the latest at the end.
    later.mkdir()
    proxy.sockets[-1].close()
    proxy.stop()
    assert moved(ringway(options)) == {"": (1000, 1000)}


@pytest.fixture
def small_disk(tmp_path):
    """A file system of a megabyte, and a way to fill it; without leave to mount one, files may be no larger than a limit."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={FULL_BYTES}", "tmpfs", disk], capture_output=True).returncode == 0
    yield disk if mounted else None
    if mounted:
        subprocess.run(["umount", "-l", disk], check=True)


# With SIGXFSZ ignored a write beyond the limit fails with EFBIG.
LIMITED = "import os, resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (24576, 24576)); os.execv(sys.argv[1], sys.argv[1:])"


def test_a_full_disk_is_reported_stops_no_traffic_and_damages_nothing(ringway, target, small_disk, tmp_path):
    server = target(echo)
    if small_disk is None:
        path = tmp_path / "history.sqlite3"
        full = ringway({"workers.count": 1, "history.file": str(path)}, launcher=[sys.executable, "-c", LIMITED], stderr=subprocess.DEVNULL)
    else:
        path = small_disk / "history.sqlite3"
        (small_disk / "filler").write_bytes(b"x" * (FULL_BYTES - 8192))
        full = ringway({"workers.count": 1, "history.file": str(path)})
        full.eventually_logs("the history cannot be kept")
    exchange(full.tunnel(server.address), 1000)
    full.sockets[-1].close()
    eventually_moved(full, {"": (1000, 1000)})
    assert history(full)["fault"]
    assert full.metrics()("history_last_write_successful") == 0
    assert full.get("/readyz").status == 200
    if small_disk is not None:
        (small_disk / "filler").unlink()
    full.stop()
    roomy = ringway({"workers.count": 1, "history.file": str(path)})
    eventually_moved(roomy, {"": (1000, 1000)} if small_disk else {})
    exchange(roomy.tunnel(server.address), 500)
    roomy.sockets[-1].close()
    before = moved(roomy)
    if small_disk is not None:
        # It fills up while ringway runs: the last minute finds no room, what was written before stays.
        with open(small_disk / "filler", "wb", buffering=0) as filler, pytest.raises(OSError):
            while True:
                filler.write(b"x" * 4096)
    roomy.stop()
    if small_disk is not None:
        assert "the history cannot be kept" in roomy.log(), roomy.log()[-2000:]
        (small_disk / "filler").unlink()
    assert integrity(path) == [("ok",)]
    assert before


def test_a_hot_restart_hands_it_over_and_nothing_is_counted_twice(request, target, tmp_path):
    path = tmp_path / "history.sqlite3"
    proxy = Succession(tmp_path, {"workers.count": 1, "history.file": str(path), "socks5.timeouts.drain": "20s"})
    try:
        server = target(echo)
        staying = proxy.tunnel(server.address)
        exchange(staying, 1000)
        old = proxy.current
        proxy.upgrade()
        # The old one's part is in the file; what its connections move from now on is told to the new one.
        eventually_moved(proxy, {"": (1000, 1000)})
        exchange(staying, 300)
        eventually_moved(proxy, {"": (1300, 1300)})
        exchange(proxy.tunnel(server.address), 50)
        eventually_moved(proxy, {"": (1350, 1350)})
        staying.close()
        assert proxy.code_of(old) == 0
        eventually_moved(proxy, {"": (1350, 1350)})
        assert sums(proxy, step="day")[""]["connections"] == 2
        assert not [line for line in proxy.log().splitlines() if "history" in line], proxy.log()
    finally:
        proxy.close()
    assert integrity(path) == [("ok",)]
