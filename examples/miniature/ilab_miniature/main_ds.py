"""A stand-in for `instructlab.training.main_ds` that trains on CPUs.

    torchrun --nnodes 3 --nproc_per_node 1 --node_rank $RANK --rdzv_endpoint $MASTER_ADDR:$MASTER_PORT \
        -m ilab_miniature.main_ds --model_name_or_path ... --data_path ... --output_dir ... <main_ds's flags>

The real main_ds needs CUDA from its first lines on. This one takes the same command line (by the real parser), writes
the same log lines, metric files and checkpoint folders, and really trains: torch DDP over gloo.
"""

from __future__ import annotations

import argparse
import os
import sys

from ilab_miniature import flags, network


def main(argv: list[str] | None = None) -> int:
    """Parse, check, and train. A command line that cannot be carried out ends with 2, before torch is loaded."""
    args = flags.parse(sys.argv[1:] if argv is None else argv)
    found = flags.problems(args)
    if found:
        for problem in found:
            print(f"main_ds (miniature): error: {problem}", file=sys.stderr)
        return 2
    missing = [
        name for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ
    ]
    if missing:
        print(f"main_ds (miniature): error: {', '.join(missing)} not set; start it with torchrun", file=sys.stderr)
        return 2
    return _train(args)


def _train(args: argparse.Namespace) -> int:
    chosen = network.choose_interface()
    # Loaded here: the parser answers in a tenth of a second, torch and transformers take several.
    import torch
    import torch.distributed as dist

    from ilab_miniature.batches import DataError
    from ilab_miniature.trainer import Place, Trainer, say

    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    place = Place(dist.get_rank(), int(os.environ["LOCAL_RANK"]), dist.get_world_size())
    interface = chosen or os.environ.get("GLOO_SOCKET_IFNAME", "its default interface")
    say(
        f"Rank {place.rank} of {place.world} is up (gloo on {interface}); "
        f"{args.distributed_training_framework} was asked for, the miniature trains with DDP on the CPU"
    )
    try:
        Trainer(args, place).run()
    except DataError as error:
        print(f"main_ds (miniature): error: {error}", file=sys.stderr)
        return 1
    dist.barrier()
    dist.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main())
