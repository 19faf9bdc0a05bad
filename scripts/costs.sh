#!/usr/bin/env bash
# Counts what each operation costs and compares it with docs/costs.md; with RINGWAY_BLESS=1 writes that anew.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh

need_rust
need strace strace
need valgrind valgrind
install_needed

step "cargo build --release of what is counted"
# All of the package's programs, as test.sh builds them.
cargo build --quiet --release --package ringway-benches --bins
step "costs against their budgets"
RINGWAY_COSTS_PROGRAMS=target/release cargo test --quiet --workspace --test costs -- --nocapture
