"""The sample data's facts, rows and questions; the parts that need only the standard library."""

from __future__ import annotations

import json
import random
from pathlib import Path

import facts
import questions
import rows

FOLDER = Path(__file__).resolve().parent.parent
ALL_KNOWLEDGE = [form for forms in facts.KNOWLEDGE.values() for form in forms]


def test_the_base_model_is_taught_nothing_that_the_workflow_teaches() -> None:
    taught = [*ALL_KNOWLEDGE, *facts.SKILLS.values()]
    words = {word for form in taught for pair in form.pairs for word in pair}
    assert words.isdisjoint(word for form in facts.BASE for pair in form.pairs for word in pair)


def test_a_form_has_no_subject_or_value_twice() -> None:
    for form in (*ALL_KNOWLEDGE, *facts.SKILLS.values(), *facts.BASE):
        assert len({subject for subject, _ in form.pairs}) == len(form.pairs)
        assert len({value for _, value in form.pairs}) == len(form.pairs)


def test_exam_choices_hold_the_right_answer_once() -> None:
    rng = random.Random(1)
    for form in ALL_KNOWLEDGE:
        for fact in form.facts():
            question = rows.exam_question(fact, form, rng)
            assert question.choices[question.answer] == fact.value
            assert len(set(question.choices)) == 4
            assert question.text(solved=True) == f"{question.text(solved=False)} {fact.value}"


def test_training_exams_hold_no_test_item() -> None:
    rng = random.Random(2)
    held_out = frozenset(rows.exam_question(fact, form, rng) for form in ALL_KNOWLEDGE for fact in form.facts())
    texts = rows.exam_texts(ALL_KNOWLEDGE, 3000, rng, exclude=held_out)
    assert not any(item.text(solved=True) in text for text in texts for item in held_out)


def test_training_chats_hold_no_mt_bench_conversation() -> None:
    chats = rows.two_turn_chats(tuple(facts.SKILLS.values()), 3000, random.Random(3), exclude=questions.held_out())
    seen = {(chat[0]["content"], chat[2]["content"]) for chat in chats}
    assert seen.isdisjoint(questions.held_out())


def test_pretraining_rows_are_written_as_sdg_writes_them() -> None:
    messages = rows.pretraining(rows.chat(("Q?", "A.")))
    row = rows.row(messages, {"dataset": "d"}, random.Random(4))
    assert set(row) == {"messages", "metadata", "id"}
    assert json.loads(row["metadata"]) == {"dataset": "d"}
    assert [message["role"] for message in row["messages"]] == ["system", "pretraining"]
    assert row["messages"][1]["content"] == "<|user|>\nQ?\n<|assistant|>\nA."


def test_repeating_is_even() -> None:
    drawn = rows.repeat(["a", "b", "c"], 7, random.Random(5))
    assert len(drawn) == 7
    assert {drawn.count(item) for item in "abc"} == {2, 3}
    assert rows.repeat([], 7, random.Random(5)) == []


def test_the_images_mt_bench_files_are_those_of_the_generator() -> None:
    folder = FOLDER / "image" / "mt_bench"
    assert (folder / "question.jsonl").read_text().splitlines() == questions.question_lines()
    assert (folder / "gpt-4.jsonl").read_text().splitlines() == questions.reference_lines()
    assert len(questions.question_lines()) == 8
