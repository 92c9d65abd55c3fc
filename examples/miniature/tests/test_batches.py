"""How samples are read, ordered and shared out among ranks."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from ilab_miniature import batches, metrics


def test_an_epochs_order_depends_on_seed_and_epoch_alone() -> None:
    order = batches.epoch_order(50, seed=42, epoch=1)
    assert order == batches.epoch_order(50, seed=42, epoch=1)
    assert sorted(order) == list(range(50))
    assert order != batches.epoch_order(50, seed=42, epoch=2)
    assert order != batches.epoch_order(50, seed=43, epoch=1)


@pytest.mark.parametrize("ranks", [1, 2, 3, 7])
def test_every_sample_goes_to_one_rank_and_loads_are_even(ranks: int) -> None:
    rng = random.Random(ranks)
    lengths = [rng.randint(5, 90) for _ in range(40)]
    shares = batches.share_out(lengths, ranks)
    assert sorted(position for share in shares for position in share) == list(range(40))
    loads = [sum(lengths[position] for position in share) for share in shares]
    assert max(loads) - min(loads) <= max(lengths)


def test_a_small_batch_leaves_ranks_without_work() -> None:
    assert batches.share_out([5, 9], 3) == [[1], [0], []]


@pytest.mark.parametrize("limit", [90, 128, 1000])
def test_no_mini_batch_exceeds_the_limit_with_padding(limit: int) -> None:
    rng = random.Random(limit)
    lengths = [rng.randint(5, 90) for _ in range(30)]
    cut = batches.mini_batches(list(range(30)), lengths, limit)
    assert sorted(position for batch in cut for position in batch) == list(range(30))
    assert all(max(lengths[position] for position in batch) * len(batch) <= limit for batch in cut)


def test_the_first_token_is_never_counted() -> None:
    assert batches.Sample([1, 2, 3], [1, -100, 3]).counted == 1


def test_steps_cover_the_epoch() -> None:
    assert batches.steps_of([3, 1, 2], 2) == [[3, 1], [2]]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "no rows"),
        ("{", ":1:"),
        ('{"input_ids": [1]}', ":1:"),
        ('{"input_ids": [1, 2], "labels": [1]}', "differ in length"),
    ],
)
def test_bad_data_is_named_with_its_line(tmp_path: Path, text: str, word: str) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(text)
    with pytest.raises(batches.DataError, match=word):
        batches.load_samples(path)


def test_absent_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(batches.DataError, match=r"nothing\.jsonl"):
        batches.load_samples(tmp_path / "nothing.jsonl")


def test_metric_lines_are_flat_and_timed(tmp_path: Path) -> None:
    file = metrics.MetricFile(tmp_path / "new", rank=2)
    file.write({"a": {"b": 1}, "path": tmp_path, "none": None, "list": [1, tmp_path]})
    file.write({"step": 2})
    first, second = (json.loads(line) for line in file.path.read_text().splitlines())
    assert file.path.name == "training_params_and_metrics_global2.jsonl"
    assert {key: first[key] for key in ("a/b", "none", "list")} == {"a/b": 1, "none": None, "list": [1, str(tmp_path)]}
    assert second["step"] == 2
    assert "timestamp" in second
