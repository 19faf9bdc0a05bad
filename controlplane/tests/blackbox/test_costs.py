"""What a scrape costs in system calls, counted by strace(1): docs/costs.md holds what the workers' operations cost."""

import re
import shutil
import subprocess
from collections import Counter

import pytest

from waiting import eventually

SCRAPES = 15
# From the request's arrival to its answer, with one worker: read it, ask the kernel about this process (/proc and its
# folder of descriptors), wake the runtime once, answer by one call. Of many scrapes the least of each: each second has its own work.
BUDGET = {
    "recvfrom": 1,
    "openat": 4,
    "read": 6,
    "statx": 2,
    "newfstatat": 1,
    "lseek": 1,
    "readlinkat": 1,
    "close": 4,
    "write": 1,
    "epoll_wait": 2,
    "writev": 1,
}
CALL = re.compile(r"^(?:\d+ +)?(\w+)\((.*)")


def scrapes(trace):
    """The calls from each scrape's request to its answer, by name."""
    counts = None
    for line in trace.splitlines():
        call = CALL.match(line)
        if not call:
            continue
        name, arguments = call.groups()
        if '"GET /metrics' in arguments:
            counts = Counter()
        if counts is not None:
            counts[name] += 1
            if '"HTTP/1.1 200' in arguments:
                yield counts
                counts = None


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_a_scrape_makes_no_more_system_calls_than_its_budget(ringway, tmp_path):
    proxy = ringway({"workers.count": 1})
    proxy.metrics()
    log = tmp_path / "strace"
    # The control plane is the main thread.
    strace = subprocess.Popen(["strace", "-q", "-s", "16", "-o", log, "-p", str(proxy.pid)], stderr=subprocess.PIPE, text=True)
    try:
        traced = eventually(lambda: strace.poll() is not None or is_traced(proxy), 10, lambda: "strace attached")
        if strace.poll() is not None:
            pytest.skip(f"ptrace(2) is refused here: {strace.stderr.read()}")
        assert traced
        for _ in range(SCRAPES):
            proxy.metrics()
    finally:
        strace.terminate()
        strace.wait()
    counted = list(scrapes(log.read_text()))
    assert len(counted) == SCRAPES, log.read_text()[-2000:]
    names = sorted(set().union(*counted))
    least = {name: min(counts[name] for counts in counted) for name in names}
    over = {name: count for name, count in least.items() if count > BUDGET.get(name, 0)}
    assert not over, f"a scrape's calls over their budget: {over}; all of them: {least}. Take out what was added, or say in BUDGET what it is worth."


def is_traced(proxy):
    return proxy.threads()["ringway"]["TracerPid"].strip() != "0"
