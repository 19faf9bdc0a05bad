#!/usr/bin/env bash
# Builds the load programs and runs one: scripts/load.sh rate --proxy 127.0.0.1:1080 --seconds 5
#                                        scripts/load.sh ws fanout --url ws://127.0.0.1:8765/ws --dialect ringway
# scripts/load.sh [ws] --help lists the loads; benches/README.md explains their figures.
set -euo pipefail
cd "$(dirname "$0")/.."
program=socks_load
if [[ ${1:-} == ws ]]; then
    program=ws_load
    shift
fi
cargo build --quiet --release -p ringway-benches --bin "$program"
exec "target/release/$program" "$@"
