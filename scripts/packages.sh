# Sourced by the other scripts: installs what a fresh Debian machine lacks, and nothing it has.

step() { printf '==> %s\n' "$*"; }

fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif has sudo; then
        sudo -n "$@"
    else
        fail "root or sudo is needed for: $*"
    fi
}

# need COMMAND PACKAGE...: notes the packages if the command is missing. install_needed then installs them.
needed=()
need() {
    local command=$1
    shift
    has "$command" || needed+=("$@")
}

install_needed() {
    [ "${#needed[@]}" -gt 0 ] || return 0
    has apt-get || fail "these are missing and only apt-get is known here: ${needed[*]}"
    step "apt-get install ${needed[*]}"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -qq -y --no-install-recommends "${needed[@]}" </dev/null >/dev/null
    needed=()
}

need_rust() {
    has cargo || fail "cargo is missing: install a Rust toolchain"
    # mimalloc is C.
    need cc gcc libc6-dev
}
