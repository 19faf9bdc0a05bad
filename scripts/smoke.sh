#!/usr/bin/env bash
# Starts run.sh on free ports, types the curl line that it prints, checks the answer, stops it.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly DEADLINE_S=${SMOKE_DEADLINE_S:-900} # a cold build is in it

mkdir -p target/run
output=$(mktemp -p target/run smoke.XXXXXX)
scripts/run.sh --set 'socks5.listen=["127.0.0.1:0"]' --set 'websocket.listen=["127.0.0.1:0"]' --set 'control.listen=["127.0.0.1:0"]' >"$output" 2>&1 &
ringway=$!
trap 'kill -TERM "$ringway" 2>/dev/null || true; rm -f "$output"' EXIT

end=$((SECONDS + DEADLINE_S))
until line=$(grep -m1 '^  curl ' "$output"); do
    if ! kill -0 "$ringway" 2>/dev/null || [ "$SECONDS" -ge "$end" ]; then
        cat "$output" >&2
        echo "smoke.sh: run.sh did not come up" >&2
        exit 1
    fi
    sleep 0.1
done

echo "$line"
answer=$(eval "$line --silent --show-error --fail --max-time 10")
echo "$answer"
[ -n "$answer" ] || { echo "smoke.sh: an empty answer" >&2; exit 1; }

kill -TERM "$ringway"
wait "$ringway" || { code=$?; cat "$output" >&2; echo "smoke.sh: ringway ended with $code" >&2; exit 1; }
trap 'rm -f "$output"' EXIT
echo "smoke.sh: ringway served itself through itself and stopped cleanly"
