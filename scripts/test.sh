#!/usr/bin/env bash
# Everything, from a fresh Debian machine with git, curl and a Rust toolchain: installs what is missing, runs
# check.sh, builds the release binaries and ends with the black-box tests. pytest's summary is the last line.
# Arguments go to pytest, e.g. scripts/test.sh -k relay
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh
. scripts/alone.sh

readonly BLACKBOX=controlplane/tests/blackbox
readonly FUZZ_SECONDS=20
readonly TOOLS=target/tools
readonly NODE=target/node

install_packages() {
    need_rust
    need curl curl ca-certificates
    need python3 python3 python3-venv
    need ncat ncat
    need nc.openbsd netcat-openbsd
    need socksify dante-client
    need proxychains4 proxychains4
    need openssl openssl
    need chromium chromium
    need node nodejs
    need npm npm
    has python3 && { python3 -c 'import ensurepip' 2>/dev/null || needed+=(python3-venv); }
    install_needed
}

# Unpacked, not installed: Debian's package would start a Prometheus service.
fetch_prometheus() {
    { has prometheus && has promtool; } || [ -x "$TOOLS/usr/bin/prometheus" ] && return
    step "prometheus and promtool from Debian's package"
    mkdir -p "$TOOLS"
    [ -n "$(apt-cache policy prometheus 2>/dev/null)" ] || as_root apt-get update -qq
    (cd "$TOOLS" && apt-get download -qq prometheus 2>/dev/null && dpkg-deb -x prometheus_*.deb . && rm prometheus_*.deb)
}

prepare_python() {
    local wanted=$BLACKBOX/requirements.txt made=.venv/requirements.txt
    cmp -s "$wanted" "$made" && return
    step "Python packages into .venv"
    python3 -m venv .venv
    .venv/bin/pip install --quiet --disable-pip-version-check -r "$wanted"
    cp "$wanted" "$made"
}

prepare_node() {
    local wanted=$BLACKBOX/package.json made=$NODE/installed.json
    cmp -s "$wanted" "$made" && return
    step "npm packages into $NODE"
    mkdir -p "$NODE"
    cp "$wanted" "$NODE/package.json"
    npm install --prefix "$NODE" --no-package-lock --no-audit --no-fund --silent
    cp "$wanted" "$made"
}

failed_tests() {
    .venv/bin/python -c 'import json, sys; print("\n".join(json.load(open(sys.argv[1]))))' \
        "$BLACKBOX/.pytest_cache/v/cache/lastfailed"
}

fuzz_shortly() {
    [ -d dataplane/fuzz ] || return 0
    if ! cargo fuzz --version >/dev/null 2>&1; then
        step "fuzzing skipped: cargo-fuzz is not installed (the property tests above cover the same input)"
        return 0
    fi
    step "fuzzing for $FUZZ_SECONDS s each"
    for target in dataplane/fuzz/fuzz_targets/*.rs; do
        (cd dataplane && RUSTC_BOOTSTRAP=1 cargo fuzz run "$(basename "$target" .rs)" -- \
            -max_total_time="$FUZZ_SECONDS" -verbosity=0)
    done
}

install_packages
fetch_prometheus
prepare_python
prepare_node
scripts/check.sh
step "cargo build --release"
# As run.sh builds it: another choice of packages would be another set of features, built anew.
cargo build --quiet --release --bin ringway
cargo build --quiet --release --package ringway-benches --bins
fuzz_shortly
scripts/autobahn.sh --quick
step "black-box tests"
export PATH=$PWD/$TOOLS/usr/bin:$PATH RINGWAY_BIN=$PWD/target/release/ringway
blackbox() { .venv/bin/pytest "$BLACKBOX" "$@" </dev/null; }
blackbox -n 3 --dist worksteal "$@" && exit
status=$?
failed=$(failed_tests)
[ "$status" = 1 ] && may_be_tried_alone "$failed" || exit "$status"
blackbox --last-failed "$@"
