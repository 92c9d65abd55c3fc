#!/usr/bin/env bash
# Makes a root file system that holds one program: ilab-host, what it is linked to, and certificates to trust.
# The fetch and upload pods run from it; with a folder of stage components, which it then has under /plugins, the host itself too.
#
#   image/host-image.sh PATH/TO/ilab-host OUTPUT_FOLDER [PLUGINS]
#
# The folder appears whole or not at all; an older one in its place is replaced. Needs no root.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$here/lib.sh"

(($# == 2 || $# == 3)) || die "usage: image/host-image.sh PATH/TO/ilab-host OUTPUT_FOLDER [PLUGINS]"
program=$1 output=$2 plugins=${3:-}
[[ -f $program && -x $program ]] || die "not a program: $program" "try: make host"
certificates=/etc/ssl/certs/ca-certificates.crt
[[ -z $plugins ]] || compgen -G "$plugins/*.wasm" >/dev/null || die "no stage components (*.wasm) in $plugins" "try: make plugins"
need_packages ldd=libc-bin "$certificates=ca-certificates"

mkdir -p "$(dirname "$output")"
output=$(cd "$(dirname "$output")" && pwd)/$(basename "$output")
work=$(dirname "$output")/.$(basename "$output").building-$$
trap 'remove_tree "$work"' EXIT
mkdir -p "$work"
# A tree that is mounted read-only cannot grow these later.
for point in data ilab/scripts tmp run var/tmp dev proc sys etc/ilab var/run/secrets tmp/cert usr/bin etc/ssl/certs; do
  mkdir -p "$work/$point"
done
chmod 1777 "$work/tmp" "$work/var/tmp"
# As on today's systems: whoever looks for /bin/x finds /usr/bin/x.
ln -s usr/bin "$work/bin"

install -m 0755 "$program" "$work/usr/bin/ilab-host"
[[ -z $plugins ]] || install -D -m 0644 -t "$work/plugins" "$plugins"/*.wasm
# Every library at the path the loader will look for it; a static program has none.
if ! libraries=$(ldd "$program" 2>&1); then
  [[ $libraries == *"not a dynamic executable"* || $libraries == *"statically linked"* ]] || die "ldd: $libraries"
  libraries=
fi
[[ $libraries != *"not found"* ]] || die "a library of $program is missing:" "$(grep 'not found' <<<"$libraries")"
copied=0
while read -r library; do
  install -D -m 0755 "$(realpath "$library")" "$work$library"
  copied=$((copied + 1))
done < <(grep -o '/[^ ]*' <<<"$libraries" | LC_ALL=C sort -u)
# The resolver loads these when it is first asked; ldd does not know them.
for library in libnss_files.so.2 libnss_dns.so.2 libresolv.so.2; do
  for found in /lib/*-linux-gnu/"$library"; do
    [[ ! -e $found || -z $libraries ]] || install -D -m 0755 "$(realpath "$found")" "$work$found"
  done
done

install -m 0644 "$(realpath "$certificates")" "$work$certificates"
printf 'root:x:0:0:root:/tmp:/usr/sbin/nologin\nilab:x:1000:1000:ilab:/tmp:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n' >"$work/etc/passwd"
printf 'root:x:0:\nilab:x:1000:\nnogroup:x:65534:\n' >"$work/etc/group"
printf '127.0.0.1 localhost\n::1 localhost\n' >"$work/etc/hosts"
printf 'hosts: files dns\n' >"$work/etc/nsswitch.conf"
: >"$work/etc/resolv.conf"

remove_tree "$output"
mv "$work" "$output"
say "host image: $copied libraries, $(du -sh "$output" | cut -f1)"
printf '%s\n' "$output"
