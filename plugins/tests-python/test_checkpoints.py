"""Which folders count as checkpoints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from checkpoints import incomplete_reason, list_checkpoints, samples_of
from kit import make_checkpoint


def test_ascending_order_of_samples_not_of_names(tmp_path: Path) -> None:
    for name in ("last_epoch", "samples_960", "samples_7200", "samples_10080"):
        make_checkpoint(tmp_path / name)
    names = [path.name for path in list_checkpoints(tmp_path).complete]
    assert names == ["samples_960", "samples_7200", "samples_10080", "last_epoch"]


def test_files_and_incomplete_folders_are_passed_over(tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "samples_1")
    (tmp_path / "samples_1.jsonl").write_text("{}")
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "samples_2").mkdir()
    listing = list_checkpoints(tmp_path)
    assert [path.name for path in listing.complete] == ["samples_1"]
    assert {skipped.path.name: skipped.reason for skipped in listing.skipped} == {
        "notes.txt": "not a directory",
        "samples_2": "no config.json",
    }


@pytest.mark.parametrize("keep", [0, 4, 8, 20, -1])
def test_cut_off_weights_are_noticed(tmp_path: Path, keep: int) -> None:
    weights = make_checkpoint(tmp_path / "samples_1") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    reason = incomplete_reason(tmp_path / "samples_1")
    assert reason is not None
    assert "model.safetensors" in reason


def test_a_header_that_is_no_header_is_noticed(tmp_path: Path) -> None:
    weights = make_checkpoint(tmp_path / "samples_1") / "model.safetensors"
    weights.write_bytes(b"\x04\0\0\0\0\0\0\0[[[[")
    assert "cannot be read" in (incomplete_reason(tmp_path / "samples_1") or "")


def test_a_missing_shard_is_noticed(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "samples_1")
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert incomplete_reason(folder) == "model-00002-of-00002.safetensors is missing"


def test_broken_configuration_is_noticed(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "samples_1")
    (folder / "config.json").write_text("[]")
    assert incomplete_reason(folder) == "config.json is not an object"
    (folder / "config.json").write_text("{")
    assert "config.json cannot be read" in (incomplete_reason(folder) or "")


def test_no_weights_are_noticed(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "samples_1")
    (folder / "model.safetensors").unlink()
    assert incomplete_reason(folder) == "no safetensors file"


def test_number_of_samples() -> None:
    assert samples_of(Path("samples_7200")) == 7200
    assert samples_of(Path("last_epoch")) is None
