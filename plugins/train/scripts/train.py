"""Launch one rank of the distributed training and vouch for its result.

Everything after `--` goes to the training module as it is. The training operator's RANK, MASTER_ADDR and MASTER_PORT
say which rank this is and where they meet. Rank 0 prints the outputs; the exit status is torchrun's, or with on-demand
checkpointing 143 as long as the training is not complete.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import preemptible
from checkpoints import incomplete_reason
from outputs import outputs_line
from runner import BadInput, Failed, Parser, execute, positive_int, prepare_environment, say
from runstate import RunState
from supervise import Supervisor


@dataclass(frozen=True)
class Rank:
    """This pod's place among the others."""

    number: int
    address: str
    port: int


def arguments(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The launcher's own arguments, and the module's flags, which follow `--`."""
    own, separator, flags = _split(argv)
    parser = Parser(__doc__ or "")
    parser.add_argument("--phase", type=int, choices=(1, 2), required=True)
    parser.add_argument("--base-model", type=Path, required=True, help="the checkpoint that the training starts from")
    parser.add_argument("--data", type=Path, required=True, help="the data.jsonl that preprocess.py wrote")
    parser.add_argument("--output-dir", type=Path, required=True, help="shared by all ranks, so that a restart resumes")
    parser.add_argument("--nnodes", type=positive_int, required=True)
    parser.add_argument("--nproc-per-node", type=positive_int, required=True)
    parser.add_argument("--module", required=True, help="the module that torchrun runs")
    parser.add_argument("--on-demand-checkpointing", action="store_true", help="save the state when told to stop")
    parser.add_argument("--run-id", help="refuse an output folder with another run's checkpoints")
    parser.add_argument("--confirm-timeout", type=positive_int, default=300, help="seconds that ranks wait for rank 0")
    args = parser.parse_args(own)
    if not separator or not flags:
        parser.error("the flags of the training module are missing: put them after --")
    if args.on_demand_checkpointing and args.module != preemptible.MODULE:
        parser.error(f"--on-demand-checkpointing runs {preemptible.MODULE}, not {args.module}")
    return args, flags


def _split(argv: Sequence[str]) -> tuple[list[str], bool, list[str]]:
    if "--" not in argv:
        return list(argv), False, []
    at = list(argv).index("--")
    return list(argv[:at]), True, list(argv[at + 1 :])


def flag_value(flags: Sequence[str], name: str) -> str | None:
    """The value of `--name value` or `--name=value`; the last one counts, as in argparse."""
    value = None
    for index, flag in enumerate(flags):
        if flag == name and index + 1 < len(flags):
            value = flags[index + 1]
        elif flag.startswith(f"{name}="):
            value = flag[len(name) + 1 :]
    return value


def epochs_of(flags: Sequence[str]) -> int:
    """How many epochs the module is told to train."""
    text = flag_value(flags, "--num_epochs") or "1"
    try:
        epochs = int(text)
    except ValueError:
        epochs = 0
    if epochs < 1:
        raise BadInput(f"--num_epochs is {text!r}, not a whole number of at least 1", "the flags after --")
    return epochs


def rank_from_environment(nnodes: int) -> Rank:
    """What the training operator has put into the environment."""
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if missing:
        raise BadInput(f"not set: {', '.join(missing)}", "environment", "running this as part of a PyTorchJob")
    try:
        rank = Rank(int(os.environ["RANK"]), os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
    except ValueError as error:
        raise BadInput(f"RANK and MASTER_PORT must be numbers: {error}", "environment") from error
    if not 0 <= rank.number < nnodes:
        raise BadInput(
            f"RANK is {rank.number} but there are {nnodes} nodes", "environment", f"--nnodes {rank.number + 1}"
        )
    return rank


def check(args: argparse.Namespace, flags: Sequence[str]) -> None:
    """Check the inputs, and that the module's flags speak of the same ones."""
    reason = incomplete_reason(args.base_model)
    if reason is not None:
        raise BadInput(f"the base model cannot be used: {reason}", args.base_model, "running the stage before this one")
    if not args.data.is_file() or args.data.stat().st_size == 0:
        raise BadInput("the training data does not exist or is empty", args.data, "running the fetch stage again")
    for name, path in (
        ("--model_name_or_path", args.base_model),
        ("--data_path", args.data),
        ("--output_dir", args.output_dir),
    ):
        value = flag_value(flags, name)
        if value is None or Path(value).absolute() != path.absolute():
            raise BadInput(f"after -- {name} is {value}, before it {path}", "the command line", "giving both the same")


def torchrun() -> list[str]:
    """How torchrun is started here: by its script, or by its module where the script is not installed."""
    script = shutil.which("torchrun")
    if script:
        return [script]
    if importlib.util.find_spec("torch") is not None:
        return [sys.executable, "-m", "torch.distributed.run"]
    raise Failed("there is no torchrun in this image", hint="another image for this stage")


def command(args: argparse.Namespace, rank: Rank, flags: Sequence[str]) -> list[str]:
    """The command line of torchrun, or of what starts it and passes on to it that the state is to be saved."""
    if args.on_demand_checkpointing:
        meet = (rank.address, rank.port)
        return preemptible.command(rank.number, args.nnodes, args.nproc_per_node, meet, flags)
    return [
        *torchrun(),
        "--nnodes",
        str(args.nnodes),
        "--nproc_per_node",
        str(args.nproc_per_node),
        "--node_rank",
        str(rank.number),
        "--rdzv_endpoint",
        f"{rank.address}:{rank.port}",
        "-m",
        args.module,
        *flags,
    ]


def main() -> int:
    """Check, train, and on rank 0 record and print what was trained."""
    supervisor = Supervisor()
    prepare_environment()
    args, flags = arguments(sys.argv[1:])
    rank = rank_from_environment(args.nnodes)
    state = RunState(args.output_dir, args.run_id, epochs_of(flags))
    state.refuse_foreign()
    done = state.result()
    if done is not None:
        say(f"rank {rank.number}: phase {args.phase} of run {args.run_id} is complete already")
        if rank.number == 0:
            print(outputs_line(done))
        return 0
    check(args, flags)
    try:
        args.output_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Failed(f"cannot create the output folder: {error.strerror}", args.output_dir) from error
    if rank.number == 0:
        state.claim()
    say(
        f"rank {rank.number} of {args.nnodes}: phase {args.phase}, {state.epochs} epochs from {args.base_model}, "
        f"meeting at {rank.address}:{rank.port}"
    )
    code = supervisor.run(command(args, rank, flags))
    if code != 0:
        say(f"rank {rank.number}: training ended with status {code}")
        return code
    if rank.number != 0:
        state.await_result(args.confirm_timeout)
        return 0
    only_last = "--keep_last_checkpoint_only" in flags
    outputs = state.finish(every_epoch="--checkpoint_at_epoch" in flags and not only_last)
    say(f"phase {args.phase}: {len(outputs['checkpoints'])} checkpoint(s) in {outputs['checkpoints-dir']}")
    print(outputs_line(outputs))
    return 0


if __name__ == "__main__":
    execute(main)
