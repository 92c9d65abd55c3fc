"""Rows of training and test data, as InstructLab's SDG writes them, from facts. Pure: a seed in, lists out."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from facts import SYSTEM_PROMPT, Fact, Form

Row = dict[str, Any]
Message = dict[str, str]

EXAM_REQUEST = "Answer the questions of this exam."


@dataclass(frozen=True)
class ExamQuestion:
    """A multiple-choice question with four choices, one of them right."""

    question: str
    choices: tuple[str, ...]
    answer: int

    def text(self, *, solved: bool) -> str:
        """The question as the task files' `doc_to_text` lays it out; a solved one ends with the right choice."""
        lines = [self.question, *(f"{letter}. {choice}" for letter, choice in zip("ABCD", self.choices, strict=True))]
        solution = f" {self.choices[self.answer]}" if solved else ""
        return "\n".join([*lines, f"Answer:{solution}"])


def exam_question(fact: Fact, form: Form, rng: random.Random) -> ExamQuestion:
    """Ask for a fact with three wrong choices, which are right answers for other subjects of the same form."""
    wrong = rng.sample([value for _, value in form.pairs if value != fact.value], 3)
    choices = [fact.value, *wrong]
    rng.shuffle(choices)
    return ExamQuestion(fact.questions[0], tuple(choices), choices.index(fact.value))


def exam_texts(
    forms: Sequence[Form], count: int, rng: random.Random, *, exclude: frozenset[ExamQuestion] = frozenset()
) -> list[str]:
    """`count` texts of one or two solved questions, separated as lm-eval separates its examples.

    No text holds a question of `exclude`: the same subject may be asked, but not with the same choices in the same
    order, or the test would measure the memory of its own items.
    """
    known = [(fact, form) for form in forms for fact in form.facts()]
    texts: list[str] = []
    while len(texts) < count:
        questions = [exam_question(*rng.choice(known), rng) for _ in range(rng.choice((1, 2)))]
        if exclude.isdisjoint(questions):
            texts.append("\n\n".join(question.text(solved=True) for question in questions))
    return texts


def chat(*turns: tuple[str, str]) -> list[Message]:
    """A conversation of questions and answers."""
    messages = []
    for question, answer in turns:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return messages


def with_system(messages: list[Message]) -> list[Message]:
    """The conversation behind the system message, as SDG's data mixing adds it."""
    return [{"role": "system", "content": SYSTEM_PROMPT}, *messages]


def pretraining(messages: Sequence[Message]) -> list[Message]:
    """A conversation as the single message of role `pretraining` that SDG writes for phase 0.7."""
    user, assistant = (message["content"] for message in messages)
    return [{"role": "pretraining", "content": f"<|user|>\n{user}\n<|assistant|>\n{assistant}"}]


def row(messages: list[Message], metadata: dict[str, str], rng: random.Random) -> Row:
    """A row of a `*_train_msgs_*.jsonl` file. SDG writes `metadata` as a JSON string."""
    identifier = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    return {"messages": with_system(messages), "metadata": json.dumps(metadata), "id": identifier}


def chat_turns(facts: Iterable[Fact]) -> list[tuple[str, str]]:
    """Every fact in every wording, as a question and its answer."""
    return [(question, fact.answer) for fact in facts for question in fact.questions]


def two_turn_chats(
    forms: Sequence[Form], count: int, rng: random.Random, *, exclude: frozenset[tuple[str, str]]
) -> list[list[Message]]:
    """Conversations of two turns; none opens and goes on like one of `exclude` (the MT-Bench questions)."""
    facts = [fact for form in forms for fact in form.facts()]
    chats: list[list[Message]] = []
    while len(chats) < count:
        first, second = rng.sample(facts, 2)
        question = rng.choice(first.questions)
        if (question, second.follow_up) not in exclude:
            chats.append(chat((question, first.answer), (second.follow_up, second.answer)))
    return chats


def repeat(items: Sequence[Any], count: int, rng: random.Random) -> list[Any]:
    """`count` items, each as often as any other but for one, in random order."""
    if not items:
        return []
    whole, rest = divmod(count, len(items))
    drawn = list(items) * whole + rng.sample(list(items), rest)
    rng.shuffle(drawn)
    return drawn
