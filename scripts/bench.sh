#!/usr/bin/env bash
# Measures ringway beside its peers in interleaved rounds, and writes medians, ratios and bars to benches/baseline/; without --suite
# all there is, into docs/benchmarks.md too. Servers on CPU 0, load on CPU 1; each figure has fresh servers, which take turns of a part of a
# second; a turn in which the host gave much of the CPUs to others is taken again. Where it may, all runs in a network namespace of its own with the congestion control `reno`: BBR, which hosts often default to, paces even loopback and
# triples the CPU per GB.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'TEXT'
scripts/bench.sh [--suite all|relay|udp|ws] [--rounds 18] [--seconds 0.2] [--unpinned] [--again] [--only ringway,dante,...]
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
  --only     which of: direct bare bare_socks5 ringway dante microsocks haproxy fast_socks5 sslocal (default: all); bare is the least a
             relay can do, bare_socks5 the least a SOCKS5 server can (figures rate and rate_256 only): benches/src/bin/bare_relay.rs
  --figures  which of: bulk_1 bulk_64 both_64 rate rate_256 pingpong wwr idle (default: all)
Suite udp:
  --only     which of: bare bare_trains ringway dante fast_socks5 sslocal (default: all), bare and (trains only) bare_trains, the least a
             relay of datagrams can do: benches/src/bin/bare_udp_relay.rs
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
suite=all rounds=18 seconds=0.2 what='' idle='' before='' peers='' figures='' pinned=yes again='' expect=''
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
add_peer() { [[ ,$peers, == *,$1,* ]] || peers+=,$1; }
[[ -z $before ]] || add_peer before
for server in "${servers[@]}"; do
    name=${server%%=*}
    [[ $name == *:* && ${name%%:*} != "$kind" ]] || other_commands[${name#*:}]=${server#*=}
done
[[ $kind == ws ]] || other_urls=()
for name in "${!other_commands[@]}" "${!other_urls[@]}"; do add_peer "$name"; done
IFS=, read -ra peers <<<"$peers"
IFS=, read -ra figures <<<"$figures"

# The servers of one figure are up together, each with ports of its own: peer number N has first_port + N, and ringway and `before` some more.
declare -A server_pids=() unable=()
server_cpu=0 first_port=7201 target_port=7110
port='' server_pid=
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

# Sets `port` and `server_pid`: those of peer $1.
look_up() {
    local place
    for place in "${!peers[@]}"; do
        [[ ${peers[place]} != "$1" ]] || port=$((first_port + place))
    done
    server_pid=${server_pids[$1]:-}
}

runs() { [[ -n ${server_pids[$1]:-} ]] && kill -0 "${server_pids[$1]}" 2>/dev/null; }

is_ours() { [[ $1 != direct && -z ${other_urls[$1]:-} ]]; }

start_server() {
    look_up "$1"
    server_command "$1"
    "${on_server_cpu[@]}" "${command[@]}" >"$scratch/$1.log" 2>&1 &
    server_pids[$1]=$!
    for _ in {1..250}; do
        ! "${kind}_serves" "$1" || return 0
        runs "$1" || break
        sleep 0.02
    done
    echo "bench.sh: $1 does not serve:" >&2
    tail -n 5 "$scratch/$1.log" >&2
    stop_server "$1"
    unable[$1]=yes
    return 1
}

stop_server() {
    local pid=${server_pids[$1]:-}
    [[ -n $pid ]] || return 0
    kill "$pid" 2>/dev/null || true
    for _ in {1..100}; do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.02
    done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    unset "server_pids[$1]"
}

start_servers() {
    local peer
    unable=()
    for peer in "${peers[@]}"; do
        ! is_ours "$peer" || ! "${kind}_does" "$peer" "$1" || start_server "$peer" || true
    done
}

stop_servers() {
    local peer
    for peer in "${!server_pids[@]}"; do stop_server "$peer"; done
}

# CPU time that the host has given to others, in ticks of 10 ms.
stolen_ticks() { awk '$1 == "cpu" { print $9 }' /proc/stat; }

# The turn of round $1, figure $2 and peer $3: again if the host took more than a thirtieth of the CPUs' time from it, a few times at most and
# as long as the run may take longer. The last one counts, however it went, and one with failures always does.
take_turn() {
    local began earlier stolen_ms passed_ms tries
    for ((tries = 1; ; tries++)); do
        began=${EPOCHREALTIME/[.,]/} earlier=$(stolen_ticks)
        : >"$turn"
        measure "$@"
        stolen_ms=$((10 * ($(stolen_ticks) - earlier))) passed_ms=$(((${EPOCHREALTIME/[.,]/} - began) / 1000))
        ((30 * stolen_ms > cpus * passed_ms && tries < tries_most && 3 * repeated_ms < expected_ms)) || break
        [[ -s $turn ]] && ! grep -q '"failures":[1-9]' "$turn" || break
        repeated=$((repeated + 1)) repeated_ms=$((repeated_ms + passed_ms))
        echo "the host took $stolen_ms ms from it: again" >&2
    done
    cat "$turn" >>"$raw"
}

# One line for round $1, figure $2 and peer $3. A peer that cannot do it has no line, and says why.
measure() {
    local round=$1 figure=$2 peer=$3
    "${kind}_does" "$peer" "$figure" || return 0
    [[ -z ${unable[$peer]:-} ]] || return 0
    if is_ours "$peer" && ! runs "$peer"; then
        echo "bench.sh: $peer has ended, and is started again" >&2
        start_server "$peer" || return 0
    fi
    look_up "$peer"
    "${kind}_route_to" "$peer" "$figure"
    "${kind}_load_of" "$figure"
    echo "round $round, $figure, $peer" >&2
    if [[ $figure == ws_beside ]]; then
        ws_run_beside "$peer" "$round"
    else
        "${on_load_cpu[@]}" "$load" "${arguments[@]}" "${route[@]}" --json \
            --label "peer=$peer" --label "figure=$figure" --label "round=$round" >>"$turn" || true
    fi
}

# Memory is the same every time and takes the longest; what has seconds of its own has fewer rounds.
rounds_of() {
    case $1 in
        idle | ws_idle) echo 1 ;;
        ws_beside | ws_slow) echo $((rounds < 5 ? rounds : 5)) ;;
        *) echo "$rounds" ;;
    esac
}

# Calls $1 before and $3 after each figure, and between them $2 with each round, figure and peer there is to measure: every other round
# backwards, so that a host that gets slower or faster favours nobody.
for_each_measurement() {
    local round figure place final=$((${#peers[@]} - 1)) most
    for figure in "${figures[@]}"; do
        "$1" "$figure"
        most=$(rounds_of "$figure")
        for ((round = 1; round <= most; round++)); do
            for place in "${!peers[@]}"; do
                ((round % 2)) || place=$((final - place))
                "$2" "$round" "$figure" "${peers[place]}"
            done
        done
        "$3" "$figure"
    done
}

# A warm-up and an end come to a quarter of a second, of crowds to more; the servers' starts and ends to a few seconds a figure.
expected_ms=0 turns=0
slice_ms=$(awk -v seconds="$seconds" 'BEGIN { print int(1000 * seconds) }')
expect_figure() { expected_ms=$((expected_ms + 4000)); }
expect_one() {
    "${kind}_does" "$3" "$2" || return 0
    turns=$((turns + 1))
    case $2 in
        idle) expected_ms=$((expected_ms + 5000)) ;;
        ws_idle) expected_ms=$((expected_ms + 8000)) ;;
        ws_beside) expected_ms=$((expected_ms + 10000)) ;;
        ws_slow) expected_ms=$((expected_ms + 9000)) ;;
        ws_fanout_5000) expected_ms=$((expected_ms + slice_ms + 800)) ;;
        *) expected_ms=$((expected_ms + slice_ms + 250)) ;;
    esac
}

version_of() {
    case $1 in
        ringway) git describe --always --dirty ;;
        before) "$before" --version ;;
        direct | bare | bare_socks5 | bare_trains) ;;
        *) [[ -n ${other_commands[$1]:-}${other_urls[$1]:-} ]] || "${kind}_version_of" "$1" ;;
    esac
}

write_up() {
    local name peer version places="server on one, load on the other"
    name=benches/baseline/$(date -u +%F)-$what${again:+-again}
    [[ -n $pinned ]] || places="nothing is pinned, and each server has as many threads as it takes by itself"
    local notes=(
        --note "Linux $(uname -r), $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1), $(nproc) CPUs; $places."
        --note "Medians of $rounds interleaved rounds of ${seconds} s (lowest-highest), ratios round by round (95% bracket); load average at the end: $(cut -d' ' -f1-3 /proc/loadavg)."
        --note "Turns taken again because the host took more than a thirtieth of the CPUs' time from them: $repeated of $turns."
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

for_each_measurement expect_figure expect_one true
# On a host that is never quiet a run ends all the same, a third longer.
cpus=$(nproc) tries_most=5 repeated=0 repeated_ms=0
if [[ -n $expect ]]; then
    echo $((expected_ms / 1000))
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
raw=$scratch/reports.jsonl turn=$scratch/turn.jsonl
touch "$raw"
trap 'stop_servers; rm -rf "$scratch"' EXIT
echo "suite $suite: ${#peers[@]} peers, ${#figures[@]} figures, $rounds rounds: about $((expected_ms / 60000 + 1)) minutes" >&2
for_each_measurement start_servers take_turn stop_servers
write_up
