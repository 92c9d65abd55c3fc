"""The example `lm-eval` in the miniature image, with the real harness and SDG's own tasks."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

import container
import wheels
from container import MODEL

pytestmark = pytest.mark.image

SCRIPTS = Path(__file__).parents[2] / "examples/python-lm-eval/stage"


@pytest.fixture
def claim(tmp_path: Path) -> container.Container:
    """A claim with the sample archive: the base model, and the tasks that SDG made of the taxonomy."""
    root = container.root_file_system("lm_eval")
    archives = sorted((wheels.cache() / "miniature/data").rglob("*.tar.gz"))
    if not archives:
        pytest.skip("no sample archive; examples/miniature/data/build.sh makes it")
    with tarfile.open(archives[-1]) as archive:
        archive.extractall(tmp_path, filter="data")
    return container.Container(root, tmp_path)


def test_sdgs_tasks_are_evaluated_offline(claim: container.Container) -> None:
    arguments = ["--model", MODEL, "--task", "mmlu_pr", "--tasks-dir", "/data/data", "--limit", "4"]
    done = claim.run(SCRIPTS, "run_lm_eval.py", *arguments, HOME="/tmp", HF_HOME="/tmp/hf", HF_HUB_OFFLINE="1")
    assert done.code == 0, done.stderr
    line = done.stdout.splitlines()[-1]
    outputs = json.loads(line.removeprefix("ILAB_OUTPUTS "))
    assert outputs["model"] == MODEL
    assert len(outputs["results"]) >= 2
    for metrics in outputs["results"].values():
        assert 0 <= metrics["acc"] <= 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--model", "/data/data", "--task", "mmlu_pr"], "holds no model"),
        (["--model", MODEL, "--task", "mmlu_pr", "--tasks-dir", MODEL], "holds no task file"),
    ],
)
def test_what_is_not_there_is_told(claim: container.Container, arguments: list[str], told: str) -> None:
    done = claim.run(SCRIPTS, "run_lm_eval.py", *arguments, HOME="/tmp")
    assert done.code != 0
    assert told in done.stderr.splitlines()[-1]
    assert "ILAB_OUTPUTS" not in done.stdout
