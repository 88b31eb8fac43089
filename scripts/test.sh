#!/usr/bin/env bash
# Sets up what the tests need, and runs them all against the static release build.
set -euo pipefail

usage() {
    cat <<'EOF'
usage: test.sh [CARGO_TEST_ARGUMENT...]

As root installs the Debian packages that are missing (none of their services is
started); then a Python environment with real servers under target/, the static
release build of the five tools, and cargo test for the whole workspace. What
cannot be installed is said, and its tests are skipped; where CI=true they fail.

  scripts/test.sh
  scripts/test.sh -p portfree
  scripts/test.sh -p testkit --test servers -- gunicorn
EOF
}

case ${1:-} in
-h | --help)
    usage
    exit 0
    ;;
esac

here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
cd -- "$here/.."
readonly here PACKAGES=(
    # A program that tests ask for, and the Debian package it comes with.
    "busybox busybox-static" "curl curl" "docker docker.io" "dockerd docker.io" "flock util-linux"
    "lsof lsof" "make make" "mariadb mariadb-client" "mariadbd mariadb-server" "mount mount"
    "nginx nginx-light" "node nodejs" "openssl openssl" "perl perl" "pkill procps"
    "python3 python3" "redis-cli redis-tools" "redis-server redis-server" "runsv runit"
    "setpriv util-linux" "shellcheck shellcheck" "strace strace" "systemctl systemd"
    "unshare util-linux"
)

say() { printf 'test.sh: %s\n' "$*" >&2; }
. "$here/packages.sh"

# Packages whose program is nowhere to be found, each once.
missing_packages() {
    packages_of "${PACKAGES[@]}"
    # A server that Debian keeps off PATH, and a module that it parts from Python.
    compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || type -P postgres >/dev/null ||
        echo postgresql
    python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv
}

# Servers from PyPI; made anew when the list has changed.
make_python_environment() {
    cmp -s tests/requirements.txt target/venv/requirements.txt && return
    say "installs the servers of tests/requirements.txt under target/venv"
    rm -rf target/venv
    if python3 -m venv target/venv &&
        target/venv/bin/pip install --quiet --disable-pip-version-check -r tests/requirements.txt; then
        cp tests/requirements.txt target/venv/
    else
        say "they could not be installed"
    fi
}

# The packager of the .deb, kept out of the user's own cargo folder.
install_cargo_deb() {
    ! type -P cargo-deb >/dev/null || return 0
    say "installs cargo-deb under target/tools"
    cargo install --quiet --locked --root target/tools cargo-deb || say "it could not be installed"
}

# summary LOG SECONDS: of all test binaries together.
summary() {
    awk -v seconds="$2" '
        /^test result: / { passed += $4; failed += $6 }
        match($0, /skipped: .*/) { skipped++; reasons[substr($0, RSTART)]++ }
        END {
            for (reason in reasons) printf "%s (%d times)\n", reason, reasons[reason]
            printf "%d tests passed, %d failed, %d skipped, in %d s\n",
                passed - skipped, failed, skipped, seconds
        }' "$1"
}

# A process that still has the TMPDIR of this run, or a file in it, is a defect of some test.
nothing_left_behind() {
    local left
    left=$(treekill --dry-run --env "TMPDIR=$TMPDIR" && find "$TMPDIR" -mindepth 1)
    rm -rf -- "$TMPDIR"
    [[ -n $left ]] || return 0
    printf 'The tests have left behind:\n%s\n' "$left"
    return 1
}

# Debian keeps servers there.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
mkdir -p target
mapfile -t missing < <(missing_packages | sort -u)
install_packages "${missing[@]}"
make_python_environment
PATH=$PATH:$PWD/target/tools/bin
install_cargo_deb
TOOLS_DIR=$("$here/build.sh")
PATH=$PWD/target/venv/bin:$TOOLS_DIR:$PATH
export PATH TOOLS_DIR

log=target/test.log
started=$SECONDS
code=0
TMPDIR=$(mktemp -d)
export TMPDIR
chmod 1777 "$TMPDIR"
cargo test --locked --workspace --no-fail-fast "$@" </dev/null 2>&1 | tee "$log" || code=$?
nothing_left_behind || code=1
echo
summary "$log" $((SECONDS - started))
if ((code == 0)) && grep -q 'skipped: ' "$log"; then
    echo 'All that could run is well.'
elif ((code == 0)); then
    echo 'All is well.'
else
    echo "Not all is well: see $log."
fi
exit "$code"
