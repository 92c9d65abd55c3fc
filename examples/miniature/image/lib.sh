# Shared by the scripts that build the miniature's images. Sourced, never run.
# shellcheck shell=bash

# Progress is for people: stderr. stdout carries only the path a script promises.
say() { printf 'miniature: %s\n' "$*" >&2; }

die() {
  printf 'miniature: error: %s\n' "$1" >&2
  shift
  local line
  for line in "$@"; do printf '  %s\n' "$line" >&2; done
  exit 1
}

cache_root() { printf '%s/ilab-host/miniature\n' "${XDG_CACHE_HOME:-${HOME:?HOME must be set}/.cache}"; }

# The digest of everything a build depends on: file names relative to the folder, and contents.
# digest_of FOLDER PATH...
digest_of() {
  local folder=$1
  shift
  (
    uname -m
    cd "$folder" || exit 1
    find "$@" -type f ! -name '*.pyc' ! -path '*/.*' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
  ) | sha256sum | cut -c1-16
}

# need_packages PROGRAM=PACKAGE... : installs what is missing when that is possible, else names the command.
# A path instead of a program name is looked for as a file.
need_packages() {
  local missing=() pair
  for pair in "$@"; do
    local what=${pair%%=*} package=${pair#*=}
    if [[ $what == /* ]]; then [[ -e $what ]] || missing+=("$package"); else command -v "$what" >/dev/null || missing+=("$package"); fi
  done
  ((${#missing[@]})) || return 0
  local command="apt-get install --no-install-recommends -y ${missing[*]}"
  if [[ $(id -u) == 0 && -r /etc/debian_version ]] && command -v apt-get >/dev/null; then
    say "installing Debian packages: ${missing[*]}"
    # The package lists of a fresh machine are empty; only then is an update needed.
    DEBIAN_FRONTEND=noninteractive $command >&2 2>&1 || {
      apt-get update >&2
      DEBIAN_FRONTEND=noninteractive $command >&2
    } || die "could not install ${missing[*]}" "try: apt-get update && $command"
  else
    die "missing: ${missing[*]}" "try: sudo $command"
  fi
}

# One build at a time in a cache folder; whoever holds the lock may remove what a killed build left behind.
# lock_cache FOLDER
lock_cache() {
  mkdir -p "$1"
  exec 9>"$1/.lock"
  if ! flock --nonblock 9; then
    say "another build is using the cache; waiting for it"
    flock 9
  fi
  local left
  for left in "$1"/.building-*; do
    [[ -e $left ]] || continue
    say "removing what an interrupted build left: ${left##*/}"
    remove_tree "$left"
  done
}

# Debian ships folders without write permission for the owner's sake of nobody; rm -rf as an ordinary user trips on them.
remove_tree() {
  [[ -e $1 || -L $1 ]] || return 0
  chmod -R u+rwX "$1" 2>/dev/null || true
  rm -rf "$1"
}
