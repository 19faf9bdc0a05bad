"""Ports that nobody holds, for who must know one before a server does.

They are below those which the kernel gives out by itself: a port of 0 that was bound and let go may be the source of any
other test's connection a moment later.
"""

import contextlib
import errno
import os
import socket

FIRST, LAST = 10_000, 32_000
EVERYWHERE = ("0.0.0.0", "::1")
# Tests of another process begin this far away, and those of another worker of this run further than one run takes.
APART, WORKERS_APART = 100, 5_000


def beginning():
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    run = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    return FIRST + (worker * WORKERS_APART + run * APART) % (LAST - FIRST)


_next = beginning()


def free_ports(count, kind=socket.SOCK_STREAM):
    """The first and last of `count` ports in a row that are free at every address, and were not given out lately."""
    global _next
    for _ in range(LAST - FIRST):
        first = _next if _next + count <= LAST else FIRST
        _next = first + count
        with contextlib.ExitStack() as held:
            try:
                for address in ((host, port) for host in EVERYWHERE for port in range(first, first + count)):
                    held.enter_context(probing(address[0], kind)).bind(address)
                return first, first + count - 1
            except OSError as error:
                assert error.errno == errno.EADDRINUSE
    raise AssertionError(f"no {count} free ports in a row")


def free_port(kind=socket.SOCK_STREAM):
    """One port that is free at every address: who is asked at another address than the server's finds nobody."""
    return free_ports(1, kind)[0]


def free_listeners(*keys):
    """Settings with a port each: a port of 0 would be another one for the next process."""
    return {key: f"[127.0.0.1:{free_port()}]" for key in keys}


def is_free(address, kind=socket.SOCK_DGRAM):
    """Whether nobody holds that port."""
    with probing(address[0], kind) as probe:
        try:
            probe.bind(address)
            return True
        except OSError as error:
            assert error.errno == errno.EADDRINUSE
            return False


def probing(host, kind):
    return socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
