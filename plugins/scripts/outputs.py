"""Files that appear whole or not at all, and the one line that carries a stage's outputs to the host."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from runner import Failed

MARKER = "ILAB_OUTPUTS"


def outputs_line(values: dict[str, Any]) -> str:
    """The machine-readable result: one line, strict JSON (no NaN), ASCII so that no log reader can split it."""
    return f"{MARKER} {json.dumps(values, allow_nan=False, sort_keys=False)}"


def write_text(path: Path, text: str) -> None:
    """Write a file atomically, creating the folders above it."""
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes the file private, but pods of other users read it: they share the claim.
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise Failed(f"cannot write: {error.strerror}", path, "a claim that is writable and has room") from error


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document atomically."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_outputs(path: Path, values: dict[str, Any]) -> None:
    """Write the outputs line to a file that a later container prints."""
    write_text(path, outputs_line(values) + "\n")


def remove_stale(*paths: Path) -> None:
    """Remove results of an earlier try, so that they cannot be taken for those of this one."""
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise Failed(f"cannot remove an old result: {error.strerror}", path) from error
