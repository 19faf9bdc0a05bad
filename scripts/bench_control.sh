#!/usr/bin/env bash
# What watching costs: the relay's latency beside 50 scrapes of /metrics a second and without them, in interleaved rounds, and how long
# the scrapes take. Worker on CPU 0; load on CPU 1, as is the scraper; the control thread where the kernel likes.
#   scripts/bench_control.sh [--rounds 5] [--seconds 5] [--rate 50] [--users 0]
# --users N configures N users: five series each in /metrics.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=5 seconds=5 rate=50 users=0
while (($#)); do
    case $1 in
        --rounds) rounds=$2 ;;
        --seconds) seconds=$2 ;;
        --rate) rate=$2 ;;
        --users) users=$2 ;;
        *) sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
    shift 2
done
cargo build --quiet --release -p ringway-benches --bin socks_load
cargo build --quiet --release
scratch=$(mktemp -d)
server=
trap '[[ -z $server ]] || kill "$server" 2>/dev/null || true; rm -rf "$scratch"' EXIT

socks=7121 control=7122 login=()
options=(--set log.access=false --set 'socks5.allow_targets=[loopback]' --set workers.count=1 --set 'workers.cpus=[0]'
    --set 'websocket.listen=[]' --set "socks5.listen=[\"127.0.0.1:$socks\"]" --set "control.listen=[\"127.0.0.1:$control\"]")
if ((users > 0)); then
    { echo users:; for ((i = 0; i < users; i++)); do echo "  - {name: u$i, password: '{plain}password$i', quota: 1TiB}"; done; } >"$scratch/users.yaml"
    options+=(--set socks5.auth=password --set "socks5.users_file=$scratch/users.yaml"
        --set "socks5.quota_file=$scratch/quotas.json")
    login=(--user u0 --password password0)
fi
target/release/ringway "${options[@]}" >"$scratch/log" 2>&1 &
server=$!
for _ in {1..100}; do
    ! grep -q ' ready ' "$scratch/log" || break
    kill -0 "$server" 2>/dev/null || { cat "$scratch/log" >&2; exit 1; }
    sleep 0.05
done

relay() {
    taskset -c 1 target/release/socks_load latency --connections 16 --rate 5000 --seconds "$seconds" --proxy "127.0.0.1:$socks" \
        "${login[@]}" --json --label "beside=$1" >>"$scratch/reports"
}

for ((round = 1; round <= rounds; round++)); do
    echo "round $round" >&2
    relay nothing
    taskset -c 1 target/release/socks_load scrape --url "http://127.0.0.1:$control/metrics" --rate "$rate" --seconds "$((seconds + 2))" --json >>"$scratch/scrapes" &
    scraper=$!
    sleep 1
    relay scrapes
    wait "$scraper"
done
python3 - "$scratch" "$rate" <<'PYTHON'
import json, statistics, sys
folder, rate = sys.argv[1:]
reports = [json.loads(line) for line in open(f"{folder}/reports")]
scrapes = [json.loads(line) for line in open(f"{folder}/scrapes")]
for figure in ("latency_p50_us", "latency_p99_us", "latency_max_us"):
    values = {kind: [report[figure] for report in reports if report["beside"] == kind] for kind in ("nothing", "scrapes")}
    alone, beside = (statistics.median(values[kind]) for kind in ("nothing", "scrapes"))
    spread = " ".join(f"{kind} {min(each):.0f}-{max(each):.0f}" for kind, each in values.items())
    print(f"relay {figure}: alone {alone:.0f}, beside {rate} scrapes/s {beside:.0f}, ratio {beside / alone:.2f} ({spread})")
for figure in ("bytes", "total_p50_us", "total_p99_us", "total_max_us"):
    print(f"scrape {figure}: {statistics.median(scrape[figure] for scrape in scrapes):.0f}")
PYTHON
