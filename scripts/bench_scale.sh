#!/usr/bin/env bash
# What a connection costs while 100 to 15,000 of them are open: curves that must be flat. Interleaved rounds; medians, each curve's highest
# over lowest, markdown and JSON to benches/baseline/. Server on CPU 0, load on CPU 1; each point has a fresh server. As root all
# runs in a network namespace of its own with `reno`, as in bench.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'TEXT'
scripts/bench_scale.sh [--rounds 3] [--seconds 2] [--figures relay_active,fanout,...] [--points 100,1000] [--raw FILE] [--what scale]

  --figures  which of (default: all):
             relay_active  ping-pong at 10,000/s in all, on N connections; HAProxy's curve beside it, where it is installed
             fanout        one topic, N subscribers, 30,000 deliveries/s in all; the bare server's curve beside it
             relay_idle, ws_idle   memory and CPU of N that do nothing (once: they do not vary)
             accept_relay, accept_ws   connections made and closed while N are held open
             pages         /metrics, /stats and a page of the connections list, with N open (a fifth relays)
             start         from exec to ready, and to the end after SIGTERM
             memory        before, beside and after 9,300 relays, and then 15,000 WebSockets (takes 100 s; once)
  --points   instead of each figure's own (relay 100 300 1000 3000 9300, others 100 300 1000 3000 10000 15000)
  --raw      the reports are added to this file and what it has from runs before counts too: a long run in pieces
  --before   another build of ringway to run beside this one, as the peer `before`
TEXT
}

given=("$@")
rounds=3 seconds=2 what=scale raw= points= before=
figures=relay_active,fanout,relay_idle,ws_idle,accept_relay,accept_ws,pages,start,memory
while (($#)); do
    case $1 in
        --rounds) rounds=$2 ;;
        --seconds) seconds=$2 ;;
        --figures) figures=$2 ;;
        --points) points=$2 ;;
        --raw) raw=$2 ;;
        --what) what=$2 ;;
        --before) before=$2 ;;
        --help) usage; exit ;;
        *) usage >&2; exit 2 ;;
    esac
    shift 2 || { usage >&2; exit 2; }
done
IFS=, read -ra figures <<<"$figures"

server_cpu=0 load_cpu=1
socks=7301 websocket=7302 control=7303 target=7304
deliveries_per_second=30000
server_pid= holders=()

server_command() {
    case $1 in
        ringway | before)
            local binary=target/release/ringway
            [[ $1 == ringway ]] || binary=$before
            command=("$binary" --set log.access=false --set history.enabled=false --set workers.count=1 --set "workers.cpus=[$server_cpu]"
                --set "socks5.listen=[\"127.0.0.1:$socks\"]" --set 'socks5.allow_targets=[loopback]'
                --set "websocket.listen=[\"127.0.0.1:$websocket\"]" --set websocket.max_connections=15100
                --set "control.listen=[\"127.0.0.1:$control\"]"
                --set 'websocket.namespaces=[{prefix: "", publish: anyone, overflow: drop_oldest}]') ;;
        haproxy)
            # Its own limits would not let 9,300 in.
            sed "s/@PORT@/$socks/; s/@TARGET_PORT@/$target/; s/maxconn .*/maxconn 9400/; s/maxpipes .*/maxpipes 128/" \
                benches/peers/haproxy.cfg >"$scratch/haproxy.cfg"
            command=(haproxy -q -db -f "$scratch/haproxy.cfg") ;;
        bare) command=(target/release/bare_ws_server "$websocket") ;;
    esac
}

start_server() {
    local port=$socks
    [[ $1 != bare ]] || port=$websocket
    server_command "$1"
    taskset -c "$server_cpu" "${command[@]}" >"$scratch/$1.log" 2>&1 &
    server_pid=$!
    for _ in {1..100}; do
        ! (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || return 0
        kill -0 "$server_pid" 2>/dev/null || break
        sleep 0.05
    done
    echo "bench_scale.sh: $1 does not serve:" >&2
    tail -n 5 "$scratch/$1.log" >&2
    return 1
}

# Cut, not drained: what is open is ours.
stop_all() {
    release
    [[ -n $server_pid ]] || return 0
    kill -KILL "$server_pid" 2>/dev/null || true
    wait "$server_pid" 2>/dev/null || true
    server_pid=
    # The kernel takes a dead process's rings apart in its own time, and keeps their listeners until then.
    for _ in {1..100}; do
        [[ -n $(ss -Hltn "sport = :$socks or sport = :$websocket or sport = :$control") ]] || return 0
        sleep 0.05
    done
}

descriptors() { find "/proc/$server_pid/fd" -mindepth 1 | wc -l; }

# Opens $1 relays and $2 WebSockets and holds them until `release`.
hold() {
    local wanted=$((2 * $1 + $2))
    if (($1 > 0)); then
        taskset -c "$load_cpu" target/release/socks_load idle --connections "$1" --hold 600 --proxy "127.0.0.1:$socks" >"$scratch/holder" 2>&1 &
        holders+=($!)
    fi
    if (($2 > 0)); then
        taskset -c "$load_cpu" target/release/ws_load idle --connections "$2" --hold 600 --topic bench --dialect ringway \
            --url "ws://127.0.0.1:$websocket/ws" >"$scratch/holder" 2>&1 &
        holders+=($!)
    fi
    for _ in {1..900}; do
        (($(descriptors) < wanted)) || return 0
        sleep 0.1
    done
    echo "bench_scale.sh: $1 relays and $2 WebSockets could not be opened: $(descriptors) descriptors" >&2
    return 1
}

release() {
    ((${#holders[@]})) || return 0
    kill "${holders[@]}" 2>/dev/null || true
    wait "${holders[@]}" 2>/dev/null || true
    holders=()
}

# One report of a load program about peer $1 with $2 connections, figure $3, its arguments behind.
report() {
    local peer=$1 open=$2 figure=$3
    shift 3
    taskset -c "$load_cpu" "target/release/$1" "${@:2}" --server-pid "$server_pid" --json \
        --label "figure=$figure" --label "peer=$peer" --label "open=$open" >>"$raw" || echo "bench_scale.sh: $figure at $open failed" >&2
}

# Figure $1 of peer $2 with $3 connections.
measure() {
    local figure=$1 peer=$2 open=$3 relay=(--proxy "127.0.0.1:$socks" --target-port "$target") page
    local gateway=(--dialect ringway --url "ws://127.0.0.1:$websocket/ws")
    [[ $peer != haproxy ]] || relay=(--forwarder "127.0.0.1:$socks" --target-port "$target")
    [[ $peer != bare ]] || gateway=(--url "ws://127.0.0.1:$websocket/broadcast")
    start_server "$peer" || { stop_all; return 0; }
    case $figure in
        relay_active) report "$peer" "$open" "$figure" socks_load latency --connections "$open" --rate 10000 --seconds "$seconds" "${relay[@]}" ;;
        fanout) report "$peer" "$open" "$figure" ws_load fanout --subscribers "$open" --rate $((deliveries_per_second / open)) --seconds "$seconds" "${gateway[@]}" ;;
        relay_idle) report "$peer" "$open" "$figure" socks_load idle --connections "$open" --hold 6 "${relay[@]}" ;;
        ws_idle) report "$peer" "$open" "$figure" ws_load idle --connections "$open" --hold 6 --topic bench "${gateway[@]}" ;;
        accept_relay) hold "$open" 0 && report "$peer" "$open" "$figure" socks_load rate --parallel 64 --seconds "$seconds" "${relay[@]}" ;;
        accept_ws) hold 0 "$open" && report "$peer" "$open" "$figure" ws_load storm --parallel 64 --seconds "$seconds" "${gateway[@]}" ;;
        pages)
            hold $((open / 5)) $((open - open / 5)) || true
            for page in /metrics /stats '/api/v1/connections?limit=100'; do
                report "$peer" "$open" "page${page%%\?*}" socks_load scrape --url "http://127.0.0.1:$control$page" --rate 3 --seconds 3
            done ;;
    esac
    stop_all
}

# What the server and the kernel hold at step $1.
note_memory() {
    python3 - "$1" "$server_pid" >>"$raw" <<'PYTHON'
import json, os, sys
step, pid = sys.argv[1:]
fields = lambda path: {line.split(":")[0]: int(line.split()[1]) for line in open(path) if line.rstrip().endswith("kB")}
rollup = fields(f"/proc/{pid}/smaps_rollup")
# Only what sockets alone have, as others make files and directory entries too: those are 0.4 KiB more for each.
caches = ("TCP", "sock_inode_cache", "eventpoll_epi", "io_kiocb", "io_poll_issue")
slabs = [line.split() for line in open("/proc/slabinfo")][2:] if os.access("/proc/slabinfo", os.R_OK) else []
kernel = {slab[0]: int(slab[1]) * int(slab[3]) for slab in slabs if slab[0] in caches}
tcp = next(line.split() for line in open("/proc/net/sockstat") if line.startswith("TCP:"))
print(json.dumps({"figure": "memory", "step": step, "pss_kib": rollup["Pss"], "kernel_kib": sum(kernel.values()) >> 10,
    "kernel": kernel, "fds": len(os.listdir(f"/proc/{pid}/fd")), "sockets": int(tcp[tcp.index("inuse") + 1])}))
PYTHON
}

memory() {
    start_server ringway
    sleep 2; note_memory "before"
    hold 9300 0; sleep 2; note_memory "9,300 relays"
    release; sleep 10; note_memory "10 s after they closed"
    hold 0 15000; sleep 2; note_memory "15,000 WebSockets"
    release; sleep 10; note_memory "10 s after these closed"
    sleep 50; note_memory "60 s after"
    curl -sS -o /dev/null -X POST -H 'Content-Type: application/json' -d '{}' "http://127.0.0.1:$control/admin/memory/collect" || true
    sleep 1; note_memory "after POST /admin/memory/collect"
    stop_all
}

start() {
    local users
    for users in 0 1000; do
        command=()
        server_command ringway
        if ((users > 0)); then
            { echo users:; for ((i = 0; i < users; i++)); do echo "  - {name: u$i, password: '{plain}password$i', quota: 1TiB}"; done; } >"$scratch/users.yaml"
            command+=(--set socks5.auth=password --set "socks5.users_file=$scratch/users.yaml" --set "socks5.quota_file=$scratch/quotas.json")
        fi
        taskset -c "$load_cpu" python3 - "$users" "$server_cpu" "$control" "${command[@]}" >>"$raw" <<'PYTHON'
import json, os, signal, socket, subprocess, sys, time
users, cpu, port, command = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:]
def is_ready():
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as control:
            control.sendall(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            return control.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False
for _ in range(10):
    began = time.perf_counter()
    server = subprocess.Popen(["taskset", "-c", cpu, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not is_ready() and server.poll() is None:
        time.sleep(0.0005)
    ready = time.perf_counter()
    server.send_signal(signal.SIGTERM)
    server.wait()
    print(json.dumps({"figure": "start", "users": users, "ready_ms": (ready - began) * 1e3, "stop_ms": (time.perf_counter() - ready) * 1e3}))
PYTHON
    done
}

points_of() {
    [[ -z $points ]] || { echo "${points//,/ }"; return; }
    case $1 in
        relay_active | relay_idle) echo 100 300 1000 3000 9300 ;;
        accept_relay) echo 100 300 1000 3000 9000 ;;
        *) echo 100 300 1000 3000 10000 15000 ;;
    esac
}

peers_of() {
    local peers=ringway
    [[ -z $before ]] || peers+=" before"
    case $1 in
        relay_active) ! command -v haproxy >/dev/null || peers+=" haproxy" ;;
        fanout) peers+=" bare" ;;
    esac
    echo "$peers"
}

if [[ -z ${BENCH_NAMESPACE:-} ]]; then
    [[ -n ${BENCH_BUILT:-} ]] || { cargo build --quiet --release -p ringway-benches --bins; cargo build --quiet --release; }
    if unshare --net true 2>/dev/null; then
        BENCH_NAMESPACE=own exec unshare --net "$0" "${given[@]}"
    fi
    echo "bench_scale.sh: no network namespace of our own (are we root?); the host's settings count" >&2
else
    ip link set lo up
    sysctl -qw net.ipv4.tcp_congestion_control=reno
    sysctl -qw net.ipv4.ip_local_port_range="10000 65000"
fi
ulimit -n "$(ulimit -Hn)"
scratch=$(mktemp -d)
: "${raw:=$scratch/reports.jsonl}"
touch "$raw"
trap 'stop_all; rm -rf "$scratch"' EXIT
for ((round = 1; round <= rounds; round++)); do
    for figure in "${figures[@]}"; do
        case $figure,$round in
            memory,1 | start,1) "$figure"; continue ;;
            memory,* | start,* | relay_idle,[2-9]* | ws_idle,[2-9]*) continue ;;
        esac
        for open in $(points_of "$figure"); do
            for peer in $(peers_of "$figure"); do
                echo "round $round, $figure, $open, $peer" >&2
                measure "$figure" "$peer" "$open"
            done
        done
    done
done
python3 scripts/bench_scale.py "$raw" "benches/baseline/$(date -u +%F)-$what" "$(git describe --always --dirty)"
