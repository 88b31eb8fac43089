#!/usr/bin/env bash
# Stops a server with everything it started, and proves that its lock and its port are free.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/lib.sh"

usage() {
    cat <<'EOF'
usage: NAME=api PORT=8000 stop.sh [--own]
       stop.sh [--own] ENV_FILE...

Ends whoever holds the lock of the service, then whoever holds its port: TERM,
GRACEFUL_TIMEOUT (30) seconds, KILL. Stopping what is stopped is success.
Several services are stopped in reverse order. NAME, PORT, PID_DIR and env
files are as for start.sh.

  --own    leaves whoever holds the port alone, if start.sh did not start it

Exit: 0 the lock and the port are free; 1 one is not; 77 permission was missing;
125 wrong usage, nothing was done.

  PORT=8000 stop.sh
  NAME=api PORT=8000 GRACEFUL_TIMEOUT=5 stop.sh
  stop.sh backend.env frontend.env
EOF
}

own=no

read_arguments "$@"
for option in "${OPTIONS[@]}"; do
    case $option in
    --own) own=yes ;;
    *) unknown_option "$option" ;;
    esac
done
((${#COMMAND[@]} == 0)) || fail "$USAGE" "takes no command (see stop.sh --help)"
find_tools

# Several services, in reverse order; one that fails keeps no other running.
stop_all() {
    local index code result=0
    for ((index = $#; index > 0; index--)); do
        code=0
        "$here/stop.sh" "${OPTIONS[@]}" "${!index}" || code=$?
        ((result != 0)) || result=$code
    done
    return "$result"
}

# Whoever still holds the port is ended, and named.
free_port() {
    local records code=0 pid outcome name
    records=$(portfree --grace "$GRACEFUL_TIMEOUT" "$PORT") || code=$?
    while IFS=$'\t' read -r pid outcome name _; do
        [[ -z $pid ]] || say "$NAME: port $PORT was held by PID $pid ($name): $outcome"
    done <<<"$records"
    return "$code"
}

stop_service() {
    local was=0 now=0 result=0 code=0 freed=
    look_at_lock || was=$?
    ((was != 4)) || fail "$USAGE" "$PID_FILE: cannot tell whether it is running ($STATE)"
    stop_gracefully || result=$?
    if [[ -n $PORT && $own == no ]]; then
        freed=", port $PORT is free"
        free_port || code=$?
        ((result != 0)) || result=$code
    fi
    look_at_lock || now=$?
    if ((result == 0 && now == 0)); then
        say "$NAME: started again meanwhile, PID $HOLDER"
        return "$HOLDS_NOT"
    fi
    ((result == 0)) || return "$result"
    case $was in
    0) tell "$NAME: stopped$freed" ;;
    *) tell "$NAME: was not running$freed" ;;
    esac
}

if ((${#FILES[@]} > 1)); then
    stop_all "${FILES[@]}"
else
    configure "${FILES[@]}"
    stop_service
fi
