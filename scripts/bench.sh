#!/usr/bin/env bash
# Measures ringway beside its peers in interleaved rounds, and writes medians, ratios and bars to benches/baseline/; without --suite
# all there is, into docs/benchmarks.md too. Server on CPU 0, load on CPU 1; each measurement has a fresh server. Where it may, all runs
# in a network namespace of its own with the congestion control `reno`: BBR, which hosts often default to, paces even loopback and
# triples the CPU per GB.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'TEXT'
scripts/bench.sh [--suite all|relay|udp|ws] [--rounds 3] [--seconds 2] [--unpinned] [--again] [--only ringway,dante,...]
                 [--figures bulk_1,rate,...] [--what NAME] [--idle N] [--before BINARY] [--server NAME=COMMAND]... [--url NAME=URL]...

  --suite    all (the default): relay, udp and ws one after the other, with all their peers and figures, and the tables of
             docs/benchmarks.md from them
  --unpinned no CPU is anybody's own, and every server takes as many threads as it does by itself; the results' names end in -unpinned
  --again    the same once more, beside the last run of that name (which is made first if there is none): by how much each ratio differs
  --before   another build of ringway to run beside this one, as the peer `before`
  --server   one more peer, started as the others are: COMMAND with @PORT@ for its port, without quoting. Of relay and udp: a SOCKS5
             server. Of ws: it serves /echo and /broadcast, where each message goes to all connections.
             With --suite all NAME says which it is: socks:hev=..., ws:uws=...
  --what     the second half of the result's name: benches/baseline/<date>-<what>.md [the suite's]
  --expect   say how many seconds it would take, and measure nothing

Suite relay (--idle 3000):
  --only     which of: direct bare ringway dante microsocks haproxy fast_socks5 sslocal (default: all); bare is the least a relay
             can do: benches/src/bin/bare_relay.rs
  --figures  which of: bulk_1 bulk_64 both_64 rate pingpong wwr idle (default: all)
Suite udp:
  --only     which of: bare ringway dante fast_socks5 sslocal (default: all), bare: benches/src/bin/bare_udp_relay.rs
  --figures  which of: udp_echo udp_up udp_down udp_both udp_trains udp_trains_busy (default: all)
Suite ws (--idle 10000):
  --only     which of: bare ringway tokio_tungstenite fastwebsockets nchan npm_ws (default: all); bare is the least a
             WebSocket server can do: benches/src/bin/bare_ws_server.rs
  --figures  which of: ws_echo ws_pipelined ws_echo_16k ws_fanout_1000 ws_fanout_5000 ws_burst_10 ws_storm ws_idle ws_slow
             ws_beside (the relay's latency during a fan-out to 10,000) (default: all), ws_echo_rate ws_fanout_rate
  --url      one more peer that runs already, at ws://...; the host's network counts then, for all of them
TEXT
}

# The result of the last run called $1.
last_of() { find benches/baseline -name "????-??-??-$1.json" | sort | tail -n 1; }

given=("$@")
declare -A other_commands=() other_urls=()
suite=all rounds=3 seconds=2 what='' idle='' before='' peers='' figures='' pinned=yes again='' expect=''
servers=()
while (($#)); do
    case $1 in
        --unpinned) pinned='' && shift && continue ;;
        --again) again=yes && shift && continue ;;
        --expect) expect=yes && shift && continue ;;
        --help) usage; exit ;;
    esac
    (($# > 1)) || { usage >&2; exit 2; }
    case $1 in
        --suite) suite=$2 ;;
        --server) servers+=("$2") ;;
        --url) other_urls[${2%%=*}]=${2#*=} ;;
        --rounds) rounds=$2 ;;
        --seconds) seconds=$2 ;;
        --only) peers=$2 ;;
        --figures) figures=$2 ;;
        --what) what=$2 ;;
        --idle) idle=$2 ;;
        --before) before=$2 ;;
        *) usage >&2; exit 2 ;;
    esac
    shift 2
done
case $suite in
    all)
        [[ -z $peers$figures$what$idle ]] || { echo "bench.sh: --only, --figures, --what and --idle need a --suite" >&2; exit 2; }
        . scripts/bench_all.sh
        bench_all
        exit ;;
    relay | udp) kind=socks ;;
    ws) kind=ws ;;
    *) usage >&2; exit 2 ;;
esac
# shellcheck source=scripts/bench_socks.sh
. "scripts/bench_$kind.sh"
"${kind}_defaults"
: "${what:=$suite}"
[[ -n $pinned ]] || what+=-unpinned
[[ -z $before ]] || peers+=,before
for server in "${servers[@]}"; do
    name=${server%%=*}
    [[ $name == *:* && ${name%%:*} != "$kind" ]] || other_commands[${name#*:}]=${server#*=}
done
[[ $kind == ws ]] || other_urls=()
for name in "${!other_commands[@]}" "${!other_urls[@]}"; do peers+=,$name; done
IFS=, read -ra peers <<<"$peers"
IFS=, read -ra figures <<<"$figures"

server_cpu=0 port=7101 target_port=7110 server_pid=
on_server_cpu=() on_load_cpu=()
[[ -z $pinned ]] || on_server_cpu=(taskset -c "$server_cpu") on_load_cpu=(taskset -c 1)
peer_tools=target/peers

measured() { [[ " ${peers[*]} " == *" $1 "* ]]; }

# Debian's packages start services when installed; RUNLEVEL=1 keeps them from it.
install_package() { DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "$1" >/dev/null; }

build() {
    cargo build --quiet --release -p ringway-benches --bins
    ! measured ringway || cargo build --quiet --release
    "${kind}_build"
}

build_rust_peers() { CARGO_TARGET_DIR=$peer_tools cargo build --quiet --release --manifest-path benches/peers/rust/Cargo.toml; }

version_of_rust_peer() { grep -A1 "^name = \"${1//_/-}\"" benches/peers/rust/Cargo.lock | sed -n 's/version = "\(.*\)"/\1/p'; }

serves() { (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }

# Sets `command`: what serves as peer $1 on $port.
server_command() {
    case $1 in
        ringway) command=(target/release/ringway) && "${kind}_own_options" ;;
        before) command=("$before") && "${kind}_own_options" ;;
        *)
            if [[ -n ${other_commands[$1]:-} ]]; then
                read -ra command <<<"${other_commands[$1]//@PORT@/$port}"
            else
                "${kind}_server_command" "$1"
            fi ;;
    esac
}

start_server() {
    server_command "$1"
    "${on_server_cpu[@]}" "${command[@]}" >"$scratch/$1.log" 2>&1 &
    server_pid=$!
    for _ in {1..250}; do
        ! "${kind}_serves" "$1" || return 0
        kill -0 "$server_pid" 2>/dev/null || break
        sleep 0.02
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
        sleep 0.02
    done
    kill -KILL "$server_pid" 2>/dev/null || true
    wait "$server_pid" 2>/dev/null || true
    server_pid=
}

# One line for round $1, figure $2 and peer $3. A peer that cannot do it has no line, and says why.
measure() {
    local round=$1 figure=$2 peer=$3
    "${kind}_does" "$peer" "$figure" || return 0
    if [[ $peer != direct && -z ${other_urls[$peer]:-} ]]; then
        start_server "$peer" || { stop_server; return 0; }
    fi
    "${kind}_route_to" "$peer" "$figure"
    "${kind}_load_of" "$figure"
    echo "round $round, $figure, $peer" >&2
    if [[ $figure == ws_beside ]]; then
        ws_run_beside "$peer" "$round"
    else
        "${on_load_cpu[@]}" "$load" "${arguments[@]}" "${route[@]}" --json \
            --label "peer=$peer" --label "figure=$figure" --label "round=$round" >>"$raw" || true
    fi
    stop_server
}

# Memory is the same every time, and takes the longest.
only_once() { [[ $1 == idle || $1 == ws_idle ]]; }

# Calls $1 with each round, figure and peer there is to measure: every other round backwards, so that a host that gets slower or
# faster favours nobody.
for_each_measurement() {
    local round figure place final=$((${#peers[@]} - 1))
    for ((round = 1; round <= rounds; round++)); do
        for figure in "${figures[@]}"; do
            ((round == 1)) || ! only_once "$figure" || continue
            for place in "${!peers[@]}"; do
                ((round % 2)) || place=$((final - place))
                "$1" "$round" "$figure" "${peers[place]}"
            done
        done
    done
}

# A start, a warm-up and an end come to about a second.
expected_tenths=0
expect_one() {
    "${kind}_does" "$3" "$2" || return 0
    local tenths=$((10 * seconds + 10))
    case $2 in
        wwr) tenths=15 ;;
        idle) tenths=50 ;;
        ws_idle) tenths=80 ;;
        ws_beside) tenths=$((20 * seconds + 80)) ;;
        ws_slow) tenths=$((40 * seconds + 50)) ;;
    esac
    expected_tenths=$((expected_tenths + tenths))
}

version_of() {
    case $1 in
        ringway) git describe --always --dirty ;;
        before) "$before" --version ;;
        direct | bare) ;;
        *) [[ -n ${other_commands[$1]:-}${other_urls[$1]:-} ]] || "${kind}_version_of" "$1" ;;
    esac
}

write_up() {
    local name peer version places="server on one, load on the other"
    name=benches/baseline/$(date -u +%F)-$what${again:+-again}
    [[ -n $pinned ]] || places="nothing is pinned, and each server has as many threads as it takes by itself"
    local notes=(
        --note "Linux $(uname -r), $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1), $(nproc) CPUs; $places."
        --note "Medians of $rounds interleaved rounds of ${seconds} s (lowest-highest); load average at the end: $(cut -d' ' -f1-3 /proc/loadavg)."
        --note "TCP congestion control: $(sysctl -n net.ipv4.tcp_congestion_control)."
    )
    for peer in "${peers[@]}"; do
        version=$(version_of "$peer" | tr '\n' ' ')
        [[ -z $version ]] || notes+=(--note "$peer ${version% }")
    done
    target/release/compare "$raw" --title "${what^}, $(date -u +%F)" --markdown "$name.md" --json "$name.json" "${notes[@]}"
    if [[ -n $again ]]; then
        target/release/compare "$name.json" --against "$last" | tee "$name-repeated.md"
    else
        cat "$name.md"
    fi
}

# Goes on in a namespace of its own, once; the build before it may need the network.
enter_namespace() {
    if unshare --net true 2>/dev/null; then
        BENCH_NAMESPACE=own exec unshare --net "$0" "${given[@]}"
    fi
    echo "bench.sh: no network namespace of our own (are we root?); the host's settings count" >&2
}

for_each_measurement expect_one
if [[ -n $expect ]]; then
    echo $((expected_tenths / 10))
    exit
fi
# The last run of this name, for --again.
last=$(last_of "$what")
if [[ -z ${BENCH_NAMESPACE:-} ]]; then
    if [[ -n $again && -z $last ]]; then
        first=()
        for word in "${given[@]}"; do [[ $word == --again ]] || first+=("$word"); done
        "$0" "${first[@]}"
    fi
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
echo "suite $suite: ${#peers[@]} peers, ${#figures[@]} figures, $rounds rounds: about $((expected_tenths / 600 + 1)) minutes" >&2
for_each_measurement measure
write_up
