#!/usr/bin/env bash
# Which lines of the tools the tests execute: all tests against an instrumented debug build.
set -euo pipefail

usage() {
    cat <<'EOF'
usage: coverage.sh [CARGO_TEST_ARGUMENT...]

Runs the tests of the whole workspace (or those that the arguments name) with
every tool instrumented, and prints what they execute: a table of the crates,
and the files of which they execute less than 80 %. Unit tests are run, but
their own lines are not counted. Leaves under target/coverage:

  html/          every source file with the count of each line
  missing.txt    the lines that no test executes

Needs what scripts/test.sh installs; installs cargo-llvm-cov under target/tools
and, where rustup cannot add its LLVM tools, Debian's of the same version.

  scripts/coverage.sh
  scripts/coverage.sh -p pidlock
EOF
}

die() {
    printf 'coverage.sh: %s\n' "$*" >&2
    exit 125
}

case ${1:-} in
-h | --help)
    usage
    exit 0
    ;;
esac

here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
cd -- "$here/.."
readonly here TOOLS=(portfree pidlock treekill waithealth procwatch) SKIPPED=(
    # These run the static release build, in containers and from packages.
    pid_1_of_a_container an_empty_image_is_starting_then_healthy_then_unhealthy
    install_and_uninstall_leave_what_was_there_before
    the_archive_and_the_debian_package_install_run_and_go
)

say() { printf 'coverage.sh: %s\n' "$*" >&2; }
. "$here/packages.sh"

# The profiles can only be read by tools of the compiler's own LLVM.
find_llvm() {
    local bin version missing
    bin=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin
    [[ ! -x $bin/llvm-cov ]] || return 0
    ! rustup component add llvm-tools || return 0
    version=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
    mapfile -t missing < <(packages_of "llvm-cov-$version llvm-$version")
    install_packages "${missing[@]}"
    LLVM_COV=$(type -P "llvm-cov-$version") || die "neither rustup nor Debian has LLVM $version"
    export LLVM_COV LLVM_PROFDATA=${LLVM_COV/llvm-cov/llvm-profdata}
}

PATH=$PWD/target/venv/bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin:$PWD/target/tools/bin
find_llvm
type -P cargo-llvm-cov >/dev/null ||
    cargo install --quiet --locked --root target/tools cargo-llvm-cov

export CARGO_TARGET_DIR=$PWD/target/coverage
# The tests must find the instrumented tools, which stand beside their own binaries.
unset TOOLS_DIR
instrumented=$(cargo llvm-cov show-env --sh 2>/dev/null)
eval "$instrumented"
# The report looks into every binary that is there: none of an older state may be.
cargo llvm-cov clean --workspace
# Counters that live in the file itself (%c) outlast SIGKILL, _exit and exec; one file for each
# binary (%m), whatever PID its processes have in their namespaces.
export LLVM_PROFILE_FILE=$CARGO_TARGET_DIR/${PWD##*/}-%m%c.profraw
export RUSTFLAGS="${RUSTFLAGS:-} -C llvm-args=-runtime-counter-relocation"
[[ " $* " == *" -- "* ]] || set -- "$@" --
cargo test --quiet --locked --workspace --no-run "${@:1:$#-1}"
# The files are made here for everybody: some tests run a tool as another user.
(umask 0 && for tool in "${TOOLS[@]}"; do "$CARGO_TARGET_DIR/debug/$tool" --version; done) >/dev/null

skips=("${SKIPPED[@]/#/--skip=}")
code=0
cargo test --locked --workspace --no-fail-fast "$@" "${skips[@]}" </dev/null || code=$?

report=(cargo llvm-cov report --ignore-filename-regex '/packaging\.rs$')
"${report[@]}" --html --output-dir "$CARGO_TARGET_DIR" >/dev/null
"${report[@]}" --json --output-path "$CARGO_TARGET_DIR/coverage.json"
"${report[@]}" --lcov --output-path "$CARGO_TARGET_DIR/lines.lcov"
echo
python3 "$here/coverage.py" "$CARGO_TARGET_DIR"
((code == 0)) || say 'not all tests passed: the figures are of those that did'
exit "$code"
