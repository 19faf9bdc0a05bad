"""CPUs, their time and their memory."""

import contextlib
import os
from pathlib import Path

from clients import load
from host import Ringway, knobs
from knob import collector

KNOBS, knob = collector()
THP = "/sys/kernel/mm/transparent_hugepage/enabled"


@knob("huge_pages", "always", "madvise", "never", "madvise, MIMALLOC_ALLOW_THP=0", host_wide=True)
def huge_pages(setting):
    """memory of 4,000 idle relayed connections, and what bulk and new connections cost"""
    mode, _, variable = setting.partition(", ")
    with knobs(files={THP: mode}), Ringway(wrap=["env", variable] if variable else [], cpu=0) as ringway:
        bulk = load("throughput", "--streams", 64, "--seconds", 1.5, pid=ringway.pid, cpu=1)
        rate = load("rate", "--connections", 10000, pid=ringway.pid, cpu=1)
    with knobs(files={THP: mode}), Ringway(wrap=["env", variable] if variable else [], cpu=0) as ringway:
        idle = load("idle", "--connections", 4000, pid=ringway.pid, cpu=1)
        return {
            "KiB (PSS) per connection": round(idle["pss_kib_per_connection"], 2),
            "MiB before": round(idle["server_pss_kib_before"] / 1024, 1),
            "MiB with 4,000": round(idle["server_pss_kib_after"] / 1024, 1),
            "CPU ms per GB": round(bulk["server_cpu_ms_per_gb"]),
            "CPU us per connection": round(rate["server_cpu_us_per_connection"], 1),
        }


@knob("pinning", "not pinned", "workers.cpus=[0,1]")
def pinning(setting):
    """2 workers and a load on the same 2 CPUs: ping-pong, 10,000 a second"""
    pinned = [] if setting == "not pinned" else [setting]
    with Ringway(*pinned, workers=2) as ringway:
        before = ringway.of_threads("nr_migrations")
        small = load("latency", "--connections", 64, "--rate", 10000, "--seconds", 3, pid=ringway.pid)
        return {
            "migrations of its threads": ringway.of_threads("nr_migrations") - before,
            "CPU us per ping-pong": round(small["server_cpu_us_per_round_trip"], 1),
            "p50 us": round(small["latency_p50_us"]),
            "p99 us": round(small["latency_p99_us"]),
        }


@knob("workers", 1, 2, 4)
def workers(setting):
    """workers.count on CPUs shared with the load: ping-pong, 10,000 a second"""
    with Ringway(workers=setting) as ringway:
        small = load("latency", "--connections", 64, "--rate", 10000, "--seconds", 3, pid=ringway.pid)
        return {
            "CPU us per ping-pong": round(small["server_cpu_us_per_round_trip"], 1),
            "p50 us": round(small["latency_p50_us"]),
            "p99 us": round(small["latency_p99_us"]),
        }


@knob("cpu_quota", "none", "0.2 of a CPU")
def cpu_quota(setting):
    """ping-pong, 5,000 a second, in a control group with that much time"""
    with group("none" if setting == "none" else 20_000) as (join, throttled), Ringway(cpu=0) as ringway:
        join(ringway.pid)
        small = load("latency", "--connections", 64, "--rate", 5000, "--seconds", 2, pid=ringway.pid, cpu=1)
        return {
            "times stopped": throttled(),
            "CPU share": round(small["server_cores_used"], 2),
            "p99 us": round(small["latency_p99_us"]),
        }


@contextlib.contextmanager
def group(quota_us):
    """A control group with so much CPU time in 100 ms, in the old hierarchy or in the new one."""
    old = Path("/sys/fs/cgroup/cpu")
    folder = (old if old.exists() else Path("/sys/fs/cgroup")) / f"ringway-bench-{os.getpid()}"
    folder.mkdir()
    try:
        if quota_us != "none" and old.exists():
            (folder / "cpu.cfs_quota_us").write_text(str(quota_us))
        elif quota_us != "none":
            (folder / "cpu.max").write_text(f"{quota_us} 100000")

        def join(pid):
            (folder / "cgroup.procs").write_text(str(pid))

        def throttled():
            lines = (folder / "cpu.stat").read_text().splitlines()
            return next((int(line.split()[1]) for line in lines if line.startswith("nr_throttled")), 0)

        yield join, throttled
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()


@knob("congestion", "reno", "cubic", "bbr")
def congestion(setting):
    """net.ipv4.tcp_congestion_control: one bulk stream on loopback"""
    with knobs(net__ipv4__tcp_congestion_control=setting), Ringway(cpu=0) as ringway:
        bulk = load("throughput", "--streams", 1, "--seconds", 2, pid=ringway.pid, cpu=1)
        return {"CPU ms per GB": round(bulk["server_cpu_ms_per_gb"]), "GB/s": round(bulk["gb_per_second"], 2)}
