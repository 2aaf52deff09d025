#!/usr/bin/env bash
# Brings the photographs of `make demo-photos` onto this machine: Debian's package tuxpaint-stamps-default (161 MB),
# unpacked under .cache and not installed. Its files are under GPL-2 and stay out of this repository.
set -euo pipefail
cd "$(dirname "$0")/.."

package=tuxpaint-stamps-default
folder=.cache/tuxpaint-stamps
stamps=$folder/usr/share/tuxpaint/stamps

say() { printf 'fetch_stamps: %s\n' "$*"; }
die() { printf 'fetch_stamps: error: %s\n' "$*" >&2; exit 1; }

if [ -d "$stamps" ]; then
    say "$stamps is there already"
    exit 0
fi
command -v apt-get >/dev/null || die "needs apt-get, that is Debian or Ubuntu. Elsewhere unpack the Debian package" \
    "$package by hand, so that there is $PWD/$stamps"

mkdir -p .cache
work=$(mktemp -d .cache/tuxpaint-stamps.XXXXXX)
trap 'rm -rf "$work"' EXIT

# The user that apt drops to when it is run by root may not write here.
options=(--quiet)
[ "$(id -u)" != 0 ] || options+=(-o APT::Sandbox::User=root)
download() { (cd "$work" && apt-get "${options[@]}" download "$package"); }

say "downloading $package, 161 MB"
if ! download; then
    [ "$(id -u)" = 0 ] || die "apt-get could not download $package; renew the package lists with" \
        "'sudo apt-get update' and call this again"
    say "not in the package lists, or they are too old; renewing them with apt-get update"
    apt-get "${options[@]}" update || die "apt-get update failed"
    download || die "apt-get could not download $package; on Ubuntu it is in the component universe"
fi
archive=$(find "$work" -name "${package}_*.deb")

say "unpacking"
mkdir "$work/files"
if command -v dpkg-deb >/dev/null; then
    dpkg-deb -x "$archive" "$work/files"
else
    command -v ar >/dev/null || die "needs dpkg-deb or ar (package binutils) to unpack $package"
    member=$(ar t "$archive" | grep '^data\.tar') || die "$archive holds no data; is it a Debian package?"
    ar p "$archive" "$member" > "$work/$member"
    tar --no-same-owner -xf "$work/$member" -C "$work/files"
fi
[ -d "$work/files/${stamps#"$folder"/}" ] || die "$archive holds no ${stamps#"$folder"/}"
rm -rf "$folder"
mv "$work/files" "$folder"
say "done: $(find "$stamps" -name '*.png' | wc -l) pictures in $stamps"
