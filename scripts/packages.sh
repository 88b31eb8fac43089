# shellcheck shell=bash
# Installs Debian packages without letting any of their services start: for test.sh and bench.sh.
# To be sourced.

# install_packages PACKAGE...: as root on Debian; elsewhere it only says what is missing. Never
# fails: who needs a program looks for it.
install_packages() {
    local package
    (($# > 0)) || return 0
    if [[ $(id -u) != 0 ]] || ! type -P apt-get >/dev/null; then
        say "not installed, and this is not root on Debian: $*"
        return 0
    fi
    say "installs $*"
    forbid_services
    apt-get update -qq || say "the lists of packages could not be brought up to date"
    # One that cannot be had must not keep the others away.
    apt_install "$@" || for package; do
        apt_install "$package" || say "$package could not be installed"
    done
    allow_services
}

apt_install() {
    DEBIAN_FRONTEND=noninteractive \
        apt-get install -qq -y --no-install-recommends "$@" </dev/null >/dev/null
}

# packages_of ENTRY...: of entries "PROGRAM PACKAGE", the packages whose program is not on PATH.
packages_of() {
    local entry
    for entry; do
        type -P -- "${entry% *}" >/dev/null || printf '%s\n' "${entry#* }"
    done
}

# While packages are installed no service may start: a policy-rc.d that says no (Debian Policy
# 9.3.3), in the place of the machine's own, which comes back afterwards.
readonly POLICY=/usr/sbin/policy-rc.d
policy_changed=no

forbid_services() {
    trap allow_services EXIT
    policy_changed=yes
    [[ ! -e $POLICY ]] || mv -- "$POLICY" "$POLICY.before"
    printf '#!/bin/sh\nexit 101\n' >"$POLICY"
    chmod 755 "$POLICY"
}

allow_services() {
    [[ $policy_changed == yes ]] || return 0
    rm -f -- "$POLICY"
    [[ ! -e $POLICY.before ]] || mv -- "$POLICY.before" "$POLICY"
    policy_changed=no
}
