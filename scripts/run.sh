#!/usr/bin/env bash
# Builds ringway and runs it in the foreground for a trial. Arguments go to ringway, e.g.
#   scripts/run.sh --set 'socks5.listen=["127.0.0.1:2080"]'
# Ctrl-C stops it. Writes only below target/.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh

readonly DEADLINE_S=30
readonly LOG=target/run/ringway.$$.log

# Waits beside ringway until its log says ready, then says how to try it. Runs in the background.
announce() {
    local ringway=$1 end=$((SECONDS + DEADLINE_S)) ready=
    until ready=$(grep -m1 -o 'ready socks5=.*' "$LOG"); do
        if ! kill -0 "$ringway" 2>/dev/null; then
            printf '\nringway did not start: the lines above say why. If a port is taken, choose others:\n'
            printf "  scripts/run.sh --set 'socks5.listen=[\"127.0.0.1:0\"]' --set 'websocket.listen=[\"127.0.0.1:0\"]' --set 'control.listen=[\"127.0.0.1:0\"]'\n"
            return
        fi
        if [ "$SECONDS" -ge "$end" ]; then
            printf '\nringway is not ready after %s s; its log so far:\n%s\n' "$DEADLINE_S" "$(cat "$LOG")"
            return
        fi
        sleep 0.05
    done
    local socks5 control websocket
    socks5=$(sed -n 's/.*socks5=\([^ ,]*\).*/\1/p' <<<"$ready")
    control=$(sed -n 's/.*control=\([^ ,]*\).*/\1/p' <<<"$ready")
    websocket=$(sed -n 's/.* websocket=\([^ ,]*\).*/\1/p' <<<"$ready")
    printf '\nSOCKS5 proxy   %s\nWebSocket      ws://%s/ws\nControl port   http://%s/\n' "$socks5" "$websocket" "$control"
    printf 'Trial only: targets on this host and ringway itself are allowed (socks5.allow_targets=[loopback, own]).\n'
    printf 'Try it:\n  curl --socks5-hostname %s http://%s/health\n' "$socks5" "$control"
    printf '  npx wscat -c ws://%s/ws -x %s -w 60\n' "$websocket" "'{\"type\":\"subscribe\",\"topic\":\"news\"}'"
    printf "  curl -H 'Content-Type: application/json' -d '{\"channel\":\"news\",\"data\":1}' http://%s/api/publish\n" "$control"
    printf 'Ctrl-C stops it.\n\n'
}

need_rust
install_needed
step "cargo build --release"
cargo build --quiet --release --bin ringway
mkdir -p target/run
: >"$LOG"
# Detached twice: ringway takes this shell's place and must not inherit a child it never waits for.
(announce $$ &)
exec target/release/ringway --set 'socks5.allow_targets=[loopback, own]' "$@" 2> >(tee -i "$LOG" >&2)
