#!/usr/bin/env bash
# What each knob of tuning/ and of `ringway doctor` is worth on this host: before and after, in interleaved rounds, as a table.
#   scripts/bench_tuning.sh [--rounds 3] [--list] [KNOB...]      (default: all knobs)
# As root, in a network namespace of its own. Some knobs are the whole host's (--list marks them): they are changed for the
# measurement and put back after it, also when it is cut short by INT or TERM. Nothing else should run meanwhile.
# PROGRAMS=DIR takes ringway and socks_load from there instead of building them.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ " $* " != *" --list "* && " $* " != *" --help "* ]]; then
    [[ $(id -u) == 0 ]] || { echo "bench_tuning.sh: only root may change a host's knobs" >&2; exit 2; }
    if [[ -z ${PROGRAMS:-} ]]; then
        cargo build --quiet --release -p ringway-benches --bin socks_load
        cargo build --quiet --release
    fi
    ulimit -n "$(ulimit -Hn)"
    # The host's own namespace stays reachable through this shell: some of net.core is set there alone.
    export HOST_PID=$$ PROGRAMS=${PROGRAMS:-target/release}
    unshare --net python3 -B scripts/tuning "$@"
    exit
fi
PROGRAMS=none python3 -B scripts/tuning "$@"
