# Sourced by bench.sh for `--suite ws`: the WebSocket servers, how they start and how each is spoken to.

ws_load=target/release/ws_load
control_port=7111
peer_tools=target/peers

ws_build() {
    ! measured nchan || [[ -e /usr/lib/nginx/modules/ngx_nchan_module.so ]] ||
        DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends libnginx-mod-nchan >/dev/null
    if measured npm_ws && [[ ! -e $peer_tools/node/node_modules/ws ]]; then
        npm install --prefix "$peer_tools/node" --no-package-lock --no-audit --no-fund --silent ws@8.23.0
    fi
    if measured tokio_tungstenite || measured fastwebsockets; then
        CARGO_TARGET_DIR=$peer_tools cargo build --quiet --release --manifest-path benches/peers/rust/Cargo.toml
    fi
}

# The command that serves as peer $1 on $port.
ws_server_command() {
    case $1 in
        ringway | before)
            local binary=target/release/ringway
            [[ $1 == ringway ]] || binary=$before
            command=("$binary" --set log.access=false --set 'socks5.listen=[]' --set workers.count=1
                --set "workers.cpus=[$server_cpu]" --set "websocket.listen=[\"127.0.0.1:$port\"]"
                --set "control.listen=[\"127.0.0.1:$control_port\"]" --set websocket.echo=true
                --set 'websocket.namespaces=[{prefix: "", publish: anyone, overflow: drop_oldest}]') ;;
        bare) command=(target/release/bare_ws_server "$port") ;;
        npm_ws) command=(env "NODE_PATH=$peer_tools/node/node_modules" node benches/peers/npm_ws.cjs "$port") ;;
        tokio_tungstenite | fastwebsockets) command=("$peer_tools/release/$1_server" "$port") ;;
        nchan)
            sed "s/@PORT@/$port/; s#@SCRATCH@#$scratch#" benches/peers/nchan.conf >"$scratch/nchan.conf"
            command=(nginx -c "$scratch/nchan.conf" -e stderr) ;;
        *)
            [[ -n ${other_commands[$1]:-} ]] || { echo "bench.sh: there is no peer $1" >&2; exit 2; }
            read -ra command <<<"${other_commands[$1]//@PORT@/$port}" ;;
    esac
}

# Where peer $1 does figure $2; an error if it does not.
ws_route_to() {
    local base=ws://127.0.0.1:$port
    route=(--url "${other_urls[$1]:-}")
    [[ -z ${other_urls[$1]:-} ]] || return 0
    route=(--server-pid "$server_pid")
    case $1,$2 in
        tokio_tungstenite,ws_slow | nchan,ws_slow | npm_ws,ws_slow) return 1 ;;
        nchan,ws_echo* | nchan,ws_pipelined | fastwebsockets,ws_fanout* | fastwebsockets,ws_burst* | fastwebsockets,ws_slow) return 1 ;;
        *,ws_echo* | *,ws_pipelined) route+=(--url "$base/echo") ;;
        ringway,* | before,*) route+=(--url "$base/ws" --dialect ringway) ;;
        nchan,ws_fanout* | nchan,ws_burst*) route+=(--url "$base/broadcast" --publish-url "$base/publish") ;;
        *) route+=(--url "$base/broadcast") ;;
    esac
    case $1,$2 in
        ringway,ws_slow | before,ws_slow) route+=(--metrics "http://127.0.0.1:$control_port/metrics") ;;
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
        ws_slow) arguments=(slow --subscribers 500 --size 4096 --rate 100 --seconds "$((2 * seconds))") ;;
        *) echo "bench.sh: there is no figure $1" >&2; exit 2 ;;
    esac
}

# Memory is the same every time, and takes the longest.
ws_once() { [[ $1 == ws_idle ]]; }

ws_version_of() {
    case $1 in
        npm_ws) sed -n 's/.*"version": "\(.*\)".*/\1/p' "$peer_tools/node/node_modules/ws/package.json" | head -1; node --version ;;
        tokio_tungstenite | fastwebsockets) grep -A1 "^name = \"${1/_/-}\"" benches/peers/rust/Cargo.lock | sed -n 's/version = "\(.*\)"/\1/p' ;;
        nchan) dpkg-query --show --showformat='${Version}' libnginx-mod-nchan ;;
    esac
}
