# Functions of the scripts beside this file, which source it.

# Ends where there is no Go: need_go WHAT, a whole clause.
need_go() {
    command -v go >/dev/null || { echo "error: go is not installed; $1 (Go 1.26 or later)" >&2; exit 2; }
}

# Builds a program that the cache lacks, once a machine: built PLACE TOLD FUNCTION, where the function leaves it in the folder $part
# under its name. Beside its place, and moved there whole: a build that is broken off leaves nothing that looks finished.
built() {
    local place=$1 told=$2 build=$3 folder name
    [ ! -x "$place" ] || return 0
    folder=$(dirname "$place") name=$(basename "$place")
    mkdir -p "$folder"
    # Test programs start side by side; one builds, the others wait for it.
    exec 9>"$folder/lock"
    flock -w 3600 9 || { echo "error: another build of $name holds $folder/lock for an hour" >&2; exit 2; }
    if [ ! -x "$place" ]; then
        echo "building $told, once a machine" >&2
        part=$(mktemp -d "$folder/part.XXXXXX")
        trap 'rm -rf "$part"' EXIT
        "$build" >&2
        mv "$part/$name" "$place"
    fi
    exec 9>&-
}

# Builds a program of a crate into $part: cargo_program CRATE VERSION [OPTION…]. Unoptimised, because it is built on every new machine and
# runs for a second; with settings that are ours and not its own.
cargo_program() {
    local crate=$1 version=$2
    shift 2
    env -u CARGO_TARGET_DIR -u RUSTFLAGS CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off \
        CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG=0 \
        cargo install --quiet --locked --version "$version" "$@" --root "$part" "$crate"
    mv "$part/bin/$crate" "$part/$crate"
}
