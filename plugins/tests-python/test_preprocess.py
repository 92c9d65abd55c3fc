"""The preprocessing stage, with a stand-in for the library (the real one runs in test_image.py)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import kit


class Fixture:
    def __init__(self, script: Path, root: Path) -> None:
        self.script, self.root = script, root
        self.data = root / "data"
        self.output = self.data / "processed_data"
        model = kit.make_checkpoint(root / "model")
        (model / "tokenizer_config.json").write_text("{}")
        self.data.mkdir()
        self.write("skills_train_msgs_2024.jsonl", ["hello", "a longer one"])
        self.write("knowledge_train_msgs_2024.jsonl", ["fact"])

    def write(self, name: str, texts: list[str]) -> None:
        records = [{"messages": [{"role": "user", "content": text}]} for text in texts]
        (self.data / name).write_text("".join(json.dumps(record) + "\n" for record in records))

    def run(self, *more: str, **extra: str) -> kit.Outcome:
        return kit.run(
            self.script,
            "--model",
            self.root / "model",
            "--data-dir",
            self.data,
            "--output-dir",
            self.output,
            *(more or ("--max-seq-len", "4096", "--max-batch-len", "20000")),
            env=kit.environment([kit.FAKES / "training"], **extra),
        )

    def leftovers(self) -> list[str]:
        return sorted(str(path.relative_to(self.output)) for path in self.output.rglob("*") if path.is_file())


@pytest.fixture
def fixture(scripts: Callable[[str], Path], tmp_path: Path) -> Fixture:
    return Fixture(scripts("fetch") / "preprocess.py", tmp_path)


def test_both_kinds_are_processed(fixture: Fixture) -> None:
    before = {path: path.read_bytes() for path in fixture.data.glob("*.jsonl")}
    outcome = fixture.run()
    assert outcome.code == 0, outcome.stderr
    assert outcome.outputs() == {
        "skills-samples": 2,
        "knowledge-samples": 1,
        "skills-data": str(fixture.output / "skills" / "data.jsonl"),
        "knowledge-data": str(fixture.output / "knowledge" / "data.jsonl"),
    }
    assert fixture.leftovers() == ["knowledge/data.jsonl", "skills/data.jsonl"]
    assert before == {path: path.read_bytes() for path in fixture.data.glob("*.jsonl")}


def test_again_replaces_the_result(fixture: Fixture) -> None:
    fixture.run()
    fixture.write("skills_train_msgs_2025.jsonl", ["one more"])
    assert fixture.run().outputs()["skills-samples"] == 3


def test_batch_shorter_than_sequence_is_refused(fixture: Fixture) -> None:
    outcome = fixture.run("--max-seq-len", "4096", "--max-batch-len", "4095")
    assert outcome.code == 2
    assert "--max-batch-len 4095 is less than --max-seq-len 4096" in outcome.error()
    assert not fixture.output.exists()


def test_missing_data_is_named_with_its_place(fixture: Fixture) -> None:
    (fixture.data / "knowledge_train_msgs_2024.jsonl").unlink()
    outcome = fixture.run()
    assert outcome.code == 2
    assert "no knowledge data: no file matches knowledge_train_msgs*.jsonl" in outcome.error()
    assert str(fixture.data) in outcome.error()
    assert "skills_train_msgs_2024.jsonl" in outcome.error(), "what is there instead"
    assert not fixture.output.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("{", "is not JSON lines"),
        ('{"text": 1}', "no list of messages"),
        ("[]", "no list of messages"),
    ],
)
def test_unusable_data_is_refused(fixture: Fixture, content: str, message: str) -> None:
    (fixture.data / "skills_train_msgs_2024.jsonl").write_text(content)
    outcome = fixture.run()
    assert outcome.code == 2
    assert message in outcome.error()


def test_data_that_breaks_off_fails_without_a_result(fixture: Fixture) -> None:
    file = fixture.data / "knowledge_train_msgs_2024.jsonl"
    file.write_text(file.read_text() + '{"messages": [')
    outcome = fixture.run()
    assert outcome.code == 1
    assert "processing the knowledge data failed: Malformed or missing data" in outcome.error()
    assert fixture.leftovers() == []


def test_failure_keeps_the_earlier_result_of_both_kinds(fixture: Fixture) -> None:
    fixture.run()
    fixture.write("skills_train_msgs_2025.jsonl", ["one more"])
    outcome = fixture.run(FAKE_FAIL_ON="knowledge")
    assert outcome.code == 1
    assert "chat template" in outcome.error()
    assert fixture.leftovers() == ["knowledge/data.jsonl", "skills/data.jsonl"]
    assert len((fixture.output / "skills" / "data.jsonl").read_text().splitlines()) == 2


def test_no_sample_left_is_a_failure(fixture: Fixture) -> None:
    outcome = fixture.run("--max-seq-len", "4", "--max-batch-len", "4")
    assert outcome.code == 1
    assert "no skills sample is left: all are longer than 4 tokens" in outcome.error()


def test_model_without_tokenizer_is_refused(fixture: Fixture) -> None:
    (fixture.root / "model" / "tokenizer_config.json").unlink()
    outcome = fixture.run()
    assert outcome.code == 2
    assert "no tokenizer_config.json" in outcome.error()


def test_image_without_the_library(fixture: Fixture) -> None:
    outcome = fixture.run(PYTHONPATH="")
    assert outcome.code == 1
    assert "no package instructlab-training" in outcome.error()
