"""The final evaluation with the real branch evaluators; lm-eval, torch and vLLM have stand-ins.

Test names that begin with `trap` are those of the research notes: what makes the evaluators fail or lie.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import kit
from comparison import averages, compare

SKILLS = {
    "compositional_skills/opposites": [("high?", "low"), ("big?", "small")],
    "foundational_skills/x": [("1?", "2")],
}


class Fixture:
    def __init__(self, script: Path, root: Path, judge: kit.JudgeServer, evaluators: Path) -> None:
        self.script, self.root, self.judge, self.evaluators = script, root, judge, evaluators
        mmlu = {"base": {"capitals": 0.25, "rivers": 0.5}, "candidate": {"capitals": 0.75, "rivers": 0.25}}
        self.candidate = kit.make_checkpoint(root / "hf_format" / "samples_9", quality=9, mmlu=mmlu["candidate"])
        self.base = kit.make_checkpoint(root / "model", quality=2, mmlu=mmlu["base"])
        self.taxonomy = kit.make_taxonomy(root / "taxonomy", SKILLS)
        self.tasks = root / "data"
        self.node = self.tasks / "node_datasets_2024-09-09T15_30_29"
        self.node.mkdir(parents=True)
        for name in ("capitals", "rivers"):
            self.write_task(name)
        self.mmlu_results = root / "mmlu-branch-best.txt"
        self.mt_bench_results = root / "mt-bench-branch-best.txt"
        self.outputs_file = root / "ilab" / "final-eval.outputs"
        self.log = root / "server.jsonl"
        self.start = kit.run_forked

    def write_task(self, name: str, questions: int = 8, **other: Any) -> None:
        data = self.node / f"mmlubench_knowledge_{name}.jsonl"
        data.write_text("".join(json.dumps({"question": str(n)}) + "\n" for n in range(questions)))
        task = {
            "task": name,
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": f"/home/sdg/generated/{data.name}"}},
            "group": "mmlu_pr",
            "doc_to_text": "{{question.strip()}}\n",
        } | other
        (self.node / f"knowledge_{name}_task.yaml").write_text(yaml.safe_dump(task))

    def run(self, *more: str, **extra: str) -> kit.Outcome:
        fakes = [kit.FAKES / "server", kit.FAKES / "mmlu", self.evaluators]
        env = kit.environment(fakes, FAKE_SERVER_LOG=str(self.log), **self.judge.variables())
        options: dict[str, str | Path] = {
            "--candidate": self.candidate,
            "--base": self.base,
            "--taxonomy": self.taxonomy,
            "--base-branch": "main",
            "--candidate-branch": "main",
            "--tasks-dir": self.tasks,
            "--work-dir": self.root / "work",
            "--mmlu-results": self.mmlu_results,
            "--mt-bench-results": self.mt_bench_results,
            "--outputs": self.outputs_file,
            "--server-module": "fake_server",
            "--max-workers": "auto",
            "--gpus": "0",
            "--few-shots": "5",
            "--batch-size": "8",
            "--startup-timeout": "600",
            "--judge-timeout": "0",
        }
        command = [part for option in options.items() for part in option]
        return self.start(self.script, *command, *more, env=env | extra)

    def outputs(self, *more: str) -> dict[str, Any]:
        outcome = self.run(*more)
        assert outcome.code == 0, outcome.stderr
        return kit.parse_outputs(self.outputs_file.read_text())

    def snapshot(self) -> dict[str, bytes]:
        """Everything that belongs to the user."""
        roots = (self.taxonomy, self.tasks, self.candidate.parent, self.base)
        return {str(path): path.read_bytes() for root in roots for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def fixture(scripts: Callable[[str], Path], tmp_path: Path, judge: kit.JudgeServer, evaluators: Path) -> Fixture:
    return Fixture(scripts("final-eval") / "final_eval.py", tmp_path, judge, evaluators)


def test_candidate_against_base_with_all_files(fixture: Fixture) -> None:
    fixture.start = kit.run
    assert fixture.outputs() == {
        "mmlu-candidate": 0.5,
        "mmlu-base": 0.375,
        "mt-bench-candidate": 9.0,
        "mt-bench-base": 2.0,
        "error-rate": 0.0,
        "mmlu-tasks": [
            {"task": "capitals", "base-score": 0.25, "candidate-score": 0.75},
            {"task": "rivers", "base-score": 0.5, "candidate-score": 0.25},
        ],
        "regressions": [
            {"benchmark": "mmlu", "task": "rivers", "base-score": 0.5, "candidate-score": 0.25, "delta": -0.25}
        ],
    }
    assert json.loads(fixture.mmlu_results.read_text()) == {
        "report_title": "KNOWLEDGE EVALUATION REPORT",
        "max_score": 1.0,
        "model": str(fixture.candidate),
        "model_score": 0.5,
        "base_model": str(fixture.base),
        "base_model_score": 0.38,
        "summary": {
            "improvements": [{"task": "capitals", "base_score": 0.25, "new_score": 0.75, "delta": 0.5}],
            "regressions": [{"task": "rivers", "base_score": 0.5, "new_score": 0.25, "delta": -0.25}],
        },
    }
    report = json.loads(fixture.mt_bench_results.read_text())
    summary = report.pop("summary")
    assert report == {
        "report_title": "SKILLS EVALUATION REPORT",
        "model": str(fixture.candidate),
        "judge_model": "judge",
        "max_score": 10.0,
        "overall_score": 9.0,
        "base_overall_score": 2.0,
        "error_rate": 0.0,
    }
    assert [entry["task"] for entry in summary["improvements"]] == [
        "compositional_skills/opposites/qna.yaml",
        "foundational_skills/x/qna.yaml",
    ]


def test_each_model_is_served_once(fixture: Fixture) -> None:
    fixture.outputs()
    assert sum("argv" in entry for entry in kit.log_entries(fixture.log)) == 2


def test_b16_server_gets_the_number_of_gpus(fixture: Fixture) -> None:
    fixture.outputs("--gpus", "2")
    (argv, *_) = [entry["argv"] for entry in kit.log_entries(fixture.log) if "argv" in entry]
    assert argv[argv.index("--tensor-parallel-size") + 1] == "2"


def test_b19_new_entries_have_their_own_qna_and_summary_is_encoded_once(fixture: Fixture) -> None:
    kit.git(fixture.taxonomy, "checkout", "--quiet", "-b", "more")
    kit.write_skills(fixture.taxonomy, {f"compositional_skills/new_{n}": [(f"new {n}?", "yes")] for n in range(3)})
    kit.commit(fixture.taxonomy)
    kit.git(fixture.taxonomy, "checkout", "--quiet", "main")
    fixture.outputs("--candidate-branch", "more")
    summary = json.loads(fixture.mt_bench_results.read_text())["summary"]
    assert summary["new"] == [{"qna": f"compositional_skills/new_{n}/qna.yaml", "average_score": 9.0} for n in range(3)]
    assert isinstance(summary, dict)


def test_b29_what_is_on_the_claim_is_not_changed(fixture: Fixture) -> None:
    before = fixture.snapshot()
    fixture.outputs()
    assert fixture.snapshot() == before
    assert not list((fixture.root / "work").iterdir())


def test_no_node_datasets(fixture: Fixture) -> None:
    fixture.mmlu_results.write_text("from an earlier run")
    shutil.rmtree(fixture.node)
    outcome = fixture.run()
    assert outcome.code == 0, outcome.stderr
    assert "knowledge is not evaluated" in outcome.stderr
    outputs = kit.parse_outputs(fixture.outputs_file.read_text())
    assert outputs["mmlu-candidate"] is None
    assert outputs["mmlu-base"] is None
    assert outputs["mmlu-tasks"] == []
    assert not fixture.mmlu_results.exists(), "the old one would be uploaded as if it were this run's"


def test_newest_of_several_node_datasets(fixture: Fixture) -> None:
    old = fixture.tasks / "node_datasets_2023-01-01T00_00_00"
    old.mkdir()
    (old / "knowledge_old_task.yaml").write_text("not: [yaml")
    outcome = fixture.run()
    assert outcome.code == 0, outcome.stderr
    assert "2 node_datasets folders, using the newest: node_datasets_2024" in outcome.stderr


def test_trap_1_group_becomes_tag(fixture: Fixture) -> None:
    # Both forms, as of SDG 0.3.3 and 0.8.3; the stand-in fails on `group` as lm-eval does.
    fixture.write_task("capitals", group=["mmlu_pr"])
    fixture.write_task("rivers", tag="mmlu_pr")
    assert fixture.outputs()["mmlu-candidate"] == 0.5


@pytest.mark.parametrize("path", ["/home/sdg/x/{}", "relative/{}", "{}"])
def test_trap_2_paths_of_the_sdg_machine(fixture: Fixture, path: str) -> None:
    file = path.format("mmlubench_knowledge_capitals.jsonl")
    fixture.write_task("capitals", dataset_kwargs={"data_files": {"test": file}})
    assert fixture.outputs()["mmlu-candidate"] == 0.5


def test_trap_2_data_that_is_missing_is_named(fixture: Fixture) -> None:
    (fixture.node / "mmlubench_knowledge_rivers.jsonl").unlink()
    outcome = fixture.run()
    assert outcome.code == 2
    assert "the data of the task is missing: mmlubench_knowledge_rivers.jsonl" in outcome.error()
    assert "knowledge_rivers_task.yaml" in outcome.error()


def test_trap_3_empty_or_missing_tasks_folder(fixture: Fixture) -> None:
    shutil.rmtree(fixture.node)
    fixture.node.mkdir()
    assert fixture.outputs()["mmlu-candidate"] is None, "empty"
    shutil.rmtree(fixture.tasks)
    outcome = fixture.run()
    assert outcome.code == 2
    assert "the tasks folder does not exist" in outcome.error()


@pytest.mark.parametrize("content", ["a: [b", "- 1", "task: x", ""])
def test_trap_3_broken_task_file_is_named(fixture: Fixture, content: str) -> None:
    (fixture.node / "knowledge_rivers_task.yaml").write_text(content)
    outcome = fixture.run()
    assert outcome.code == 2
    assert "knowledge_rivers_task.yaml" in outcome.error()


def test_trap_5_examples_come_from_the_questions_themselves(fixture: Fixture) -> None:
    fixture.write_task("rivers", questions=3)
    outcome = fixture.run()
    assert outcome.code == 0, outcome.stderr
    assert "2 instead of 5 examples a question: rivers has 3 questions" in outcome.stderr


@pytest.mark.parametrize("character", [",", "="])
def test_trap_7_paths_that_lm_eval_would_split(fixture: Fixture, character: str) -> None:
    outcome = fixture.run("--work-dir", str(fixture.root / f"a{character}b"))
    assert outcome.code == 2
    assert "has a ',' or '='" in outcome.error()
    # The models' own paths do not matter: the evaluator sees a link.
    moved = fixture.candidate.rename(fixture.root / f"samples{character}9")
    assert fixture.outputs("--candidate", str(moved))["mmlu-candidate"] == 0.5


def test_trap_8_no_answers_beside_the_models(fixture: Fixture) -> None:
    fixture.outputs()
    written = {path.name for path in fixture.root.rglob("*.jsonl")}
    assert written == {"mmlubench_knowledge_capitals.jsonl", "mmlubench_knowledge_rivers.jsonl", fixture.log.name}


def test_trap_9_trailing_slash_does_not_shorten_names(fixture: Fixture) -> None:
    fixture.outputs("--taxonomy", f"{fixture.taxonomy}/")
    tasks = json.loads(fixture.mt_bench_results.read_text())["summary"]["improvements"]
    assert tasks[0]["task"].startswith("compositional_skills/")


def test_trap_9_detached_head(fixture: Fixture) -> None:
    kit.git(fixture.taxonomy, "checkout", "--quiet", "--detach")
    assert fixture.outputs()["mt-bench-candidate"] == 9.0


def test_trap_9_missing_branch_is_named_with_those_there_are(fixture: Fixture) -> None:
    kit.git(fixture.taxonomy, "branch", "other")
    outcome = fixture.run("--base-branch", "absent")
    assert outcome.code == 2
    assert "no branch absent; it has: main, other" in outcome.error()
    assert not fixture.log.exists(), "before any model was served"


def test_trap_9_branch_of_a_fresh_clone_is_only_remote(fixture: Fixture) -> None:
    kit.git(fixture.taxonomy, "branch", "other")
    kit.git(fixture.root, "clone", "--quiet", str(fixture.taxonomy), "clone")
    assert fixture.outputs("--taxonomy", str(fixture.root / "clone"), "--base-branch", "other")["mt-bench-base"] == 2.0


def test_trap_9_uncommitted_changes_are_not_silent(fixture: Fixture) -> None:
    kit.write_skills(fixture.taxonomy, {"compositional_skills/draft": [("draft?", "yes")]})
    outcome = fixture.run()
    assert outcome.code == 0, outcome.stderr
    assert "1 uncommitted change(s) are evaluated too" in outcome.stderr
    assert "compositional_skills/draft" in fixture.mt_bench_results.read_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("seed_examples: [", "not valid YAML"),
        ("- 1", "not a mapping"),
        ("", "not a mapping"),
        ("seed_examples: 3", "not a list of mappings"),
        ("seed_examples: [{question: a, answer: yes}]", "not text"),
    ],
)
def test_trap_9_broken_skill_file_is_named(fixture: Fixture, content: str, message: str) -> None:
    (fixture.taxonomy / "foundational_skills" / "x" / "qna.yaml").write_text(content)
    outcome = fixture.run()
    assert outcome.code == 2
    assert message in outcome.error()
    assert "taxonomy: foundational_skills/x/qna.yaml" in outcome.error()


def test_trap_10_read_only_repository_of_another_user(fixture: Fixture) -> None:
    for folder, _, files in os.walk(fixture.taxonomy):
        for name in files:
            Path(folder, name).chmod(0o444)
        if os.geteuid() == 0:
            os.chown(folder, 12345, 12345)
        Path(folder).chmod(0o555)
    try:
        assert fixture.outputs()["mt-bench-candidate"] == 9.0
    finally:
        for folder, _, _ in os.walk(fixture.taxonomy):
            Path(folder).chmod(0o755)


def test_trap_10_lock_that_was_packed_with_the_repository(fixture: Fixture) -> None:
    (fixture.taxonomy / ".git" / "index.lock").write_text("")
    kit.git(fixture.root, "-C", str(fixture.taxonomy), "branch", "other")
    assert fixture.outputs("--base-branch", "other")["mt-bench-base"] == 2.0


def test_repository_cannot_start_programs(fixture: Fixture) -> None:
    proof = fixture.root / "started"
    hook = fixture.taxonomy / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {proof}\n")
    hook.chmod(0o755)
    other = fixture.root / "other-hooks"
    shutil.copytree(hook.parent, other)
    kit.git(fixture.taxonomy, "config", "core.hooksPath", str(other))
    kit.git(fixture.taxonomy, "config", "core.fsmonitor", str(other / "post-checkout"))
    fixture.outputs()
    assert not proof.exists()


def test_trap_11_no_skills(fixture: Fixture) -> None:
    for name in ("compositional_skills", "foundational_skills"):
        shutil.rmtree(fixture.taxonomy / name)
    kit.commit(fixture.taxonomy)
    outcome = fixture.run()
    assert outcome.code == 2
    assert "no questions about skills" in outcome.error()


def test_trap_11_base_and_candidate_do_not_overwrite_each_other(fixture: Fixture) -> None:
    outputs = fixture.outputs()
    assert (outputs["mt-bench-candidate"], outputs["mt-bench-base"]) == (9.0, 2.0)


def test_trap_12_numbers_are_plain(fixture: Fixture) -> None:
    assert fixture.run().code == 0
    assert "float64" not in fixture.mt_bench_results.read_text() + fixture.outputs_file.read_text()


def test_not_a_repository(fixture: Fixture) -> None:
    shutil.rmtree(fixture.taxonomy / ".git")
    outcome = fixture.run()
    assert outcome.code == 2
    assert "not a git repository" in outcome.error()
    (fixture.taxonomy / ".git").write_text("gitdir: /elsewhere")
    assert "worktree or submodule" in fixture.run().error()


def test_incomplete_candidate(fixture: Fixture) -> None:
    (fixture.candidate / "config.json").unlink()
    outcome = fixture.run()
    assert outcome.code == 2
    assert "the candidate cannot be used: no config.json" in outcome.error()


def test_b25_failure_leaves_no_old_result_behind(fixture: Fixture) -> None:
    files = (fixture.mmlu_results, fixture.mt_bench_results, fixture.outputs_file)
    for path in files:
        path.parent.mkdir(exist_ok=True)
        path.write_text("from an earlier run")
    (fixture.base / "fake.json").write_text('{"exit": 3}')
    outcome = fixture.run()
    assert outcome.code == 1
    assert "exited with status 3" in outcome.error()
    assert not any(path.exists() for path in files)


def test_knowledge_evaluation_that_fails_is_one_line(fixture: Fixture) -> None:
    (fixture.candidate / "fake.json").write_text('{"quality": 1, "mmlu": {}}')
    outcome = fixture.run()
    assert outcome.code == 1
    assert "the knowledge evaluation failed: 'capitals'" in outcome.error()


def test_compare_sorts_and_rounds() -> None:
    base = {"a": 1.0, "b": 5.0, "c": 5.0, "d": 2.0, "e": 2.0}
    candidate = {"a": 3.0, "b": 4.0, "c": 1.0, "d": 2.004, "e": 9.0, "f": 7.0}
    result = compare(base, candidate)
    assert [entry["task"] for entry in result.improvements] == ["e", "a"]
    assert [entry["task"] for entry in result.regressions] == ["c", "b"]
    assert result.no_changes == [{"task": "d", "average_score": 2.004}]
    assert result.new == [{"qna": "f", "average_score": 7.0}]


def test_averages() -> None:
    pairs = [{"qna_file": "a", "score": 1}, {"qna_file": "a", "score": 4}, {"qna_file": "b", "score": 3}]
    assert averages(pairs) == {"a": 2.5, "b": 3.0}
