"""Writes up what bench_scale.sh has measured: bench_scale.py REPORTS NAME REVISION [NOTE...] -> NAME.md and NAME.json.

A curve is a figure over the number of open connections; it is flat where its highest median is at most 1.20 times its lowest.
"""
import json
import os
import platform
import statistics
import sys
from datetime import datetime, timezone

FLAT = 1.20
# Figure -> title, columns: (key or function of a report, title, the number of connections from which on it has to be flat).
# Of a few hundred connections' memory the allocator's reserve decides.
share = lambda report: report["server_cpu_us_per_%s" % unit_of(report)] * report.get("server_cpu_user_share", 0)
unit_of = lambda report: {"latency": "round_trip", "fanout": "delivery"}[report["load"]]
page = [("total_p50_us", "p50 us", None), ("control_cpu_us_per_scrape", "control thread, CPU us each", 1), ("bytes", "bytes", None)]
rest = [
    ("private_dirty_kib_per_connection", "user memory each, KiB", 1_000),
    ("idle_cpu_us_per_second_after", "CPU us per second, all", None),
    ("idle_cpu_us_per_connection_second", "CPU us per second, each", None),
    ("alive_at_the_end", "alive at the end", None),
]
CURVES = {
    "relay_active": ("Relay: ping-pong of 64 B, 10,000 round trips a second in all", [
        ("server_cpu_us_per_round_trip", "CPU us each", 1), (share, "of it in user space", None),
        ("latency_p50_us", "p50 us", None), ("latency_p99_us", "p99 us", None), ("unanswered", "unanswered", None)]),
    "fanout": ("Fan-out: one topic, 200 B, 30,000 deliveries a second in all", [
        ("server_cpu_us_per_delivery", "CPU us each", 1), (share, "of it in user space", None),
        ("latency_p50_us", "p50 us", None), ("latency_p99_us", "p99 us", None), ("lost", "lost", None)]),
    "relay_idle": ("Relay: idle connections", rest),
    "ws_idle": ("WebSocket: idle connections, subscribed", rest),
    "accept_relay": ("Relay: connections made and closed while others are held open", [
        ("server_cpu_us_per_connection", "CPU us each", 1), ("connections_per_second", "per second", None),
        ("total_p99_us", "p99 us", None), ("failures", "failed", None)]),
    "accept_ws": ("WebSocket: upgrades while others are held open and subscribed", [
        ("server_cpu_us_per_upgrade", "CPU us each", 1), ("upgrades_per_second", "per second", None),
        ("total_p99_us", "p99 us", None), ("failures", "failed", None)]),
    "page/metrics": ("GET /metrics, a fifth of the open connections relays", page),
    "page/stats": ("GET /stats", page),
    "page/api/v1/connections": ("GET /api/v1/connections?limit=100", page),
}


def say(value):
    if value is None:
        return "-"
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def curve(reports, figure, peer, columns):
    """Rows of medians, one for each number of connections, and the verdict on each column."""
    mine = [report for report in reports if report["figure"] == figure and report.get("peer") == peer]
    rows = {}
    for open_ in sorted({int(report["open"]) for report in mine}):
        of = [report for report in mine if int(report["open"]) == open_]
        rows[open_] = {"rounds": len(of)}
        for key, title, _ in columns:
            values = [key(report) if callable(key) else report.get(key) for report in of]
            values = [value for value in values if value is not None]
            rows[open_][title] = statistics.median(values) if values else None
            rows[open_][title + " (lowest, highest)"] = [min(values), max(values)] if values else None
    verdicts = {}
    for _, title, flat_from in columns:
        values = [row[title] for open_, row in rows.items() if flat_from and open_ >= flat_from]
        if len(values) > 1 and all(value and value > 0 for value in values):
            ratio = max(values) / min(values)
            falls = values.index(max(values)) < values.index(min(values))
            verdicts[title] = {"from": flat_from, "ratio": round(ratio, 2), "flat": ratio <= FLAT, "falls": falls}
    return rows, verdicts


def since(verdict):
    return "" if verdict["from"] == 1 else f" from {verdict['from']:,} on"


def verdict_of(verdict):
    if verdict["flat"]:
        return "flat"
    return "falls" if verdict["falls"] else "NOT FLAT"


def write_curves(reports, lines, result):
    for figure, (title, columns) in CURVES.items():
        peers = []
        for report in reports:
            if report["figure"] == figure and report["peer"] not in peers:
                peers.append(report["peer"])
        for peer in peers:
            rows, verdicts = curve(reports, figure, peer, columns)
            result["curves"].append({"figure": figure, "peer": peer, "rows": rows, "verdicts": verdicts})
            lines += ["", f"## {title}" + ("" if peer == "ringway" else f" ({peer})"), ""]
            lines.append("| open | " + " | ".join(column for _, column, _ in columns) + " |")
            lines.append("| ---: |" + " ---: |" * len(columns))
            for open_, row in rows.items():
                cells = []
                for _, column, _ in columns:
                    spread, text = row[column + " (lowest, highest)"], say(row[column])
                    if spread and row["rounds"] > 1 and say(spread[0]) != say(spread[1]):
                        text += f" ({say(spread[0])}-{say(spread[1])})"
                    cells.append(text)
                lines.append(f"| {open_:,} | " + " | ".join(cells) + " |")
            if verdicts:
                lines.append("")
            lines += [f"{column}: highest over lowest{since(verdict)} {verdict['ratio']:.2f}, {verdict_of(verdict)}." for column, verdict in verdicts.items()]


def write_rest(reports, lines, result):
    starts = [report for report in reports if report["figure"] == "start"]
    if starts:
        lines += ["", "## From exec to ready, and from SIGTERM to the end (nobody connected)", "",
                  "| users | ready, ms | ended, ms |", "| ---: | ---: | ---: |"]
    for users in sorted({report["users"] for report in starts}):
        row = {"users": users}
        for key in ("ready_ms", "stop_ms"):
            values = sorted(report[key] for report in starts if report["users"] == users)
            row[key] = statistics.median(values)
            row[key + "_text"] = f"{row[key]:.1f} ({values[0]:.1f}-{values[-1]:.1f})"
        result["start"].append(row)
        lines.append(f"| {users:,} | {row['ready_ms_text']} | {row['stop_ms_text']} |")
    steps = [report for report in reports if report["figure"] == "memory"]
    if steps:
        lines += ["", "## Memory and descriptors over a load", "",
                  "| step | user memory, KiB | descriptors | TCP sockets of server and load | the kernel's for these and their watching, KiB |", "| --- | ---: | ---: | ---: | ---: |"]
    for step in steps:
        lines.append("| " + " | ".join([step["step"]] + [f"{step[key]:,}" for key in ("pss_kib", "fds", "sockets", "kernel_kib")]) + " |")
    result["memory"] = steps


def main():
    raw, name, revision, *remarks = sys.argv[1:]
    reports = [json.loads(line) for line in open(raw) if line.strip()]
    model = next((line.split(": ")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    congestion = open("/proc/sys/net/ipv4/tcp_congestion_control").read().strip()
    notes = [
        f"Linux {platform.release()}, {model}, {os.cpu_count()} CPUs; server on one, load on the other; one worker; congestion control {congestion}.",
        f"ringway {revision}. Medians of interleaved rounds (lowest-highest); load average at the end: {' '.join(open('/proc/loadavg').read().split()[:3])}.",
        f"`flat`: highest median over lowest at most {FLAT:.2f}; `falls`: more than that, and cheaper with more connections.",
        *remarks,
    ]
    lines = [f"# Scale, {datetime.now(timezone.utc):%Y-%m-%d}", "", *(f"- {note}" for note in notes)]
    result = {"notes": notes, "curves": [], "start": [], "memory": []}
    write_curves(reports, lines, result)
    write_rest(reports, lines, result)
    open(name + ".md", "w").write("\n".join(lines) + "\n")
    open(name + ".json", "w").write(json.dumps(result, indent=1) + "\n")
    print("\n".join(lines))


main()
