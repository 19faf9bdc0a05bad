#!/usr/bin/env bash
# The quick part, for every change: formatting, lints, Rust tests, and what each operation costs.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh
. scripts/alone.sh

readonly LOG=target/cargo-test.log

rust_tests() {
    local failed crashed passed
    cargo test --quiet --workspace --no-fail-fast 2>&1 | tee "$LOG" && return
    failed=$(sed -n 's/^\(.*[^ ]\) --- FAILED$/\1/p' "$LOG" | sort -u)
    # A target that ended without a summary of its own crashed: that is no test that failed.
    crashed=$(($(sed -n 's/^error: \([0-9]*\) targets* failed:$/\1/p' "$LOG") - $(grep -c '^test result: FAILED' "$LOG" || true)))
    # What is no test's path, as an example in the documentation, cannot be asked for by its name.
    [ "$crashed" = 0 ] && ! grep -qv '^[A-Za-z0-9_:]*$' <<<"$failed" && may_be_tried_alone "$failed" || return 1
    mapfile -t failed <<<"$failed"
    cargo test --workspace -- --exact --test-threads 1 "${failed[@]}" 2>&1 | tee "$LOG"
    passed=$(sed -n 's/^test result: ok. \([0-9]*\) passed.*/\1/p' "$LOG" | awk '{ sum += $1 } END { print sum + 0 }')
    [ "$passed" -ge "${#failed[@]}" ]
}

need_rust
need strace strace
need valgrind valgrind
install_needed

step "cargo fmt --check"
cargo fmt --all --check

step "cargo clippy"
cargo clippy --quiet --workspace --all-targets -- -D warnings

step "cargo test"
rust_tests

scripts/costs.sh
