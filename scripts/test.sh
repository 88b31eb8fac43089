#!/usr/bin/env bash
# Sets up what the tests need, and runs them all against the static release build.
set -euo pipefail

usage() {
    cat <<'EOF'
usage: test.sh [CARGO_TEST_ARGUMENT...]

As root installs the Debian packages that are missing (none of their services is started); then a
Python environment with real servers under target/, the static release build of the five tools,
and cargo test for the whole workspace. What cannot be installed is said, and its tests are
skipped; where CI=true they fail.

  scripts/test.sh
  scripts/test.sh -p portfree
  scripts/test.sh --test servers -- gunicorn
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
    "fuser psmisc" "hyperfine hyperfine" "ip iproute2" "lsof lsof" "make make"
    "mariadbd mariadb-server" "man man-db" "nc netcat-openbsd" "nginx nginx-light" "node nodejs"
    "openssl openssl" "pstree psmisc" "python3 python3" "redis-server redis-server"
    "script bsdutils" "setpriv util-linux" "setsid util-linux" "shellcheck shellcheck"
    "socat socat" "ss iproute2" "strace strace" "tmux tmux" "unshare util-linux"
)

say() { printf 'test.sh: %s\n' "$*" >&2; }

# Packages whose program is nowhere to be found, each once.
missing_packages() {
    local entry
    for entry in "${PACKAGES[@]}"; do
        type -P -- "${entry% *}" >/dev/null || printf '%s\n' "${entry#* }"
    done
    # A server that Debian keeps off PATH, and a module that it parts from Python.
    compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || type -P postgres >/dev/null ||
        echo postgresql
    python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv
}

install_packages() {
    local missing
    mapfile -t missing < <(missing_packages | sort -u)
    ((${#missing[@]} > 0)) || return 0
    if [[ $(id -u) != 0 ]] || ! type -P apt-get >/dev/null; then
        say "not installed, and this is not root on Debian: ${missing[*]}"
        return 0
    fi
    say "installs ${missing[*]}"
    forbid_services
    if ! apt-get update -qq || ! DEBIAN_FRONTEND=noninteractive \
        apt-get install -qq -y --no-install-recommends "${missing[@]}" </dev/null >/dev/null; then
        say "not all of them could be installed"
    fi
    allow_services
}

# While packages are installed no service may start: a policy-rc.d that says no (Debian Policy
# 9.3.3), in the place of the machine's own, which comes back afterwards.
readonly POLICY=/usr/sbin/policy-rc.d
policy_changed=no

forbid_services() {
    trap allow_services EXIT
    policy_changed=yes
    [[ ! -e $POLICY ]] || mv -- "$POLICY" "$POLICY.before-test"
    printf '#!/bin/sh\nexit 101\n' >"$POLICY"
    chmod 755 "$POLICY"
}

allow_services() {
    [[ $policy_changed == yes ]] || return 0
    rm -f -- "$POLICY"
    [[ ! -e $POLICY.before-test ]] || mv -- "$POLICY.before-test" "$POLICY"
    policy_changed=no
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

# summary LOG SECONDS: of all test binaries together.
summary() {
    awk -v seconds="$2" '
        /^test result: / { passed += $4; failed += $6 }
        /^skipped: / { skipped++; reasons[$0]++ }
        END {
            for (reason in reasons) printf "%s (%d times)\n", reason, reasons[reason]
            printf "%d tests passed, %d failed, %d skipped, in %d s\n",
                passed - skipped, failed, skipped, seconds
        }' "$1"
}

# Debian keeps servers there.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
mkdir -p target
install_packages
make_python_environment
TOOLS_DIR=$("$here/build.sh")
PATH=$PWD/target/venv/bin:$TOOLS_DIR:$PATH
export PATH TOOLS_DIR

log=target/test.log
started=$SECONDS
code=0
cargo test --locked --workspace --no-fail-fast "$@" </dev/null 2>&1 | tee "$log" || code=$?
echo
summary "$log" $((SECONDS - started))
if ((code == 0)); then
    echo 'All is well.'
else
    echo "Not all is well: see $log."
fi
exit "$code"
