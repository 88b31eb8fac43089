#!/usr/bin/env bash
# Fuzzes what the tools read from outside, with cargo-fuzz and libFuzzer, on the stable toolchain.
set -euo pipefail

usage() {
    cat <<'EOF'
usage: fuzz.sh [TARGET...] [--seconds N]
       fuzz.sh --list

Runs each TARGET of tests/fuzz/src/bin (all when none is named) for N seconds
(60), one after the other, and prints for each: executions, edges and features
of the code that were reached, inputs that are kept, crashes. The inputs stay
under target/fuzz/corpus, and the next run goes on from there. What crashes,
takes 10 s or 1 GB is written to target/fuzz/crashes and named, with the command
that repeats it; the target's run ends there.

Installs cargo-fuzz under target/tools and, as root on Debian, a C++ compiler.
Debug assertions and overflow checks are on. Exit: 0 no crash, 1 a crash.
EOF
}

say() { printf 'fuzz.sh: %s\n' "$*" >&2; }

die() {
    say "$@"
    exit 125
}

here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
cd -- "$here/.."
. "$here/packages.sh"

list() { basename -s .rs -- tests/fuzz/src/bin/*.rs; }

targets=()
seconds=60
while (($# > 0)); do
    case $1 in
    -h | --help)
        usage
        exit 0
        ;;
    --list)
        list
        exit 0
        ;;
    --seconds)
        [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || die "$1: a number is wanted"
        seconds=$2
        shift
        ;;
    *)
        [[ -f tests/fuzz/src/bin/$1.rs ]] || die "$1: no such target"
        targets+=("$1")
        ;;
    esac
    shift
done
((${#targets[@]} > 0)) || mapfile -t targets < <(list)

# A sanitizer would want a nightly toolchain, and could only look at the few lines of `unsafe`.
options=(--fuzz-dir tests/fuzz --target-dir target/fuzz --sanitizer none)

prepare() {
    local missing target
    mapfile -t missing < <(packages_of "c++ g++")
    install_packages "${missing[@]}"
    PATH=$PATH:$PWD/target/tools/bin
    type -P cargo-fuzz >/dev/null ||
        cargo install --quiet --locked --root target/tools cargo-fuzz ||
        die "cargo-fuzz could not be installed"
    for target in "${targets[@]}"; do
        cargo fuzz build "${options[@]}" "$target" || die "$target could not be built"
    done
}

# run TARGET: one line about it; fails where something was found.
run() {
    local target=$1 code=0 corpus=target/fuzz/corpus/$1 log=target/fuzz/$1.log
    local crashes=target/fuzz/crashes/$1
    mkdir -p "$corpus" "$crashes"
    cargo fuzz run "${options[@]}" "$target" "$corpus" "tests/fuzz/seeds/$target" -- \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
        -artifact_prefix="$crashes/" >"$log" 2>&1 || code=$?
    summary "$target" "$code" <"$log"
    ((code == 0)) || return 1
}

# summary TARGET CODE: of what libFuzzer has written. `#N` lines carry cov, ft and corp.
summary() {
    awk -v target="$1" -v code="$2" '
        /^stat::number_of_executed_units:/ { executions = $2 }
        /^#[0-9]/ {
            for (i = 1; i < NF; i++) {
                if ($i == "cov:") edges = $(i + 1)
                if ($i == "ft:") features = $(i + 1)
                if ($i == "corp:") { split($(i + 1), kept, "/"); inputs = kept[1] }
            }
        }
        /Test unit written to/ { file = $NF }
        END {
            printf "%-16s %12d %7d %9d %7d  %s\n", target, executions, edges, features, inputs,
                code == 0 ? "none" : file == "" ? "failed, see target/fuzz/" target ".log" : file
        }'
}

prepare
result=0
printf '%-16s %12s %7s %9s %7s  %s\n' target executions edges features inputs crashes
for target in "${targets[@]}"; do
    run "$target" || result=1
done
if ((result != 0)); then
    say "repeat a crash: cargo fuzz run ${options[*]} TARGET FILE"
fi
exit "$result"
