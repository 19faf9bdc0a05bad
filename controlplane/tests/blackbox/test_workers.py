"""Threads: which there are, where they run, and what becomes of one in trouble."""

import os
import signal
import socket
import time

import pytest

import socks5
from ringway import FREE_PORTS, refusing, run, set_arguments
from targets import echo
from waiting import eventually

PANICS = 100_000
CANNOT_START = 3
WORKER_LOST = 1
DRILLS = {"control.test_endpoints": "true"}


def drill(proxy, **what):
    query = "&".join(f"{key}={value}" for key, value in what.items())
    answer = proxy.http("POST", f"/api/v1/drill?{query}", {"Content-Type": "application/json"}, "{}")
    assert answer.status in (200, 202, 204), answer.text


def talks(connection):
    connection.sendall(b"hello")
    return socks5.receive_exactly(connection, 5) == b"hello"


# Which threads


def expected_threads(workers, passwords):
    names = {"ringway", "ringway-dns", "ringway-history"} | {f"ringway-w{index}" for index in range(workers)}
    return names | ({"ringway-pw0", "ringway-pw1"} if passwords else set())


@pytest.mark.parametrize("driver", ["auto", "epoll"])
@pytest.mark.parametrize("passwords", [False, True], ids=["open", "passwords"])
def test_the_threads_are_exactly_those_of_the_design_also_after_load(ringway, target, users_file, passwords, driver):
    user = ("alice", "secret") if passwords else None
    proxy = ringway({"workers.count": 2, "workers.driver": driver, **(users_file(alice="secret") if passwords else {})})
    server = target(echo)
    assert set(proxy.threads()) == expected_threads(2, passwords)
    held = [proxy.tunnel(server.address, user) for _ in range(100)]
    proxy.tunnel(("localhost", server.address[1]), user)
    for connection in held:
        connection.sendall(bytes(200_000))
        assert socks5.receive_exactly(connection, 200_000)
    for _ in range(20):
        proxy.metrics()
    assert set(proxy.threads()) == expected_threads(2, passwords), "no iou-wrk, none more"


def usable_cpus():
    return sorted(os.sched_getaffinity(0))


def test_workers_run_where_they_are_pinned(ringway):
    cpus = (usable_cpus() * 2)[:2]
    proxy = ringway({"workers.count": 2, "workers.cpus": f"[{cpus[1]}, {cpus[0]}]" if cpus[0] != cpus[1] else str(cpus)})
    threads = proxy.threads()
    pinned = [int(threads[f"ringway-w{index}"]["Cpus_allowed_list"]) for index in range(2)]
    assert pinned == [cpus[1], cpus[0]]
    assert threads["ringway"]["Cpus_allowed_list"] == threads["ringway-dns"]["Cpus_allowed_list"] != str(pinned[0]) or len(usable_cpus()) == 1


def test_a_cpu_that_may_not_be_used_is_said_so_at_the_start():
    ended = run(*set_arguments({**FREE_PORTS, "workers.count": 1, "workers.cpus": "[1000]"}))
    assert ended.returncode in (2, CANNOT_START)
    assert "workers.cpus" in ended.stderr


# Sharing


def test_two_workers_share_the_connections(ringway, target):
    server = target(echo)
    proxy = ringway({"workers.count": 2})
    held = [proxy.tunnel(server.address) for _ in range(200)]
    assert all(talks(connection) for connection in held)
    by_worker = proxy.metrics().by("worker_connections", "worker")
    assert sum(by_worker.values()) == 200
    assert min(by_worker.values()) >= 50, by_worker


def test_a_worker_with_far_more_than_its_share_hands_sockets_over(ringway, target, closing):
    server = target(echo)
    proxy = ringway({"workers.count": 2, **DRILLS})
    proxy.metrics()
    # While worker 1 takes nothing, worker 0 fills.
    drill(proxy, kind="stall", worker=1, ms=2000)
    crowd = [proxy.connect() for _ in range(200)]
    for connection in crowd:
        connection.sendall(socks5.greeting(socks5.NO_AUTH) + socks5.request(*server.address))
    for connection in crowd:
        assert socks5.receive_exactly(connection, 2) == b"\x05\x00"
        assert socks5.read_reply(connection).code == socks5.SUCCEEDED
    assert all(talks(connection) for connection in crowd)
    eventually(lambda: proxy.metrics()("worker_connections_handed_over_total", worker="0") > 0)
    loads = proxy.metrics().by("worker_connections", "worker")
    assert sum(loads.values()) == 200 and min(loads.values()) >= 50, loads


# Trouble


def test_a_hundred_thousand_panics_lose_no_worker(ringway, target):
    server = target(echo)
    proxy = ringway({"workers.count": 2, **DRILLS})
    proxy.panics_expected = True
    neighbours = [proxy.tunnel(server.address) for _ in range(20)]
    drill(proxy, kind="panic", worker=0, tasks=PANICS)
    eventually(lambda: proxy.metrics()("worker_tasks_panicked_total") >= PANICS, 60)
    assert proxy.metrics().by("worker_tasks_panicked_total", "worker") == {"0": PANICS, "1": 0}
    assert all(talks(connection) for connection in neighbours)
    assert all(talks(proxy.tunnel(server.address)) for _ in range(20))
    assert proxy.get("/livez").status == 200


def one_of_each_worker(proxy, connect):
    """What `connect` made on worker 0 and on worker 1."""
    found, made = {}, 0
    before = {"0": 0, "1": 0}
    while len(found) < 2:
        thing = connect()
        made += 1
        after = eventually(lambda: (loads := proxy.metrics().by("worker_connections", "worker")) and sum(loads.values()) == made and loads)
        (worker,) = [index for index in after if after[index] > before[index]]
        found.setdefault(worker, thing)
        before = after
    return found["0"], found["1"]


def test_a_stalled_worker_is_named_while_the_other_serves_and_forgiven_after(ringway, target):
    proxy = ringway({"workers.count": 2, "workers.stalled_after": "300ms", **DRILLS})
    server = target(echo)
    stuck, free = one_of_each_worker(proxy, lambda: proxy.tunnel(server.address))
    assert proxy.get("/livez").status == 200
    drill(proxy, kind="stall", worker=0, ms=3000)
    answer = eventually(lambda: (answer := proxy.get("/livez")).status == 503 and answer, 3)
    assert "0" in answer.text and "worker" in answer.text
    assert talks(free) and proxy.get("/metrics").status == 200
    assert proxy.get("/livez").status == 503, "the other worker was served during the stall"
    eventually(lambda: proxy.get("/livez").status == 200, 10)
    assert talks(stuck), "a stall loses nothing"


def test_nothing_is_handed_to_a_stalled_worker(ringway):
    proxy = ringway({"workers.count": 2, **DRILLS})
    drill(proxy, kind="stall", worker=0, ms=4000)
    eventually(lambda: proxy.stats()["workers"][0]["heartbeat_age_ms"] > 1_000)
    clients = [proxy.connect() for _ in range(200)]
    eventually(lambda: proxy.stats()["workers"][1]["connections"] > 50)
    assert proxy.metrics()("worker_connections_handed_over_total", worker="1") == 0, len(clients)


def test_a_dead_worker_ends_the_process_with_its_name(ringway, target):
    server = target(echo)
    proxy = ringway({"workers.count": 2, "socks5.timeouts.drain": "1s", **DRILLS})
    proxy.panics_expected = True
    proxy.tunnel(server.address).close()
    drill(proxy, kind="die", worker=1)
    assert proxy.exit_code() == WORKER_LOST
    assert any("worker" in line and "1" in line for line in proxy.log().splitlines() if "ERROR" in line), proxy.log()[-2000:]


def test_a_transfer_on_the_other_worker_completes_when_one_dies(ringway, listener):
    server = listener()
    proxy = ringway({"workers.count": 2, "socks5.timeouts.drain": "10s", **DRILLS})
    proxy.panics_expected = True
    (client, accepted), _ = one_of_each_worker(proxy, lambda: (proxy.tunnel(server.address), server.accept()))
    drill(proxy, kind="die", worker=1)
    eventually(lambda: not_listening(proxy.socks), 5)
    accepted.sendall(b"the rest")
    accepted.close()
    assert socks5.receive_until_closed(client) == b"the rest"
    client.close()
    for connection in proxy.sockets:
        connection.close()
    assert proxy.exit_code() == WORKER_LOST


def not_listening(where):
    try:
        socket.create_connection(where, 1).close()
        return False
    except OSError:
        return True


def test_a_wedged_worker_ends_the_process(ringway):
    proxy = ringway({"workers.count": 2, "workers.stalled_after": "500ms", "workers.wedged_after": "1s", "socks5.timeouts.drain": "1s", **DRILLS})
    drill(proxy, kind="stall", worker=0, ms=60_000)
    begun = time.monotonic()
    assert proxy.exit_code(20) == WORKER_LOST
    assert time.monotonic() - begun < 10
    assert "worker" in proxy.log() and "0" in proxy.log()


def test_a_frozen_process_goes_on(ringway, target):
    """Whichever thread wakes first must not take the others' silence for a wedge."""
    proxies = [ringway({"workers.count": 2, "workers.stalled_after": "500ms", "workers.wedged_after": "1s"}) for _ in range(4)]
    connections = [proxy.tunnel(target(echo).address) for proxy in proxies]
    for _ in range(2):
        for proxy in proxies:
            proxy.signal(signal.SIGSTOP)
        # The freeze itself.
        time.sleep(2.5)
        for proxy in proxies:
            proxy.signal(signal.SIGCONT)
        for proxy in proxies:
            eventually(lambda: proxy.get("/livez").status == 200)
    for proxy, connection in zip(proxies, connections):
        connection.sendall(b"still")
        assert connection.recv(5) == b"still"
        assert "wedged" not in proxy.log(), proxy.log()


def test_drills_are_not_served_unless_wished(ringway):
    proxy = ringway()
    assert proxy.http("POST", "/api/v1/drill?kind=die&worker=0", {"Content-Type": "application/json"}, "{}").status == 404


# Starting


@pytest.mark.parametrize("key", ["socks5.listen", "control.listen"])
def test_a_taken_port_ends_the_start_with_a_remedy(listener, key):
    host, port = listener().address
    ended = run(*set_arguments({**FREE_PORTS, key: f"['{host}:{port}']"}))
    assert ended.returncode == CANNOT_START, ended.stderr
    assert key in ended.stderr and "another process listens there" in ended.stderr
    assert "panicked" not in ended.stderr


def test_a_second_ringway_does_not_share_the_port_unnoticed(ringway):
    first = ringway()
    ended = run(*set_arguments({**FREE_PORTS, "socks5.listen": "['{}:{}']".format(*first.socks)}))
    assert ended.returncode == CANNOT_START


@pytest.mark.parametrize("error", ["EPERM", "ENOSYS", "ENOMEM"])
def test_where_io_uring_is_refused_epoll_serves_and_the_log_says_why(ringway, target, error):
    proxy = ringway(launcher=refusing(io_uring_setup=error))
    assert talks(proxy.tunnel(target(echo).address))
    line = proxy.eventually_logs("io_uring is refused")
    assert "epoll" in line
    remedy = {"EPERM": "io_uring_disabled", "ENOSYS": "kernel", "ENOMEM": "ulimit -l"}[error]
    assert remedy in line
    assert proxy.metrics()("worker_driver", driver="epoll") >= 1


def test_where_io_uring_is_refused_and_demanded_the_start_ends_with_cause_and_remedy(ringway):
    proxy = ringway({"workers.driver": "io_uring"}, launcher=refusing(io_uring_setup="EPERM"), ready=False)
    assert proxy.exit_code() == CANNOT_START
    assert "io_uring is refused" in proxy.log() and "workers.driver" in proxy.log()


def test_where_io_uring_is_offered_it_is_used(ringway):
    metrics = ringway({"workers.driver": "auto"}).metrics()
    if metrics("worker_driver", driver="epoll"):
        pytest.skip("io_uring is refused on this machine")
    assert metrics("worker_driver", driver="io_uring_deferred") + metrics("worker_driver", driver="io_uring_cooperative") >= 1


def test_a_signal_that_means_nothing_is_survived(ringway):
    proxy = ringway()
    for number in (signal.SIGHUP, signal.SIGPIPE, signal.SIGWINCH):
        proxy.signal(number)
    assert proxy.get("/livez").status == 200
