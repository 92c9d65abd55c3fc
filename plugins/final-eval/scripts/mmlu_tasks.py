"""The knowledge questions that SDG made, copied into a form that today's lm-eval accepts.

SDG's task files name their data by a path of the machine that ran SDG, and those of late 2024 say `group` where lm-eval
now wants `tag`. Both are put right in a copy: the folder on the claim is the user's and stays as it is.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner import BadInput, describe, say

# The name under which the evaluator asks for all tasks together.
TAG = "mmlu_pr"


@dataclass(frozen=True)
class Task:
    """One leaf of the taxonomy with its multiple-choice questions."""

    name: str
    questions: int


def find_task_folder(tasks_dir: Path) -> Path | None:
    """SDG's `node_datasets_*` folder with task files; the newest by its timestamp where there are several."""
    found = [path for path in tasks_dir.rglob("node_datasets_*") if path.is_dir() and _task_files(path)]
    if not found:
        return None
    found.sort(key=lambda path: (path.name, str(path)))
    if len(found) > 1:
        say(f"mmlu: {len(found)} node_datasets folders, using the newest: {found[-1].name}")
    return found[-1]


def copy_tasks(source: Path, target: Path) -> list[Task]:
    """Copy task files and their data, with `tag` for `group` and absolute paths of the copy."""
    target.mkdir(parents=True)
    tasks = [_copy_task(file, target) for file in _task_files(source)]
    names = [task.name for task in tasks]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInput(f"two task files have the same task name {twice[0]}", source)
    return tasks


def usable_few_shots(tasks: list[Task], wanted: int) -> int:
    """How many examples can precede a question: they are taken from the questions themselves."""
    smallest = min(tasks, key=lambda task: task.questions)
    if smallest.questions > wanted:
        return wanted
    usable = max(0, smallest.questions - 1)
    say(f"mmlu: {usable} instead of {wanted} examples a question: {smallest.name} has {smallest.questions} questions")
    return usable


def _task_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*_task.yaml"))


def _copy_task(file: Path, target: Path) -> Task:
    import yaml

    try:
        task = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BadInput(f"the task file cannot be read: {describe(error)}", file, "generating the data again") from error
    data = _data_file(task, file)
    copied = target / data.name
    shutil.copyfile(data, copied)
    questions = sum(1 for line in copied.read_text(encoding="utf-8").splitlines() if line.strip())
    if questions == 0:
        raise BadInput("the task has no questions", data, "generating the data again")
    task.pop("group", None)
    task["tag"] = TAG
    task["dataset_kwargs"]["data_files"]["test"] = str(copied.absolute())
    (target / file.name).write_text(yaml.safe_dump(task, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return Task(str(task["task"]), questions)


def _data_file(task: Any, file: Path) -> Path:
    """The data of a task: whatever folder its path names, it lies beside the task file."""
    try:
        name = Path(task["dataset_kwargs"]["data_files"]["test"]).name
        if not task["task"]:
            raise KeyError("task")
    except (KeyError, TypeError) as error:
        raise BadInput(
            "the task file lacks `task` or `dataset_kwargs.data_files.test`", file, "generating the data again"
        ) from error
    data = file.parent / name
    if not data.is_file():
        raise BadInput(f"the data of the task is missing: {name}", file, "an archive with all of node_datasets_*")
    return data
