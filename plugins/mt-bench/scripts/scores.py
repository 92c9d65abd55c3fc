"""The score of one checkpoint, keeping scores across interruptions, and choosing the best."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outputs import write_json
from runner import Failed


@dataclass(frozen=True)
class Score:
    """What MT-Bench says about one checkpoint."""

    model: str
    overall: float
    turns: list[float | None]
    qa: list[dict[str, Any]]
    error_rate: float

    def report(self, judge: str) -> dict[str, Any]:
        """Its entry in the results file."""
        return {
            "report_title": "SKILLS EVALUATION REPORT",
            "model": self.model,
            "judge_model": judge,
            "overall_score": self.overall,
            "turn_scores": self.turns,
            "qa_scores": self.qa,
            "error_rate": self.error_rate,
        }

    def output(self) -> dict[str, Any]:
        """Its entry in the stage's outputs."""
        return {
            "model": self.model,
            "score": self.overall,
            "turn-scores": self.turns,
            "error-rate": self.error_rate,
        }


def best(scores: Sequence[Score], max_error_rate: float | None) -> Score:
    """The checkpoint with the highest score.

    Of equal ones the one with the lower error rate, then the one that was trained on fewer samples (the earlier in
    `scores`): what the later one learned beyond it did not show. Those above `max_error_rate` do not take part.
    """
    eligible = [score for score in scores if max_error_rate is None or score.error_rate <= max_error_rate]
    if not eligible:
        rates = ", ".join(f"{Path(score.model).name} {score.error_rate:.2f}" for score in scores)
        raise Failed(
            f"no checkpoint's error rate is at most {max_error_rate}",
            rates,
            "the judge's log, or a higher --max-error-rate",
        )
    # max() keeps the first of equal ones.
    return max(eligible, key=lambda score: (score.overall, -score.error_rate))


def fingerprint(model: Path, settings: Sequence[str]) -> str:
    """Changes when a checkpoint's files or the settings of the evaluation change.

    Sizes and times of modification, not contents: reading 14 GB a checkpoint would cost more than it protects.
    """
    digest = hashlib.sha256(json.dumps([str(model), *settings]).encode())
    for file in sorted(path for path in model.rglob("*") if path.is_file()):
        status = file.stat()
        digest.update(f"{file.relative_to(model)} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


class Kept:
    """Scores that a try of this evaluation has already got; a retried pod goes on from them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._scores: dict[str, dict[str, Any]] = {}
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return
        if isinstance(found, dict):
            self._scores = found

    def get(self, mark: str) -> Score | None:
        """The score with this fingerprint."""
        found = self._scores.get(mark)
        try:
            return Score(**found) if found is not None else None
        except TypeError:  # Written by another version of this script.
            return None

    def put(self, mark: str, score: Score) -> None:
        """Keep a score."""
        self._scores[mark] = dataclasses.asdict(score)
        write_json(self._path, self._scores)

    def forget(self) -> None:
        """Drop all of them: the evaluation is complete."""
        self._path.unlink(missing_ok=True)
