"""The full states in an output folder: how far a training has come, and where it goes on.

`instructlab.training` writes `full_state/epoch_<E>/` at the end of an epoch, and when it is told to stop in the middle
of one; its metadata file comes last, and has a `global_step` only in the latter case. Torch is needed to read it, so
this module is for the process that calls the library, not for process 1.
"""

from __future__ import annotations

import os
import re
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner import Failed, say

FOLDER = "full_state"
METADATA = "training_metadata.json"
SCHEDULER = "scheduler.bin"
_HF_FORMAT = "hf_format"
_EPOCH = re.compile(r"epoch_(\d+)")
_SAMPLES = re.compile(r"samples_(\d+)")


@dataclass(frozen=True)
class State:
    """One full state; `step` is None when its epoch is complete."""

    folder: Path
    epoch: int
    samples: int
    step: int | None


@dataclass(frozen=True)
class States:
    """The states of an output folder in ascending order of epochs, and the folders that are none."""

    whole: tuple[State, ...]
    torn: tuple[Path, ...]

    def finished(self, epochs: int) -> bool:
        """Whether every epoch has been trained to its end."""
        complete = {state.epoch for state in self.whole if state.step is None}
        return complete.issuperset(range(epochs))


def read_states(output: Path) -> States:
    """Look at all states of an output folder."""
    whole: list[State] = []
    torn: list[Path] = []
    for folder in (output / FOLDER).glob("epoch_*"):
        if not _EPOCH.fullmatch(folder.name):
            continue
        # Torch's files are zip archives, whose directory is written last.
        if not zipfile.is_zipfile(folder / METADATA):
            torn.append(folder)
            continue
        values = _load(folder / METADATA)
        try:
            step = values.get("global_step")
            state = State(folder, int(values["current_epoch"]), int(values["samples_seen"]), step)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Failed(f"not the metadata of a training: {error}", folder / METADATA) from error
        whole.append(state)
    return States(tuple(sorted(whole, key=lambda state: state.epoch)), tuple(sorted(torn)))


def prepare(output: Path) -> None:
    """Make a folder ready for going on; for one rank, before any of them loads a state."""
    for folder in read_states(output).torn:
        # Without its metadata the library cannot load it, yet would take it for the latest one.
        say(f"removing {folder}: it was cut short while it was written")
        shutil.rmtree(folder)
    states = read_states(output).whole
    discard_partial_checkpoints(output, states)
    if states and states[-1].step is not None:
        _count_within_epoch(states)


def discard_partial_checkpoints(output: Path, states: tuple[State, ...]) -> None:
    """Remove models that are not of the end of an epoch: nobody is to evaluate a training's middle.

    A preemption leaves such a model beside its state. What the next start goes on from is the state alone.
    """
    kept = {state.samples for state in states if state.step is None}
    for folder in sorted((output / _HF_FORMAT).glob("samples_*")):
        name = _SAMPLES.fullmatch(folder.name)
        if name and folder.is_dir() and int(name[1]) not in kept:
            say(f"removing {folder}: it is not of the end of an epoch")
            shutil.rmtree(folder)


def _count_within_epoch(states: tuple[State, ...]) -> None:
    """Let the latest state say how many steps of its epoch are done.

    The library (0.16.2) starts again at the beginning of that epoch and passes over `global_step` batches. But what it
    has written there counts from where its process began, which may be epochs earlier: taken literally, as many epochs
    would be passed over without being trained. And it counts a step that was interrupted like one that was done. The
    scheduler has moved once with each update, so it tells how many there were.
    """
    latest = states[-1]
    done = _updates(latest)
    if latest.epoch > 0:
        before = [state for state in states if state.epoch == latest.epoch - 1 and state.step is None]
        if not before:
            raise Failed(
                f"the state of epoch {latest.epoch} is there, that of the epoch before it is not",
                latest.folder,
                "deleting it: the training goes on from an earlier one",
            )
        done -= _updates(before[0])
    if done != latest.step:
        say(f"epoch {latest.epoch} was left after {done} steps, not {latest.step} as its state has it")
        values = dict(_load(latest.folder / METADATA))
        _save(latest.folder / METADATA, values | {"global_step": done})


def _updates(state: State) -> int:
    """How many updates the weights have had since the very first one."""
    path = state.folder / SCHEDULER
    if not path.is_file():
        raise Failed("the state has no scheduler, so it does not tell how far it is", path)
    count = _load(path).get("last_epoch")
    if not isinstance(count, int):
        raise Failed("the scheduler does not tell its number of steps", path)
    return count


def _load(path: Path) -> Any:
    import torch

    try:
        # Never unpickle code: the folder is shared storage.
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise Failed(f"cannot read: {error.strerror}", path) from error


def _save(path: Path, values: dict[str, Any]) -> None:
    import torch

    temporary = path.with_name(f".{path.name}.new")
    torch.save(values, temporary)
    os.replace(temporary, path)
