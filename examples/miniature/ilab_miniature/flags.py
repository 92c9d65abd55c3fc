"""The command line of `instructlab.training.main_ds`, taken from its own source.

main_ds builds its parser inside `if __name__ == "__main__"`, where it cannot be imported, and importing the module
needs a GPU's libraries. So the statements that build and check the parser are cut out of the installed source and run
with what they use: argparse and the library's own `config` module. The flags can therefore never drift from the
installed version's.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_PACKAGE = "instructlab.training"


class FlagsError(RuntimeError):
    """The installed main_ds does not have the shape this module knows."""


def installed_source() -> Path:
    """The folder of the installed library. Finding it imports nothing of it."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise FlagsError(f"{_PACKAGE} is not installed")
    return Path(next(iter(spec.submodule_search_locations)))


def cut(source: str) -> ast.Module:
    """The statements of main_ds that build the parser, parse, and check what was parsed; nothing after."""
    block = next((node for node in ast.parse(source).body if _is_main_guard(node)), None)
    if not isinstance(block, ast.If):
        raise FlagsError('main_ds has no `if __name__ == "__main__"` block')
    statements: list[ast.stmt] = []
    for statement in block.body:
        if _calls_a_function(statement):
            break
        statements.append(statement)
    module = ast.Module(body=statements, type_ignores=[])
    parse_calls = [node for node in ast.walk(module) if isinstance(node, ast.Call) and _is_parse_call(node)]
    if len(parse_calls) != 1 or len(statements) == len(block.body):
        raise FlagsError("main_ds parses its command line in a way that is not known here")
    parse_calls[0].args = [ast.Name("argv", ast.Load())]
    return ast.fix_missing_locations(module)


def _is_main_guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


def _calls_a_function(statement: ast.stmt) -> bool:
    """`set_random_seed(args.seed)` and `main(args)`: where main_ds starts to work."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Call)
        and isinstance(statement.value.func, ast.Name)
    )


def _is_parse_call(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Attribute) and node.func.attr == "parse_args"


def _config_names(path: Path) -> dict[str, Any]:
    """What the library's `config.py` defines, loaded alone: its package would import torch, rich and more."""
    spec = importlib.util.spec_from_file_location("_instructlab_training_config", path)
    if spec is None or spec.loader is None:
        raise FlagsError(f"cannot load {path.name}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {name: value for name, value in vars(module).items() if not name.startswith("__")}


def evaluate(source: str, names: dict[str, Any], argv: Sequence[str]) -> argparse.Namespace:
    """Run the cut with the given names. A bad command line ends the process with 2, as argparse does."""
    namespace: dict[str, Any] = {**names, "argparse": argparse, "argv": list(argv)}
    exec(compile(cut(source), "main_ds.py (cut)", "exec"), namespace)
    parsed = namespace.get("args")
    if not isinstance(parsed, argparse.Namespace):
        raise FlagsError("main_ds keeps what it parsed under another name than `args`")
    return parsed


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse a command line as the installed main_ds would."""
    folder = installed_source()
    return evaluate((folder / "main_ds.py").read_text(), _config_names(folder / "config.py"), argv)


# What main_ds does and this trainer does not. To accept such a flag and ignore it would be a lie.
_UNSUPPORTED = {
    "save_samples_ds": "DeepSpeed's native format",
    "mock_data": "mock data",
    "lora_r": "LoRA",
    "lora_quant_bits": "LoRA",
    "block_size": "continual pretraining",
    "NEFTune_alpha": "NEFTune",
    "chat_tmpl_path": "another chat template than the model's",
    "use_liger": "Liger kernels",
    "validation_split": "validation",
    "callbacks": "callbacks",
    "mlflow_tracking_uri": "MLflow",
    "mlflow_experiment_name": "MLflow",
    "wandb_project": "Weights & Biases",
    "tensorboard_log_dir": "TensorBoard",
}


def problems(args: argparse.Namespace) -> list[str]:
    """Why a parsed command line cannot be carried out here; empty if it can."""
    found = [
        f"--{name} asks for {what}, which the miniature trainer does not do"
        for name, what in _UNSUPPORTED.items()
        if getattr(args, name, None)
    ]
    found += [
        f"--{name} is required" for name in ("model_name_or_path", "data_path", "output_dir") if not getattr(args, name)
    ]
    if args.save_samples is None:
        found.append("--save_samples is required (0 turns it off); without it main_ds fails at a comparison")
    if args.distributed_training_framework != "fsdp":
        found.append("--distributed_training_framework must be fsdp: DeepSpeed is not in this image")
    minima = {"num_epochs": 0, "effective_batch_size": 1, "max_batch_len": 1, "num_warmup_steps": 0}
    found += [f"--{name} must be at least {low}" for name, low in minima.items() if getattr(args, name) < low]
    if args.learning_rate <= 0:
        found.append("--learning_rate must be above 0")
    return found
