"""The miniature's own MT-Bench questions, which replace the packaged eighty in the image.

The packaged questions ask for essays, code and role play; for a model that knows thirty sentences their scores would
be noise. These ask in two turns for what skills training teaches, in pairs that no training row contains.
"""

from __future__ import annotations

import json
from pathlib import Path

from facts import NEXT_NUMBERS, OPPOSITES, YOUNG_ANIMALS, Fact, Form

# (form, subject) of the first turn and of the second.
_PAIRS: tuple[tuple[tuple[Form, str], tuple[Form, str]], ...] = (
    ((OPPOSITES, "hot"), (OPPOSITES, "rich")),
    ((OPPOSITES, "early"), (YOUNG_ANIMALS, "cow")),
    ((YOUNG_ANIMALS, "dog"), (YOUNG_ANIMALS, "swan")),
    ((YOUNG_ANIMALS, "horse"), (NEXT_NUMBERS, "four")),
    ((NEXT_NUMBERS, "six"), (NEXT_NUMBERS, "two")),
    ((NEXT_NUMBERS, "three"), (OPPOSITES, "wet")),
    ((OPPOSITES, "open"), (YOUNG_ANIMALS, "bear")),
    ((YOUNG_ANIMALS, "sheep"), (OPPOSITES, "fast")),
)


def _fact(form: Form, subject: str) -> Fact:
    return next(fact for fact in form.facts() if fact.subject == subject)


def conversations() -> list[tuple[Fact, Fact]]:
    """The fact each turn asks for."""
    return [(_fact(*first), _fact(*second)) for first, second in _PAIRS]


def held_out() -> frozenset[tuple[str, str]]:
    """Opening and follow-up of every question, in every wording: what training must not contain."""
    return frozenset((question, second.follow_up) for first, second in conversations() for question in first.questions)


def question_lines() -> list[str]:
    """The lines of `question.jsonl`. Reasoning is a category whose judge prompt carries the reference answer."""
    return [
        json.dumps({"question_id": number, "category": "reasoning", "turns": [first.questions[0], second.follow_up]})
        for number, (first, second) in enumerate(conversations(), start=1)
    ]


def reference_lines() -> list[str]:
    """The lines of the reference answers' file."""
    return [
        json.dumps(
            {
                "question_id": number,
                "answer_id": f"miniature-{number}",
                "model_id": "gpt-4",
                "choices": [{"index": 0, "turns": [first.answer, second.answer]}],
                "tstamp": 0.0,
            }
        )
        for number, (first, second) in enumerate(conversations(), start=1)
    ]


def main() -> None:
    """Rewrite the two files in `image/mt_bench`."""
    folder = Path(__file__).resolve().parent.parent / "image" / "mt_bench"
    (folder / "question.jsonl").write_text("\n".join(question_lines()) + "\n")
    (folder / "gpt-4.jsonl").write_text("\n".join(reference_lines()) + "\n")


if __name__ == "__main__":
    main()
