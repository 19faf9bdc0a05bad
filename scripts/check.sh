#!/usr/bin/env bash
# The quick part, for every change: formatting, lints, Rust tests, and what each operation costs.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh

need_rust
need strace strace
need valgrind valgrind
install_needed

step "cargo fmt --check"
cargo fmt --all --check

step "cargo clippy"
cargo clippy --quiet --workspace --all-targets -- -D warnings

step "cargo test"
cargo test --quiet --workspace

scripts/costs.sh
