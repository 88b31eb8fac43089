#!/usr/bin/env bash
# Stops a server and starts it again; with wrong settings or a failing PRE_START it keeps running.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/lib.sh"

usage() {
    cat <<'EOF'
usage: NAME=api PORT=8000 restart.sh -- COMMAND [ARG...]
       restart.sh ENV_FILE...

Checks the settings and runs PRE_START while the service still runs, then ends
what runs of it, then start.sh, with the same environment. What is not running
is started. Whoever else holds the port is left to start.sh.

Exit: that of stop.sh where it fails, else that of start.sh; 125 wrong usage,
nothing was done.

  PORT=8000 restart.sh -- uvicorn app:app --port 8000
  restart.sh backend.env
  restart.sh backend.env frontend.env
EOF
}

read_arguments "$@"
for option in "${OPTIONS[@]}"; do
    unknown_option "$option"
done

"$here/start.sh" --check "$@"
"$here/stop.sh" --own "${FILES[@]}"
exec "$here/start.sh" "$@"
