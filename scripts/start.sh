#!/usr/bin/env bash
# Starts a server, locked and watched, and returns when it is healthy.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/lib.sh"

usage() {
    cat <<'EOF'
usage: NAME=api PORT=8000 start.sh -- COMMAND [ARG...]
       start.sh [-c] ENV_FILE...

Takes the lock of the service, checks its port, starts COMMAND under procwatch
and waits until it is healthy. What does not become healthy is ended again, and
the last lines of its log are shown. An ENV_FILE sets the variables below and
COMMAND, in bash. Several services are started in order, all or none.

  NAME, PORT, HOST=127.0.0.1   what, and where it listens
  HEALTH_URL=tcp://HOST:PORT   what is waited for; HEALTH_OPTIONS of waithealth
  HEALTH_CHECK_TIMEOUT=5       seconds for one check; START_TIMEOUT=60 for all
  GRACEFUL_TIMEOUT=30          seconds between TERM and KILL
  KILL_EXISTING=false          true: ends whoever holds the port
  PRE_START, WATCH_OPTIONS     what must succeed first; options of procwatch
  WORK_DIR, PID_DIR, LOG_DIR   folders (PID_DIR is ~/.local/state/servers)

  -c, --check    checks the settings and runs PRE_START; starts nothing

Exit: 0 healthy; 1 the port is held, PRE_START failed or the server died; 75
already running; 124 not healthy in time; 125 wrong usage, nothing was done;
126, 127 COMMAND cannot be run, was not found.

  PORT=8000 start.sh -- uvicorn app:app --port 8000
  PORT=8000 HEALTH_URL=http://127.0.0.1:8000/health start.sh -- ./server
  start.sh backend.env frontend.env
EOF
}

check_only=no
waiter=
started=

read_arguments "$@"
for option in "${OPTIONS[@]}"; do
    case $option in
    -c | --check) check_only=yes ;;
    *) unknown_option "$option" ;;
    esac
done
find_tools

# Several services: all settings are looked at before anything is started, and a failure ends
# those that were started here.
start_all() {
    local file running=() code
    for file; do
        "$here/start.sh" --check "$file"
    done
    [[ $check_only == no ]] || return 0
    for file; do
        ! "$here/status.sh" --quiet "$file" || fail "$LOCKED" "$file: already running"
    done
    for file; do
        code=0
        "$here/start.sh" "$file" || code=$?
        if ((code != 0)); then
            ((${#running[@]} == 0)) || "$here/stop.sh" --own "${running[@]}"
            exit "$code"
        fi
        running=("$file" "${running[@]}")
    done
}

check_settings() {
    ((${#COMMAND[@]} > 0)) || fail "$USAGE" "$NAME: no command given (see start.sh --help)"
    [[ -d $WORK_DIR ]] || fail "$USAGE" "WORK_DIR: $WORK_DIR is not a folder"
    make_folder PID_DIR "$PID_DIR"
    make_folder LOG_DIR "$LOG_DIR"
    (cd -- "$WORK_DIR" && type -P -- "${COMMAND[0]}" >/dev/null) ||
        fail "$NOT_FOUND" "${COMMAND[0]}: not found"
}

refuse_when_running() {
    local code=0
    look_at_lock || code=$?
    case $code in
    0) fail "$LOCKED" "$NAME: already running, PID $HOLDER" ;;
    4) fail "$USAGE" "$PID_FILE: cannot tell whether it is running ($STATE)" ;;
    esac
}

# The lock comes before the port: here a holder is only named. Who may be ended is ended under
# the lock, by procwatch --before.
refuse_when_port_is_held() {
    local state pid user name command
    [[ -n $PORT && $KILL_EXISTING == false ]] || return 0
    ! portfree --quiet --check "$PORT" || return 0
    while IFS=$'\t' read -r _ _ state pid user name command; do
        case $pid in
        -) say "port $PORT: $state, no process to be seen" ;;
        *) say "port $PORT: held by PID $pid ($name) of $user: $command" ;;
        esac
    done < <(portfree --list "$PORT" 2>/dev/null)
    fail "$HOLDS_NOT" "port $PORT: in use, nothing was started (KILL_EXISTING=true ends the holder)"
}

run_pre_start() {
    local code=0
    [[ -n ${PRE_START:-} ]] || return 0
    (cd -- "$WORK_DIR" && exec bash -euc "$PRE_START") || code=$?
    ((code == 0)) || fail "$HOLDS_NOT" "$NAME: PRE_START failed with $code, nothing was started"
}

start_watched() {
    local before=() code=0
    if [[ -n $PORT && $KILL_EXISTING == true ]]; then
        before=(--before "portfree --grace $GRACEFUL_TIMEOUT $PORT")
    elif [[ -n $PORT ]]; then
        before=(--before "portfree --wait 5 $PORT")
    fi
    # By this stop.sh finds what left the tree.
    export SERVICE_PID_FILE=$PID_FILE
    cd -- "$WORK_DIR"
    started=$(pidlock --detach --mode 0644 --log "$WATCH_LOG" "$PID_FILE" -- \
        procwatch --startup-restarts 0 --grace "$GRACEFUL_TIMEOUT" "${before[@]}" \
        --log "$LOG" --events "$EVENTS" "${WATCH_OPTIONS[@]}" -- "${COMMAND[@]}") || code=$?
    ((code == 0)) || exit "$code"
}

wait_for_health() {
    local code=0
    if ((${#HEALTH[@]} > 0)); then
        # In the background, so that a TERM to this script is not kept waiting.
        waithealth --pidfile "$PID_FILE" --timeout "$START_TIMEOUT" \
            --attempt-timeout "$HEALTH_CHECK_TIMEOUT" "${HEALTH_OPTIONS[@]}" "${HEALTH[@]}" \
            >/dev/null &
        waiter=$!
        wait "$waiter" || code=$?
        waiter=
    fi
    # Somebody else may have answered while ours was failing.
    ((code != 0)) || look_at_lock || code=$HOLDS_NOT
    return "$code"
}

# Ends what this script started, if it is still that which holds the lock.
roll_back() {
    [[ -n $started ]] || return 0
    if [[ $(pidlock --holder "$PID_FILE" 2>/dev/null) == "$started" ]]; then
        stop_gracefully || say "$NAME: could not be ended again"
    fi
    started=
}

interrupted() {
    trap - INT TERM
    [[ -z $waiter ]] || kill "$waiter" 2>/dev/null || true
    say "$NAME: interrupted"
    roll_back
    kill -s "$1" $$
}

# size FILE: in bytes.
size() { stat -c %s -- "$1" 2>/dev/null || echo 0; }

# show_end FILE SIZE: its last lines, of those that came after it had this size.
show_end() {
    [[ -s $1 ]] || return 0
    local from=$(($2 + 1))
    (($(size "$1") >= $2)) || from=1
    local lines
    lines=$(tail -c "+$from" -- "$1" | tail -n 20 | cat -v)
    [[ -z $lines ]] || printf '%s\n' "--- $1" "$lines" >&2
}

start_service() {
    local code=0 log_size watch_log_size
    check_settings
    if [[ $check_only == yes ]]; then
        run_pre_start
        return
    fi
    refuse_when_running
    refuse_when_port_is_held
    run_pre_start
    log_size=$(size "$LOG")
    watch_log_size=$(size "$WATCH_LOG")
    trap 'interrupted INT' INT
    trap 'interrupted TERM' TERM
    start_watched
    wait_for_health || code=$?
    if ((code == 0)); then
        tell "$NAME: running, PID $started${HEALTH[*]:+, healthy at ${HEALTH[*]}}"
        return
    fi
    roll_back
    show_end "$WATCH_LOG" "$watch_log_size"
    show_end "$LOG" "$log_size"
    case $code in
    124) say "$NAME: not healthy in $START_TIMEOUT s, ended again" ;;
    *) say "$NAME: ended before it was healthy" ;;
    esac
    exit "$code"
}

if ((${#FILES[@]} > 1)); then
    start_all "${FILES[@]}"
else
    configure "${FILES[@]}"
    start_service
fi
