#!/usr/bin/env bash
# Measures the tools and their peers side by side.
set -euo pipefail

readonly SECTIONS=(ports trees locks health supervisors startup sizes)

usage() {
    cat <<EOF
usage: bench.sh [--quick] [SECTION...]
       bench.sh --publish

Measures the static release build (or the tools in the folder TOOLS_DIR) beside
the programs that people use instead, in turns within one run, in PID and
network namespaces of its own (needs root). Sections, all by default:
${SECTIONS[*]}.

Peers that are missing are installed: Debian packages (no service is started),
the rest under target/bench/. What cannot be had is named. Each section's last
results go to target/bench/RESULTS.md, with plots.

  --quick    few rounds: shows that all works; its figures are not worth much
  --publish  measures nothing; copies the last results to scripts/bench/
EOF
}

here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
line="scripts/bench.sh${*:+ $*}"
cd -- "$here/.."
readonly here line BENCH=$PWD/target/bench

say() { printf 'bench.sh: %s\n' "$*" >&2; }

fail() {
    say "$@"
    exit 125
}

. "$here/packages.sh"
. "$here/bench/peers.sh"

publish() {
    [[ -e $BENCH/RESULTS.md ]] || fail "nothing was measured yet"
    ! grep -q -e '--quick' "$BENCH/RESULTS.md" || say "some figures come from a quick run"
    cp -v -- "$BENCH/RESULTS.md" "$BENCH"/*.svg "$here/bench/"
}

options=() sections=()
for word; do
    case $word in
    -h | --help) usage && exit ;;
    --publish) publish && exit ;;
    --quick) options+=(--quick) ;;
    *)
        [[ " ${SECTIONS[*]} " == *" $word "* ]] || fail "$word: no such section (see --help)"
        sections+=("$word")
        ;;
    esac
done
((${#sections[@]} > 0)) || sections=("${SECTIONS[@]}")
[[ $(id -u) == 0 ]] || fail "needs root, for namespaces of its own and to see all processes"

mkdir -p "$BENCH"
# Debian keeps some of the peers in sbin.
export PATH=$BENCH/node/node_modules/.bin:$BENCH/cargo/bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin
install_peers
write_versions

# The smallest waithealth is a build of its own, and comes first: the full one stays in its place.
if [[ -z ${TOOLS_DIR:-} && " ${sections[*]} " == *" sizes "* ]]; then
    slim=$("$here/build.sh" -p waithealth --no-default-features)
    cp -- "$slim/waithealth" "$BENCH/waithealth-slim"
    export SLIM_WAITHEALTH=$BENCH/waithealth-slim
fi
tools=${TOOLS_DIR:-$("$here/build.sh")}
# Installed like their peers: a file that the linker has just written lies in the page cache in
# small pieces, which makes a start a tenth slower.
install -D -t "$BENCH/bin" -- "$tools"/{portfree,pidlock,treekill,waithealth,procwatch,bench-crasher}
export PATH=$BENCH/bin:$PATH

unshare --pid --fork --kill-child --mount-proc --net -- \
    python3 -B "$here/bench/run.py" "$BENCH" "$line" "${options[@]}" "${sections[@]}"
