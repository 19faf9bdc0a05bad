# Sourced: which tests that failed among others are tried once more, alone (docs/decisions/0030). More than a few are no coincidence.
readonly ALONE_MOST=3

# Whether these are few enough, one a line; says so if they are.
may_be_tried_alone() {
    [ -n "$1" ] && [ "$(wc -l <<<"$1")" -le "$ALONE_MOST" ] || return 1
    step "failed among others, now alone: ${1//$'\n'/, }"
}
