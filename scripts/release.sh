#!/usr/bin/env bash
# Makes what is handed out: an archive with the static binaries, man pages, completions and
# scripts, a .deb, and their checksums. cargo-deb is needed: cargo install cargo-deb
set -euo pipefail

usage() {
    cat <<'EOF'
usage: release.sh [--out DIR]

  --out DIR   where the files go (default target/dist)
EOF
}

refuse() {
    printf 'release.sh: %s\n' "$1" >&2
    exit 125
}

out=
while (($#)); do
    case $1 in
    --out)
        (($# > 1)) || refuse '--out: a folder is missing'
        out=$(readlink -m -- "$2")
        shift
        ;;
    --out=*) out=$(readlink -m -- "${1#*=}") ;;
    -h | --help)
        usage
        exit 0
        ;;
    *) refuse "$1: unknown option (see release.sh --help)" ;;
    esac
    shift
done
command -v cargo-deb >/dev/null ||
    refuse 'cargo-deb: not found (cargo install --locked cargo-deb)'

cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."
out=${out:-$PWD/target/dist}
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
host=$(rustc -vV | sed -n 's/^host: //p')
name=server-tools-$version-${host%%-*}-linux
mkdir -p -- "$out"
staging=$(mktemp -d)
trap 'rm -rf -- "$staging"' EXIT

archive() {
    local folder=$staging/$name
    DESTDIR=$folder scripts/install.sh --prefix /usr >/dev/null
    mv -- "$folder/usr/bin" "$folder/usr/share" "$folder/"
    rmdir -- "$folder/usr"
    cp -R -- scripts README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE "$folder/"
    # The same commit gives the same archive: names in order, one owner, the commit's time.
    tar --sort=name --owner=0 --group=0 --numeric-owner \
        --mtime="@$(git log -1 --format=%ct 2>/dev/null || date +%s)" \
        -C "$staging" -czf "$out/$name.tar.gz" "$name"
    printf '%s\n' "$out/$name.tar.gz"
}

debian_package() {
    CARGO_TARGET_DIR=$PWD/target/static cargo deb --quiet --locked --no-build --no-strip \
        --target "$host" -p treekill -o "$out/"
}

archive
debian_package
cd -- "$out"
sha256sum -- *.tar.gz *.deb >SHA256SUMS
printf '%s\n' "$out"/*.deb "$out/SHA256SUMS"
