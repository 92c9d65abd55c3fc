"""Evaluates one model with lm-evaluation-harness and prints the stage's outputs as the last line."""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder with the model")
    parser.add_argument("--task", action="append", required=True, help="a task, or a group or tag of tasks")
    parser.add_argument("--tasks-dir", type=Path, help="folder with task files, at any depth")
    parser.add_argument("--few-shots", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


def own_tasks(folder: Path, copy: Path) -> None:
    """Copies task files with their data: SDG's name it by a path of the machine that ran SDG."""
    import yaml

    found = sorted(folder.rglob("*_task.yaml"))
    if not found:
        sys.exit(f"error: {folder} holds no task file (*_task.yaml)")
    for file in found:
        task = yaml.safe_load(file.read_text(encoding="utf-8"))
        # Of late 2024; today's harness has a word of its own for it.
        group = task.pop("group", None)
        if group is not None:
            task["tag"] = group
        files = task.get("dataset_kwargs", {}).get("data_files", {})
        for split, path in files.items():
            data = file.parent / Path(path).name
            if not data.is_file():
                sys.exit(f"error: {file}: its data {data.name} is not beside it")
            files[split] = str(shutil.copy(data, copy))
        (copy / file.name).write_text(yaml.safe_dump(task, sort_keys=False), encoding="utf-8")


def numbers(metrics: dict[str, Any]) -> dict[str, float]:
    """The metrics that are numbers, without the name of the filter that the harness appends."""
    found = {name.partition(",")[0]: value for name, value in metrics.items()}
    return {
        name: float(value)
        for name, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def main() -> None:
    """Evaluates."""
    args = arguments()
    if not (args.model / "config.json").is_file():
        sys.exit(f"error: {args.model} holds no model (config.json)")
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    with tempfile.TemporaryDirectory() as copy:
        if args.tasks_dir is not None:
            own_tasks(args.tasks_dir, Path(copy))
        done = simple_evaluate(
            model="hf",
            model_args={"pretrained": str(args.model), "dtype": "auto" if args.device == "cuda" else "float32"},
            tasks=args.task,
            num_fewshot=args.few_shots,
            batch_size=args.batch_size,
            device=args.device,
            limit=args.limit,
            task_manager=TaskManager(include_path=copy if args.tasks_dir is not None else None),
            bootstrap_iters=0,
        )
    results = {task: numbers(metrics) for task, metrics in done["results"].items()}
    outputs = {"model": str(args.model), "results": {task: found for task, found in results.items() if found}}
    print(f"ILAB_OUTPUTS {json.dumps(outputs, allow_nan=False)}")


if __name__ == "__main__":
    main()
