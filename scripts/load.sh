#!/usr/bin/env bash
# Builds the load program and runs it: scripts/load.sh rate --proxy 127.0.0.1:1080 --seconds 5
# scripts/load.sh --help lists the loads; benches/README.md explains their figures.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --quiet --release -p ringway-benches --bin socks_load
exec target/release/socks_load "$@"
