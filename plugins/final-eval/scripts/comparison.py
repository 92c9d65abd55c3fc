"""Candidate against base, task by task, and the two report files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

# The outputs travel in a log line and in the run record; the report files have everything.
MAX_REGRESSIONS = 20


@dataclass
class Comparison:
    """What became better, worse, stayed equal, or was asked of the candidate only."""

    improvements: list[dict[str, Any]] = field(default_factory=list)
    regressions: list[dict[str, Any]] = field(default_factory=list)
    no_changes: list[dict[str, Any]] = field(default_factory=list)
    new: list[dict[str, Any]] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """The summary as an object; lists that are empty are left out."""
        lists = {
            "improvements": self.improvements,
            "regressions": self.regressions,
            "no_changes": self.no_changes,
            "new": self.new,
        }
        return {name: entries for name, entries in lists.items() if entries}


def compare(base: Mapping[str, float], candidate: Mapping[str, float]) -> Comparison:
    """Compare by task; scores that differ by less than half a hundredth count as equal."""
    result = Comparison()
    for task in sorted(candidate):
        score = candidate[task]
        if task not in base:
            result.new.append({"qna": task, "average_score": score})
            continue
        delta = round(score - base[task], 2)
        entry = {"task": task, "base_score": base[task], "new_score": score, "delta": delta}
        if delta > 0:
            result.improvements.append(entry)
        elif delta < 0:
            result.regressions.append(entry)
        else:
            result.no_changes.append({"task": task, "average_score": score})
    result.improvements.sort(key=lambda entry: -entry["delta"])
    result.regressions.sort(key=lambda entry: entry["delta"])
    return result


def averages(pairs: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """The mean score of each `qna.yaml`."""
    scores: dict[str, list[float]] = {}
    for pair in pairs:
        scores.setdefault(str(pair["qna_file"]), []).append(float(pair["score"]))
    return {name: sum(values) / len(values) for name, values in scores.items()}


def mean_error_rate(candidate: float, base: float) -> float:
    """One rate for both models, to two places."""
    return round((candidate + base) / 2, 2)


def knowledge_report(
    candidate: str, candidate_score: float, base: str, base_score: float, comparison: Comparison
) -> dict[str, Any]:
    """The content of the MMLU results file."""
    return {
        "report_title": "KNOWLEDGE EVALUATION REPORT",
        "max_score": 1.0,
        "model": candidate,
        "model_score": round(candidate_score, 2),
        "base_model": base,
        "base_model_score": round(base_score, 2),
        "summary": comparison.summary(),
    }


def skills_report(
    candidate: str, judge: str, overall: float, base_overall: float, error_rate: float, comparison: Comparison
) -> dict[str, Any]:
    """The content of the MT-Bench results file."""
    return {
        "report_title": "SKILLS EVALUATION REPORT",
        "model": candidate,
        "judge_model": judge,
        "max_score": 10.0,
        "overall_score": overall,
        "base_overall_score": base_overall,
        "error_rate": error_rate,
        "summary": comparison.summary(),
    }


def task_outputs(base: Mapping[str, float], candidate: Mapping[str, float]) -> list[dict[str, Any]]:
    """The MMLU scores by task, for the stage's outputs."""
    return [
        {"task": task, "base-score": base.get(task), "candidate-score": candidate[task]} for task in sorted(candidate)
    ]


def regression_outputs(comparisons: Mapping[str, Comparison]) -> list[dict[str, Any]]:
    """The worst regressions of each benchmark, for the stage's outputs."""
    return [
        {
            "benchmark": benchmark,
            "task": entry["task"],
            "base-score": entry["base_score"],
            "candidate-score": entry["new_score"],
            "delta": entry["delta"],
        }
        for benchmark, comparison in comparisons.items()
        for entry in comparison.regressions[:MAX_REGRESSIONS]
    ]
