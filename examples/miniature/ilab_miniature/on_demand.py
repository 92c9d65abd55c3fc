"""The workers' side of on-demand checkpoints, as main_ds has it.

The launcher is the real `instructlab.training.run_training()`: told to stop, it leaves a file in its pod's /dev/shm.
All ranks ask each other for it at the same points of a step, so that one pod's file stops all of them at one step.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from instructlab.training.on_demand_checkpoint import remove_trigger_file, trigger_file_exists


def requested() -> bool:
    """Whether any rank's launcher was told to stop; all ranks get the same answer.

    The library's own `check_checkpoint_requested` does the same with a tensor on a GPU.
    """
    seen = torch.tensor([int(trigger_file_exists())], dtype=torch.int32)
    dist.all_reduce(seen, op=dist.ReduceOp.MAX)
    if not seen.item():
        return False
    remove_trigger_file()
    return True
