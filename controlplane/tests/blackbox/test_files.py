"""The files that ringway keeps, when they are damaged or cannot be written: it says so, counts it and goes on."""

import json

import pytest

import socks5
from targets import echo
from waiting import eventually

ALICE = ("alice", "secret")
CANNOT_START = 3


@pytest.fixture
def with_quota(users_file, tmp_path):
    """Settings for alice with a quota, and where it is kept."""
    file = tmp_path / "state" / "quotas.json"
    file.parent.mkdir()
    return {**users_file(alice={"password": "secret", "quota": "10000B"}), "socks5.quota_file": str(file)}, file


def use(proxy, server, count):
    connection = proxy.tunnel(server.address, ALICE)
    connection.sendall(bytes(count))
    assert socks5.receive_exactly(connection, count) == bytes(count)
    connection.close()


def kept(file):
    return json.loads(file.read_text())["users"]["alice"]["used_bytes"] if file.exists() else None


@pytest.mark.parametrize("text", ["", "{", '{"version":1,"users":{"alice":{"used_bytes":"many","period":"total"}}}', '{"version":9,"users":{}}'])
def test_a_damaged_quota_file_is_refused_and_left_as_it_is(ringway, with_quota, text):
    options, file = with_quota
    file.write_text(text)
    proxy = ringway(options, ready=False)
    assert proxy.exit_code() == CANNOT_START
    assert f"the quota file {file} is damaged" in proxy.log() and "remove it" in proxy.log()
    assert file.read_text() == text


def test_a_quota_file_that_cannot_be_saved_is_counted_and_told_once(ringway, target, with_quota):
    options, file = with_quota
    server, proxy = target(echo), ringway(options)
    use(proxy, server, 1000)
    eventually(lambda: kept(file) == 2000)
    aside = file.parent.with_name("aside")
    file.parent.rename(aside)
    use(proxy, server, 1000)
    eventually(lambda: proxy.metrics()("socks5_quota_save_failures_total") >= 2)
    assert proxy.log().count("cannot save the quota file") == 1
    use(proxy, server, 500)
    aside.rename(file.parent)
    eventually(lambda: kept(file) == 5000)
    proxy.eventually_logs("is saved again")


def test_a_temporary_file_of_a_crash_is_no_hindrance(ringway, target, with_quota):
    options, file = with_quota
    file.with_name(file.name + ".new").write_text("{half a fi")
    server, proxy = target(echo), ringway(options)
    use(proxy, server, 1000)
    eventually(lambda: kept(file) == 2000)


def test_a_full_disk_costs_access_lines_and_nothing_else(ringway, target):
    """/dev/full answers every write that no space is left."""
    server, proxy = target(echo), ringway({"log.access": "/dev/full"})
    for _ in range(20):
        proxy.tunnel(server.address).close()
    proxy.eventually_logs("cannot write log.access /dev/full")
    connection = proxy.tunnel(server.address)
    connection.sendall(b"x")
    assert connection.recv(1) == b"x", "relaying goes on"
    assert proxy.log().count("cannot write log.access") == 1


def test_passwords_of_upstream_proxies_are_in_no_log_and_no_answer(ringway, target, users_file, tmp_path):
    secret = "hunter2-do-not-print"
    (tmp_path / "exit.password").write_text(secret + "\n")
    server, exit_ = target(echo), ringway(users_file(ringway=secret))
    proxy = ringway(
        {
            "log.level": "trace",
            "socks5.upstream.default": "exits",
            "socks5.upstream.proxies": [
                {"name": "a", "group": "exits", "address": exit_.socks5_text, "username": "ringway", "password_file": str(tmp_path / "exit.password")},
                {"name": "b", "group": "exits", "address": exit_.socks5_text, "username": "ringway", "password_env": "EXIT_PASSWORD"},
            ],
        },
        env={"EXIT_PASSWORD": secret},
    )
    for _ in range(4):
        use_without_login(proxy, server)
    told = [proxy.log(), exit_.log(), proxy.get("/config").text, proxy.get("/metrics").text, proxy.get("/stats").text]
    assert not any(secret in text for text in told)
    assert "exit.password" in proxy.get("/config").text and "EXIT_PASSWORD" in proxy.get("/config").text


def use_without_login(proxy, server):
    connection = proxy.tunnel(server.address)
    connection.sendall(b"x")
    assert connection.recv(1) == b"x"
    connection.close()
