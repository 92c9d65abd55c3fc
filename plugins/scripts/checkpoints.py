"""Which folders are model checkpoints, and whether they are whole.

A training that was killed leaves half-written folders, and other tools leave files beside them, so a checkpoint
is recognised by its content: `config.json` and safetensors files that are as long as their own headers say.
"""

from __future__ import annotations

import json
import re
import struct
from dataclasses import dataclass
from pathlib import Path

# A header longer than this is not a header; the format's own limit is the same.
_MAX_HEADER = 100_000_000


@dataclass(frozen=True)
class Skipped:
    """An entry that is no complete checkpoint, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Listing:
    """The complete checkpoints of a folder in ascending order of samples, and what was passed over."""

    complete: list[Path]
    skipped: list[Skipped]


def incomplete_reason(path: Path) -> str | None:
    """Why a path is not a complete checkpoint; None when it is one."""
    if not path.is_dir():
        return "not a directory"
    config = path / "config.json"
    try:
        if not isinstance(json.loads(config.read_text(encoding="utf-8")), dict):
            return "config.json is not an object"
    except FileNotFoundError:
        return "no config.json"
    except (OSError, ValueError) as error:
        return f"config.json cannot be read: {error}"
    weights = sorted(path.glob("*.safetensors"))
    if not weights:
        return "no safetensors file"
    for file in weights:
        reason = _torn_reason(file)
        if reason:
            return reason
    return _missing_shard_reason(path)


def list_checkpoints(folder: Path) -> Listing:
    """Look at every entry of a folder. `*.jsonl` files, which evaluators put there, are passed over silently."""
    complete: list[Path] = []
    skipped: list[Skipped] = []
    for entry in sorted(folder.iterdir(), key=_order):
        if entry.suffix == ".jsonl" and not entry.is_dir():
            continue
        reason = incomplete_reason(entry)
        if reason is None:
            complete.append(entry)
        else:
            skipped.append(Skipped(entry, reason))
    return Listing(complete, skipped)


def samples_of(path: Path) -> int | None:
    """The number of samples in a checkpoint's name, as in `samples_7200`."""
    match = re.search(r"(\d+)$", path.name)
    return int(match.group(1)) if match else None


def _order(path: Path) -> tuple[bool, int, str]:
    # Names without a number (`last_epoch`) are later than all numbered ones.
    samples = samples_of(path)
    return (samples is None, samples or 0, path.name)


def _torn_reason(file: Path) -> str | None:
    """A safetensors file is 8 bytes of header length, a JSON header, then exactly the bytes that it lists."""
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            start = stream.read(8)
            if len(start) < 8:
                return f"{file.name} is cut off"
            (length,) = struct.unpack("<Q", start)
            if length > min(_MAX_HEADER, size - 8):
                return f"{file.name} is cut off"
            header = json.loads(stream.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        return f"{file.name} cannot be read: {error}"
    if size != 8 + length + max(ends, default=0):
        return f"{file.name} is cut off"
    return None


def _missing_shard_reason(path: Path) -> str | None:
    index = path / "model.safetensors.index.json"
    if not index.exists():
        return None
    try:
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{index.name} cannot be read: {error}"
    for shard in sorted(shards):
        if not (path / str(shard)).is_file():
            return f"{shard} is missing"
    return None
