"""The cut of main_ds's parser, on sources shaped like main_ds. The real source is used in test_image.py."""

from __future__ import annotations

import argparse

import pytest

from ilab_miniature import flags

SOURCE = """
import torch_that_is_not_here

def main(args):
    raise AssertionError("must not run")

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model-class", default=ModelTypes.CAUSALLM.value)
    parser.add_argument("--num_epochs", type=int, default=1)
    args = parser.parse_args()
    if args.num_epochs == 13:
        parser.error("thirteen is refused by main_ds itself")
    set_random_seed(args.seed)
    main(args)
"""


class ModelTypes:
    class CAUSALLM:
        value = "causallm"


NAMES = {"ModelTypes": ModelTypes}


def test_it_parses_without_running_or_importing_anything_else() -> None:
    args = flags.evaluate(SOURCE, NAMES, ["--num_epochs", "3"])
    assert vars(args) == {"model_class": "causallm", "num_epochs": 3}


@pytest.mark.parametrize("argv", [["--is_granite"], ["--num_epochs", "x"], ["--num_epochs", "13"]])
def test_a_bad_command_line_ends_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        flags.evaluate(SOURCE, NAMES, argv)
    assert ended.value.code == 2
    assert "error:" in capsys.readouterr().err


@pytest.mark.parametrize(
    "source",
    [
        "print('no guard')",
        "if __name__ == '__main__':\n    main()\n",
        "if __name__ == '__main__':\n    args = parser.parse_args()\n",
    ],
)
def test_a_main_ds_of_another_shape_is_an_error_not_a_guess(source: str) -> None:
    with pytest.raises(flags.FlagsError):
        flags.cut(source)


def arguments(**changes: object) -> argparse.Namespace:
    """A command line that can be carried out, but for the changes."""
    good: dict[str, object] = {
        "model_name_or_path": "m",
        "data_path": "d",
        "output_dir": "o",
        "save_samples": 0,
        "distributed_training_framework": "fsdp",
        "num_epochs": 1,
        "effective_batch_size": 8,
        "max_batch_len": 100,
        "num_warmup_steps": 0,
        "learning_rate": 1e-3,
        "lora_r": 0,
        "validation_split": 0.0,
    }
    return argparse.Namespace(**(good | changes))


def test_the_flags_of_the_training_stage_can_be_carried_out() -> None:
    assert flags.problems(arguments()) == []
    assert flags.problems(arguments(on_demand_checkpointing=True)) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"lora_r": 4}, "LoRA"),
        ({"use_liger": True}, "Liger"),
        ({"validation_split": 0.1}, "validation"),
        ({"mlflow_tracking_uri": "http://127.0.0.1"}, "MLflow"),
        ({"save_samples": None}, "--save_samples"),
        ({"distributed_training_framework": "deepspeed"}, "fsdp"),
        ({"output_dir": None}, "--output_dir"),
        ({"effective_batch_size": 0}, "at least 1"),
        ({"num_epochs": -1}, "at least 0"),
        ({"learning_rate": 0.0}, "above 0"),
    ],
)
def test_what_cannot_be_carried_out_is_said(change: dict[str, object], word: str) -> None:
    (problem,) = flags.problems(arguments(**change))
    assert word in problem
