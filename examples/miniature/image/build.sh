#!/usr/bin/env bash
# Builds the miniature's root file system and prints its path as the last line of stdout. README.md says what is in it.
#
#   image/build.sh
#   MINIATURE_MIRROR=URL image/build.sh    where this machine's own apt sources name no Debian mirror
#
# Two steps, each kept under a key made of its inputs, each built aside and renamed when it is complete:
#   base-KEY  Debian and the pinned Python packages: minutes
#   KEY       a hard-linked copy of the base, plus this folder's own Python code and questions: seconds
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$(dirname "$here")
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$here/lib.sh"
# shellcheck source-path=SCRIPTDIR source=trim.sh
source "$here/trim.sh"
# shellcheck source-path=SCRIPTDIR source=base.sh
source "$here/base.sh"

# Runs a command inside a tree: in_tree TREE COMMAND...
in_tree() {
  local tree=$1
  shift
  bwrap --unshare-all --die-with-parent --bind "$tree" / --proc /proc --dev /dev --tmpfs /tmp \
    --clearenv --setenv PATH /usr/bin:/bin --setenv HOME /tmp --setenv HF_HOME /tmp/hf --setenv LC_ALL C.UTF-8 "$@"
}

build_image() { # RESULT BASE
  local work=$cache/.building-image-$$ root
  mkdir -p "$work"
  # Hard links: the base is read-only by custom, and a file that changes is replaced, never written to.
  cp -al "$2/rootfs" "$work/rootfs"
  root=$work/rootfs
  mkdir -p "$root/$site/ilab_miniature"
  cp "$folder"/ilab_miniature/*.py "$root/$site/ilab_miniature/"
  cp --remove-destination "$here/miniature_env.py" "$here/miniature_env.pth" "$here/numba.py" "$root/$site/"
  # Before /usr/bin on every container's PATH.
  install -D -m 0755 "$here/torchrun" "$root/usr/local/bin/torchrun"
  local questions=$root/$site/instructlab/eval/data/mt_bench
  cp --remove-destination "$here/mt_bench/question.jsonl" "$questions/question.jsonl"
  cp --remove-destination "$here/mt_bench/gpt-4.jsonl" "$questions/reference_answer/gpt-4.jsonl"
  in_tree "$root" python3 -m compileall -q --invalidation-mode unchecked-hash "/$site/ilab_miniature" "/$site/miniature_env.py" "/$site/numba.py" >&2
  in_tree "$root" python3 -m ilab_miniature.main_ds --help >/dev/null || die "the trainer does not start in the image"
  in_tree "$root" python3 -c 'import instructlab.training.main_ds' || die "the real launcher does not load in the image"
  # Sample data depends on the base alone: its key stands beside the tree for data/build.sh.
  basename "$2" >"$work/base-key"
  remove_tree "$1"
  mv "$work" "$1"
}

# Whatever ends this script, nothing half-built and nothing running is left.
clean_up() {
  local job
  for job in $(jobs -p); do kill "$job" 2>/dev/null || true; done
  wait
  [[ -z ${cache:-} ]] || remove_tree "$cache/.building-base-$$"
  [[ -z ${cache:-} ]] || remove_tree "$cache/.building-image-$$"
}
trap clean_up EXIT

size_of() { du -sh "$1" | cut -f1; }

need_packages mmdebstrap=mmdebstrap "$keyring=debian-archive-keyring" bwrap=bubblewrap zstd=zstd flock=util-linux
python3 -m pip --version >/dev/null 2>&1 || need_packages /usr/lib/python3/dist-packages/pip=python3-pip
cache=$(cache_root)
lock_cache "$cache"

base=$cache/base-$(digest_of "$here" packages.txt requirements.txt base.sh trim.sh)
[[ -d $base/rootfs ]] || build_base "$base"
image=$cache/$(digest_of "$folder" ilab_miniature image/{build,base,trim}.sh image/{packages,requirements}.txt \
  image/miniature_env.{py,pth} image/numba.py image/torchrun image/mt_bench)
if [[ ! -d $image/rootfs ]]; then
  build_image "$image" "$base"
  say "image: complete, $(size_of "$image")"
else
  say "image: up to date"
fi
printf '%s\n' "$image/rootfs"
