# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by bench.sh for `--suite ws`: the WebSocket servers, how they start and how each is spoken to.

load=target/release/ws_load

ws_defaults() {
    : "${idle:=10000}"
    : "${peers:=bare,ringway,tokio_tungstenite,fastwebsockets,nchan,npm_ws}"
    : "${figures:=ws_echo,ws_pipelined,ws_echo_16k,ws_fanout_1000,ws_fanout_5000,ws_burst_10,ws_storm,ws_idle,ws_slow,ws_beside}"
}

ws_build() {
    ! measured nchan || [[ -e /usr/lib/nginx/modules/ngx_nchan_module.so ]] || install_package libnginx-mod-nchan
    if measured npm_ws && [[ ! -e $peer_tools/node/node_modules/ws ]]; then
        npm install --prefix "$peer_tools/node" --no-package-lock --no-audit --no-fund --silent ws@8.23.0
    fi
    ! { measured tokio_tungstenite || measured fastwebsockets; } || build_rust_peers
}

ws_own_options() {
    command+=(--set log.access=false --set "socks5.listen=[\"127.0.0.1:$((port + 200))\"]" --set 'socks5.allow_targets=[loopback]'
        --set "websocket.listen=[\"127.0.0.1:$port\"]" --set "control.listen=[\"127.0.0.1:$((port + 100))\"]"
        --set websocket.echo=true --set websocket.max_connections=15000
        --set 'websocket.namespaces=[{prefix: "", publish: anyone, overflow: drop_oldest}]')
    [[ -z $pinned ]] || command+=(--set workers.count=1 --set "workers.cpus=[$server_cpu]")
}

ws_server_command() {
    case $1 in
        bare) command=(target/release/bare_ws_server "$port") ;;
        npm_ws) command=(env "NODE_PATH=$peer_tools/node/node_modules" node benches/peers/npm_ws.cjs "$port") ;;
        tokio_tungstenite | fastwebsockets) command=("$peer_tools/release/$1_server" "$port") ;;
        nchan)
            sed "s/@PORT@/$port/; s#@SCRATCH@#$scratch#" benches/peers/nchan.conf >"$scratch/nchan.conf"
            [[ -n $pinned ]] || sed -i 's/worker_processes 1/worker_processes auto/' "$scratch/nchan.conf"
            command=(nginx -c "$scratch/nchan.conf" -e stderr) ;;
        *) echo "bench.sh: there is no peer $1" >&2; exit 2 ;;
    esac
}

ws_serves() { serves; }

# Whether peer $1 has figure $2.
ws_does() {
    case $1,$2 in
        ringway,* | before,*) ;;
        *,ws_beside) return 1 ;;
        tokio_tungstenite,ws_slow | nchan,ws_slow | npm_ws,ws_slow) return 1 ;;
        nchan,ws_echo* | nchan,ws_pipelined | fastwebsockets,ws_fanout* | fastwebsockets,ws_burst* | fastwebsockets,ws_slow) return 1 ;;
    esac
}

ws_route_to() {
    local base=ws://127.0.0.1:$port
    route=(--url "${other_urls[$1]:-}")
    [[ -z ${other_urls[$1]:-} ]] || return 0
    route=(--server-pid "$server_pid")
    case $1,$2 in
        *,ws_echo* | *,ws_pipelined) route+=(--url "$base/echo") ;;
        ringway,* | before,*) route+=(--url "$base/ws" --dialect ringway) ;;
        nchan,ws_fanout* | nchan,ws_burst*) route+=(--url "$base/broadcast" --publish-url "$base/publish") ;;
        *) route+=(--url "$base/broadcast") ;;
    esac
    case $1,$2 in
        ringway,ws_slow | before,ws_slow) route+=(--metrics "http://127.0.0.1:$((port + 100))/metrics") ;;
    esac
}

ws_load_of() {
    case $1 in
        ws_echo) arguments=(echo --seconds "$seconds") ;;
        ws_pipelined) arguments=(echo --pipeline 32 --seconds "$seconds") ;;
        ws_echo_16k) arguments=(echo --size 16384 --seconds "$seconds") ;;
        ws_echo_rate) arguments=(echo --rate 20000 --seconds "$seconds") ;;
        ws_fanout_1000) arguments=(fanout --seconds "$seconds") ;;
        ws_fanout_5000) arguments=(fanout --subscribers 5000 --seconds "$seconds") ;;
        ws_burst_10) arguments=(fanout --burst 10 --seconds "$seconds") ;;
        ws_fanout_rate) arguments=(fanout --rate 100 --seconds "$seconds") ;;
        ws_storm) arguments=(storm --seconds "$seconds") ;;
        ws_idle) arguments=(idle --connections "$idle" --topic bench) ;;
        ws_beside) arguments=(fanout --subscribers 10000 --rate 10 --seconds 6) ;;
        ws_slow) arguments=(slow --subscribers 500 --size 4096 --rate 100 --seconds 2) ;;
        *) echo "bench.sh: there is no figure $1" >&2; exit 2 ;;
    esac
}

# The relay's latency on a worker that fans out to 10,000: the fan-out runs behind (its report is figure ws_beside_fanout), and the
# load of the relay has the load's CPU before it, so that it measures the server and not its neighbour.
ws_run_beside() {
    local labels=(--json --label "peer=$1" --label "round=$2") fanout first=()
    ! chrt -f 1 true 2>/dev/null || first=(chrt -f 1)
    "${on_load_cpu[@]}" "$load" "${arguments[@]}" "${route[@]}" "${labels[@]}" --label figure=ws_beside_fanout >>"$turn" &
    fanout=$!
    for _ in {1..200}; do
        [[ $(ss -Htn state established "sport = :$port" | wc -l) -lt 10000 ]] || break
        sleep 0.1
    done
    "${on_load_cpu[@]}" "${first[@]}" target/release/socks_load latency --connections 16 --rate 2000 --seconds 2 \
        --proxy "127.0.0.1:$((port + 200))" "${labels[@]}" --label figure=ws_beside >>"$turn" || true
    wait "$fanout" || true
}

ws_version_of() {
    case $1 in
        npm_ws) sed -n 's/.*"version": "\(.*\)".*/\1/p' "$peer_tools/node/node_modules/ws/package.json" | head -1; node --version ;;
        tokio_tungstenite | fastwebsockets) version_of_rust_peer "$1" ;;
        nchan) dpkg-query --show --showformat='${Version}' libnginx-mod-nchan ;;
    esac
}
