"""What every rank trains on: the samples, their order, and how a batch is shared out. Pure Python, no torch.

The rules are main_ds's: an epoch's order comes from seed and epoch alone; `effective_batch_size` samples make a step
over all ranks together; a rank works through its share in mini batches of at most `max_batch_len` tokens, padding
counted; a sample longer than that is left out.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

IGNORED = -100
"""The label of a token that is not to be learnt."""


@dataclass(frozen=True)
class Sample:
    """A tokenised row of `data.jsonl`."""

    input_ids: list[int]
    labels: list[int]

    @property
    def counted(self) -> int:
        """How many tokens the loss counts; the first token is never predicted."""
        return sum(label != IGNORED for label in self.labels[1:])


class DataError(ValueError):
    """The training data cannot be used."""


def load_samples(path: Path) -> list[Sample]:
    """Read what `instructlab.training.data_process` wrote."""
    samples = []
    try:
        text = path.read_text()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            fields = json.loads(line)
            sample = Sample(list(fields["input_ids"]), list(fields["labels"]))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}:{number}: not a row of input_ids and labels") from error
        if len(sample.input_ids) != len(sample.labels):
            raise DataError(f"{path}:{number}: input_ids and labels differ in length")
        samples.append(sample)
    if not samples:
        raise DataError(f"{path} has no rows")
    return samples


def epoch_order(count: int, seed: int, epoch: int) -> list[int]:
    """The order of an epoch: the same on every rank and after every restart."""
    order = list(range(count))
    random.Random(seed * 1_000_003 + epoch).shuffle(order)
    return order


def steps_of(order: list[int], batch_size: int) -> list[list[int]]:
    """An epoch's batches; the last may be smaller."""
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def share_out(lengths: list[int], ranks: int) -> list[list[int]]:
    """Positions of a batch for each rank: longest first, each to the rank with the least to do so far."""
    shares: list[list[int]] = [[] for _ in range(ranks)]
    loads = [0] * ranks
    for position in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        rank = loads.index(min(loads))
        shares[rank].append(position)
        loads[rank] += lengths[position]
    return shares


def mini_batches(positions: list[int], lengths: list[int], max_tokens: int) -> list[list[int]]:
    """Cut a rank's share so that no mini batch, padded to its longest sample, exceeds `max_tokens`."""
    batches: list[list[int]] = []
    for position in sorted(positions, key=lambda index: (-lengths[index], index)):
        # Sorted by length, so the first sample of a mini batch is its longest.
        if batches and lengths[batches[-1][0]] * (len(batches[-1]) + 1) <= max_tokens:
            batches[-1].append(position)
        else:
            batches.append([position])
    return batches
