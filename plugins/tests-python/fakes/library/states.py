"""Does one thing after the other with full states, as a JSON list says, and prints one result a line.

`make` writes a state as the library lays it out, `prepare` is the launcher's, `loop` is the library's own training
loop, resumed from a folder by the library's own loader, over batches that only tell which ones they are.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from instructlab.training import main_ds
from instructlab.training.batch_loss_manager import BatchMetrics

import fullstate
from runner import ScriptError

SAMPLES = 10


def make(output: str, epoch: int, samples: int, updates: int, step: int | None = None) -> None:
    """A state, and the model that is saved before it."""
    folder = Path(output, "full_state", f"epoch_{epoch}")
    folder.mkdir(parents=True)
    Path(output, "hf_format", f"samples_{samples}").mkdir(parents=True, exist_ok=True)
    torch.save({"last_epoch": updates}, folder / fullstate.SCHEDULER)
    metadata = {"current_epoch": epoch, "samples_seen": samples}
    torch.save(metadata if step is None else metadata | {"global_step": step}, folder / fullstate.METADATA)


def prepare(output: str) -> Any:
    """What is there afterwards, or the error."""
    try:
        fullstate.prepare(Path(output))
    except ScriptError as error:
        return error.line()
    states = fullstate.read_states(Path(output))
    return {
        "states": [[state.epoch, state.samples, state.step] for state in states.whole],
        "torn": len(states.torn),
        "models": sorted(path.name for path in Path(output, "hf_format").iterdir()),
    }


class Loader:
    """As many batches an epoch; each is its epoch and its place in it."""

    def __init__(self, steps: int) -> None:
        self.steps, self.epoch = steps, 0
        self.sampler = SimpleNamespace(set_epoch=lambda epoch: setattr(self, "epoch", epoch))
        self.dataset = range(steps * SAMPLES)

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[int]]:
        return iter([[self.epoch, place] for place in range(self.steps)])


def loop(output: str, epochs: int, steps: int) -> dict[str, Any]:
    """Which batches the library trains, and at which epochs' ends it saves."""
    trained: list[list[int]] = []
    saved: list[list[int]] = []

    def process(batch: list[int], interrupt_check: Any = None) -> tuple[BatchMetrics, float]:
        del interrupt_check
        trained.append(batch)
        return BatchMetrics(SAMPLES, 1, 1, torch.zeros(1), None, 1, 1), 0.0

    args = argparse.Namespace(output_dir=output, current_epoch=0, num_epochs=epochs, last_step=0, save_samples=0)
    args.save_samples_ds, args.lora_r, args.save_last, args.keep_last_checkpoint_only = None, 0, False, False
    args.checkpoint_at_epoch = args.accelerate_full_state_at_epoch = True
    accelerator = SimpleNamespace(
        save_samples=0,
        train_loader=Loader(steps),
        load_state=lambda _: None,
        take_optimizer_step=lambda: None,
        lr_scheduler=SimpleNamespace(get_last_lr=lambda: [0.0]),
    )
    main_ds.BatchLossManager = lambda *_, **__: SimpleNamespace(process_batch=process)
    main_ds.save_checkpoint = lambda **given: saved.append([given["epoch"], given["samples_seen"]])
    main_ds.load_latest_full_state(args=args, accelerator=accelerator)
    main_ds.train(args, SimpleNamespace(train=lambda: None, tokenizer=None), accelerator)
    return {"trained": trained, "saved": saved}


def main() -> int:
    """Do it all."""
    os.environ.update(LOCAL_RANK="0", WORLD_SIZE="1")
    # The loop is on one rank, and tells of a GPU's memory that is not there.
    torch.distributed.get_rank = lambda *_: 0
    torch.distributed.barrier = lambda *_: None
    torch.cuda.memory_allocated = lambda *_: 0
    torch.cuda.memory_stats = lambda *_: {"num_alloc_retries": 0}
    torch.cuda.empty_cache = lambda: None
    actions: dict[str, Callable[..., Any]] = {"make": make, "prepare": prepare, "loop": loop}
    for what, *values in json.loads(sys.argv[1]):
        print(f"RESULT {json.dumps(actions[what](*values))}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
