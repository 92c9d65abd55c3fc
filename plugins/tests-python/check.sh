#!/bin/sh
# Checks the stage scripts: format, lint, types, tests. Arguments go to pytest (for example: -m "not image").
set -eu
plugins=$(cd "$(dirname "$0")/.." && pwd)
tool=$plugins/../tests/tools/python
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ilab-host/python
cd "$plugins"
export RUFF_CACHE_DIR="$cache/ruff" MYPY_CACHE_DIR="$cache/mypy" PYTHONDONTWRITEBYTECODE=1
"$tool" ruff format --check .
"$tool" ruff check .
"$tool" mypy
exec "$tool" pytest -p no:cacheprovider "$@"
