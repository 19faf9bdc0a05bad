#!/usr/bin/env bash
# Measures ringway beside its peers in interleaved rounds, and writes medians, ratios and bars to benches/baseline/.
# Server on CPU 0, load on CPU 1; each measurement has a fresh server. Where it may, all runs in a network namespace of its
# own with the congestion control `reno`: BBR, which hosts often default to, paces even loopback and triples the CPU per GB.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'TEXT'
scripts/bench.sh [--suite relay|ws] [--rounds 3] [--seconds 5] [--only ringway,dante,...] [--figures bulk_1,rate,...]
                 [--what relay] [--idle 5000] [--before BINARY] [--server NAME=COMMAND]... [--url NAME=URL]...

  --before   another build of ringway to run beside this one, as the peer `before`
  --what     the second half of the result's name: benches/baseline/<date>-<what>.md

Suite relay:
  --only     which of: direct ringway dante microsocks haproxy (default: all)
  --figures  which of: bulk_1 bulk_64 both_64 rate pingpong wwr idle (default: all)
             udp_up udp_down udp_both udp_trains udp_echo, measured of ringway, dante and bare (the least a relay of
             datagrams can do: benches/src/bin/bare_udp_relay.rs)
Suite ws (--seconds 1 --idle 10000 --what ws by default):
  --only     which of: bare ringway tokio_tungstenite fastwebsockets nchan npm_ws (default: all); bare is the least a
             WebSocket server can do: benches/src/bin/bare_ws_server.rs
  --figures  which of: ws_echo ws_pipelined ws_echo_16k ws_fanout_1000 ws_fanout_5000 ws_burst_10 ws_storm ws_idle ws_slow
             ws_beside (the relay's latency during a fan-out to 10,000) (default: all), ws_echo_rate ws_fanout_rate
  --server   one more peer, started as the others are: COMMAND, with @PORT@ for its port, serves /echo and /broadcast,
             where each message goes to all connections
  --url      one more peer that runs already, at ws://...; the host's network counts then, for all of them
TEXT
}

given=("$@")
declare -A other_commands=() other_urls=()
suite=relay rounds=3 seconds= what= idle= before= peers= figures=
while (($#)); do
    case $1 in
        --suite) suite=$2 ;;
        --server) other_commands[${2%%=*}]=${2#*=} ;;
        --url) other_urls[${2%%=*}]=${2#*=} ;;
        --rounds) rounds=$2 ;;
        --seconds) seconds=$2 ;;
        --only) peers=$2 ;;
        --figures) figures=$2 ;;
        --what) what=$2 ;;
        --idle) idle=$2 ;;
        --before) before=$2 ;;
        --help) usage; exit ;;
        *) usage >&2; exit 2 ;;
    esac
    shift 2 || { usage >&2; exit 2; }
done
case $suite in
    relay)
        : "${seconds:=5}" "${what:=relay}" "${idle:=5000}"
        : "${peers:=direct,ringway,dante,microsocks,haproxy}"
        : "${figures:=bulk_1,bulk_64,both_64,rate,pingpong,wwr,idle}" ;;
    ws)
        . scripts/bench_websocket.sh
        : "${seconds:=1}" "${what:=ws}" "${idle:=10000}"
        : "${peers:=bare,ringway,tokio_tungstenite,fastwebsockets,nchan,npm_ws}"
        : "${figures:=ws_echo,ws_pipelined,ws_echo_16k,ws_fanout_1000,ws_fanout_5000,ws_burst_10,ws_storm,ws_idle,ws_slow,ws_beside}" ;;
    *) usage >&2; exit 2 ;;
esac
[[ -z $before ]] || peers+=,before
for name in "${!other_commands[@]}" "${!other_urls[@]}"; do peers+=,$name; done
IFS=, read -ra peers <<<"$peers"
IFS=, read -ra figures <<<"$figures"

server_cpu=0 load_cpu=1 port=7101 target_port=7110
load=target/release/socks_load
[[ $suite == relay ]] || load=$ws_load
server_pid=

measured() { [[ " ${peers[*]} " == *" $1 "* ]]; }

# Debian's packages start services when installed; RUNLEVEL=1 keeps them from it.
install_peer() {
    measured "$1" && ! command -v "$2" >/dev/null || return 0
    DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "$3" >/dev/null
}

build() {
    cargo build --quiet --release -p ringway-benches --bins
    ! measured ringway || cargo build --quiet --release
    [[ $suite == relay ]] || { ws_build; return; }
    install_peer dante danted dante-server
    install_peer microsocks microsocks microsocks
    install_peer haproxy haproxy haproxy
}

fill_in() { sed "s/@PORT@/$port/; s/@TARGET_PORT@/$target_port/" "benches/peers/$1" >"$scratch/$1"; }

# The command that serves as peer $1 on $port.
server_command() {
    [[ $suite == relay ]] || { ws_server_command "$1"; return; }
    case $1 in
        ringway | before)
            local binary=target/release/ringway
            [[ $1 == ringway ]] || binary=$before
            command=("$binary" --set log.access=false --set 'socks5.allow_targets=[loopback]'
                --set workers.count=1 --set "websocket.listen=[]" --set "workers.cpus=[$server_cpu]" --set "socks5.listen=[\"127.0.0.1:$port\"]") ;;
        dante) fill_in danted.conf && command=(danted -f "$scratch/danted.conf") ;;
        # Its log of every connection cannot be switched off.
        microsocks) command=(sh -c "exec microsocks -i 127.0.0.1 -p $port 2>/dev/null") ;;
        haproxy) fill_in haproxy.cfg && command=(haproxy -q -db -f "$scratch/haproxy.cfg") ;;
        bare) command=(target/release/bare_udp_relay "127.0.0.1:$port") ;;
        *) echo "bench.sh: there is no peer $1" >&2; exit 2 ;;
    esac
}

# The bare relay has no TCP port: the kernel's table of UDP sockets tells of it.
serves() {
    if [[ $1 == bare && $suite == relay ]]; then
        grep -q "0100007F:$(printf %04X "$port") " /proc/net/udp
    else
        (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null
    fi
}

start_server() {
    server_command "$1"
    taskset -c "$server_cpu" "${command[@]}" >"$scratch/$1.log" 2>&1 &
    server_pid=$!
    for _ in {1..100}; do
        ! serves "$1" || return 0
        kill -0 "$server_pid" 2>/dev/null || break
        sleep 0.05
    done
    echo "bench.sh: $1 does not serve:" >&2
    tail -n 5 "$scratch/$1.log" >&2
    return 1
}

stop_server() {
    [[ -n $server_pid ]] || return 0
    kill "$server_pid" 2>/dev/null || true
    for _ in {1..100}; do
        kill -0 "$server_pid" 2>/dev/null || break
        sleep 0.05
    done
    kill -KILL "$server_pid" 2>/dev/null || true
    wait "$server_pid" 2>/dev/null || true
    server_pid=
}

# How peer $1 does figure $2; an error if it does not.
route_to() {
    [[ $suite == relay ]] || { ws_route_to "$1" "$2"; return; }
    route=(--target-port "$target_port")
    case $1 in
        direct) route+=(--direct) ;;
        haproxy | bare) route+=(--forwarder "127.0.0.1:$port" --server-pid "$server_pid") ;;
        *) route+=(--proxy "127.0.0.1:$port" --server-pid "$server_pid") ;;
    esac
}

load_of() {
    [[ $suite == relay ]] || { ws_load_of "$1"; return; }
    case $1 in
        bulk_1) arguments=(throughput --streams 1 --seconds "$seconds") ;;
        bulk_64) arguments=(throughput --streams 64 --seconds "$seconds") ;;
        both_64) arguments=(throughput --streams 64 --both-ways --seconds "$seconds") ;;
        rate) arguments=(rate --parallel 64 --seconds "$seconds") ;;
        pingpong) arguments=(latency --connections 64 --rate 20000 --size 64 --seconds "$seconds") ;;
        wwr) arguments=(wwr --rounds 100) ;;
        idle) arguments=(idle --connections "$idle") ;;
        udp_up) arguments=(udp --way up --seconds "$seconds") ;;
        udp_down) arguments=(udp --way down --seconds "$seconds") ;;
        udp_both) arguments=(udp --way both --seconds "$seconds") ;;
        udp_trains) arguments=(udp --way both --train 10 --gro --seconds "$seconds") ;;
        udp_echo) arguments=(udp --way echo --size 200 --rate 10000 --seconds "$seconds") ;;
        *) echo "bench.sh: there is no figure $1" >&2; exit 2 ;;
    esac
}

# One line for round $1, figure $2 and peer $3. A peer that cannot do it has no line, and says why.
measure() {
    local round=$1 figure=$2 peer=$3
    if [[ $peer == direct ]]; then
        [[ $figure != idle ]] || return 0
    elif [[ -z ${other_urls[$peer]:-} ]]; then
        route_to "$peer" "$figure" || return 0
        start_server "$peer" || { stop_server; return 0; }
    fi
    route_to "$peer" "$figure"
    load_of "$figure"
    echo "round $round, $figure, $peer" >&2
    if [[ $figure == ws_beside ]]; then
        ws_run_beside "$peer" "$round"
    else
        taskset -c "$load_cpu" "$load" "${arguments[@]}" "${route[@]}" --json \
            --label "peer=$peer" --label "figure=$figure" --label "round=$round" >>"$raw" || true
    fi
    stop_server
}

version_of() {
    case $1 in
        ringway) git describe --always --dirty ;;
        before) "$before" --version ;;
        bare) ;;
        *)
            [[ $suite == relay ]] || { ws_version_of "$1"; return; }
            dpkg-query --show --showformat='${Version}' "$1" 2>/dev/null || true ;;
    esac
}

write_up() {
    local name peer
    name=benches/baseline/$(date -u +%F)-$what
    local notes=(
        --note "Linux $(uname -r), $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1), $(nproc) CPUs; server on one, load on the other."
        --note "Medians of $rounds interleaved rounds of ${seconds} s (lowest-highest); load average at the end: $(cut -d' ' -f1-3 /proc/loadavg)."
        --note "TCP congestion control: $(sysctl -n net.ipv4.tcp_congestion_control)."
    )
    for peer in "${peers[@]}"; do
        case $peer in
            direct | bare) ;;
            dante) notes+=(--note "dante-server $(version_of dante-server)") ;;
            *) notes+=(--note "$peer $(version_of "$peer" | tr '\n' ' ')") ;;
        esac
    done
    target/release/compare "$raw" --title "${what^}, $(date -u +%F)" --markdown "$name.md" --json "$name.json" "${notes[@]}"
    cat "$name.md"
}

# Goes on in a namespace of its own, once; the build before it may need the network.
enter_namespace() {
    if unshare --net true 2>/dev/null; then
        BENCH_NAMESPACE=own exec unshare --net "$0" "${given[@]}"
    fi
    echo "bench.sh: no network namespace of our own (are we root?); the host's settings count" >&2
}

if [[ -z ${BENCH_NAMESPACE:-} ]]; then
    build
    [[ ${#other_urls[@]} -gt 0 ]] || enter_namespace
else
    ip link set lo up
    sysctl -qw net.ipv4.tcp_congestion_control=reno
    sysctl -qw net.ipv4.ip_local_port_range="10000 65000"
fi
ulimit -n "$(ulimit -Hn)"
scratch=$(mktemp -d)
raw=$scratch/reports.jsonl
touch "$raw"
trap 'stop_server; rm -rf "$scratch"' EXIT
for ((round = 1; round <= rounds; round++)); do
    for figure in "${figures[@]}"; do
        for peer in "${peers[@]}"; do
            [[ $suite == ws && $round -gt 1 ]] && ws_once "$figure" || measure "$round" "$figure" "$peer"
        done
    done
done
write_up
