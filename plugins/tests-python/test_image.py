"""All four scripts one after the other in the miniature image, with the real InstructLab packages.

Real: `instructlab.training.data_process`, distributed training by torchrun over three processes, the three evaluators
and lm-eval. Stands in: the miniature's trainer for main_ds, its server for vLLM, and a judge that compares words.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import container
import kit
from container import MODEL
from serving import free_port

pytestmark = pytest.mark.image

NODES = 3
EPOCHS = {1: 1, 2: 3}


@pytest.fixture(scope="module")
def judge() -> Iterator[kit.JudgeServer]:
    """A judge that rates by the words that an answer shares with the reference in the judge's prompt."""
    with kit.judge_server(rate=_rate) as server:
        yield server


def _rate(prompt: str) -> str | None:
    # The markers of one question are in brackets, those of two questions in <| |>.
    found = re.search(r"The Start of Reference Answer.{1,2}\n(.*?)The End of Reference Answer", prompt, re.DOTALL)
    answer = re.search(r"The Start of Assistant.*", prompt, re.DOTALL)
    if not found or not answer:
        return None
    wanted, given = (set(re.findall(r"\w+", text.lower())) for text in (found.group(1), answer.group(0)))
    return str(1 + round(9 * len(wanted & given) / max(1, len(wanted))))


def start(claim: container.Container, scripts: Path, phase: int, base: str, data: str) -> list[subprocess.Popen[str]]:
    """One master and two workers at a time."""
    output = f"/data/model/output/phase_{phase}"
    own = ["--phase", str(phase), "--base-model", base, "--data", data, "--output-dir", output]
    own += ["--nnodes", str(NODES), "--nproc-per-node", "1", "--module", "ilab_miniature.main_ds", "--run-id", "test"]
    flags = [f"--model_name_or_path={base}", f"--data_path={data}", f"--output_dir={output}"]
    flags += [f"--num_epochs={EPOCHS[phase]}", "--effective_batch_size=96", "--learning_rate=2e-3"]
    flags += ["--num_warmup_steps=5", "--save_samples=0", "--log_level=INFO", "--max_batch_len=20000", "--seed=42"]
    flags += ["--cpu_offload_optimizer", "--cpu_offload_params_fsdp", "--distributed_training_framework=fsdp"]
    flags += ["--checkpoint_at_epoch", "--accelerate_full_state_at_epoch"]
    port = str(free_port())
    env = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "USE_LIBUV": "0", "GLOO_SOCKET_IFNAME": "lo"}
    return [claim.start(scripts, "train.py", *own, "--", *flags, RANK=str(rank), **env) for rank in range(NODES)]


def train(claim: container.Container, scripts: Path, phase: int, base: str, data: str) -> list[kit.Outcome]:
    """Train to the end."""
    return [container.finish(pod) for pod in start(claim, scripts, phase, base, data)]


def preempt(claim: container.Container, pods: list[subprocess.Popen[str]], phase: int) -> list[int]:
    """Stop one worker once the first epoch has left its state; returns how all pods ended."""
    state = claim.data / "model" / "output" / f"phase_{phase}" / "full_state"
    deadline = time.monotonic() + kit.PATIENCE
    while not list(state.glob("epoch_*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(container.process_1(pods[1]), signal.SIGTERM)
    return [container.finish(pod).code for pod in pods]


@pytest.fixture(scope="module")
def trained(
    claim: container.Container, mounted: dict[str, Path], preprocessed: dict[str, Any]
) -> dict[int, list[kit.Outcome]]:
    first = train(claim, mounted["train"], 1, MODEL, preprocessed["knowledge-data"])
    assert first[0].code == 0, first[0].stderr[-4000:]
    phase_2 = (mounted["train"], 2, first[0].outputs()["last-checkpoint"], preprocessed["skills-data"])
    codes = preempt(claim, start(claim, *phase_2), 2)
    assert codes[1] == 143, "told to stop, and says so"
    assert codes[0] != 0, "without its worker the training must not pass for complete"
    assert not (claim.data / "model" / "output" / "phase_2" / "checkpoints.json").exists()
    second = train(claim, *phase_2)
    assert second[0].code == 0, second[0].stderr[-4000:]
    return {1: first, 2: second}


@pytest.fixture(scope="module")
def scored(
    claim: container.Container,
    mounted: dict[str, Path],
    trained: dict[int, list[kit.Outcome]],
    judge: kit.JudgeServer,
) -> dict[str, Any]:
    outcome = claim.run(
        mounted["mt-bench"],
        "mt_bench.py",
        *("--checkpoints-dir", trained[2][0].outputs()["checkpoints-dir"]),
        *("--results", "/data/mt-bench-results.txt", "--best", "/data/mt-bench-best.txt"),
        *("--outputs", "/data/ilab/mt-bench.outputs", "--server-module", "ilab_miniature.server"),
        *("--max-workers", "auto", "--gpus", "0", "--startup-timeout", "600"),
        **judge.variables(),
    )
    assert outcome.code == 0, outcome.stderr[-4000:]
    return kit.parse_outputs((claim.data / "ilab" / "mt-bench.outputs").read_text())


def test_real_data_process(claim: container.Container, preprocessed: dict[str, Any]) -> None:
    for kind in ("skills", "knowledge"):
        lines = (claim.data / "data" / "processed_data" / kind / "data.jsonl").read_text().splitlines()
        assert len(lines) == preprocessed[f"{kind}-samples"] > 0
        assert {"input_ids", "labels", "len"} <= json.loads(lines[0]).keys()
        assert preprocessed[f"{kind}-data"] == f"/data/data/processed_data/{kind}/data.jsonl"


def test_real_torchrun_over_three_pods(trained: dict[int, list[kit.Outcome]]) -> None:
    for phase, pods in trained.items():
        assert [pod.code for pod in pods] == [0] * NODES, "\n".join(pod.stderr[-1000:] for pod in pods)
        assert len(pods[0].outputs()["checkpoints"]) == EPOCHS[phase]
        assert all("ILAB_OUTPUTS" not in pod.stdout for pod in pods[1:])


def test_completed_training_is_not_repeated(
    claim: container.Container, mounted: dict[str, Path], trained: dict[int, list[kit.Outcome]]
) -> None:
    again = train(claim, mounted["train"], 1, MODEL, "/data/data/processed_data/knowledge/data.jsonl")
    assert [pod.code for pod in again] == [0] * NODES
    assert again[0].outputs() == trained[1][0].outputs()
    assert "complete already" in again[0].stderr


def test_real_mt_bench(claim: container.Container, scored: dict[str, Any]) -> None:
    scores = {score["model"]: score["score"] for score in scored["scores"]}
    assert len(scores) == EPOCHS[2]
    assert all(score["error-rate"] == 0 and None not in score["turn-scores"] for score in scored["scores"])
    assert scored["best-score"] == scores[scored["best-model"]] == max(scores.values())
    assert json.loads((claim.data / "mt-bench-best.txt").read_text())["best_model"] == scored["best-model"]
    assert not list((claim.data / "model" / "output" / "phase_2" / "hf_format").glob("*.jsonl"))


def test_real_branch_evaluations(
    claim: container.Container, mounted: dict[str, Path], scored: dict[str, Any], judge: kit.JudgeServer
) -> None:
    outcome = claim.run(
        mounted["final-eval"],
        "final_eval.py",
        *("--candidate", scored["best-model"], "--base", MODEL, "--taxonomy", "/data/taxonomy"),
        *("--base-branch", "main", "--candidate-branch", "main", "--tasks-dir", "/data/data"),
        *("--work-dir", "/tmp/final-eval", "--mmlu-results", "/data/mmlu-branch-best.txt"),
        *("--mt-bench-results", "/data/mt-bench-branch-best.txt", "--outputs", "/data/ilab/final-eval.outputs"),
        *("--server-module", "ilab_miniature.server", "--max-workers", "auto", "--gpus", "0"),
        *("--few-shots", "5", "--batch-size", "8", "--startup-timeout", "600"),
        **judge.variables(),
    )
    assert outcome.code == 0, outcome.stderr[-4000:]
    outputs = kit.parse_outputs((claim.data / "ilab" / "final-eval.outputs").read_text())
    assert 0 <= outputs["mmlu-base"] <= 1
    assert 0 <= outputs["mmlu-candidate"] <= 1
    assert outputs["mmlu-tasks"]
    assert 1 <= outputs["mt-bench-base"] <= 10
    assert outputs["error-rate"] == 0.0
    knowledge = json.loads((claim.data / "mmlu-branch-best.txt").read_text())
    assert {task["task"] for task in outputs["mmlu-tasks"]} == {
        entry["task"] for entries in knowledge["summary"].values() for entry in entries
    }
    assert isinstance(json.loads((claim.data / "mt-bench-branch-best.txt").read_text())["summary"], dict)
