#!/usr/bin/env bash
# Random hostility against the static release build, for long: the fire tests with big numbers.
set -euo pipefail

usage() {
    cat <<'EOF'
usage: fire.sh [TOOL...] [--rounds N] [--seed S]

Runs the fire test of each TOOL (all five when none is named), one after the other:

  treekill    2000 random trees         nothing of them survives, no bystander is touched
  portfree    1000 random port worlds   no holder is missed, no client touched
  pidlock     5000 random kills         never two COMMANDs, never a lock that outlives both
  waithealth  20000 hostile answers     always in time, in bounded memory, with an exit code of its own
  procwatch   2000 random lives         nothing is left, the exit status is right

The seed of the first round is printed; what fails prints the seed that repeats it.
EOF
}

die() {
    printf 'fire.sh: %s\n' "$*" >&2
    exit 125
}

declare -A rounds=([treekill]=2000 [portfree]=1000 [pidlock]=5000 [waithealth]=20000 [procwatch]=2000)
tools=()
while (($# > 0)); do
    case $1 in
    -h | --help)
        usage
        exit 0
        ;;
    --rounds | --seed)
        [[ ${2:-} =~ ^[0-9]+$ ]] || die "$1: a number is wanted"
        if [[ $1 == --seed ]]; then
            export FIRE_SEED=$2
        else
            FIRE_ROUNDS=$2
        fi
        shift
        ;;
    *)
        [[ -n ${rounds[$1]:-} ]] || die "$1: no such tool"
        tools+=("$1")
        ;;
    esac
    shift
done
((${#tools[@]} > 0)) || tools=(treekill portfree pidlock waithealth procwatch)

here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
cd -- "$here/.."
TOOLS_DIR=$("$here/build.sh")
export TOOLS_DIR
code=0
for tool in "${tools[@]}"; do
    started=$SECONDS
    FIRE_ROUNDS=${FIRE_ROUNDS:-${rounds[$tool]}} \
        cargo test --locked --quiet -p testkit --test "fire_$tool" || code=1
    printf 'fire.sh: %s took %d s\n' "$tool" $((SECONDS - started)) >&2
done
((code == 0)) || printf 'fire.sh: something failed; its seed stands above\n' >&2
exit "$code"
