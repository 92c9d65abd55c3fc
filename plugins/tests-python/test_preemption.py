"""On-demand checkpointing, as far as no torch is needed: which flags arrive, and what is refused at once."""

from __future__ import annotations

import argparse
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import kit
import trainingargs
from test_train import FLAGS, Fixture

SOURCE = kit.PLUGINS / "train" / "src" / "preemption.rs"
STAGE = (
    "--model_name_or_path=/data/model",
    "--data_path=/data/data/processed_data/knowledge/data.jsonl",
    "--output_dir=/data/model/output/ilab/phase_1",
    "--num_epochs=7",
    "--lr_scheduler=cosine",
    "--fsdp_sharding_strategy=HYBRID_SHARD",
    *FLAGS,
)


@pytest.fixture
def fixture(scripts: Callable[[str], Path], tmp_path: Path) -> Fixture:
    return Fixture(scripts("train") / "train.py", tmp_path)


def extra_flags() -> dict[str, bool]:
    """The flags that a user may add, and whether a value follows."""
    parser = argparse.ArgumentParser()
    trainingargs._add_extra(parser)
    actions = {action.option_strings[0]: action.nargs != 0 for action in parser._actions}
    del actions["-h"]
    return actions


def test_stage_and_script_know_the_same_flags() -> None:
    carried = re.findall(r'\("(--[\w-]+)", (true|false)\)', SOURCE.read_text(encoding="utf-8"))
    assert {name: value == "true" for name, value in carried} == extra_flags()


def test_the_stages_flags_are_understood() -> None:
    values = trainingargs.parse(STAGE)
    assert (values.num_epochs, values.learning_rate, values.seed) == (7, 1e-4, 42)
    assert values.cpu_offload_optimizer and values.cpu_offload_params_fsdp
    assert not values.disable_flash_attn


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("--NEFTune_alpha=5", "unrecognized arguments: --NEFTune_alpha=5"),
        ("--lora_r=4", "unrecognized arguments: --lora_r=4"),
        # An abbreviation that main_ds itself would take.
        ("--adamw_w=1", "unrecognized arguments: --adamw_w=1"),
        ("--lr_scheduler=linear", "invalid choice: 'linear'"),
        ("--distributed_training_framework=deepspeed", "invalid choice: 'deepspeed'"),
    ],
)
def test_a_flag_that_would_be_lost_is_refused(change: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        trainingargs.parse([*STAGE, change])
    assert ended.value.code == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--checkpoint_at_epoch", "--accelerate_full_state_at_epoch"])
def test_without_its_evidence_no_training_begins(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        trainingargs.parse([given for given in STAGE if given != flag])
    assert flag in capsys.readouterr().err


def test_other_names_of_the_data_are_refused() -> None:
    flags = [flag.replace("knowledge/data.jsonl", "knowledge.jsonl") for flag in STAGE]
    with pytest.raises(Exception, match="only a file called data"):
        trainingargs.parse(flags)


def start(fixture: Fixture, module: str, **env: str) -> kit.Outcome:
    command = fixture.command()
    command[command.index("--module") + 1] = module
    command.insert(command.index("--"), "--on-demand-checkpointing")
    environment = fixture.environment(0, **env)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=kit.PATIENCE, check=False)
    return kit.Outcome(done.returncode, done.stdout, done.stderr)


def test_another_module_is_refused(fixture: Fixture) -> None:
    outcome = start(fixture, "ilab_miniature.main_ds")
    assert outcome.code == 2
    assert "runs instructlab.training.main_ds, not ilab_miniature.main_ds" in outcome.error()


def test_an_image_without_torchrun_is_no_endless_restart(fixture: Fixture) -> None:
    # run_training() itself would return as if all were well.
    outcome = start(fixture, "instructlab.training.main_ds", PATH="/nowhere")
    assert outcome.code == 1
    assert "no torchrun" in outcome.error()
