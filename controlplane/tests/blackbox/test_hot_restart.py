"""SIGUSR2: a new process takes over, and no client notices; or it does not come to serve, and the old one goes on."""

import os
import re
import signal
import stat
import threading

import pytest

import ringway as program
from prometheus import Metrics
from succession import Clients, Succession, Transfers, ended, paced
from targets import echo
from waiting import eventually

RESTARTS = 20


@pytest.fixture
def succession(request, tmp_path):
    started = []

    def start(options=None, **how):
        started.append(Succession(tmp_path, options, **how))
        return started[-1]

    yield start
    for one in started:
        one.close()


def test_a_new_process_serves_at_the_same_ports_and_the_old_one_ends(succession, target):
    proxy = succession()
    old = proxy.current
    echoing = target(echo).address
    before = proxy.tunnel(echoing)
    new = proxy.upgrade()
    assert new != old
    # Who was there stays with the old one, who comes is served by the new one.
    before.sendall(b"still")
    assert before.recv(5) == b"still"
    assert not ended(old)
    after = proxy.tunnel(echoing)
    after.sendall(b"hello")
    assert after.recv(5) == b"hello"
    assert proxy.get("/readyz").status == 200
    before.close()
    assert proxy.code_of(old) == 0
    after.sendall(b"still")
    assert after.recv(5) == b"still"


def test_twenty_hot_restarts_under_load_lose_nothing(succession, target):
    proxy = succession({"socks5.limits.backlog": 4096})
    clients = Clients(proxy.socks, target(echo).address)
    transfers = Transfers(proxy.socks, target(paced).address)
    for _ in range(RESTARTS):
        served = clients.served
        proxy.upgrade()
        eventually(lambda: clients.served > served + 20)
    clients.stop()
    transfers.stop()
    assert (clients.faults, transfers.faults) == ([], [])
    assert transfers.whole >= 64 and clients.served > 20 * RESTARTS
    for pid in proxy.pids[:-1]:
        assert proxy.code_of(pid) == 0
