"""Checkpoints on disk, laid out as main_ds lays them out, but each one whole or not there at all.

    OUTPUT/hf_format/samples_<N>/       a Hugging Face model
    OUTPUT/full_state/epoch_<E>/        all that is needed to go on after epoch E, or in the middle of it
    OUTPUT/.unfinished/                 where they are written before they are renamed

main_ds writes in place, so a pod that dies while saving leaves a folder that looks like a checkpoint.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
)
# The name is main_ds's; the content is torch's format in both.
_METADATA = "training_metadata.json"
_EPOCH = re.compile(r"epoch_(\d+)")


@dataclass(frozen=True)
class Progress:
    """How far training has come."""

    epoch: int
    """The last epoch that is complete; with `global_step` the one that was interrupted."""
    samples_seen: int
    step: int
    """The last step that is complete."""
    global_step: int | None = None
    """In mid-epoch: the step at which main_ds's own count stood, which begins with each process."""


def save_hf_format(model: PreTrainedModel, tokenizer_from: Path, output: Path, name: str) -> Path:
    """Write `hf_format/<name>`; the tokenizer is the one training started from, byte for byte."""

    def write(folder: Path) -> None:
        model.save_pretrained(folder, safe_serialization=True)
        for file in _TOKENIZER_FILES:
            if (tokenizer_from / file).is_file():
                shutil.copyfile(tokenizer_from / file, folder / file)

    return _write_whole(output, output / "hf_format" / name, write)


def save_full_state(
    model: PreTrainedModel,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    output: Path,
    progress: Progress,
) -> Path:
    """Write `full_state/epoch_<E>`."""

    def write(folder: Path) -> None:
        # Tied weights share memory, which the format refuses; a clone of each is what accelerate stores too.
        save_file(
            {key: value.clone().contiguous() for key, value in model.state_dict().items()}, folder / "model.safetensors"
        )
        torch.save(optimizer.state_dict(), folder / "optimizer.bin")
        torch.save(scheduler.state_dict(), folder / "scheduler.bin")
        metadata = {
            "current_epoch": progress.epoch,
            "samples_seen": progress.samples_seen,
            # For the log alone; main_ds does not have it.
            "completed_step": progress.step,
        }
        if progress.global_step is not None:
            metadata["global_step"] = progress.global_step
        torch.save(metadata, folder / _METADATA)

    return _write_whole(output, output / "full_state" / f"epoch_{progress.epoch}", write)


def latest_full_state(output: Path) -> Path | None:
    """The complete state with the highest epoch, if any."""
    found = []
    for folder in (output / "full_state").glob("epoch_*"):
        number = _EPOCH.fullmatch(folder.name)
        if number and (folder / _METADATA).is_file():
            found.append((int(number[1]), folder))
    return max(found)[1] if found else None


def load_full_state(
    folder: Path,
    model: PreTrainedModel,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
) -> Progress:
    """Restore everything `save_full_state` kept."""
    model.load_state_dict(load_file(folder / "model.safetensors"))
    optimizer.load_state_dict(_load(folder / "optimizer.bin"))
    scheduler.load_state_dict(_load(folder / "scheduler.bin"))
    metadata = _load(folder / _METADATA)
    return Progress(
        metadata["current_epoch"], metadata["samples_seen"], metadata["completed_step"], metadata.get("global_step")
    )


def _load(path: Path) -> Any:
    # Never unpickle code: the folder is shared storage.
    return torch.load(path, map_location="cpu", weights_only=True)


def _write_whole(output: Path, target: Path, write: Callable[[Path], None]) -> Path:
    """Write a folder aside, make it durable, and put it in its place by renaming."""
    aside = output / ".unfinished"
    fresh, old = aside / target.name, aside / f"{target.name}.replaced"
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    fresh.mkdir(parents=True)
    write(fresh)
    for file in fresh.iterdir():
        _sync(file)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        target.rename(old)
    fresh.rename(target)
    _sync(target.parent)
    shutil.rmtree(aside, ignore_errors=True)
    return target


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
