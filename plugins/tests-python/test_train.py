"""The training launcher, with a stand-in for torchrun."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import kit
from training_parser import accept

# What the training stage renders today (reference-behaviour.md 3.2, with what instructlab-training 0.16.2 changed).
FLAGS = (
    "--effective_batch_size=3840",
    "--learning_rate=1e-4",
    "--num_warmup_steps=800",
    "--save_samples=0",
    "--log_level=INFO",
    "--max_batch_len=20000",
    "--seed=42",
    "--cpu_offload_optimizer",
    "--cpu_offload_params_fsdp",
    "--distributed_training_framework=fsdp",
    "--checkpoint_at_epoch",
    "--accelerate_full_state_at_epoch",
)


class Fixture:
    def __init__(self, script: Path, root: Path) -> None:
        self.script, self.root = script, root
        self.argv = root / "argv.jsonl"
        self.base = kit.make_checkpoint(root / "model with space")
        self.data = root / "data.jsonl"
        self.data.write_text("{}\n")
        self.output = root / "output" / "phase_1"
        self.bin = root / "bin"
        self.bin.mkdir()
        (self.bin / "torchrun").write_text(f'#!/bin/sh\nexec {sys.executable} {kit.FAKES}/bin/torchrun.py "$@"\n')
        (self.bin / "torchrun").chmod(0o755)

    def command(self, epochs: int = 3, run_id: str | None = "run-1", flags: tuple[str, ...] = ()) -> list[str]:
        own = ["--phase", "1", "--base-model", str(self.base), "--data", str(self.data)]
        own += ["--output-dir", str(self.output), "--nnodes", "3", "--nproc-per-node", "1"]
        own += ["--module", "instructlab.training.main_ds", "--confirm-timeout", "1"]
        own += ["--run-id", run_id] if run_id else []
        return [sys.executable, str(self.script), *own, "--", *(flags or self.flags(epochs))]

    def flags(self, epochs: int) -> tuple[str, ...]:
        return (
            f"--model_name_or_path={self.base}",
            f"--data_path={self.data}",
            f"--output_dir={self.output}",
            f"--num_epochs={epochs}",
            *FLAGS,
        )

    def environment(self, rank: int, **extra: str) -> dict[str, str]:
        env = kit.environment(RANK=str(rank), MASTER_ADDR="127.0.0.1", MASTER_PORT="29500", FAKE_ARGV=str(self.argv))
        return env | {"PATH": f"{self.bin}:{env['PATH']}"} | extra

    def run(self, rank: int = 0, *, epochs: int = 3, run_id: str | None = "run-1", **extra: str) -> kit.Outcome:
        command = self.command(epochs, run_id)
        env = self.environment(rank, **extra)
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=kit.PATIENCE, check=False)
        return kit.Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def fixture(scripts: Callable[[str], Path], tmp_path: Path) -> Fixture:
    return Fixture(scripts("train") / "train.py", tmp_path)


def test_rank_0_prints_the_checkpoints_in_order_of_samples(fixture: Fixture) -> None:
    outcome = fixture.run()
    assert outcome.code == 0, outcome.stderr
    folder = fixture.output / "hf_format"
    expected = {
        "checkpoints": [str(folder / name) for name in ("samples_96", "samples_192", "samples_288")],
        "last-checkpoint": str(folder / "samples_288"),
        "checkpoints-dir": str(folder),
    }
    assert outcome.outputs() == expected
    assert json.loads((fixture.output / "checkpoints.json").read_text())["outputs"] == expected


def test_torchrun_gets_the_operators_values_and_the_flags_unchanged(fixture: Fixture) -> None:
    fixture.run()
    fixture.run(2)
    first = json.loads(fixture.argv.read_text().splitlines()[0])
    own = ["--nnodes", "3", "--nproc_per_node", "1", "--node_rank", "0", "--rdzv_endpoint", "127.0.0.1:29500"]
    assert first == [*own, "-m", "instructlab.training.main_ds", *fixture.flags(3)]


def test_flags_are_accepted_by_the_real_parser(fixture: Fixture) -> None:
    fixture.run()
    argv = json.loads(fixture.argv.read_text().splitlines()[0])
    values = accept(argv[argv.index("instructlab.training.main_ds") + 1 :])
    assert values["model_name_or_path"] == str(fixture.base), "a path with a space is one argument (B22)"
    assert values["num_epochs"] == 3
    assert values["cpu_offload_params_fsdp"] is True


def test_other_ranks_print_no_outputs_and_leave_after_rank_0(fixture: Fixture) -> None:
    assert fixture.run(0).code == 0
    outcome = fixture.run(1)
    assert (outcome.code, outcome.stdout) == (0, "")


def test_other_ranks_do_not_leave_before_rank_0_has_confirmed(fixture: Fixture) -> None:
    (fixture.output).mkdir(parents=True)
    (fixture.output / "ilab-run.json").write_text('{"run-id": "run-1"}')
    outcome = fixture.run(1)
    assert outcome.code == 1
    assert "rank 0 has not confirmed" in outcome.error()


def test_completed_training_is_not_repeated_on_any_rank(fixture: Fixture) -> None:
    first = fixture.run().outputs()
    fixture.argv.unlink()
    again = fixture.run()
    assert again.outputs() == first
    assert fixture.run(1).code == 0
    assert fixture.run(2).code == 0
    assert not fixture.argv.exists(), "torchrun was not started"


def test_more_epochs_are_trained_not_taken_for_complete(fixture: Fixture) -> None:
    fixture.run(epochs=2)
    assert len(fixture.run(epochs=3).outputs()["checkpoints"]) == 3


def test_checkpoints_of_another_run_are_refused_on_every_rank(fixture: Fixture) -> None:
    fixture.run(run_id="old")
    for rank in range(3):
        outcome = fixture.run(rank, run_id="new")
        assert outcome.code == 2
        assert "holds checkpoints of run old, this is run new" in outcome.error()


def test_checkpoints_of_unknown_origin_are_refused(fixture: Fixture) -> None:
    kit.make_checkpoint(fixture.output / "hf_format" / "samples_1")
    outcome = fixture.run()
    assert outcome.code == 2
    assert "of unknown origin" in outcome.error()
    assert fixture.run(run_id=None).code == 0, "without --run-id nothing is refused"


def test_interrupted_run_resumes(fixture: Fixture) -> None:
    assert fixture.run(FAKE_TORCHRUN="exit:1").code == 1
    kit.make_checkpoint(fixture.output / "hf_format" / "samples_96")
    assert fixture.run().code == 0


@pytest.mark.parametrize(("what", "code"), [("exit:1", 1), ("exit:3", 3), ("kill:9", 137)])
def test_status_is_torchruns(fixture: Fixture, what: str, code: int) -> None:
    outcome = fixture.run(FAKE_TORCHRUN=what)
    assert outcome.code == code
    assert outcome.stdout == ""
    assert not (fixture.output / "checkpoints.json").exists()


def test_fewer_checkpoints_than_epochs_is_a_failure(fixture: Fixture) -> None:
    outcome = fixture.run(FAKE_TORCHRUN="short")
    assert outcome.code == 1
    assert "only 2 of 3 epochs have a checkpoint" in outcome.error()


def test_torn_checkpoint_does_not_count(fixture: Fixture) -> None:
    outcome = fixture.run(FAKE_TORCHRUN="torn")
    assert outcome.code == 1
    assert "samples_288: model.safetensors is cut off" in outcome.stderr
    assert "only 2 of 3 epochs" in outcome.error()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_is_never_success(fixture: Fixture, number: signal.Signals) -> None:
    # The stand-in ends with status 0 on SIGTERM, as instructlab.training does after an on-demand checkpoint.
    env = fixture.environment(0, FAKE_TORCHRUN="wait")
    process = subprocess.Popen(fixture.command(), env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "training\n"
    process.send_signal(number)
    assert process.wait(timeout=kit.PATIENCE) == 128 + number
    assert not (fixture.output / "checkpoints.json").exists()


def test_stop_while_waiting_for_rank_0(fixture: Fixture) -> None:
    (fixture.output).mkdir(parents=True)
    (fixture.output / "ilab-run.json").write_text('{"run-id": "run-1"}')
    command = fixture.command()
    command[command.index("--confirm-timeout") + 1] = "600"
    process = subprocess.Popen(command, env=fixture.environment(1), stderr=subprocess.DEVNULL)
    while not fixture.argv.exists():
        time.sleep(0.05)
    time.sleep(0.5)
    process.terminate()
    assert process.wait(timeout=kit.PATIENCE) == 143


def test_process_1_reaps_orphans(fixture: Fixture) -> None:
    unshare = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no PID namespaces here")
    done = subprocess.run(
        [*unshare, *fixture.command()],
        env=fixture.environment(0, FAKE_TORCHRUN="orphan"),
        capture_output=True,
        text=True,
        timeout=kit.PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "zombies 0" in done.stdout


@pytest.mark.parametrize("missing", ["RANK", "MASTER_ADDR", "MASTER_PORT"])
def test_missing_variables_are_named(fixture: Fixture, missing: str) -> None:
    outcome = fixture.run(0, **{missing: ""})  # type: ignore[arg-type]
    assert outcome.code == 2
    assert f"not set: {missing}" in outcome.error()


def test_rank_out_of_range(fixture: Fixture) -> None:
    outcome = fixture.run(3)
    assert outcome.code == 2
    assert "RANK is 3 but there are 3 nodes" in outcome.error()


def test_b15_outputs_land_where_the_stage_says(fixture: Fixture) -> None:
    # In the reference the second phase derived its base and its output from one option, and wrote elsewhere.
    flags = tuple(flag for flag in fixture.flags(3) if not flag.startswith("--output_dir"))
    command = fixture.command(flags=(*flags, "--output_dir=/elsewhere"))
    done = subprocess.run(command, env=fixture.environment(0), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"after -- --output_dir is /elsewhere, before it {fixture.output}" in done.stderr
    assert not fixture.argv.exists()


def test_b22_epochs_must_be_a_number(fixture: Fixture) -> None:
    for epochs in ("0", "-3", "x"):
        flags = tuple(flag for flag in fixture.flags(3) if not flag.startswith("--num_epochs"))
        command = fixture.command(flags=(*flags, f"--num_epochs={epochs}"))
        done = subprocess.run(command, env=fixture.environment(0), capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "--num_epochs" in done.stderr


def test_incomplete_base_model_and_missing_data_are_refused(fixture: Fixture) -> None:
    fixture.data.write_text("")
    assert "training data does not exist or is empty" in fixture.run().error()
    (fixture.base / "config.json").unlink()
    outcome = fixture.run()
    assert outcome.code == 2
    assert "base model cannot be used: no config.json" in outcome.error()
    assert not fixture.output.exists()


def test_flags_are_required(fixture: Fixture) -> None:
    command = fixture.command()
    command = command[: command.index("--")]
    done = subprocess.run(command, env=fixture.environment(0), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "put them after --" in done.stderr


def test_image_without_torchrun(fixture: Fixture) -> None:
    outcome = fixture.run(PATH="/usr/bin:/bin")
    assert outcome.code == 1
    assert "no torchrun" in outcome.error()
