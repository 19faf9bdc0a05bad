#!/usr/bin/env bash
# The quick part, for every change: formatting, lints, Rust tests.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh

need_rust
install_needed

step "cargo fmt --check"
cargo fmt --all --check

step "cargo clippy"
cargo clippy --quiet --workspace --all-targets -- -D warnings

step "cargo test"
cargo test --quiet --workspace
