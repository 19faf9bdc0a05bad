#!/usr/bin/env bash
# Applies what `ringway doctor` asks of a host, and undoes it. README.md beside this file says what, and why.
set -euo pipefail

readonly USAGE="usage: apply.sh [--dry-run] [--undo] [--set KEY=VALUE]... [--root DIR]

  --dry-run        only says what would be done
  --undo           as it was before the first time
  --set KEY=VALUE  one more sysctl, as \`ringway doctor\` asks for it; may be repeated
  --root DIR       works on a tree below DIR (an image that is being built) instead of this host"
here=$(cd "$(dirname "$0")" && pwd)
readonly here

root='' dry='' undo='' failed=''
# What --set names; what a key was before ringway, and what we set it to; files of ours, by name.
declare -A asked=() before=() ours=() files=()

fail() {
    echo "apply.sh: $1" >&2
    exit 2
}

parse_arguments() {
    while [ $# -gt 0 ]; do
        case $1 in
        --dry-run) dry=1 ;;
        --undo) undo=1 ;;
        --set)
            [[ ${2-} =~ ^([a-z0-9_.-]+)=([0-9][0-9\ ,-]*)$ ]] || fail "--set takes KEY=VALUE, a sysctl and its numbers"
            asked[${BASH_REMATCH[1]}]=${BASH_REMATCH[2]}
            shift
            ;;
        --root)
            [ -d "${2-}" ] || fail "--root takes a folder that is there"
            root=${2%/}
            shift
            ;;
        -h | --help)
            echo "$USAGE"
            exit 0
            ;;
        *) fail "what is $1?
$USAGE" ;;
        esac
        shift
    done
    [ -n "$dry$root" ] || [ "$(id -u)" = 0 ] || fail "only root may change the host; --dry-run shows what it would do"
    state=$root/var/lib/ringway-tuning
    readonly root dry undo state
}

# The running kernel's values.

file_of() {
    echo "$root/proc/sys/${1//./\/}"
}

has() {
    [ -e "$(file_of "$1")" ]
}

value_of() {
    tr -s '[:space:]' ' ' <"$(file_of "$1")" | sed 's/ *$//'
}

put() {
    local key=$1 value=$2
    echo "$key: $(value_of "$key") -> $value"
    [ -n "$dry" ] && return
    if ! { echo "$value" >"$(file_of "$key")"; } 2>/dev/null; then
        echo "  the kernel refuses it here: in a container set it where the container is started, or on the host" >&2
        failed=1
    fi
}

# What was before, over restarts of this script.

read_state() {
    local kind key old new
    [ -e "$state/before" ] || return 0
    while IFS=$'\t' read -r kind key old new; do
        case $kind in
        sysctl) before[$key]=$old ours[$key]=$new ;;
        file) files[$key]=$old ;;
        esac
    done <"$state/before"
}

write_state() {
    local key
    [ -n "$dry" ] && return
    mkdir -p "$state"
    {
        for key in "${!before[@]}"; do printf 'sysctl\t%s\t%s\t%s\n' "$key" "${before[$key]}" "${ours[$key]}"; done
        for key in "${!files[@]}"; do printf 'file\t%s\t%s\n' "$key" "${files[$key]}"; done
    } | sort >"$state/before.new"
    mv "$state/before.new" "$state/before"
}

# What is wanted: `key value` a line, from the shipped file, what was --set before, and what is --set now.

wanted() {
    local mode='' key value now
    while IFS= read -r line; do
        case $line in
        '# at least'* | '# widened'* | '# exactly'*) mode=${line#\# } mode=${mode%%:*} ;;
        '#'* | '') ;;
        *)
            key=${line%% =*} value=${line#*= }
            [ -n "${asked[$key]-}" ] && continue
            if has "$key"; then
                now=$(value_of "$key")
                value=$(fitting "$mode" "$value" "$now")
            fi
            echo "$key $value"
            ;;
        esac
    done <"$here/90-ringway.conf"
    for key in "${!ours[@]}"; do
        [ -n "${asked[$key]-}" ] || grep -q "^$key = " "$here/90-ringway.conf" || echo "$key ${ours[$key]}"
    done | sort
    for key in "${!asked[@]}"; do echo "$key ${asked[$key]}"; done | sort
}

fitting() {
    local mode=$1 value=$2 now=$3
    case $mode in
    'at least') [ "$now" -gt "$value" ] && value=$now ;;
    widened)
        [ "${now%% *}" -lt "${value%% *}" ] && value="${now%% *} ${value##* }"
        [ "${now##* }" -gt "${value##* }" ] && value="${value%% *} ${now##* }"
        ;;
    esac
    echo "$value"
}

# Takes a file's text; what somebody else had there is kept.
install_file() {
    local path=$1 text kept=''
    text=$(cat)
    if [ -e "$root$path" ] && [ "$(cat "$root$path")" = "$text" ]; then
        [ -n "${files[$path]+ours}" ] || files[$path]=''
        return 0
    fi
    echo "$path: written"
    if [ -e "$root$path" ] && [ -z "${files[$path]+ours}" ]; then
        kept=${path##*/}
        echo "  the one that is there is kept in /var/lib/ringway-tuning/$kept"
        [ -n "$dry" ] || { mkdir -p "$state" && cp -p "$root$path" "$state/$kept"; }
    fi
    [ -n "${files[$path]+ours}" ] || files[$path]=$kept
    [ -n "$dry" ] && return
    mkdir -p "$(dirname "$root$path")"
    echo "$text" >"$root$path"
}

apply() {
    local key value lines now
    for key in "${!asked[@]}"; do has "$key" || fail "this kernel has no sysctl $key"; done
    lines=$(wanted)
    declare -A changes=()
    while read -r key value; do
        has "$key" || { echo "$key: not on this kernel" && continue; }
        now=$(value_of "$key")
        [ "$now" = "$value" ] && continue
        before[$key]=${before[$key]-$now} ours[$key]=$value changes[$key]=$value
    done <<<"$lines"
    # Noted first: a run that is cut short can be undone too.
    write_state
    for key in $(printf '%s\n' "${!changes[@]}" | sort); do put "$key" "${changes[$key]}"; done
    {
        echo "# Written by ringway's tuning/apply.sh, which writes it anew; --undo removes it."
        while read -r key value; do echo "$key = $value"; done <<<"$lines"
    } >"$work"
    install_file /etc/sysctl.d/90-ringway.conf <"$work"
    install_file /etc/security/limits.d/90-ringway.conf <"$here/90-ringway.limits"
    write_state
}

undo() {
    local key path
    [ -e "$state/before" ] || { echo "nothing to undo" && return; }
    for key in $(printf '%s\n' "${!before[@]}" | sort); do
        if ! has "$key"; then
            echo "$key: not on this kernel"
        elif [ "$(value_of "$key")" = "${ours[$key]}" ]; then
            put "$key" "${before[$key]}"
        elif [ "$(value_of "$key")" != "${before[$key]}" ]; then
            echo "$key: left at $(value_of "$key"): somebody has changed it since"
        fi
    done
    for path in "${!files[@]}"; do
        echo "$path: ${files[$path]:+put back as it was, instead of }removed"
        [ -n "$dry" ] && continue
        rm -f "$root$path"
        [ -z "${files[$path]}" ] || mv "$state/${files[$path]}" "$root$path"
    done
    [ -n "$dry" ] || rm -rf "$state"
}

parse_arguments "$@"
work=$(mktemp)
trap 'rm -f "$work"' EXIT
read_state
if [ -n "$undo" ]; then undo; else apply; fi
[ -z "$dry" ] || echo "(a dry run: nothing was changed)"
[ -z "$failed" ]
