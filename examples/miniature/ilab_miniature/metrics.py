"""The metric file of a rank, in the shape main_ds's asynchronous logger writes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested mappings as `outer/inner`; what JSON does not know as text."""
    for name, value in values.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from flat(value, f"{key}/")
        elif value is None or isinstance(value, bool | int | float | str):
            yield key, value
        elif isinstance(value, list | tuple):
            yield key, [item if isinstance(item, int | float | str) else str(item) for item in value]
        else:
            yield key, str(value)


class MetricFile:
    """`training_params_and_metrics_global<rank>.jsonl`, to which every call appends a line.

    Written at once and in order: main_ds hands its lines to a background thread, which a process that ends may lose.
    """

    def __init__(self, folder: Path, rank: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"training_params_and_metrics_global{rank}.jsonl"

    def write(self, values: Mapping[str, Any]) -> None:
        """Append a line, with the time."""
        line = json.dumps({**dict(flat(values)), "timestamp": datetime.now().isoformat()})
        with self.path.open("a") as file:
            file.write(line + "\n")
