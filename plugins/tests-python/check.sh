#!/bin/sh
# Checks the stage scripts: format, lint, types, tests. Arguments go to pytest (for example: -m "not image").
# The virtual environment lives in the user's cache and is rebuilt when requirements-dev.txt changes.
set -eu

plugins=$(cd "$(dirname "$0")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ilab-host/python
mark=$(sha256sum "$plugins/requirements-dev.txt" | cut -c1-16)-$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
venv=$cache/venv-$mark

if [ ! -e "$venv/complete" ]; then
    echo "installing the Python test tools into $venv" >&2
    mkdir -p "$cache"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --requirement "$plugins/requirements-dev.txt"
    touch "$venv/complete"
fi

cd "$plugins"
export RUFF_CACHE_DIR="$cache/ruff" MYPY_CACHE_DIR="$cache/mypy" PYTHONDONTWRITEBYTECODE=1
"$venv/bin/ruff" format --check .
"$venv/bin/ruff" check .
"$venv/bin/mypy"
exec "$venv/bin/pytest" -p no:cacheprovider "$@"
