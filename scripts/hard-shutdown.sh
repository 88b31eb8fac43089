#!/usr/bin/env bash
# Kills a service at once and wherever it is: by its lock, by name, by its port in all states.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/lib.sh"

usage() {
    cat <<'EOF'
usage: NAME=api PORT=8000 hard-shutdown.sh [--yes]
       hard-shutdown.sh [--yes] ENV_FILE...

Shows what it is going to kill, counts three seconds down, which Ctrl-C cancels,
then kills without grace: the tree that holds the lock of the service, whatever
was started under its name and left that tree, whatever has MATCH (a regular
expression) in its command line, and whoever listens on its port or is
connected to it.

  -y, --yes    no countdown; needed where standard input is not a terminal

Exit: 0 nothing of it is left; 1 something is; 77 permission was missing; 125
wrong usage, or no terminal and no --yes: nothing was done.

  PORT=8000 hard-shutdown.sh
  PORT=8000 MATCH='uvicorn.*app:app' hard-shutdown.sh --yes
  hard-shutdown.sh --yes backend.env frontend.env
EOF
}

yes=no

read_arguments "$@"
for option in "${OPTIONS[@]}"; do
    case $option in
    -y | --yes) yes=yes ;;
    *) unknown_option "$option" ;;
    esac
done
((${#COMMAND[@]} == 0)) || fail "$USAGE" "takes no command (see hard-shutdown.sh --help)"
[[ $yes == yes || -t 0 ]] ||
    fail "$USAGE" "no terminal to cancel the countdown from: --yes is needed, nothing was done"
find_tools

# PID, name and command line of all that would be killed, each once.
victims() {
    {
        treekill --dry-run --pidfile "$PID_FILE" || true
        treekill --dry-run --env "SERVICE_PID_FILE=$PID_FILE" || true
        [[ -z ${MATCH:-} ]] || treekill --dry-run --match "$MATCH" || true
        [[ -z $PORT ]] || portfree --dry-run --established "$PORT" |
            awk -F '\t' -v OFS='\t' '{ print $4, "-", "-", $6, $7 }' || true
    } 2>/dev/null | awk -F '\t' '!seen[$1]++ { printf "  %8s  %s  %s\n", $1, $4, $5 }'
}

count_down() {
    local left
    for left in 3 2 1; do
        printf '\r%s: in %d s; Ctrl-C cancels ' "$self" "$left" >&2
        sleep 1
    done
    printf '\r\033[K' >&2
}

kill_service() {
    local result=0 code found
    found=$(victims)
    if [[ -n $found ]]; then
        say "$NAME: going to be killed:"
        printf '%s\n' "$found" >&2
        [[ $yes == yes ]] || count_down
    fi
    attempt end_service 0
    [[ -z ${MATCH:-} ]] || attempt treekill --grace 0 --match "$MATCH"
    [[ -z $PORT ]] || attempt portfree --grace 0 --established "$PORT"
    ((result == 0)) && tell "$NAME: nothing of it is left${PORT:+, port $PORT is free}"
    return "$result"
}

# attempt COMMAND...: goes on after a failure; the first one is the result.
attempt() {
    code=0
    "$@" >/dev/null || code=$?
    ((result != 0)) || result=$code
}

if ((${#FILES[@]} > 1)); then
    result=0
    for file in "${FILES[@]}"; do
        attempt "$here/hard-shutdown.sh" "${OPTIONS[@]}" "$file"
    done
    exit "$result"
else
    configure "${FILES[@]}"
    kill_service
fi
