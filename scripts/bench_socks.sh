# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by bench.sh for the suites `relay` and `udp`: the SOCKS5 servers, how they start and how each is spoken to.

load=target/release/socks_load
# shadowsocks-rust comes with its own lock file: this very version is what is measured.
sslocal_version=1.25.0

socks_defaults() {
    : "${idle:=3000}"
    case $suite in
        relay)
            : "${peers:=direct,bare,bare_socks5,ringway,dante,microsocks,haproxy,fast_socks5,sslocal}"
            : "${figures:=bulk_1,bulk_64,both_64,rate,rate_256,pingpong,wwr,idle}" ;;
        udp)
            : "${peers:=bare,bare_trains,ringway,dante,fast_socks5,sslocal}"
            : "${figures:=udp_echo,udp_up,udp_down,udp_both,udp_trains,udp_trains_busy}" ;;
    esac
}

socks_build() {
    ! measured dante || command -v danted >/dev/null || install_package dante-server
    ! measured microsocks || command -v microsocks >/dev/null || install_package microsocks
    ! measured haproxy || command -v haproxy >/dev/null || install_package haproxy
    ! measured fast_socks5 || build_rust_peers
    if measured sslocal && [[ ! -x $peer_tools/bin/sslocal ]]; then
        cargo install --quiet --locked --root "$peer_tools" --version "$sslocal_version" shadowsocks-rust \
            --no-default-features --features local,multi-threaded --bin sslocal
    fi
}

socks_own_options() {
    command+=(--set log.access=false --set 'socks5.allow_targets=[loopback]' --set 'websocket.listen=[]'
        --set "socks5.listen=[\"127.0.0.1:$port\"]" --set "control.listen=[\"127.0.0.1:$((port + 100))\"]")
    [[ -z $pinned ]] || command+=(--set workers.count=1 --set "workers.cpus=[$server_cpu]")
}

fill_in() { sed "s/@PORT@/$port/; s/@TARGET_PORT@/$target_port/" "benches/peers/$1" >"$scratch/$1"; }

socks_server_command() {
    case $1 in
        dante) fill_in danted.conf && command=(danted -f "$scratch/danted.conf") ;;
        # Its log of every connection cannot be switched off.
        microsocks) command=(sh -c "exec microsocks -i 127.0.0.1 -p $port 2>/dev/null") ;;
        haproxy)
            fill_in haproxy.cfg
            [[ -n $pinned ]] || sed -i /nbthread/d "$scratch/haproxy.cfg"
            command=(haproxy -q -db -f "$scratch/haproxy.cfg") ;;
        fast_socks5) command=("$peer_tools/release/fast_socks5_server" "$port") ;;
        # All targets are in its access control list, past the shadowsocks server that it must be given: it relays by itself.
        sslocal)
            command=("$peer_tools/bin/sslocal" -b "127.0.0.1:$port" -U --tcp-no-delay --acl benches/peers/sslocal.acl
                -s 127.0.0.1:9 -m none -k none) ;;
        bare) [[ $suite == udp ]] && command=(target/release/bare_udp_relay "127.0.0.1:$port") ||
            command=(target/release/bare_relay "$port" "$target_port") ;;
        bare_socks5) command=(target/release/bare_relay "$port" socks5) ;;
        bare_trains) command=(target/release/bare_udp_relay "127.0.0.1:$port" trains) ;;
        *) echo "bench.sh: there is no peer $1" >&2; exit 2 ;;
    esac
}

# The bare relay of datagrams has no TCP port: the kernel's table of UDP sockets tells of it.
socks_serves() {
    if [[ $1 == bare* && $suite == udp ]]; then
        grep -q "0100007F:$(printf %04X "$port") " /proc/net/udp
    else
        serves
    fi
}

# Whether peer $1 has figure $2.
socks_does() {
    case $1,$2 in
        # What they do beyond `bare` is the handshake, and keeping trains together.
        bare_socks5,rate* | bare_trains,udp_trains*) ;;
        bare_socks5,* | bare_trains,* | direct,idle | direct,udp_* | microsocks,udp_* | haproxy,udp_*) return 1 ;;
    esac
}

socks_route_to() {
    route=(--target-port "$target_port")
    case $1 in
        direct) route+=(--direct) ;;
        haproxy | bare | bare_trains) route+=(--forwarder "127.0.0.1:$port" --server-pid "$server_pid") ;;
        *) route+=(--proxy "127.0.0.1:$port" --server-pid "$server_pid") ;;
    esac
}

socks_load_of() {
    case $1 in
        bulk_1) arguments=(throughput --streams 1 --seconds "$seconds") ;;
        bulk_64) arguments=(throughput --streams 64 --seconds "$seconds") ;;
        both_64) arguments=(throughput --streams 64 --both-ways --seconds "$seconds") ;;
        rate) arguments=(rate --parallel 64 --seconds "$seconds") ;;
        rate_256) arguments=(rate --parallel 256 --seconds "$seconds") ;;
        pingpong) arguments=(latency --connections 64 --rate 20000 --size 64 --seconds "$seconds") ;;
        wwr) arguments=(wwr --rounds 5000 --seconds "$seconds") ;;
        idle) arguments=(idle --connections "$idle") ;;
        udp_up) arguments=(udp --way up --seconds "$seconds") ;;
        udp_down) arguments=(udp --way down --seconds "$seconds") ;;
        udp_both) arguments=(udp --way both --seconds "$seconds") ;;
        udp_trains) arguments=(udp --way both --train 10 --gro --seconds "$seconds") ;;
        udp_trains_busy) arguments=(udp --way both --train 10 --gro --rate 200000 --seconds "$seconds") ;;
        udp_echo) arguments=(udp --way echo --size 200 --rate 10000 --seconds "$seconds") ;;
        *) echo "bench.sh: there is no figure $1" >&2; exit 2 ;;
    esac
}

socks_version_of() {
    case $1 in
        dante) dpkg-query --show --showformat='${Version}' dante-server ;;
        fast_socks5) version_of_rust_peer fast_socks5 ;;
        sslocal) echo "(shadowsocks-rust) $sslocal_version" ;;
        *) dpkg-query --show --showformat='${Version}' "$1" 2>/dev/null || true ;;
    esac
}
