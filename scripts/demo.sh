#!/usr/bin/env bash
# Takes a real server through its whole life with the five tools. Ends with 0 only if every step
# held; leaves nothing behind.
set -euo pipefail
here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
    bold=$'\033[1m' faint=$'\033[2m' plain=$'\033[0m'
else
    bold='' faint='' plain=''
fi

steps=0
# step WORDS...
step() {
    steps=$((steps + 1))
    printf '\n%s%d. %s%s\n' "$bold" "$steps" "$*" "$plain"
}

# show COMMAND...: prints it, runs it, and sets its output off.
show() {
    printf '%s   $ %s%s\n' "$faint" "$*" "$plain"
    "$@" 2>&1 | sed 's/^/   /'
}

# refused CODE COMMAND...: must end with this code.
refused() {
    local want=$1 code=0
    shift
    show "$@" || code=$?
    ((code == want)) || broken "ended with $code, not with $want"
    printf '   (exit %d)\n' "$code"
}

broken() {
    printf '\n%sThe demo failed in step %d: %s%s\n' "$bold" "$steps" "$*" "$plain" >&2
    exit 1
}

# Anything that fails ends the demo: say where, stop what runs, and leave nothing behind.
clean_up() {
    local code=$?
    trap - EXIT
    if [[ -n ${PID_DIR:-} ]]; then
        "$here/hard-shutdown.sh" --yes >/dev/null 2>&1 || true
        rm -rf -- "$PID_DIR"
    fi
    ((code == 0)) || printf '\n%sThe demo did not reach its end.%s\n' "$bold" "$plain" >&2
    exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

case ${1:-} in
"") ;;
*)
    printf 'usage: demo.sh\n\nTakes a small server of its own through its whole life.\n'
    [[ $1 == -h || $1 == --help ]] || exit 125
    exit 0
    ;;
esac

printf '%sOne server, its whole life, five small tools%s\n' "$bold" "$plain"

step 'Build the tools (a few minutes the first time, nothing after that).'
tools=${TOOLS_DIR:-$("$here/build.sh" --quiet)}
PATH=$tools:$here:$PATH
printf '   %s\n' portfree pidlock treekill waithealth procwatch

# Settings of the scripts, in the environment; none of whoever runs the demo.
unset HOST WORK_DIR KILL_EXISTING PRE_START MATCH HEALTH_OPTIONS
unset HEALTH_CHECK_TIMEOUT START_TIMEOUT GRACEFUL_TIMEOUT
PID_DIR=$(mktemp -d)
LOG_DIR=$PID_DIR
PORT=$(portfree --next 8000 2>/dev/null)
NAME=demo
HEALTH_URL=http://127.0.0.1:$PORT/health
# Long enough to be called stable; real servers take the default of ten seconds.
WATCH_OPTIONS='--stable 500ms'
export PATH PID_DIR LOG_DIR PORT NAME HEALTH_URL WATCH_OPTIONS

starts() { grep -c '"event":"start"' "$PID_DIR/demo.events"; }
# The server's PID, from its last start.
server() {
    sed -n '/"event":"start"/s/.*"pid":\([0-9]*\).*/\1/p' "$PID_DIR/demo.events" | tail -n 1
}

step "Start a server with four workers on port $PORT, and return when it is healthy."
show start.sh -- demo-server "$PORT" 4
show waithealth --once --print . "$HEALTH_URL"

step 'Start it again: there is a lock, and the kernel holds it.'
refused 75 start.sh -- demo-server "$PORT" 4

step 'Look at it.'
show status.sh
show portfree --list "$PORT"

# Until it has been up for as long as WATCH_OPTIONS says, its end is a failed start.
sleep 1

first=$(server)
step 'Kill the server, with no chance to clean up. Its workers live on and keep the port.'
show kill -9 "$first"
for ((tries = 0; tries < 200 && $(starts) < 2; tries++)); do
    sleep 0.1
done
(($(starts) == 2)) || broken 'it was not started again'
show waithealth "$HEALTH_URL"
[[ $(server) != "$first" ]] || broken 'the same process is still there'
printf '   procwatch ended the workers and started the server again, as PID %s.\n' "$(server)"

step 'Stop it: the server, its workers, its watcher; lock and port are free.'
show stop.sh
show portfree --check "$PORT"
printf '   (exit 0: a server can bind it)\n'
! treekill --dry-run --must-exist --env "SERVICE_PID_FILE=$PID_DIR/demo.pid" >/dev/null 2>&1 ||
    broken 'a process is left'

step 'Stop what is stopped: that is what was asked for.'
show stop.sh

rm -rf -- "$PID_DIR"
[[ ! -e $PID_DIR ]] || broken 'a file is left'
unset PID_DIR
printf '\n%sEvery step held, and nothing is left behind.%s\n' "$bold" "$plain"
