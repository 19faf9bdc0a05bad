"""The kernel's network settings."""

import itertools
import signal
import socket
import tempfile
import threading
import time
from pathlib import Path

from clients import Storm, Target, association, connect, datagram, half_open, held, load, visits, waiting
from host import OUTSIDE, Counters, Ringway, knobs, run
from knob import collector

KNOBS, knob = collector()
# Each measurement has a target port of its own: what one leaves behind in TIME_WAIT is not in the next one's way.
ports = itertools.count(7810)

STORM = 6000


@knob(
    "somaxconn",
    "128, backlog 4096",
    "4096, backlog 4096",
    "16384, backlog 4096",
    "4096, backlog 16384",
    "16384, backlog 16384",
)
def somaxconn(setting):
    """6,000 connections at once while the worker is held up for 0.5 s"""
    most, backlog = setting.split(", backlog ")
    with knobs(net__core__somaxconn=most), Ringway(f"socks5.limits.backlog={backlog}") as ringway:
        counters = Counters()
        with ringway.stalled():
            storm = Storm(STORM)
            waited = storm.wait(0.5)
        storm.wait(10)
        slowest = max(storm.times)
        storm.close()
        return {
            f"of {STORM} waited in the queue": waited,
            "ListenOverflows": counters["ListenOverflows"],
            "slowest connected after s": round(slowest, 1),
        }


@knob("somaxconn_busy", "128, backlog 4096", "4096, backlog 4096", "16384, backlog 16384")
def somaxconn_busy(setting):
    """6,000 connections at once, and the worker takes them meanwhile"""
    most, backlog = setting.split(", backlog ")
    with knobs(net__core__somaxconn=most), Ringway(f"socks5.limits.backlog={backlog}"):
        counters = Counters()
        storm = Storm(STORM)
        storm.wait(10)
        slowest = max(storm.times)
        storm.close()
        return {"ListenOverflows": counters["ListenOverflows"], "slowest connected after s": round(slowest, 1)}


@knob(
    "tcp_max_syn_backlog",
    "128, cookies 1",
    "2048, cookies 1",
    "16384, cookies 1",
    "128, cookies 0",
    "2048, cookies 0",
    "16384, cookies 0",
)
def tcp_max_syn_backlog(setting):
    """12,000 SYNs whose senders never answer, then 20 clients; backlog 4096"""
    most, cookies = setting.split(", cookies ")
    limits = {"net__core__somaxconn": 16384, "net__ipv4__tcp_max_syn_backlog": most, "net__ipv4__tcp_syncookies": cookies}
    silent_network()
    # Of its own each time: half-open connections outlive the listener.
    port = next(ports)
    with knobs(**limits), Ringway(port=port):
        counters = Counters()
        half_open((OUTSIDE, port), 12_000)
        time.sleep(0.2)
        table = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        found = sum(line[3] == "03" and line[1].endswith(f":{port:04X}") for line in table)
        storm = Storm(20, (OUTSIDE, port))
        served = storm.wait(0.5)
        storm.close()
        return {
            "half-open": found,
            "TCPReqQFullDoCookies": counters["TCPReqQFullDoCookies"],
            "ListenDrops": counters["ListenDrops"],
            "clients connected within 0.5 s, of 20": served,
        }


def silent_network():
    """10.9.0.0/16 and 10.7.0.0/16 lead into a wire at whose end nobody answers."""
    if "silent0:" not in Path("/proc/net/dev").read_text():
        run("ip", "link", "add", "silent0", "type", "veth", "peer", "name", "silent1")
        for device in ("silent0", "silent1"):
            run("ip", "link", "set", device, "arp", "off", "up")
        for network in ("10.9.0.0/16", "10.7.0.0/16"):
            run("ip", "route", "add", network, "dev", "silent0", "src", OUTSIDE)


def arrived_on(device):
    """Bytes: trains of datagrams (GSO) count as one packet."""
    line = next(line for line in Path("/proc/net/dev").read_text().splitlines() if line.strip().startswith(device))
    return int(line.split(":")[1].split()[0])


BURST, SIZE = 600, 1200


@knob("rmem_max", 212992, 425984, 1048576, 4194304, host_wide=True)
def rmem_max(setting):
    """a burst of 600 datagrams of 1,200 B while the worker is held up"""
    with knobs(net__core__rmem_max=setting), Ringway() as ringway, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as target:
        # Beyond rmem_max: it must not be the one that loses any.
        target.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)
        target.bind(("127.0.0.1", 0))
        control, relay = association()
        counters = Counters()
        with ringway.stalled(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            for _ in range(BURST):
                client.sendto(datagram(target.getsockname(), SIZE), relay)
        arrived = waiting(target)
        control.close()
        return {f"of {BURST} arrived": arrived, "UdpRcvbufErrors": counters["UdpRcvbufErrors"]}


@knob("wmem_max", 212992, 425984, 1048576, 4194304, host_wide=True)
def wmem_max(setting):
    """the same burst towards a link of 200 Mbit/s (tbf)"""
    silent_network()
    run("tc", "qdisc", "replace", "dev", "silent0", "root", "tbf", "rate", "200mbit", "burst", "32k", "limit", "20m")
    try:
        with knobs(net__core__wmem_max=setting), Ringway() as ringway:
            control, relay = association()
            before = arrived_on("silent1")
            with ringway.stalled(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                for _ in range(BURST):
                    client.sendto(datagram(("10.7.0.1", 9), SIZE), relay)
            time.sleep(0.4)
            sent = (arrived_on("silent1") - before) // (SIZE + 42)
            dropped = int(ringway.metric("socks5_udp_datagrams_dropped_total"))
            control.close()
            return {f"of {BURST} sent": sent, "dropped by ringway": dropped}
    finally:
        run("tc", "qdisc", "del", "dev", "silent0", "root")


@knob("ports", "4000 ports", "8000 ports", "4000 ports, tw_reuse 1", "4000 ports, tw_reuse 1, timestamps 0")
def outgoing_ports(setting):
    """10,000 short connections to one target that is not on loopback, the clients closing first"""
    words = setting.replace(",", "").split()
    target, first = (OUTSIDE, next(ports)), 20_000
    limits = {
        "net__ipv4__ip_local_port_range": f"{first} {first + int(words[0]) - 1}",
        "net__ipv4__tcp_tw_reuse": 1 if "tw_reuse" in words else 2,
        "net__ipv4__tcp_timestamps": 0 if "timestamps" in words else 1,
    }
    with knobs(**limits), Ringway(), Target(target):
        codes = visits(target, 10_000)
        return {"connected": codes.get("0", 0), "refused (reply 01)": codes.get("1", 0)}


@knob("ports_held", "40000-40999", "40000-41999")
def ports_held(setting):
    """1,500 connections to one target that stay"""
    target = (OUTSIDE, next(ports))
    with Ringway(), Target(target), knobs(net__ipv4__ip_local_port_range=setting.replace("-", " ")):
        codes = held(target, 1500)
        return {"connected": codes.get(0, 0), "refused (reply 01)": codes.get(1, 0)}


@knob("tcp_migrate_req", 0, 1)
def tcp_migrate_req(setting):
    """64 connections always under way while 2 workers become 1 by a hot restart, 8 times"""
    with tempfile.TemporaryDirectory() as folder, knobs(net__ipv4__tcp_migrate_req=setting):
        file = Path(folder) / "ringway.yaml"
        lost = total = 0
        for _ in range(8):
            file.write_text("workers:\n  count: 2\n")
            with Ringway(file=file) as ringway:
                file.write_text("workers:\n  count: 1\n")
                restart = threading.Timer(0.4, ringway.process.send_signal, [signal.SIGUSR2])
                restart.start()
                rate = load("rate", "--seconds", 1.2)
                restart.join()
                ringway.successor()
                total += rate["connections"]
                lost += sum(count for name, count in rate.items() if name.startswith("failures_"))
        return {"connections": total, "lost": lost}


@knob("tcp_migrate_req_drain", 0, 1)
def tcp_migrate_req_drain(setting):
    """SIGTERM to 2 workers with 400 connections in their queues, 5 times"""
    lost = 0
    with knobs(net__ipv4__tcp_migrate_req=setting):
        for _ in range(5):
            with Ringway(workers=2) as ringway:
                clients = []
                with ringway.stalled():
                    for _ in range(400):
                        clients.append(connect())
                        clients[-1].sendall(b"\5\1\0")
                    ringway.process.send_signal(signal.SIGTERM)
                for client in clients:
                    client.settimeout(3)
                    try:
                        lost += client.recv(2) != b"\5\0"
                    except OSError:
                        lost += 1
                    client.close()
    return {"of 2000 lost": lost}


@knob("tcp_fastopen", "2: servers", "3: clients too")
def tcp_fastopen(setting):
    """20 connections with socks5.egress.fast_open, the target offering it"""
    target = (OUTSIDE, next(ports))
    with knobs(net__ipv4__tcp_fastopen=setting[0]), Ringway("socks5.egress.fast_open=true"), Target(target, fast_open=True):
        counters = Counters()
        codes = visits(target, 20, processes=1, said=b"first bytes")
        return {
            "connected": codes.get("0", 0),
            "TCPFastOpenActive": counters["TCPFastOpenActive"],
            "TCPFastOpenPassive": counters["TCPFastOpenPassive"],
        }


@knob("reserved_ports", "none", "the listener's")
def reserved_ports(setting):
    """ringway is to listen on a port of the range, all of which outgoing connections have taken"""
    target = (OUTSIDE, next(ports))
    # Of its own each time: closed connections keep their ports for a minute.
    first = 45000 if setting == "none" else 46000
    reserved = "" if setting == "none" else first + 10
    limits = {"net__ipv4__ip_local_port_range": f"{first} {first + 19}", "net__ipv4__ip_local_reserved_ports": reserved}
    with Target(target), knobs(**limits):
        taken = []
        try:
            for _ in range(20):
                taken.append(connect(target))
        except OSError:
            pass
        ringway = Ringway(port=first + 10)
        started = ringway.start()
        ringway.stop()
        for connection in taken:
            connection.close()
        refusal = "no: address in use" if "Address already in use" in ringway.said() else "no"
        return {"outgoing connections": len(taken), "ringway starts": "yes" if started else refusal}
