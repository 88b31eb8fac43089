#!/usr/bin/env bash
# Installs the five tools: static binaries, man pages and completions. DESTDIR is honoured.
set -euo pipefail

tools=(portfree pidlock treekill waithealth procwatch)

usage() {
    cat <<'EOF'
usage: install.sh [--prefix DIR] [--uninstall]

  --prefix DIR   where to (default /usr/local)
  --uninstall    removes what an installation with the same prefix put there

DESTDIR=DIR in the environment puts everything below DIR, for packagers.
EOF
}

refuse() {
    printf 'install.sh: %s\n' "$1" >&2
    exit 125
}

prefix=/usr/local
action=put
while (($#)); do
    case $1 in
    --prefix)
        (($# > 1)) || refuse '--prefix: a folder is missing'
        prefix=$2
        shift
        ;;
    --prefix=*) prefix=${1#*=} ;;
    --uninstall) action=take ;;
    -h | --help)
        usage
        exit 0
        ;;
    *) refuse "$1: unknown option (see install.sh --help)" ;;
    esac
    shift
done
[[ $prefix == /* ]] || refuse "$prefix: the prefix is not an absolute path"

here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
root=${DESTDIR:-}${prefix%/}

# file_list BINARIES: a line for each file, MODE<TAB>SOURCE<TAB>TARGET.
file_list() {
    local tool from
    for tool in "${tools[@]}"; do
        from=$here/../$tool
        printf '755\t%s\t%s\n' "$1/$tool" "$root/bin/$tool"
        printf '644\t%s\t%s\n' \
            "$from/$tool.1" "$root/share/man/man1/$tool.1" \
            "$from/completions/$tool.bash" "$root/share/bash-completion/completions/$tool" \
            "$from/completions/_$tool" "$root/share/zsh/site-functions/_$tool" \
            "$from/completions/$tool.fish" "$root/share/fish/vendor_completions.d/$tool.fish"
    done
}

put() {
    local binaries mode source target
    binaries=$("$here/build.sh")
    while IFS=$'\t' read -r mode source target; do
        # install(1) writes a new file, so that a tool that is running keeps its own.
        install -D -m "$mode" -- "$source" "$target"
    done < <(file_list "$binaries")
    printf 'installed %s in %s\n' "${tools[*]}" "$root/bin"
}

take() {
    local target
    while IFS=$'\t' read -r _ _ target; do
        rm -f -- "$target"
    done < <(file_list none)
    printf 'removed %s from %s\n' "${tools[*]}" "$root/bin"
}

"$action"
