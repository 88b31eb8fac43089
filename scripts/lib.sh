# shellcheck shell=bash
# shellcheck disable=SC2034 # what is set here is used by the scripts that source this file
# The common part of start.sh, stop.sh, restart.sh, status.sh and hard-shutdown.sh: where the
# tools are, what the arguments mean, and what a service is. To be sourced.
#
# A service is configured by its environment, or by env files (bash syntax, read as trusted code),
# one for each service. What an env file sets is in the server's environment, too.
#
#   NAME                  of the service (default: the env file's name, or server-PORT)
#   PORT, HOST            where it listens (HOST 127.0.0.1; without PORT no port is looked at)
#   HEALTH_URL            what waithealth waits for, one or more targets (tcp://HOST:PORT)
#   HEALTH_OPTIONS        more options for waithealth, for example --field status=ok
#   HEALTH_CHECK_TIMEOUT  seconds for one health check (5)
#   START_TIMEOUT         seconds until it must be healthy (60)
#   GRACEFUL_TIMEOUT      seconds between TERM and KILL (30)
#   KILL_EXISTING         true: start ends whoever holds the port (false)
#   PRE_START             shell commands that must succeed before every start
#   WATCH_OPTIONS         more options for procwatch, for example --max-memory 512M
#   WORK_DIR              where PRE_START and the server run (the env file's folder, or this one)
#   PID_DIR, LOG_DIR      folders of NAME.pid and of NAME.log (~/.local/state/servers)
#   MATCH                 regular expression: hard-shutdown also ends what has such a command line
#   COMMAND               in an env file: the server, an array of words or a line for sh -c

here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
# The script's own name, as its messages begin.
self=$(basename -- "$0" .sh)

# Exit codes, with the meaning they have for the tools.
readonly HOLDS_NOT=1 LOCKED=75 USAGE=125 NOT_FOUND=127

# Problems go to standard error, results to standard output.
say() { printf '%s: %s\n' "$self" "$*" >&2; }
tell() { printf '%s: %s\n' "$self" "$*"; }

# fail CODE WORDS...
fail() {
    local code=$1
    shift
    say "$@"
    exit "$code"
}

# The tools: on PATH, or where scripts/build.sh puts them.
find_tools() {
    local tool built
    for built in "$here"/../target/static/*/release; do
        [[ ! -x $built/portfree ]] || PATH=$PATH:$built
    done
    export PATH
    for tool in portfree pidlock treekill waithealth procwatch; do
        type -P -- "$tool" >/dev/null ||
            fail "$USAGE" "$tool: not found on PATH (scripts/build.sh builds it)"
    done
}

# read_arguments ARGUMENT...: sets FILES (the env files), COMMAND (what stands after --) and
# OPTIONS (what is left; each script knows its own).
read_arguments() {
    FILES=() COMMAND=() OPTIONS=()
    while (($# > 0)); do
        case $1 in
        --)
            COMMAND=("${@:2}")
            ((${#COMMAND[@]} > 0)) || fail "$USAGE" "no command after -- (see $self.sh --help)"
            break
            ;;
        -h | --help)
            usage
            exit 0
            ;;
        -?*) OPTIONS+=("$1") ;;
        *) FILES+=("$1") ;;
        esac
        shift
    done
    ((${#FILES[@]} == 0 || ${#COMMAND[@]} == 0)) ||
        fail "$USAGE" "a command after -- and env files exclude each other (see $self.sh --help)"
}

# unknown_option OPTION
unknown_option() { fail "$USAGE" "unknown option $1 (see $self.sh --help)"; }

# configure [FILE]: reads and checks all of one service, and fills in the defaults.
configure() {
    local folder=$PWD default_name=
    if (($# > 0)); then
        [[ -f $1 && -r $1 ]] || fail "$USAGE" "$1: not a readable env file"
        folder=$(cd -P -- "$(dirname -- "$1")" >/dev/null && pwd)
        default_name=$(basename -- "$1" .env)
        read_env_file "$folder/$(basename -- "$1")"
    fi
    NAME=${NAME:-${default_name:-${PORT:+server-$PORT}}}
    [[ -n $NAME ]] || fail "$USAGE" "neither NAME nor PORT is set (see $self.sh --help)"
    [[ $NAME =~ ^[A-Za-z0-9_][A-Za-z0-9._@-]*$ ]] ||
        fail "$USAGE" "NAME: '$NAME' is not a plain name of letters, digits and . _ @ -"
    check_port
    HOST=${HOST:-127.0.0.1}
    seconds GRACEFUL_TIMEOUT 30
    seconds HEALTH_CHECK_TIMEOUT 5
    seconds START_TIMEOUT 60
    case ${KILL_EXISTING:=false} in
    true | false) ;;
    *) fail "$USAGE" "KILL_EXISTING: '$KILL_EXISTING' is neither true nor false" ;;
    esac
    WORK_DIR=$(absolute "$folder" "${WORK_DIR:-$folder}")
    if [[ -z ${PID_DIR:-} ]]; then
        [[ -n ${XDG_STATE_HOME:-${HOME:-}} ]] || fail "$USAGE" "neither PID_DIR nor HOME is set"
        PID_DIR=${XDG_STATE_HOME:-$HOME/.local/state}/servers
    fi
    PID_DIR=$(absolute "$folder" "$PID_DIR")
    LOG_DIR=$(absolute "$folder" "${LOG_DIR:-$PID_DIR}")
    PID_FILE=$PID_DIR/$NAME.pid
    LOG=$LOG_DIR/$NAME.log
    WATCH_LOG=$LOG_DIR/$NAME.watch.log
    EVENTS=$LOG_DIR/$NAME.events
    words HEALTH "${HEALTH_URL:-${PORT:+tcp://$(reachable "$HOST"):$PORT}}"
    words HEALTH_OPTIONS "${HEALTH_OPTIONS:-}"
    words WATCH_OPTIONS "${WATCH_OPTIONS:-}"
}

# An env file is bash: its variables are exported, its COMMAND may be an array.
read_env_file() {
    local code=0
    unset COMMAND
    set -a +eu
    # shellcheck disable=SC1090
    . "$1" || code=$?
    set +a -eu
    ((code == 0)) || fail "$USAGE" "$1: cannot be read as bash"
    case $(declare -p COMMAND 2>/dev/null) in
    "declare -a"*) ;;
    "") COMMAND=() ;;
    *) COMMAND=(sh -c "${COMMAND[0]}") ;;
    esac
}

check_port() {
    PORT=${PORT:-}
    [[ -n $PORT ]] || return 0
    if [[ ! $PORT =~ ^[0-9]{1,5}$ ]] || ((10#$PORT < 1 || 10#$PORT > 65535)); then
        fail "$USAGE" "PORT: '$PORT' is not a port number"
    fi
}

# seconds VARIABLE DEFAULT
seconds() {
    local -n variable=$1
    variable=${variable:-$2}
    [[ $variable =~ ^[0-9]{1,6}$ ]] ||
        fail "$USAGE" "$1: '$variable' is not a whole number of seconds"
    variable=$((10#$variable))
}

# words ARRAY TEXT: the words of a text, quoted as for xargs.
words() {
    local -n array=$1
    local text
    text=$(xargs -r printf '%s\n' <<<"$2" 2>/dev/null) || fail "$USAGE" "$1: a quote is not closed"
    unset -v "$1"
    array=()
    [[ -z $text ]] || mapfile -t array <<<"$text"
}

# absolute FOLDER PATH
absolute() {
    case $2 in
    /*) printf '%s\n' "$2" ;;
    *) printf '%s\n' "$1/$2" ;;
    esac
}

# The address at which a server that listens on HOST is reached from here.
reachable() {
    case $1 in
    0.0.0.0) printf '127.0.0.1' ;;
    :: | '[::]') printf '[::1]' ;;
    *:*) printf '[%s]' "$(tr -d '[]' <<<"$1")" ;;
    *) printf '%s' "$1" ;;
    esac
}

# make_folder VARIABLE FOLDER
make_folder() {
    local why
    why=$(mkdir -p -- "$2" 2>&1) || fail "$USAGE" "$1: ${why#mkdir: }"
    [[ -w $2 && -x $2 ]] || fail "$USAGE" "$1: $2 cannot be written"
}

# What the lock says: LSB code, and STATE and HOLDER from pidlock's record.
look_at_lock() {
    local code=0 record
    record=$(pidlock --status "$PID_FILE" 2>/dev/null) || code=$?
    IFS=$'\t' read -r STATE HOLDER _ STARTED _ <<<"$record" || true
    return "$code"
}

# end_service GRACE [OPTION...]: ends the tree behind the lock, then what left that tree.
end_service() {
    local grace=$1 code=0
    shift
    treekill "$@" --grace "$grace" --pidfile "$PID_FILE" >/dev/null || code=$?
    treekill --grace "$grace" --env "SERVICE_PID_FILE=$PID_FILE" >/dev/null || code=$?
    return "$code"
}

# procwatch gets TERM, and stops the server within its own grace; ours is longer.
stop_gracefully() { end_service $((GRACEFUL_TIMEOUT + 5)) --leader-first; }
