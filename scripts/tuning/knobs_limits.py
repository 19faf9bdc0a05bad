"""How much of everything a process may have."""

from clients import Source, Target, held, load, stopped_readers
from host import NOBODY, OUTSIDE, Ringway, knobs
from knob import collector

KNOBS, knob = collector()


def spliced(*settings):
    """100 downloads whose clients have stopped reading, then 16 that go on, through a ringway without privileges."""
    source = (OUTSIDE, 7898)
    with Ringway(*settings, user=NOBODY, cpu=0) as ringway, Source(source), stopped_readers(source, 100):
        held_pipes = int(ringway.metric("worker_pipes_in_use"))
        figures = load("throughput", "--streams", 16, "--seconds", 2, pid=ringway.pid, cpu=1)
        return {
            "pipes of the stopped": held_pipes,
            "pipe pool misses": int(ringway.metric("worker_pipe_pool_misses_total")),
            "CPU ms per GB of the others": round(figures["server_cpu_ms_per_gb"]),
            "GB/s": round(figures["gb_per_second"], 2),
        }


@knob("pipe-user-pages-soft", 16384, 0, host_wide=True)
def pipe_user_pages_soft(setting):
    """100 downloads whose clients stopped reading, 16 that go on; ringway without privileges, pipes of 1 MiB"""
    with knobs(**{"fs__pipe-user-pages-soft": setting}):
        return spliced()


@knob("pipe-max-size", 1048576, 4194304, host_wide=True)
def pipe_max_size(setting):
    """the same with socks5.relay.pipe_size=4MiB and no limit of pages"""
    with knobs(**{"fs__pipe-max-size": setting, "fs__pipe-user-pages-soft": 0}):
        return spliced("socks5.relay.pipe_size=4MiB")


@knob("pipe_size", "64KiB", "256KiB", "1MiB")
def pipe_size(setting):
    """the same load as root, by socks5.relay.pipe_size"""
    with Ringway(f"socks5.relay.pipe_size={setting}", cpu=0) as ringway:
        figures = load("throughput", "--streams", 64, "--seconds", 2, pid=ringway.pid, cpu=1)
        return {"CPU ms per GB": round(figures["server_cpu_ms_per_gb"]), "GB/s": round(figures["gb_per_second"], 2)}


@knob("nofile", 1024, 4096, 16384)
def nofile(setting):
    """3,000 connections that stay, under this limit of descriptors"""
    target = (OUTSIDE, 7899)
    with Target(target), Ringway(wrap=["prlimit", f"--nofile={setting}"]) as ringway:
        codes = held(target, 3000)
        return {"served": codes.get(0, 0), "refused": 3000 - codes.get(0, 0)}


@knob("memlock", 65536, 8388608)
def memlock(setting):
    """the driver of a ringway without privileges under this limit"""
    with Ringway(user=NOBODY, workers=2, wrap=["prlimit", f"--memlock={setting}"]) as ringway:
        return {"driver": ringway.driver()}


@knob("driver", "auto", "epoll")
def driver(setting):
    """workers.driver: what a host without io_uring costs (seccomp, kernel.io_uring_disabled)"""
    with Ringway(f"workers.driver={setting}", cpu=0) as ringway:
        small = load("latency", "--connections", 64, "--rate", 15000, "--seconds", 2, pid=ringway.pid, cpu=1)
        rate = load("rate", "--seconds", 2, pid=ringway.pid, cpu=1)
        return {
            "driver": ringway.driver(),
            "CPU us per ping-pong": round(small["server_cpu_us_per_round_trip"], 1),
            "p99 us": round(small["latency_p99_us"]),
            "CPU us per connection": round(rate["server_cpu_us_per_connection"], 1),
        }
