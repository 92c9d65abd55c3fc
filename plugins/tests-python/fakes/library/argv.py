"""Prints, as JSON, the command line that the real `run_training()` composes for the flags that this script is given."""

from __future__ import annotations

import json
import sys
from typing import Any

from instructlab.training import TorchrunArgs, main_ds

from trainingargs import parse, training_args


def _start(_log: str, command: list[str], **_: Any) -> Any:
    print(f"ARGV {json.dumps(command)}")
    # It takes a torchrun that does not start for the end of the training, and returns.
    raise OSError("no process is wanted here")


def main() -> int:
    """Compose."""
    # Its checks look for kernels that need a GPU; what they are given is what is of interest.
    main_ds.check_valid_train_args = lambda _: None
    main_ds.StreamablePopen = _start
    meet = TorchrunArgs(
        nproc_per_node=2, nnodes=3, node_rank=1, rdzv_id="train", master_addr="master", master_port=23456
    )
    main_ds.run_training(meet, training_args(parse(sys.argv[1:])))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
