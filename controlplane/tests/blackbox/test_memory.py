"""/admin/memory: what the process holds, and giving back what is free."""

from pathlib import Path

import pytest

from targets import echo


def status(proxy, name):
    lines = Path(f"/proc/{proxy.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))


@pytest.mark.parametrize("path", ["/admin/memory", "/admin/gc-stats"])
def test_the_kernels_figures_are_the_kernels(ringway, path):
    proxy = ringway()
    memory = proxy.get(path).json
    resident = status(proxy, "VmRSS")
    assert abs(memory["process"]["resident_bytes"] - resident) < 8 << 20
    assert memory["process"]["resident_peak_bytes"] >= memory["process"]["resident_bytes"]
    assert abs(memory["mappings"]["rss_bytes"] - resident) < 8 << 20
    allocator = memory["allocator"]
    assert allocator["name"] == "mimalloc" and allocator["reserved_bytes"] >= allocator["committed_bytes"] > 0
    assert allocator["threads"] >= 3


@pytest.mark.parametrize("path", ["/admin/memory/collect", "/admin/gc"])
def test_collecting_says_what_it_gave_back_and_harms_nobody(ringway, target, path):
    proxy = ringway()
    tunnel = proxy.tunnel(target(echo).address)
    for _ in range(5):
        before = proxy.get("/admin/memory").json["allocator"]["purged_bytes"]
        answer = proxy.http("POST", path)
        assert answer.status == 200
        told = answer.json
        assert told["freed_bytes"] == max(0, told["resident_before_bytes"] - told["resident_bytes"])
        assert proxy.get("/admin/memory").json["allocator"]["purged_bytes"] >= before + told["purged_bytes"]
        assert "workers" in told["collected"]
        tunnel.sendall(b"still here")
        assert tunnel.recv(10) == b"still here"


def test_what_was_held_for_large_answers_is_given_back(ringway):
    """A configuration of some megabytes is read, shown and dropped: the control thread's heap has it to give."""
    namespaces = [{"prefix": f"topic{number:05}{'x' * 100}"} for number in range(1000)]
    proxy = ringway({"websocket.namespaces": namespaces})
    for _ in range(20):
        proxy.get("/config")
    purged = sum(proxy.http("POST", "/admin/memory/collect").json["purged_bytes"] for _ in range(2))
    assert purged > 0


def test_it_is_asked_for_by_the_right_method(ringway):
    proxy = ringway()
    assert proxy.http("POST", "/admin/memory").status == 405
    assert proxy.get("/admin/memory/collect").status == 405
    assert proxy.http("POST", "/admin/gc", {"Origin": "http://evil.example"}).status == 403
