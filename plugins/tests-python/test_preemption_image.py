"""On-demand checkpointing with the real `run_training()`, in the miniature image.

Real: the launcher, its signal handlers and trigger file, torchrun, the command line. Stands in: the miniature's trainer
for main_ds, which needs CUDA; it saves and resumes as main_ds does, which is looked at here too.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

import container
import kit
from container import MODEL
from serving import free_port
from training_parser import accept

pytestmark = pytest.mark.image

NODES = 2
EPOCHS = 2
DATA = "/data/data/processed_data/knowledge/data.jsonl"
STAGE = (
    f"--model_name_or_path={MODEL}",
    f"--data_path={DATA}",
    "--learning_rate=0.002",
    "--lr_scheduler=cosine",
    "--num_warmup_steps=5",
    "--save_samples=0",
    "--log_level=INFO",
    "--max_batch_len=20000",
    "--seed=42",
    "--distributed_training_framework=fsdp",
    "--fsdp_sharding_strategy=SHARD_GRAD_OP",
    "--checkpoint_at_epoch",
    "--accelerate_full_state_at_epoch",
    "--cpu_offload_optimizer",
    "--cpu_offload_params_fsdp",
    "--disable_flash_attn",
)
EXTRA = (
    *("--adamw_weight_decay=0.1", "--adamw_beta1", "0.8", "--adamw_beta2=0.9", "--adamw_eps=1e-06"),
    *("--keep_last_checkpoint_only", "--trust_remote_code", "--use_liger", "--chat-tmpl-path=/data/t.py"),
    *("--block-size=128", "--document-column-name=text", "--validation_split=0.1", "--validation_frequency=7"),
    *("--mlflow_tracking_uri=/data/m", "--mlflow_experiment_name=e", "--mlflow_run_name=a=b"),
    *("--wandb_project=p", "--wandb_entity=e", "--wandb_run_name=r", "--tensorboard_log_dir=/data/tb"),
)


def drivers(tmp_path: Path) -> Path:
    """The stage's scripts, and those that look into the library."""
    for file in (*kit.stage_files("train").values(), *(kit.FAKES / "library").glob("*.py")):
        shutil.copy(file, tmp_path)
    return tmp_path


# What the library is told, and what it makes of it.


@pytest.mark.parametrize("extra", [(), EXTRA])
def test_every_flag_arrives_at_main_ds(claim: container.Container, tmp_path: Path, extra: tuple[str, ...]) -> None:
    flags = [*STAGE, "--output_dir=/data/argv", "--num_epochs=3", "--effective_batch_size=24", *extra]
    outcome = claim.run(drivers(tmp_path), "argv.py", *flags)
    (line,) = [line for line in outcome.stdout.splitlines() if line.startswith("ARGV ")] or [outcome.stderr]
    command = json.loads(line.removeprefix("ARGV "))
    at = next(index for index, word in enumerate(command) if word.endswith("/instructlab/training/main_ds.py"))
    assert command[:at] == [
        *("torchrun", "--nproc-per-node=2", "--nnodes=3", "--node-rank=1", "--rdzv-id=train"),
        *("--master-addr=master", "--rdzv-backend=static", "--master-port=23456"),
    ]
    arrived = accept(command[at + 1 :])
    assert arrived == accept(flags) | {"on_demand_checkpointing": True}


@pytest.fixture(scope="module")
def states(claim: container.Container, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """What came of several folders; three epochs of five steps each were wanted, of ten samples a step."""
    # Preempted in the third step of epoch 1 by a process that began with epoch 0, so its count is 5 + 3.
    middle = [("make", 0, 50, 5), ("make", 1, 70, 7, 8)]
    cases: dict[str, list[tuple[Any, ...]]] = {
        "as the library left it": [*middle, ("loop", 3, 5)],
        "prepared": [*middle, ("prepare",), ("loop", 3, 5)],
        # The same after the update of that step: the library's count does not tell one from the other.
        "after the update": [("make", 0, 50, 5), ("make", 1, 80, 8, 8), ("prepare",), ("loop", 3, 5)],
        "in the first epoch": [("make", 0, 20, 2, 3), ("prepare",), ("loop", 3, 5)],
        "at the end of an epoch": [("make", 0, 50, 5), ("make", 1, 100, 10, 10), ("prepare",), ("loop", 3, 5)],
        # Twice, from a process that began in epoch 1 and was stopped in the second step of epoch 2.
        "again": [("make", 0, 50, 5), ("make", 1, 100, 10), ("make", 2, 110, 11, 7), ("prepare",), ("loop", 3, 5)],
        "twice prepared": [*middle, ("prepare",), ("prepare",)],
        "before any step of an epoch": [("make", 0, 50, 5), ("make", 1, 50, 5, 6), ("prepare",), ("loop", 3, 5)],
        "without the epoch before": [("make", 1, 70, 7, 8), ("prepare",)],
    }
    actions = []
    for name, steps in cases.items():
        folder = f"/data/states/{name.replace(' ', '-')}"
        actions += [(what, folder, *values) for what, *values in steps]
    torn = "/data/states/torn"
    (claim.data / "states" / "torn" / "full_state" / "epoch_1").mkdir(parents=True)
    (claim.data / "states" / "torn" / "full_state" / "epoch_1" / "training_metadata.json").write_bytes(b"PK\3\4")
    (claim.data / "states" / "torn" / "hf_format" / "samples_70").mkdir(parents=True)
    cases["torn"] = [("make", 0, 50, 5), ("prepare",), ("loop", 3, 5)]
    actions += [(what, torn, *values) for what, *values in cases["torn"]]
    outcome = claim.run(drivers(tmp_path_factory.mktemp("states")), "states.py", json.dumps(actions))
    assert outcome.code == 0, outcome.stderr
    lines = [line for line in outcome.stdout.splitlines() if line.startswith("RESULT ")]
    results = iter([json.loads(line.removeprefix("RESULT ")) for line in lines])
    return {name: [next(results) for _ in steps] for name, steps in cases.items()}


def batches(epoch: int, first: int = 0) -> list[list[int]]:
    return [[epoch, place] for place in range(first, 5)]


def test_the_library_alone_passes_over_what_it_has_not_trained(states: dict[str, list[Any]]) -> None:
    # Why the launcher has to put the count right. Should this fail, the library has been mended.
    assert states["as the library left it"][-1]["trained"] == batches(2, 3)


@pytest.mark.parametrize(
    ("case", "epoch", "trained"),
    [
        ("prepared", 1, batches(1, 2) + batches(2)),
        ("after the update", 1, batches(1, 3) + batches(2)),
        ("in the first epoch", 0, batches(0, 2) + batches(1) + batches(2)),
        ("at the end of an epoch", 1, batches(2)),
        ("again", 2, batches(2, 1)),
        ("before any step of an epoch", 1, batches(1) + batches(2)),
        ("torn", 1, batches(1) + batches(2)),
    ],
)
def test_the_library_goes_on_with_the_very_next_batch(
    states: dict[str, list[Any]], case: str, epoch: int, trained: list[list[int]]
) -> None:
    result = states[case][-1]
    assert result["trained"] == trained
    # The end of each epoch from there on is saved, with as many samples as ever.
    assert result["saved"] == [[each, 50 * (each + 1)] for each in range(epoch, 3)]


def test_preparing_again_changes_nothing(states: dict[str, list[Any]]) -> None:
    first, second = states["twice prepared"][-2:]
    assert first == second == {"states": [[0, 50, None], [1, 70, 2]], "torn": 0, "models": ["samples_50"]}


def test_models_of_the_middle_of_an_epoch_are_removed(states: dict[str, list[Any]]) -> None:
    for case, models in (
        ("in the first epoch", []),
        ("at the end of an epoch", ["samples_50"]),
        ("before any step of an epoch", ["samples_50"]),
        ("torn", ["samples_50"]),
    ):
        assert states[case][-2]["models"] == models, case
        assert states[case][-2]["torn"] == 0


def test_a_state_that_does_not_tell_where_it_is_is_not_gone_on_from(states: dict[str, list[Any]]) -> None:
    assert "the state of epoch 1 is there, that of the epoch before it is not" in states["without the epoch before"][-1]


# A training that is preempted twice, beside one that is not.


def start(claim: container.Container, scripts: Path, name: str) -> list[subprocess.Popen[str]]:
    """A master and a worker."""
    output = f"/data/preemption/{name}"
    own = ["--phase", "1", "--base-model", MODEL, "--data", DATA, "--output-dir", output, "--run-id", name]
    own += ["--nnodes", str(NODES), "--nproc-per-node", "1", "--module", "instructlab.training.main_ds"]
    own += ["--on-demand-checkpointing"]
    flags = [*STAGE, f"--output_dir={output}", f"--num_epochs={EPOCHS}", "--effective_batch_size=48"]
    env = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "GLOO_SOCKET_IFNAME": "lo"}
    return [claim.start(scripts, "train.py", *own, "--", *flags, RANK=str(rank), **env) for rank in range(NODES)]


def preempt(claim: container.Container, scripts: Path, name: str, epoch: int, victim: int) -> list[kit.Outcome]:
    """Tell one pod to stop as soon as it has made a step of that epoch."""
    pods = start(claim, scripts, name)
    output = pods[victim].stdout
    assert output is not None
    for line in output:
        if line.startswith(f"Epoch: {epoch}, Step: "):
            os.kill(container.process_1(pods[victim]), signal.SIGTERM)
            break
    return [container.finish(pod) for pod in pods]


@pytest.fixture(scope="module")
def undisturbed(
    claim: container.Container, mounted: dict[str, Path], preprocessed: dict[str, Any]
) -> list[kit.Outcome]:
    assert preprocessed["knowledge-data"] == DATA
    return [container.finish(pod) for pod in start(claim, mounted["train"], "undisturbed")]


def weights(claim: container.Container, name: str) -> dict[str, bytes]:
    models = (claim.data / "preemption" / name / "hf_format").iterdir()
    return {model.name: (model / "model.safetensors").read_bytes() for model in models}


def test_an_undisturbed_training_ends_as_ever(claim: container.Container, undisturbed: list[kit.Outcome]) -> None:
    assert [pod.code for pod in undisturbed] == [0] * NODES, "\n".join(pod.stderr[-2000:] for pod in undisturbed)
    assert len(undisturbed[0].outputs()["checkpoints"]) == EPOCHS
    assert "Operation completed successfully" in undisturbed[0].stdout + undisturbed[0].stderr


def test_a_preempted_training_goes_on_at_the_saved_step_and_ends_the_same(
    claim: container.Container, mounted: dict[str, Path], undisturbed: list[kit.Outcome]
) -> None:
    folder = claim.data / "preemption" / "preempted"
    # The worker in the first epoch, then the master in the second.
    for epoch, victim in ((0, 1), (1, 0)):
        pods = preempt(claim, mounted["train"], "preempted", epoch, victim)
        # The pod that was told nothing must not pass for finished either: its process has ended with status 0.
        assert [pod.code for pod in pods] == [143] * NODES, "\n".join(pod.stderr[-3000:] for pod in pods)
        for rank, pod in enumerate(pods):
            assert f"rank {rank}: preempted in epoch {epoch}" in pod.stderr
            assert "ILAB_OUTPUTS" not in pod.stdout
        assert not (folder / "checkpoints.json").exists()
        assert len(list((folder / "hf_format").iterdir())) == epoch + 1, "the middle is saved as a model too"
    last = [container.finish(pod) for pod in start(claim, mounted["train"], "preempted")]
    assert [pod.code for pod in last] == [0] * NODES, "\n".join(pod.stderr[-3000:] for pod in last)
    assert "Resuming mid-epoch: epoch=1, last_step=" in last[0].stdout
    trained = last[0].stdout.count("Epoch: 1, Step: ")
    whole = undisturbed[0].stdout.count("Epoch: 1, Step: ")
    assert 0 < trained < whole, "what was done is not done again"
    assert "Epoch: 0" not in last[0].stdout
    # Only the ends of epochs count, and they are those of the training that nobody disturbed, to the last bit.
    expected = undisturbed[0].outputs()["checkpoints"]
    assert last[0].outputs()["checkpoints"] == [path.replace("undisturbed", "preempted") for path in expected]
    assert weights(claim, "preempted") == weights(claim, "undisturbed")


def test_a_training_whose_end_was_not_recorded_is_not_trained_again(
    claim: container.Container, mounted: dict[str, Path], undisturbed: list[kit.Outcome]
) -> None:
    # As if rank 0 had been killed after the last epoch: the states tell, on every rank by itself.
    (claim.data / "preemption" / "undisturbed" / "checkpoints.json").unlink()
    pods = [container.finish(pod) for pod in start(claim, mounted["train"], "undisturbed")]
    assert [pod.code for pod in pods] == [0] * NODES, "\n".join(pod.stderr[-2000:] for pod in pods)
    assert all("all 2 epochs are trained already" in pod.stderr for pod in pods)
    assert pods[0].outputs() == undisturbed[0].outputs()
