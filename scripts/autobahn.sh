#!/usr/bin/env bash
# The Autobahn fuzzing client against ringway's /echo: a summary, and the verdicts in controlplane/tests/autobahn/verdicts.json.
#   scripts/autobahn.sh                all cases; writes the verdicts
#   scripts/autobahn.sh --check        all cases; exits with 1 where a verdict is not the committed one
#   scripts/autobahn.sh --quick        1-7, 9, 10 and the small messages of 12 and 13, compared in the same way
#   scripts/autobahn.sh --url URL      another server, or another path of ours; compares with nothing and writes nothing
# The client runs on Python 2.7 alone. Where the machine has none it is skipped, and says so.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh

readonly FILES=controlplane/tests/autobahn
readonly VERDICTS=$FILES/verdicts.json
readonly WORK=target/autobahn
readonly PACKAGES=$WORK/packages
readonly START_SECONDS=20
# A client that hangs is a fault as well. All cases take about 10 minutes of two busy cores.
readonly DEADLINE_S=2400
# By far the most time goes into 12 and 13: a thousand messages a case, of up to 128 KiB. Two clients share them.
readonly FIRST='"1.*","2.*","3.*","4.*","5.*","6.*","7.*","9.*","10.*","12.*"'
readonly SECOND='"13.*"'
# Of the eighteen of each, those that --quick leaves out.
readonly LARGER='5 6 7 8 9 10 12 13 14 15 16 17 18'

task=keep quick= url=
while [ $# -gt 0 ]; do
    case $1 in
    --check) task=check ;;
    --quick) quick=yes task=check ;;
    --url) url=${2:?--url needs one} && shift ;;
    *) fail "unknown: $1; see the head of this file" ;;
    esac
    shift
done

[ -z "$url" ] || task=show

find_python27() {
    local candidate
    for candidate in "${PYTHON27:-}" python2.7 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7.*/bin/python2.7; do
        # Under pyenv a name may be found that runs nothing.
        if "${candidate:-false}" -c 'import sys, ssl, zlib, pip' 2>/dev/null; then
            printf '%s' "$candidate"
            return
        fi
    done
}

prepare_client() {
    cmp -s "$FILES/requirements.txt" "$WORK/requirements.txt" && return
    step "the Autobahn test suite into $PACKAGES"
    rm -rf "$PACKAGES"
    mkdir -p "$WORK"
    "$python27" -m pip install --quiet --disable-pip-version-check --no-deps \
        --target "$PACKAGES" -r "$FILES/requirements.txt" </dev/null 2>"$WORK/pip.log" || fail "pip: $(tail -5 "$WORK/pip.log")"
    cp "$FILES/requirements.txt" "$WORK/requirements.txt"
}

start_ringway() {
    local ringway=${RINGWAY_BIN:-target/release/ringway} log=$WORK/ringway.log end=$((SECONDS + START_SECONDS))
    [ -x "$ringway" ] || fail "$ringway is missing: cargo build --release --bin ringway"
    # RINGWAY_BIN is ours: it would be taken for a key.
    env -u RINGWAY_BIN "$ringway" --set 'socks5.listen=[]' --set 'control.listen=["127.0.0.1:0"]' --set 'websocket.listen=["127.0.0.1:0"]' \
        --set websocket.echo=true --set websocket.max_message_size=32MiB --set websocket.max_queued_size=64MiB \
        --set websocket.compression_threshold=0B 2>"$log" &
    server=$!
    trap 'kill $server 2>/dev/null; wait $server 2>/dev/null || true' EXIT
    until url=$(grep -m1 -o 'ready .*websocket=[^ ,]*' "$log" | sed 's|.*websocket=\(.*\)|ws://\1/echo|'); [ -n "$url" ]; do
        kill -0 "$server" 2>/dev/null || fail "ringway did not start: $(cat "$log")"
        [ "$SECONDS" -lt "$end" ] || fail "ringway is not ready after $START_SECONDS s: $(cat "$log")"
        sleep 0.05
    done
}

# fuzz NAME CASES: one client, its reports in target/autobahn/NAME.
fuzz() {
    local name=$1 cases=$2 left_out=
    [ -z "$quick" ] || left_out=$(printf '"12.*.%s","13.*.%s",' $(for size in $LARGER; do echo "$size" "$size"; done))
    rm -rf "${WORK:?}/$name"
    cat >"$WORK/$name.json" <<JSON
{"outdir": "$WORK/$name", "servers": [{"agent": "server", "url": "$url"}],
 "cases": [$cases], "exclude-cases": [${left_out%,}], "exclude-agent-cases": {}}
JSON
    timeout "$DEADLINE_S" "$python27" "$FILES/fuzzing_client.py" "$PACKAGES" "$WORK/$name.json" >"$WORK/$name.log" 2>&1 </dev/null ||
        fail "the fuzzing client failed: $(tail -5 "$WORK/$name.log")"
}

python27=$(find_python27)
if [ -z "$python27" ]; then
    step "Autobahn skipped: no Python 2.7 with pip on this machine (PYTHON27 names one); the conformance tests in Rust cover the same rules"
    exit 0
fi
need cc gcc libc6-dev
need python3 python3
install_needed
prepare_client
[ -n "$url" ] || start_ringway
step "Autobahn fuzzing client against $url"
fuzz first "$FIRST" &
first=$!
fuzz second "$SECOND"
wait "$first"
python3 "$FILES/verdicts.py" "$task" "$VERDICTS" "$WORK/first" "$WORK/second"
