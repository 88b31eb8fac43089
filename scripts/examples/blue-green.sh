#!/usr/bin/env bash
# Replaces a running server by a new one without a failed request: starts the new one on a free
# port beside the old one, waits until it is healthy, turns the proxy over, stops the old one.
set -euo pipefail
# shellcheck source=../lib.sh
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/../lib.sh"

usage() {
    cat <<'EOF'
usage: NAME=api UPSTREAM=FILE RELOAD=COMMAND blue-green.sh -- COMMAND [ARG...]

The two servers are the services NAME-blue and NAME-green. COMMAND finds its
port in PORT, and where a word of it is @PORT@. UPSTREAM is a file that the
proxy includes; it gets the one line "server 127.0.0.1:PORT;", and RELOAD makes
the proxy read it.

  FIRST_PORT=8100   where the search for a free port begins
  DRAIN=2           seconds that the old server gets to finish its requests
  HEALTH_PATH=/     of the new server; other settings are those of start.sh

Exit: 0 the new server serves and the old one is gone; else the old one still
serves.

  NAME=api UPSTREAM=/etc/nginx/api.conf RELOAD='nginx -s reload' \
      blue-green.sh -- uvicorn app:app --port @PORT@
EOF
}

read_arguments "$@"
((${#OPTIONS[@]} + ${#FILES[@]} == 0)) || fail "$USAGE" "takes nothing before -- (see --help)"
((${#COMMAND[@]} > 0)) || fail "$USAGE" "no command given (see --help)"
: "${NAME:=server}" "${FIRST_PORT:=8100}" "${DRAIN:=2}" "${HEALTH_PATH:=/}"
[[ -n ${UPSTREAM:-} && -n ${RELOAD:-} ]] || fail "$USAGE" 'UPSTREAM and RELOAD must be set'
find_tools

# turn_to PORT: the proxy never sees half a file.
turn_to() {
    printf 'server 127.0.0.1:%s;\n' "$1" >"$UPSTREAM.new" &&
        mv -- "$UPSTREAM.new" "$UPSTREAM" &&
        bash -c "$RELOAD"
}

old=$NAME-green new=$NAME-blue
if NAME=$NAME-blue PORT='' "$here/status.sh" --quiet; then
    old=$NAME-blue new=$NAME-green
fi

PORT=$(portfree --next "$FIRST_PORT" 2>/dev/null)
export PORT
NAME=$new HEALTH_URL=http://127.0.0.1:$PORT$HEALTH_PATH "$here/start.sh" -- "${COMMAND[@]//@PORT@/$PORT}"

before=$(cat -- "$UPSTREAM" 2>/dev/null) || true
if ! turn_to "$PORT"; then
    [[ -z $before ]] || printf '%s\n' "$before" >"$UPSTREAM"
    NAME=$new "$here/stop.sh"
    fail "$HOLDS_NOT" "the proxy did not take the new server; $old still serves"
fi

# Who is still talking to the old server may finish.
sleep "$DRAIN"
# Without a port: the one that is in the environment is the new server's.
NAME=$old PORT='' "$here/stop.sh"
