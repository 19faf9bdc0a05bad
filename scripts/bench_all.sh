# shellcheck shell=bash disable=SC2154
# Sourced by bench.sh for `--suite all`: the suites one after the other, and docs/benchmarks.md from what they found.

suites=(relay udp ws)

# The servers of --server that suite $1 is for, and all other options as they were given.
options_for() {
    local skip='' word
    options=(--suite "$1")
    for word in "${given[@]}"; do
        if [[ -n $skip ]]; then
            skip=''
        elif [[ $word == --suite ]]; then
            skip=yes
        else
            options+=("$word")
        fi
    done
}

bench_all() {
    local one total=0 server name page=docs/benchmarks.md
    for server in "${servers[@]}"; do
        [[ $server == socks:*=* || $server == ws:*=* ]] ||
            { echo "bench.sh: --server $server: with --suite all its name begins with socks: or ws:" >&2; exit 2; }
    done
    for one in "${suites[@]}"; do
        options_for "$one"
        total=$((total + $("$0" "${options[@]}" --expect)))
    done
    if [[ -n $expect ]]; then
        echo "$total"
        return
    fi
    echo "all suites: about $((total / 60 + 1)) minutes after the builds" >&2
    for one in "${suites[@]}"; do
        options_for "$one"
        "$0" "${options[@]}"
        name=$one
        [[ -n $pinned ]] || name+=-unpinned
        # An unpinned run is repeated beside the page.
        if [[ -n $again && -z $pinned ]]; then
            continue
        elif [[ -z $again ]]; then
            target/release/compare "$(last_of "$name")" --page "$page" --part "$name"
        else
            target/release/compare "$(last_of "$name-again")" --against "$(last_of "$name")" --page "$page" --part "$name-again"
        fi
    done
    echo "bench.sh: the tables of $page are these" >&2
}
