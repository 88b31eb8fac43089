# shellcheck shell=bash
# Finds or installs the programs that bench.sh compares with. To be sourced; uses `say`,
# `install_packages` and the folder BENCH.

# A program, and the Debian package it comes with.
readonly DEBIAN=(
    "busybox busybox-static" "catatonit catatonit" "chpst runit" "curl curl" "daemon daemon"
    "dumb-init dumb-init" "flock util-linux" "fuser psmisc" "ip iproute2" "lsof lsof"
    "node nodejs" "npm npm" "python3 python3" "runsv runit" "s6-setlock s6" "s6-supervise s6"
    "setlock daemontools" "ss iproute2" "start-stop-daemon dpkg" "strace strace"
    "supervisord supervisor" "time time" "tini tini" "unshare util-linux" "wget wget"
)
# A program, and the npm package it comes with.
readonly NPM=(
    "fkill fkill-cli" "kill-port kill-port" "pm2 pm2"
    "start-server-and-test start-server-and-test" "tree-kill tree-kill" "wait-on wait-on"
)

# Each of these returns at once when all is there; none fails: what is missing is named later.
install_peers() {
    local missing
    mapfile -t missing < <(missing_packages | sort -u)
    install_packages "${missing[@]}"
    install_node_peers
    if ! type -P killport >/dev/null; then
        say "installs killport"
        cargo install --quiet --locked --root "$BENCH/cargo" killport ||
            say "killport could not be installed"
    fi
    if ! "$BENCH/venv/bin/python3" -c 'import psutil' 2>/dev/null; then
        say "installs psutil"
        { python3 -m venv "$BENCH/venv" &&
            "$BENCH/venv/bin/pip" install --quiet --disable-pip-version-check psutil; } ||
            say "psutil could not be installed"
    fi
}

missing_packages() {
    packages_of "${DEBIAN[@]}"
    python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv
}

install_node_peers() {
    local missing
    mapfile -t missing < <(packages_of "${NPM[@]}")
    ((${#missing[@]} > 0)) && type -P npm >/dev/null || return 0
    say "installs ${missing[*]}"
    mkdir -p "$BENCH/node"
    [[ -e $BENCH/node/package.json ]] || echo '{"private": true}' >"$BENCH/node/package.json"
    (cd "$BENCH/node" && npm install --silent --no-fund --no-audit "${missing[@]}") ||
        say "not all of them could be installed"
}

# One line each: program, version or "missing", where it is from.
write_versions() {
    local entry program package version
    {
        for entry in "${DEBIAN[@]}"; do
            program=${entry% *} package=${entry#* } version=missing
            ! type -P -- "$program" >/dev/null || version=$(debian_version "$package")
            printf '%s\t%s\t%s\n' "$program" "$version" "Debian: $package"
        done
        for entry in "${NPM[@]}"; do
            program=${entry% *} package=${entry#* } version=missing
            ! type -P -- "$program" >/dev/null || version=$(node_version "$package")
            printf '%s\t%s\t%s\n' "$program" "$version" "npm: $package"
        done
        version=$(killport --version 2>/dev/null) || version=missing
        printf 'killport\t%s\tcargo\n' "${version#killport }"
        version=$("$BENCH/venv/bin/python3" -c 'import psutil; print(psutil.__version__)') ||
            version=missing
        printf 'psutil\t%s\tPyPI\n' "$version"
    } >"$BENCH/versions.tsv"
}

debian_version() {
    # shellcheck disable=SC2016 # the braces are dpkg's
    dpkg-query -W -f '${Version}' "$1" 2>/dev/null | grep . || echo 'not from a package'
}

node_version() {
    sed -n 's/^[[:space:]]*"version": *"\([^"]*\)".*/\1/p' "$BENCH/node/node_modules/$1/package.json" \
        2>/dev/null | grep . || echo 'not from a package'
}
