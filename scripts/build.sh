#!/usr/bin/env bash
# Builds the five tools as static release binaries and prints the folder they are in. It is a
# target folder of its own: debug builds stay valid.
set -euo pipefail

usage() {
    cat <<'EOF'
usage: build.sh [CARGO_BUILD_OPTION...]

Builds the whole workspace, or what the options say. The folder with the
binaries is the one line on standard output:  PATH=$(scripts/build.sh):$PATH

The programs have a fixed place in memory, which saves a twentieth of a short run.
RUSTFLAGS="-C relocation-model=pie" gives them a random one.
EOF
}

case ${1:-} in
-h | --help)
    usage
    exit 0
    ;;
esac

cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."
host=$(rustc -vV | sed -n 's/^host: //p')
# A program with a fixed place in memory has nothing to relocate at its start. Naming the target
# keeps the flags away from build scripts and procedural macros.
RUSTFLAGS="-C target-feature=+crt-static -C relocation-model=static ${RUSTFLAGS:-}" \
    cargo build --locked --release --target "$host" --target-dir target/static "$@" >&2
printf '%s\n' "$PWD/target/static/$host/release"
