"""Reads task files as lm-eval does, as far as the stage depends on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


class TaskManager:
    def __init__(self, verbosity: str, include_path: str) -> None:
        del verbosity
        self.tasks: list[dict[str, Any]] = [
            yaml.safe_load(file.read_text(encoding="utf-8")) for file in sorted(Path(include_path).glob("*.yaml"))
        ]

    def tagged(self, tag: str) -> list[dict[str, Any]]:
        found = [task for task in self.tasks if task.get("tag") == tag]
        if any("group" in task for task in self.tasks):
            raise KeyError("acc,none")
        if not found:
            raise KeyError(f"Spec '{tag}' is not a registered task")
        for task in found:
            data = Path(task["dataset_kwargs"]["data_files"]["test"])
            if not data.is_absolute() or not data.is_file():
                raise FileNotFoundError(f"Unable to find '{data}'")
        return found
