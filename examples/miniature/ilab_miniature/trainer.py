"""The training loop: distributed data parallel over gloo, with main_ds's loss, schedule, log lines and checkpoints."""

from __future__ import annotations

import argparse
import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from transformers import LlamaForCausalLM, get_scheduler

from ilab_miniature import checkpoints
from ilab_miniature.batches import (
    IGNORED,
    DataError,
    Sample,
    epoch_order,
    load_samples,
    mini_batches,
    share_out,
    steps_of,
)
from ilab_miniature.metrics import MetricFile

_CLIP = 1.0
"""The gradient norm that main_ds clips to as well."""


@dataclass(frozen=True)
class Place:
    """Where this process stands among all of them."""

    rank: int
    local_rank: int
    world: int


@dataclass(frozen=True)
class Gradients:
    """What a step has computed and not yet applied."""

    totals: torch.Tensor
    """Loss, samples and tokens of this rank."""
    counted: int
    mini_batches: int


@dataclass
class StepResult:
    """What a step did, over all ranks."""

    loss: float
    samples: int
    tokens: int
    counted: int
    mini_batches: int
    gradient_norm: float


class Trainer:
    """Everything that lives as long as the training does."""

    def __init__(self, args: argparse.Namespace, place: Place) -> None:
        self.args = args
        self.place = place
        self.output = Path(args.output_dir)
        self.log = MetricFile(self.output, place.rank) if place.local_rank == 0 else None
        self._write({**vars(args), "model_type": "llama", "local_rank": place.local_rank, "global_rank": place.rank})
        samples = load_samples(Path(args.data_path))
        self.samples = [sample for sample in samples if len(sample.input_ids) <= args.max_batch_len]
        if not self.samples:
            raise DataError(f"every row of {args.data_path} is longer than --max_batch_len {args.max_batch_len}")
        self.steps_per_epoch = len(steps_of(list(range(len(self.samples))), args.effective_batch_size))
        self._report_data(left_out=len(samples) - len(self.samples))
        self.model = LlamaForCausalLM.from_pretrained(args.model_name_or_path, dtype=torch.float32)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=args.learning_rate,
            betas=(args.adamw_beta1, args.adamw_beta2),
            eps=args.adamw_eps,
            weight_decay=args.adamw_weight_decay,
        )
        self.scheduler = get_scheduler(
            args.lr_scheduler,
            optimizer=self.optimizer,
            num_warmup_steps=args.num_warmup_steps,
            num_training_steps=args.num_epochs * self.steps_per_epoch,
        )
        self.step = 1
        self.counted_before = 0
        """Steps before this process began, which main_ds's own count leaves out."""
        self.samples_seen = 0
        self.first_epoch = args.current_epoch
        self.last_step = args.last_step
        self._resume()
        # The only buffers are constants of the rotary embedding; sending them before each step makes ranks wait.
        self.replica = DistributedDataParallel(self.model, broadcast_buffers=False, gradient_as_bucket_view=True)

    def run(self) -> None:
        """Train all epochs that are not done yet."""
        self.replica.train()
        for epoch in range(self.first_epoch, self.args.num_epochs):
            order = epoch_order(len(self.samples), self.args.seed, epoch)
            for positions in steps_of(order, self.args.effective_batch_size):
                if self.step > self.last_step:
                    batch = [self.samples[position] for position in positions]
                    if not self._train_step(epoch, batch):
                        return
                self.step += 1
            if self.args.checkpoint_at_epoch:
                self._save(epoch)
        if self.args.save_last:
            self._save_model()

    # One step.

    def _train_step(self, epoch: int, batch: list[Sample]) -> bool:
        """Train one batch; False when the training was asked to stop, and its state is saved."""
        started = time.monotonic()
        gradients = self._gradients(batch)
        # main_ds asks at three more points; what is saved there is saved here too.
        if self._stopped(epoch, "before optimizer step", self.step - 1):
            return False
        result = self._descend(gradients)
        self.samples_seen += result.samples
        if self._stopped(epoch, "after optimizer step", self.step):
            return False
        say(
            f"Epoch: {epoch}, Step: {self.step}, Rank: {self.place.rank}, loss = {result.loss:.6f}, "
            f"grad_accum_steps = {result.mini_batches}"
        )
        self._write(
            {
                "epoch": epoch,
                "step": self.step,
                "rank": self.place.rank,
                "overall_throughput": result.samples / (time.monotonic() - started),
                "lr": self.scheduler.get_last_lr()[0],
                "cuda_mem_allocated": 0.0,
                "cuda_malloc_retries": 0,
                "num_loss_counted_tokens": result.counted,
                "num_tokens_rank0": result.tokens,
                "batch_size": result.samples,
                "num_minibatches": result.mini_batches,
                "avg_loss": result.loss,
                "samples_seen": self.samples_seen,
                "gradnorm": result.gradient_norm,
                "total_samples": len(self.samples),
                "num_epoch_steps": self.steps_per_epoch,
            }
        )
        if self.args.save_samples > 0 and self.samples_seen % self.args.save_samples == 0:
            self._save_model()
        return True

    def _gradients(self, batch: list[Sample]) -> Gradients:
        lengths = [len(sample.input_ids) for sample in batch]
        # The mean over all the batch's tokens, whichever rank has them; DDP divides by the number of ranks itself.
        counted = sum(sample.counted for sample in batch)
        scale = self.place.world / max(counted, 1)
        mine = share_out(lengths, self.place.world)[self.place.rank]
        todo = mini_batches(mine, lengths, self.args.max_batch_len)
        total = torch.zeros(3)
        for index, positions in enumerate(todo):
            samples = [batch[position] for position in positions]
            last = index == len(todo) - 1
            with contextlib.nullcontext() if last else self.replica.no_sync():
                loss = self._loss(samples)
                (loss * scale).backward()  # type: ignore[no-untyped-call]
            total += torch.tensor([loss.item(), len(samples), sum(lengths[position] for position in positions)])
        if not todo:
            # A rank without work in a small last batch still takes part in the exchange of gradients.
            (self._loss([Sample([0, 0], [IGNORED, IGNORED])]) * 0.0).backward()  # type: ignore[no-untyped-call]
        return Gradients(total, counted, max(len(todo), 1))

    def _descend(self, gradients: Gradients) -> StepResult:
        # The numbers for the log travel while the weights are updated.
        totals = dist.all_reduce(gradients.totals, async_op=True)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), _CLIP)
        self.optimizer.step()
        self.scheduler.step()
        self.optimizer.zero_grad()
        totals.wait()
        loss_sum, samples, tokens = gradients.totals.tolist()
        counted = gradients.counted
        return StepResult(
            loss_sum / max(counted, 1), int(samples), int(tokens), counted, gradients.mini_batches, float(norm)
        )

    def _loss(self, samples: list[Sample]) -> torch.Tensor:
        """The sum of the samples' token losses. Padding is right of the text: a causal model needs no mask for it."""
        length = max(len(sample.input_ids) for sample in samples)
        inputs = torch.tensor([sample.input_ids + [0] * (length - len(sample.input_ids)) for sample in samples])
        labels = torch.tensor([sample.labels + [IGNORED] * (length - len(sample.labels)) for sample in samples])
        logits = self.replica(input_ids=inputs, use_cache=False).logits[:, :-1]
        loss: torch.Tensor = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED, reduction="sum"
        )
        return loss

    # Checkpoints.

    def _resume(self) -> None:
        """Go on from the state of the highest epoch in the output folder, which all ranks must share."""
        latest = checkpoints.latest_full_state(self.output)
        epoch = torch.tensor([int(latest.name.removeprefix("epoch_")) if latest else -1])
        seen = [torch.zeros_like(epoch) for _ in range(self.place.world)]
        dist.all_gather(seen, epoch)
        if len({int(value) for value in seen}) > 1:
            raise RuntimeError(
                "the ranks see different full_state folders: --output_dir must be one shared folder, "
                f"not {[int(value) for value in seen]} as the last epochs"
            )
        if latest is None:
            return
        progress = checkpoints.load_full_state(latest, self.model, self.optimizer, self.scheduler)
        self.samples_seen = progress.samples_seen
        self._say_once(f"Loading state from: {latest}")
        if progress.global_step is not None:
            # As main_ds does it, to the letter: from the beginning of that epoch it passes over so many batches.
            self.first_epoch = progress.epoch
            self.counted_before = progress.epoch * self.steps_per_epoch
            self.step = self.counted_before + 1
            self.last_step = self.counted_before + progress.global_step
            self._say_once(f"Resuming mid-epoch: epoch={self.first_epoch}, last_step={progress.global_step}")
            return
        self.first_epoch = progress.epoch + 1
        self.counted_before = progress.step
        self.step = progress.step + 1
        self.last_step = 0
        self._say_once(f"Resuming at epoch {self.first_epoch}, step {self.step}, samples seen {self.samples_seen}")

    def _stopped(self, epoch: int, where: str, completed: int) -> bool:
        """Whether the training was asked to stop; then its state is saved."""
        if not self.args.on_demand_checkpointing:
            return False
        # Loaded here: only these trainings need the rest of the library that comes with it.
        from ilab_miniature.on_demand import requested

        if not requested():
            return False
        self._save_model()
        self._save_state(checkpoints.Progress(epoch, self.samples_seen, completed, self.step - self.counted_before))
        say(f"On-demand checkpoint saved ({where}). Exiting training.")
        return True

    def _save(self, epoch: int) -> None:
        self._save_model()
        if self.args.accelerate_full_state_at_epoch:
            self._save_state(checkpoints.Progress(epoch, self.samples_seen, self.step - 1))

    def _save_state(self, progress: checkpoints.Progress) -> None:
        if self.place.rank == 0:
            folder = checkpoints.save_full_state(self.model, self.optimizer, self.scheduler, self.output, progress)
            say(f"Model state saved in: {folder}")
        dist.barrier()

    def _save_model(self) -> None:
        name = "last_epoch" if self.args.keep_last_checkpoint_only else f"samples_{self.samples_seen}"
        if self.place.rank == 0:
            say(f"Saving model in huggingface format at: {name}")
            folder = checkpoints.save_hf_format(self.model, Path(self.args.model_name_or_path), self.output, name)
            say(f"Model saved in {folder}")
        dist.barrier()

    # Words.

    def _report_data(self, left_out: int) -> None:
        if left_out:
            self._say_once(f"removed {left_out} samples because they are longer than --max_batch_len")
        count = len(self.samples)
        self._write(
            {
                "num_gpus": self.place.world,
                "avg_sample_len": sum(len(sample.input_ids) for sample in self.samples) / count,
                "effective_batch_size": self.args.effective_batch_size,
                "max_batch_len_per_gpu": self.args.max_batch_len,
                "packing_max_batch_len": self.args.max_batch_len,
                "num_batches": self.steps_per_epoch,
                "avg_samples_per_batch": count / self.steps_per_epoch,
                "total_samples": count,
            }
        )

    def _write(self, values: dict[str, Any]) -> None:
        if self.log is not None:
            self.log.write(values)

    def _say_once(self, text: str) -> None:
        if self.place.rank == 0:
            say(text)


def say(text: str) -> None:
    """A line on stdout, at once: whoever follows the pod's log should see it now."""
    print(text, flush=True)
