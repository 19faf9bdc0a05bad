"""`ringway doctor`: what it says of this host, as far as a test may know it."""

import json
import os
import re
import resource
import socket
import subprocess
from pathlib import Path

import pytest

import ringway as program
from ringway import FREE_PORTS, REPOSITORY, environment, refusing, run, set_arguments
from targets import echo

LEVELS = ["ok", "note", "warning", "failure"]


def doctor(options=None, launcher=(), descriptors=None, arguments=(), cwd=None):
    """The exit code and what it says, by check."""
    command = [*launcher, program.binary(), "doctor", "--json", *arguments, *set_arguments({**FREE_PORTS, **(options or {})})]

    def limit():
        if descriptors:
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=30, preexec_fn=limit, cwd=cwd)
    assert not done.stderr, done.stderr
    report = json.loads(done.stdout)
    checks = {}
    for check in report["checks"]:
        assert set(check) - {"fix", "sysctl"} == {"check", "level", "found", "wanted", "why"}
        assert ("fix" in check) == (check["level"] != "ok"), check
        held = checks.setdefault(check["check"], check)
        if LEVELS.index(check["level"]) > LEVELS.index(held["level"]):
            checks[check["check"]] = check
    worst = max((check["level"] for check in report["checks"]), key=LEVELS.index)
    assert report["level"] == worst
    assert done.returncode == (1 if worst in ("warning", "failure") else 0)
    return checks


def test_the_table_tells_what_json_tells():
    table = run("doctor", *set_arguments(FREE_PORTS))
    checks = doctor()
    assert table.returncode in (0, 1) and not table.stderr
    for name, check in checks.items():
        assert re.search(rf"^{check['level']}\s+{name}\s", table.stdout, re.M), f"{name} in\n{table.stdout}"
        if "fix" in check:
            assert check["fix"] in table.stdout
    assert re.search(r"^\d+ failures?, \d+ warnings?, \d+ notes?, \d+ ok$", table.stdout, re.M)


def test_it_finds_the_kernel_as_it_is():
    checks = doctor()
    assert checks["kernel"]["found"] == os.uname().release
    assert checks["workers"]["found"].endswith(f"{len(os.sched_getaffinity(0))} CPUs")
    somaxconn = Path("/proc/sys/net/core/somaxconn").read_text().strip()
    assert checks["backlog"]["found"] == f"net.core.somaxconn {somaxconn}"


def test_io_uring_that_a_filter_refuses_is_named_with_the_remedy():
    launcher = refusing(io_uring_setup="EPERM")
    check = doctor(launcher=launcher)["io_uring"]
    assert check["level"] == "warning" and "seccomp filter" in check["found"]
    assert "tuning/seccomp.json" in check["fix"]
    assert doctor({"workers.driver": "io_uring"}, launcher=launcher)["io_uring"]["level"] == "failure"
    assert doctor({"workers.driver": "epoll"}, launcher=launcher)["io_uring"]["level"] == "ok"


def test_what_it_says_of_io_uring_is_what_a_start_gets(ringway):
    found = doctor()["io_uring"]["found"]
    driver = ringway().eventually_logs("ready ")
    assert f"driver={found.split(',')[0]}" in driver


def test_descriptors_are_held_against_the_limits_asked_for():
    assert doctor(descriptors=4096)["descriptors"]["level"] == "warning"
    assert doctor({"socks5.limits.connections": 1000}, descriptors=4096)["descriptors"]["level"] == "ok"
    short = doctor({"socks5.limits.connections": 3000}, descriptors=4096)["descriptors"]
    assert short["level"] == "warning" and "LimitNOFILE" in short["fix"]


def test_it_counts_descriptors_as_the_workers_do(ringway):
    """At the limit it asks for, the connections asked for are had; doctor's figure for auto is what a start gets."""
    found = doctor(descriptors=4096)["descriptors"]["found"]
    ready = ringway(descriptors=4096).eventually_logs("ready ")
    assert re.search(r"(\d+) relayed", found)[1] == re.search(r"connections_max=(\d+)", ready)[1]


def test_a_taken_address_is_a_failure_unless_a_ringway_has_it(ringway):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        check = doctor({"socks5.listen": f"[127.0.0.1:{port}]"})["listen"]
        assert check["level"] == "failure" and str(os.getpid()) in check["found"]
    proxy = ringway()
    check = doctor({"socks5.listen": f"[{proxy.socks5_text}]"})["listen"]
    assert check["level"] == "ok"
    assert doctor({"socks5.listen": "[192.0.2.1:1080]", "socks5.open_proxy": True})["listen"]["level"] == "failure"


def test_files_that_cannot_be_written_are_failures(tmp_path, users_file):
    assert doctor({"log.access": str(tmp_path / "access.log")})["files"]["level"] == "ok"
    missing = doctor({"log.access": str(tmp_path / "no" / "access.log")})["files"]
    assert missing["level"] == "failure" and "log.access" in missing["fix"]
    users = users_file(alice={"quota": "1GiB"})
    missing = doctor({**users, "socks5.quota_file": str(tmp_path / "no" / "quotas.json")})["files"]
    assert missing["level"] == "failure" and "socks5.quota_file" in missing["found"]


def test_a_bad_configuration_is_told_as_by_check():
    done = run("doctor", "--set", "workers.count=none")
    assert done.returncode == 2 and "workers.count" in done.stderr


def test_more_workers_than_cpus():
    cpus = len(os.sched_getaffinity(0))
    assert doctor({"workers.count": cpus})["workers"]["level"] == "ok"
    assert doctor({"workers.count": cpus + 1})["workers"]["level"] == "warning"


HEADER = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")


@pytest.mark.skipif(not HEADER.exists(), reason="the numbers of system calls are not known here")
def test_ringway_runs_on_io_uring_under_the_shipped_seccomp_profile(ringway, target):
    profile = json.loads((REPOSITORY / "tuning" / "seccomp.json").read_text())
    assert profile["defaultAction"] == "SCMP_ACT_ALLOW"
    numbers = dict(re.findall(r"#define __NR_(\w+) (\d+)", HEADER.read_text()))
    denied = {numbers[name]: rule["errnoRet"] for rule in profile["syscalls"] for name in rule["names"] if name in numbers}
    assert len(denied) > 40
    assert not {numbers[name] for name in ("io_uring_setup", "io_uring_enter", "io_uring_register")} & set(denied)
    names = {1: "EPERM", 38: "ENOSYS"}
    proxy = ringway({"workers.driver": "io_uring"}, launcher=refusing(**{number: names[error] for number, error in denied.items()}))
    tunnel = proxy.tunnel(target(echo).address)
    tunnel.sendall(b"hello")
    assert tunnel.recv(5) == b"hello"
