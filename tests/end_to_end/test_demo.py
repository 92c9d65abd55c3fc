"""The README's demo, run as a stranger would run it, and what must be true afterwards."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

STAGES = ["sdg-data-fetch", "train-phase-1", "train-phase-2", "mt-bench", "final-eval", "upload-trained-model"]


@pytest.fixture(scope="module")
def stages(demo: Path) -> dict[str, Any]:
    """The stages of the run record."""
    record: dict[str, Any] = json.loads((demo / "record.json").read_text())
    stages: dict[str, Any] = record["stages"]
    return stages


def test_all_six_stages_succeed_once(stages: dict[str, Any]) -> None:
    assert sorted(stages) == sorted(STAGES)
    for name, stage in stages.items():
        assert stage["state"].lower() == "succeeded", name
        assert stage["attempt"] == 1, name


def test_training_ran_on_three_ranks_and_left_checkpoints(stages: dict[str, Any]) -> None:
    assert len(stages["train-phase-2"]["outputs"]["checkpoints"]) == 3
    last = stages["train-phase-1"]["outputs"]["last-checkpoint"]
    assert last in stages["train-phase-1"]["outputs"]["checkpoints"]
    assert stages["train-phase-2"]["inputs"]["train-phase-1.last-checkpoint"] == last


def test_the_best_checkpoint_is_the_one_with_the_highest_score(stages: dict[str, Any]) -> None:
    outputs = stages["mt-bench"]["outputs"]
    scores = {entry["model"]: entry["score"] for entry in outputs["scores"]}
    assert set(scores) == set(stages["train-phase-2"]["outputs"]["checkpoints"])
    assert scores[outputs["best-model"]] == max(scores.values()) == outputs["best-score"]
    assert len(set(scores.values())) > 1, "checkpoints of different age must differ"


def test_the_candidate_is_truly_better_than_the_base_model(stages: dict[str, Any]) -> None:
    outputs = stages["final-eval"]["outputs"]
    assert outputs["mmlu-candidate"] > outputs["mmlu-base"] + 0.3
    assert outputs["mt-bench-candidate"] > outputs["mt-bench-base"] + 2


def test_the_chosen_model_and_its_scores_are_in_the_store(demo: Path, stages: dict[str, Any]) -> None:
    key = stages["upload-trained-model"]["outputs"]["key"]
    assert f"./{key}" in (demo / "objects").read_text().splitlines()
    assert key.startswith("sample/20") and key.endswith(".data.tar.gz")
    with tarfile.open(demo / "uploaded.tar.gz") as archive:
        names = archive.getnames()
        best = archive.extractfile("data/mt-bench-best.txt")
        assert best is not None
        assert json.load(best)["best_model"] == stages["mt-bench"]["outputs"]["best-model"]
    for name in ("mt-bench-results.txt", "mt-bench-branch-best.txt", "mmlu-branch-best.txt"):
        assert f"data/{name}" in names
    assert any(name.endswith("candidate_model/config.json") for name in names)
