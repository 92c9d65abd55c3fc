"""Scores are those that the model's `fake.json` has under `mmlu`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lm_eval.tasks import TaskManager


def simple_evaluate(
    model: str, model_args: str, tasks: list[str], task_manager: TaskManager, num_fewshot: int, **_: Any
) -> dict[str, Any]:
    assert model == "local-completions", "the reference evaluates against a server"
    values = dict(pair.split("=", 1) for pair in model_args.split(","))
    scores = json.loads((Path(values["model"]) / "fake.json").read_text(encoding="utf-8"))["mmlu"]
    results = {}
    for task in task_manager.tagged(tasks[0]):
        questions = Path(task["dataset_kwargs"]["data_files"]["test"]).read_text(encoding="utf-8").splitlines()
        if num_fewshot >= len(questions):
            raise ValueError("Sample larger than population or is negative")
        results[task["task"]] = {"acc,none": scores[task["task"]], "acc_stderr,none": 0.0}
    return {"results": results}
