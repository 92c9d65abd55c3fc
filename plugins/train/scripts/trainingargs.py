"""main_ds's flags as the arguments of `run_training()`, which composes main_ds's command line from them again.

Only flags that `TrainingArgs` of instructlab-training 0.16.2 can carry are known here. The stage refuses the others
when it is rendered; that both have the same ones is a test.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runner import BadInput, Parser

DATA_FILE = "data.jsonl"


def parse(flags: Sequence[str]) -> argparse.Namespace:
    """Read the flags; one that cannot be carried ends the script with 2."""
    parser = Parser("main_ds's flags")
    for name in ("model_name_or_path", "data_path", "output_dir"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("num_epochs", "effective_batch_size", "num_warmup_steps", "save_samples", "max_batch_len", "seed"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--learning_rate", type=float, required=True)
    parser.add_argument("--log_level", required=True)
    parser.add_argument("--fsdp_sharding_strategy", required=True)
    # These are what run_training() passes, or what main_ds takes where it passes nothing.
    parser.add_argument("--lr_scheduler", choices=("cosine",), default="cosine")
    parser.add_argument("--distributed_training_framework", choices=("fsdp",), required=True)
    for name in ("checkpoint_at_epoch", "accelerate_full_state_at_epoch"):
        # Whether a training is complete is seen by these.
        parser.add_argument(f"--{name}", action="store_true", required=True)
    for name in ("cpu_offload_optimizer", "cpu_offload_params_fsdp", "disable_flash_attn"):
        parser.add_argument(f"--{name}", action="store_true")
    _add_extra(parser)
    values = parser.parse_args(flags)
    if Path(values.data_path).name != DATA_FILE:
        raise BadInput(f"run_training() reads only a file called {DATA_FILE}", values.data_path)
    return values


def _add_extra(parser: argparse.ArgumentParser) -> None:
    """What a user may add."""
    extra = parser.add_argument_group("extra")
    for name in ("keep_last_checkpoint_only", "trust_remote_code", "use_liger"):
        extra.add_argument(f"--{name}", action="store_true")
    for name, default in (("weight_decay", 0.0), ("beta1", 0.9), ("beta2", 0.95), ("eps", 1e-8)):
        extra.add_argument(f"--adamw_{name}", type=float, default=default)
    for name in ("mlflow_tracking_uri", "mlflow_experiment_name", "mlflow_run_name"):
        extra.add_argument(f"--{name}")
    for name in ("wandb_project", "wandb_entity", "wandb_run_name", "tensorboard_log_dir"):
        extra.add_argument(f"--{name}")
    extra.add_argument("--chat-tmpl-path")
    extra.add_argument("--block-size", type=int)
    extra.add_argument("--document-column-name")
    extra.add_argument("--validation_split", type=float, default=0.0)
    extra.add_argument("--validation_frequency", type=int)


def training_args(values: argparse.Namespace) -> Any:
    """The `TrainingArgs` with these values."""
    from instructlab.training import (
        DeepSpeedOptions,
        DistributedBackend,
        FSDPOptions,
        PretrainingConfig,
        ShardingStrategies,
        TrainingArgs,
    )

    pretraining = None
    if values.block_size is not None:
        column = {} if values.document_column_name is None else {"document_column_name": values.document_column_name}
        pretraining = PretrainingConfig(block_size=values.block_size, **column)
    elif values.document_column_name is not None:
        raise BadInput("--document-column-name needs --block-size", "the flags of the training module")
    same = ["num_epochs", "effective_batch_size", "save_samples", "max_batch_len", "learning_rate", "log_level"]
    same += ["checkpoint_at_epoch", "accelerate_full_state_at_epoch", "disable_flash_attn", "use_liger"]
    same += ["keep_last_checkpoint_only", "trust_remote_code", "adamw_weight_decay", "adamw_eps", "chat_tmpl_path"]
    same += ["mlflow_tracking_uri", "mlflow_experiment_name", "mlflow_run_name", "wandb_project", "wandb_entity"]
    same += ["wandb_run_name", "tensorboard_log_dir", "validation_split", "validation_frequency"]
    try:
        return TrainingArgs(
            model_path=values.model_name_or_path,
            data_path=values.data_path,
            data_output_dir=str(Path(values.data_path).parent),
            ckpt_output_dir=values.output_dir,
            # Only its own data processing, which was a stage before this one, would use it.
            max_seq_len=values.max_batch_len,
            process_data=False,
            warmup_steps=values.num_warmup_steps,
            random_seed=values.seed,
            adamw_betas=(values.adamw_beta1, values.adamw_beta2),
            # The options of the optimizer are called DeepSpeed's there, and are passed for FSDP too.
            deepspeed_options=DeepSpeedOptions(cpu_offload_optimizer=values.cpu_offload_optimizer),
            fsdp_options=FSDPOptions(
                cpu_offload_params=values.cpu_offload_params_fsdp,
                sharding_strategy=ShardingStrategies(values.fsdp_sharding_strategy),
            ),
            distributed_backend=DistributedBackend.FSDP,
            pretraining_config=pretraining,
            on_demand_checkpointing=True,
            **{name: getattr(values, name) for name in same},
        )
    except ValueError as error:
        raise BadInput(f"run_training() refuses the flags: {error}", "the flags of the training module") from error
