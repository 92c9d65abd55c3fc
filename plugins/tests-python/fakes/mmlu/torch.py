"""Stands in for torch, of which the MMLU evaluator asks one question."""

from __future__ import annotations


class cuda:  # noqa: N801 - torch's name.
    @staticmethod
    def is_available() -> bool:
        return False
