#!/usr/bin/env bash
# Stops a server with everything it started, and proves that its lock and its port are free.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/lib.sh"

usage() {
    cat <<'EOF'
usage: NAME=api PORT=8000 stop.sh
       stop.sh ENV_FILE...

Ends whoever holds the lock of the service, then whoever holds its port: TERM, GRACEFUL_TIMEOUT
(30) seconds, KILL. Stopping what is stopped is success. Several services are stopped in reverse
order. NAME, PORT, PID_DIR and env files are as for start.sh.

Exit: 0 the lock and the port are free; 1 one is not; 77 permission was missing; 125 wrong usage,
nothing was done.

  PORT=8000 stop.sh
  NAME=api PORT=8000 GRACEFUL_TIMEOUT=5 stop.sh
  stop.sh backend.env frontend.env
EOF
}

read_arguments "$@"
for option in "${OPTIONS[@]}"; do
    unknown_option "$option"
done
((${#COMMAND[@]} == 0)) || fail "$USAGE" "takes no command (see stop.sh --help)"
find_tools

# Several services, in reverse order; one that fails keeps no other running.
stop_all() {
    local index code result=0
    for ((index = $#; index > 0; index--)); do
        code=0
        "$here/stop.sh" "${!index}" || code=$?
        ((result != 0)) || result=$code
    done
    return "$result"
}

stop_service() {
    local was=0 now=0 result=0 code
    look_at_lock || was=$?
    ((was != 4)) || fail "$USAGE" "$PID_FILE: cannot tell whether it is running ($STATE)"
    stop_gracefully || result=$?
    if [[ -n $PORT ]]; then
        code=0
        portfree --grace "$GRACEFUL_TIMEOUT" "$PORT" >/dev/null || code=$?
        ((result != 0)) || result=$code
    fi
    look_at_lock || now=$?
    if ((result == 0 && now == 0)); then
        say "$NAME: started again meanwhile, PID $HOLDER"
        return "$HOLDS_NOT"
    fi
    ((result == 0)) || return "$result"
    case $was in
    0) tell "$NAME: stopped${PORT:+, port $PORT is free}" ;;
    *) tell "$NAME: was not running${PORT:+, port $PORT is free}" ;;
    esac
}

if ((${#FILES[@]} > 1)); then
    stop_all "${FILES[@]}"
else
    configure "${FILES[@]}"
    stop_service
fi
