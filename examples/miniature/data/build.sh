#!/usr/bin/env bash
# Makes the sample archive inside the miniature's root file system and prints its path as the last line of stdout.
#
#   data/build.sh [ROOTFS] [-- GENERATOR OPTIONS]      ROOTFS is what image/build.sh printed; built if not given
#
# Needs no root. The archive is kept under a key of the generator's source, its options and the image's base.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../image/lib.sh
source "$here/../image/lib.sh"

rootfs=
if (($#)) && [[ $1 != -- ]]; then
  rootfs=$1
  shift
fi
if (($#)); then
  [[ $1 == -- ]] || die "unexpected argument: $1" "usage: data/build.sh [ROOTFS] [-- GENERATOR OPTIONS]"
  shift
fi
need_packages bwrap=bubblewrap flock=util-linux
[[ -n $rootfs ]] || rootfs=$("$here/../image/build.sh" | tail -n 1)
[[ -x $rootfs/usr/bin/python3 ]] || die "no root file system with Python: $rootfs"

cache=$(cache_root)/data
lock_cache "$cache"
trap 'remove_tree "$cache/.building-$$"' EXIT

# What the generator needs of the image is its base; an image from elsewhere is known by its folder.
image=$(cat "$rootfs/../base-key" 2>/dev/null || realpath "$rootfs")
key=$(printf '%s\n' "$(digest_of "$here" .)" "$image" "$@" | sha256sum | cut -c1-16)
archive=$cache/$key/sample.tar.gz
if [[ -f $archive ]]; then
  say "sample data: up to date"
else
  say "sample data: generating; pretraining the base model takes about half a minute"
  work=$cache/.building-$$
  mkdir -p "$work"
  bwrap --unshare-all --die-with-parent --ro-bind "$rootfs" / --proc /proc --dev /dev --tmpfs /tmp \
    --bind "$work" /data --ro-bind "$here" /ilab/scripts --chdir /ilab/scripts \
    --clearenv --setenv PATH /usr/bin:/bin --setenv HOME /tmp --setenv HF_HOME /tmp/hf --setenv LC_ALL C.UTF-8 \
    --setenv PYTHONDONTWRITEBYTECODE 1 \
    python3 generate.py --output /data/sample.tar.gz "$@" >&2
  remove_tree "$cache/$key"
  mv "$work" "$cache/$key"
fi
printf '%s\n' "$archive"
