"""The archive's `data/` folder: recipes, training messages and per-leaf datasets, as SDG 0.3.3 writes them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import questions
import rows
from facts import KNOWLEDGE, SKILLS, SYSTEM_PROMPT, Form

SUFFIX = "2024-09-09T15_30_29"
NODE_DATASETS = f"node_datasets_{SUFFIX}"
FOREIGN_FOLDER = f"/instructlab/generated/{NODE_DATASETS}"
"""Where the machine that ran SDG kept these files. It is not where they are now, as in every real archive: whoever
evaluates has to rewrite the task files."""


@dataclass(frozen=True)
class Sizes:
    """How many rows of each sort a training file gets."""

    knowledge_chat: int = 1080
    knowledge_exam: int = 1080
    skills_chat: int = 960
    skills_two_turns: int = 600
    skills_replay_chat: int = 480
    skills_replay_exam: int = 480


@dataclass(frozen=True)
class LeafDataset:
    """A file of `node_datasets_*` and how many of its rows the recipe draws; None draws each once."""

    name: str
    content: list[rows.Row]
    draw: int | None = None

    def recipe_entry(self) -> dict[str, Any]:
        """The dataset as a recipe names it."""
        return {"path": f"{NODE_DATASETS}/{self.name}.jsonl", "sampling_size": 1.0 if self.draw is None else self.draw}

    def drawn(self, rng: random.Random) -> list[rows.Row]:
        """The rows that go into the training file."""
        return list(self.content) if self.draw is None else rows.repeat(self.content, self.draw, rng)


def write_data(folder: Path, seed: int, sizes: Sizes) -> None:
    """Write the whole folder. The same seed and sizes give the same bytes."""
    rng = random.Random(seed)
    nodes = folder / NODE_DATASETS
    nodes.mkdir(parents=True)
    tests = {leaf: _test_items(forms, rng) for leaf, forms in KNOWLEDGE.items()}
    for leaf, items in tests.items():
        _write_test(nodes, leaf, items)
    held_out = frozenset(item for items in tests.values() for item in items)
    _write_training(folder, "knowledge", _knowledge_datasets(rng, sizes, held_out), rng)
    _write_training(folder, "skills", _skills_datasets(rng, sizes, held_out), rng)


def _test_items(forms: Sequence[Form], rng: random.Random) -> list[rows.ExamQuestion]:
    return [rows.exam_question(fact, form, rng) for form in forms for fact in form.facts()]


def _write_test(nodes: Path, leaf: str, items: Sequence[rows.ExamQuestion]) -> None:
    lines = (
        {"question": item.question, "choices": list(item.choices), "answer": item.answer, "subject": leaf.split("_")[1]}
        for item in items
    )
    _write_lines(nodes / f"mmlubench_{leaf}.jsonl", lines)
    task = {
        "task": leaf,
        "dataset_path": "json",
        "dataset_name": None,
        "test_split": "test",
        "doc_to_text": (
            "{{question.strip()}}\nA. {{choices[0]}}\nB. {{choices[1]}}\nC. {{choices[2]}}\nD. {{choices[3]}}\nAnswer:"
        ),
        "doc_to_choice": "{{[choices[0], choices[1], choices[2], choices[3]]}}",
        "doc_to_target": "{{answer}}",
        "output_type": "multiple_choice",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": "true"}],
        "dataset_kwargs": {"data_files": {"test": f"{FOREIGN_FOLDER}/mmlubench_{leaf}.jsonl"}},
        "group": "mmlu_pr",
    }
    (nodes / f"{leaf}_task.yaml").write_text(yaml.safe_dump(task))


def _split(total: int, parts: int) -> list[int]:
    """Share out a number as evenly as whole numbers allow."""
    return [total // parts + (index < total % parts) for index in range(parts)]


def _knowledge_datasets(rng: random.Random, sizes: Sizes, held_out: frozenset[rows.ExamQuestion]) -> list[LeafDataset]:
    datasets = []
    chats = _split(sizes.knowledge_chat, len(KNOWLEDGE))
    exams = _split(sizes.knowledge_exam, len(KNOWLEDGE))
    for (leaf, forms), chat_count, exam_count in zip(KNOWLEDGE.items(), chats, exams, strict=True):
        metadata = {"sdg_document": "", "domain": leaf.split("_")[1], "dataset": "document_knowledge_qa"}
        turns = rows.chat_turns(fact for form in forms for fact in form.facts())
        chat_rows = [rows.row(rows.pretraining(rows.chat(turn)), metadata, rng) for turn in turns]
        datasets.append(LeafDataset(f"{leaf}_p07", chat_rows, chat_count))
        datasets.append(_exam_dataset(f"{leaf}_exam_p07", forms, exam_count, rng, held_out))
    return datasets


def _skills_datasets(rng: random.Random, sizes: Sizes, held_out: frozenset[rows.ExamQuestion]) -> list[LeafDataset]:
    datasets = []
    for (leaf, form), count in zip(SKILLS.items(), _split(sizes.skills_chat, len(SKILLS)), strict=True):
        skill_rows = [rows.row(rows.chat(turn), {"dataset": leaf}, rng) for turn in rows.chat_turns(form.facts())]
        datasets.append(LeafDataset(leaf, skill_rows, count))
    two_turns = rows.two_turn_chats(tuple(SKILLS.values()), sizes.skills_two_turns, rng, exclude=questions.held_out())
    two_turn_rows = [rows.row(messages, {"dataset": "two_turns"}, rng) for messages in two_turns]
    datasets.append(LeafDataset("skills_two_turns", two_turn_rows))
    for (leaf, forms), count in zip(KNOWLEDGE.items(), _split(sizes.skills_replay_chat, len(KNOWLEDGE)), strict=True):
        metadata = {"sdg_document": "", "domain": leaf.split("_")[1], "dataset": "document_knowledge_qa"}
        turns = rows.chat_turns(fact for form in forms for fact in form.facts())
        replay = [rows.row(rows.chat(turn), metadata, rng) for turn in turns]
        datasets.append(LeafDataset(f"{leaf}_p10", replay, count))
    all_forms = [form for forms in KNOWLEDGE.values() for form in forms]
    datasets.append(_exam_dataset("knowledge_exam_p10", all_forms, sizes.skills_replay_exam, rng, held_out))
    return datasets


def _exam_dataset(
    name: str, forms: Sequence[Form], count: int, rng: random.Random, held_out: frozenset[rows.ExamQuestion]
) -> LeafDataset:
    """Rows that real SDG does not write: without them a model this small cannot sit an exam about what it knows."""
    texts = rows.exam_texts(forms, count, rng, exclude=held_out)
    messages = [rows.pretraining(rows.chat((rows.EXAM_REQUEST, text))) for text in texts]
    return LeafDataset(name, [rows.row(message, {"dataset": "miniature_exam_form"}, rng) for message in messages])


def _write_training(folder: Path, kind: str, datasets: Sequence[LeafDataset], rng: random.Random) -> None:
    recipe = {"datasets": [dataset.recipe_entry() for dataset in datasets], "metadata": {"sys_prompt": SYSTEM_PROMPT}}
    (folder / f"{kind}_recipe_{SUFFIX}.yaml").write_text(yaml.safe_dump(recipe))
    for dataset in datasets:
        _write_lines(folder / NODE_DATASETS / f"{dataset.name}.jsonl", dataset.content)
    mixed = [drawn for dataset in datasets for drawn in dataset.drawn(rng)]
    rng.shuffle(mixed)
    _write_lines(folder / f"{kind}_train_msgs_{SUFFIX}.jsonl", mixed)


def _write_lines(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
