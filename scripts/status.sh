#!/usr/bin/env bash
# Says whether servers are running, and how they are.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/lib.sh"

usage() {
    cat <<'EOF'
usage: NAME=api PORT=8000 status.sh [-q]
       status.sh [-q] ENV_FILE...

Prints a line for each service: what its lock says, since when, how much memory
its whole tree uses (shared pages counted once), who holds its port, and
whether it is healthy.

  -q, --quiet    prints nothing

Exit, as init scripts do: 0 all are running; 1 dead, but the PID file is there;
3 not running; 4 cannot tell; 125 wrong usage. Of several services the first
that is not running decides.

  PORT=8000 status.sh
  PORT=8000 HEALTH_URL=http://127.0.0.1:8000/health status.sh
  status.sh backend.env frontend.env
EOF
}

quiet=no
heading=yes

read_arguments "$@"
for option in "${OPTIONS[@]}"; do
    case $option in
    -q | --quiet) quiet=yes ;;
    # For the second and later of several services.
    --no-heading) heading=no ;;
    *) unknown_option "$option" ;;
    esac
done
((${#COMMAND[@]} == 0)) || fail "$USAGE" "takes no command (see status.sh --help)"
find_tools

row() { printf '%-14s %-8s %7s %7s %8s  %-13s %s\n' "$@"; }

status_of_all() {
    local file code result=0 options=("${OPTIONS[@]}")
    for file; do
        code=0
        "$here/status.sh" "${options[@]}" "$file" || code=$?
        ((result != 0)) || result=$code
        options=("${OPTIONS[@]}" --no-heading)
    done
    return "$result"
}

# The time since an RFC 3339 time, in its two largest units.
uptime_since() {
    local start seconds
    start=$(date -d "$1" +%s 2>/dev/null) || { echo - && return; }
    seconds=$(($(date +%s) - start))
    if ((seconds < 60)); then
        printf '%ds\n' "$seconds"
    elif ((seconds < 3600)); then
        printf '%dm%02ds\n' $((seconds / 60)) $((seconds % 60))
    elif ((seconds < 86400)); then
        printf '%dh%02dm\n' $((seconds / 3600)) $((seconds % 3600 / 60))
    else
        printf '%dd%02dh\n' $((seconds / 86400)) $((seconds % 86400 / 3600))
    fi
}

# Memory of the whole tree: the Pss of each process, or what is resident where Pss is denied.
memory() {
    local pid kilobytes total=0
    while IFS=$'\t' read -r pid _; do
        kilobytes=$(awk '/^Pss:/ { print $2 }' "/proc/$pid/smaps_rollup" 2>/dev/null) || true
        [[ -n $kilobytes ]] ||
            kilobytes=$(awk '/^VmRSS:/ { print $2 }' "/proc/$pid/status" 2>/dev/null) || true
        total=$((total + ${kilobytes:-0}))
    done < <(treekill --dry-run --pidfile "$PID_FILE" 2>/dev/null)
    awk -v kb="$total" 'BEGIN { printf "%.1fM\n", kb / 1024 }'
}

# The port, and the first process that holds it.
port() {
    local state pid
    [[ -n $PORT ]] || { echo - && return; }
    IFS=$'\t' read -r _ _ state pid _ < <(portfree --list "$PORT" 2>/dev/null) || true
    if [[ -n ${state:-} ]]; then
        printf '%s by %s\n' "$PORT" "$pid"
    else
        printf '%s free\n' "$PORT"
    fi
}

# What the health check says: the first target that is not healthy, else the first.
health() {
    local records
    ((${#HEALTH[@]} > 0)) || { echo - && return; }
    records=$(waithealth --once --attempt-timeout "$HEALTH_CHECK_TIMEOUT" \
        "${HEALTH_OPTIONS[@]}" "${HEALTH[@]}" 2>/dev/null) || true
    awk -F '\t' '$2 == "unhealthy" && !bad { bad = $2 " (" $5 ")" }
        $2 == "healthy" && !good { good = $2 " (" $5 ")" }
        END { print bad ? bad : good ? good : "-" }' <<<"$records"
}

status_of_service() {
    local code=0
    look_at_lock || code=$?
    [[ $quiet == no ]] || return "$code"
    [[ $heading == no ]] || row SERVICE STATE PID UPTIME MEMORY PORT HEALTH
    if ((code == 0)); then
        row "$NAME" "$STATE" "$HOLDER" "$(uptime_since "$STARTED")" "$(memory)" "$(port)" \
            "$(health)"
    else
        row "$NAME" "${STATE:-unknown}" - - - "$(port)" "$(health)"
    fi
    return "$code"
}

if ((${#FILES[@]} > 1)); then
    status_of_all "${FILES[@]}"
else
    configure "${FILES[@]}"
    status_of_service
fi
