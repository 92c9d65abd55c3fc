"""Train with `instructlab.training.run_training()`, which saves everybody's state when one pod is told to stop.

It returns as if all were done after such a save too, on the pod that was told and on all others, where nobody was told
anything. So what counts is what the training has left behind: this script ends with 0 when every epoch has been trained
to its end, else with 143, so that the pod is started again and goes on. Everything after `--` are main_ds's flags.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from fullstate import States, discard_partial_checkpoints, prepare, read_states
from runner import Failed, Parser, execute, positive_int, say
from trainingargs import parse, training_args

MODULE = "instructlab.training.main_ds"
# As a process that SIGTERM has ended.
PREEMPTED = 143
# On a network file system a rank may see what another one wrote a little later.
_VISIBLE_WITHIN = 30.0


def command(rank: int, nnodes: int, nproc: int, meet: tuple[str, int], flags: Sequence[str]) -> list[str]:
    """The command line that runs this script."""
    if shutil.which("torchrun") is None:
        # run_training() starts it by this name, and would end without a word.
        raise Failed("there is no torchrun in this image", hint="another image for this stage")
    own = ["--node-rank", str(rank), "--nnodes", str(nnodes), "--nproc-per-node", str(nproc)]
    own += ["--master-address", meet[0], "--master-port", str(meet[1])]
    return [sys.executable, str(Path(__file__)), *own, "--", *flags]


def arguments(argv: Sequence[str]) -> tuple[argparse.Namespace, argparse.Namespace]:
    """The script's own arguments, and main_ds's."""
    at = list(argv).index("--") if "--" in argv else len(argv)
    parser = Parser(__doc__ or "")
    parser.add_argument("--node-rank", type=int, required=True)
    parser.add_argument("--nnodes", type=positive_int, required=True)
    parser.add_argument("--nproc-per-node", type=positive_int, required=True)
    parser.add_argument("--master-address", required=True)
    parser.add_argument("--master-port", type=int, required=True)
    return parser.parse_args(argv[:at]), parse(argv[at + 1 :])


def main() -> int:
    """Train from wherever the folder says, and tell whether the training is complete."""
    args, flags = arguments(sys.argv[1:])
    output = Path(flags.output_dir)
    if args.node_rank == 0:
        # The others load a state only after they have met this rank.
        prepare(output)
    before = read_states(output)
    if before.finished(flags.num_epochs):
        say(f"rank {args.node_rank}: all {flags.num_epochs} epochs are trained already")
        return 0
    _tell_where(args.node_rank, before)
    _train(args, flags)
    states = _states_after(output, before, flags.num_epochs)
    if not states.finished(flags.num_epochs):
        _tell_preempted(args.node_rank, states)
        return PREEMPTED
    if args.node_rank == 0:
        discard_partial_checkpoints(output, states.whole)
    return 0


def _train(args: argparse.Namespace, flags: argparse.Namespace) -> None:
    from instructlab.training import TorchrunArgs, run_training

    meet = TorchrunArgs(
        nproc_per_node=args.nproc_per_node,
        nnodes=args.nnodes,
        node_rank=args.node_rank,
        # The static rendezvous has no use for it.
        rdzv_id="train",
        master_addr=args.master_address,
        master_port=args.master_port,
    )
    try:
        run_training(meet, training_args(flags))
    except (RuntimeError, ImportError, ValueError) as error:
        raise Failed(f"the training failed: {str(error).splitlines()[0]}", hint="the log above") from error


def _states_after(output: Path, before: States, epochs: int) -> States:
    """What the training left: its end, or a state of its middle that was not there before."""
    deadline = time.monotonic() + _VISIBLE_WITHIN
    states = read_states(output)
    while not states.finished(epochs) and _middle(states) in (None, _middle(before)) and time.monotonic() < deadline:
        time.sleep(0.2)
        states = read_states(output)
    return states


def _middle(states: States) -> tuple[int, int] | None:
    """Epoch and samples of the latest state, when it is of the middle of its epoch.

    Not the step, which the first rank may have put right in the meantime.
    """
    latest = states.whole[-1] if states.whole else None
    return None if latest is None or latest.step is None else (latest.epoch, latest.samples)


def _tell_where(rank: int, states: States) -> None:
    if states.whole:
        latest = states.whole[-1]
        say(f"rank {rank}: going on from the state of epoch {latest.epoch}, {latest.samples} samples seen")


def _tell_preempted(rank: int, states: States) -> None:
    middle = _middle(states)
    if middle is None:
        say(f"rank {rank}: the training ended without error, but neither its end nor its state is to be seen")
        return
    say(f"rank {rank}: preempted in epoch {middle[0]} after {middle[1]} samples; a restart goes on from there")


if __name__ == "__main__":
    execute(main)
