#!/usr/bin/env bash
# Pictures of the dashboard with two workers under traffic, into docs/images/. Takes some minutes.
# RINGWAY_BIN chooses the program; a folder as argument gets pictures of whole pages besides.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly BLACKBOX=controlplane/tests/blackbox
readonly IMAGES=docs/images
readonly SIZE_MAX=$((300 * 1024))

if [ -z "${RINGWAY_BIN:-}" ]; then
    cargo build --quiet --release --bin ringway
fi
mkdir -p "$IMAGES" ${1:+"$1"}
NODE_PATH=$PWD/target/node/node_modules TEST_PROGRAM=${RINGWAY_BIN:-$PWD/target/release/ringway} \
    node "$BLACKBOX/screenshots.mjs" "$IMAGES" "$@"
large=$(find "$IMAGES" -name '*.png' -size +"${SIZE_MAX}c")
[ -z "$large" ] || { echo "larger than $SIZE_MAX bytes: $large" >&2; exit 1; }
ls -l "$IMAGES"
