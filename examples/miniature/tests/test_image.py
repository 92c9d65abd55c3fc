"""Inside the miniature's root file system: the real libraries, the trainer, the server and the generator."""

from __future__ import annotations

import json
import math
import re
import socket
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Pod, generate

pytestmark = pytest.mark.image

# What a training stage passes; reference-behaviour's flags in today's spelling.
FLAGS = (
    "--effective_batch_size=8 --learning_rate=1e-3 --num_warmup_steps=2 --save_samples=0 --log_level=INFO "
    "--max_batch_len=400 --seed=42 --cpu_offload_optimizer --distributed_training_framework fsdp "
    "--cpu_offload_params_fsdp --checkpoint_at_epoch --accelerate_full_state_at_epoch"
).split()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# The archive.


def test_the_generator_repeats_itself_byte_for_byte(rootfs: Path, archive: Path, tmp_path: Path) -> None:
    assert generate(Pod(rootfs, tmp_path), "again.tar.gz").read_bytes() == archive.read_bytes()


def test_the_archive_has_what_the_fetch_stage_verifies(archive: Path) -> None:
    with tarfile.open(archive) as packed:
        members = {member.name: member for member in packed}
    assert {name.split("/")[0] for name in members} == {"data", "model", "taxonomy"}
    for pattern in (
        r"model/config\.json",
        r"model/tokenizer\.json",
        r"model/tokenizer_config\.json",
        r"model/[^/]*\.safetensors",
        r"data/skills_recipe_[^/]*\.yaml",
        r"data/knowledge_recipe_[^/]*\.yaml",
        r"data/skills_train_[^/]*\.jsonl",
        r"data/knowledge_train_[^/]*\.jsonl",
        r"taxonomy/knowledge",
        r"taxonomy/foundational_skills",
    ):
        found = [member for name, member in members.items() if re.fullmatch(pattern, name)]
        assert found, pattern
        assert found[0].isdir() or found[0].size > 0, pattern


def test_the_taxonomy_is_a_clean_repository_on_main(pod: Pod) -> None:
    script = (
        "cp -r /data/taxonomy /tmp/t && cd /tmp/t && git checkout -q main && git status --porcelain "
        "&& git branch --show-current && git fsck --strict"
    )
    result = pod.run("sh", "-c", script)
    assert (result.returncode, result.stdout) == (0, "main\n"), result.stderr


def test_test_files_are_where_another_machine_had_them(pod: Pod) -> None:
    tasks = list((pod.data / "data").glob("node_datasets_*/*_task.yaml"))
    assert len(tasks) == 2
    for task in tasks:
        text = task.read_text()
        assert "group: mmlu_pr" in text
        foreign = re.search(r"test: (/\S+)", text)
        assert foreign is not None
        assert not Path(foreign[1]).exists()
        assert (task.parent / Path(foreign[1]).name).is_file()


# The real data processing, and training on what it writes.


@pytest.fixture(scope="module")
def processed(pod: Pod) -> Path:
    """A small file of rows, made by the real instructlab.training.data_process."""
    source = next((pod.data / "data").glob("skills_train_msgs_*.jsonl"))
    (pod.data / "few.jsonl").write_text("".join(source.read_text().splitlines(keepends=True)[:28]))
    result = pod.run(
        *"python3 -m instructlab.training.data_process --data_path /data/few.jsonl --data_output_path /data/processed "
        "--max_seq_len 4096 --model_name_or_path /data/model --num_cpu_procs 1".split()
    )
    assert result.returncode == 0, result.stderr
    return pod.data / "processed" / "data.jsonl"


def test_the_real_data_process_learns_answers_not_questions(processed: Path) -> None:
    rows = [json.loads(line) for line in processed.read_text().splitlines()]
    assert {"input_ids", "labels", "len"} <= set(rows[0])
    assert all(len(row["input_ids"]) == len(row["labels"]) == row["len"] for row in rows)
    assert all(any(label != -100 for label in row["labels"]) for row in rows)
    assert all(row["labels"][0] == -100 for row in rows), "the system message is not to be learnt"


def train(pod: Pod, output: str, *, epochs: int, ranks: int = 2, extra: tuple[str, ...] = ()) -> list[str]:
    """Train with `ranks` nodes of one process, as a PyTorchJob's pods do; returns each rank's stdout."""
    port = free_port()
    processes = [
        pod.start(
            *f"torchrun --nnodes {ranks} --nproc_per_node 1 --node_rank {rank}".split(),
            *f"--rdzv_endpoint 127.0.0.1:{port}".split(),
            *"-m ilab_miniature.main_ds --model_name_or_path /data/model".split(),
            *f"--data_path /data/processed/data.jsonl --output_dir {output} --num_epochs {epochs}".split(),
            *FLAGS,
            *extra,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for rank in range(ranks)
    ]
    results = [process.communicate(timeout=300) for process in processes]
    for process, (_, error) in zip(processes, results, strict=True):
        assert process.returncode == 0, error
    return [output for output, _ in results]


def metrics(pod: Pod, folder: str, rank: int = 0) -> list[dict[str, Any]]:
    """The metric lines of the steps."""
    path = pod.data / folder / f"training_params_and_metrics_global{rank}.jsonl"
    return [line for line in map(json.loads, path.read_text().splitlines()) if "step" in line]


@pytest.mark.usefixtures("processed")
def test_training_writes_main_ds_s_logs_and_checkpoints(pod: Pod) -> None:
    master, worker = train(pod, "/data/whole", epochs=2)
    rows = len((pod.data / "processed" / "data.jsonl").read_text().splitlines())
    steps = math.ceil(rows / 8)
    lines = [line for line in master.splitlines() if line.startswith("Epoch: ")]
    assert len(lines) == 2 * steps
    assert re.fullmatch(r"Epoch: 0, Step: 1, Rank: 0, loss = \d+\.\d{6}, grad_accum_steps = \d+", lines[0])
    assert "Rank: 1" in worker
    logged = metrics(pod, "whole")
    # The keys of main_ds 0.16.2, no more and no fewer.
    assert set(logged[0]) == set(
        "epoch step rank overall_throughput lr cuda_mem_allocated cuda_malloc_retries num_loss_counted_tokens "
        "num_tokens_rank0 batch_size num_minibatches avg_loss samples_seen gradnorm total_samples num_epoch_steps "
        "timestamp".split()
    )
    assert [line["avg_loss"] for line in logged] == [line["avg_loss"] for line in metrics(pod, "whole", rank=1)]
    assert logged[-1]["samples_seen"] == 2 * rows
    assert logged[-1]["avg_loss"] < logged[0]["avg_loss"]
    checkpoints = sorted(path.name for path in (pod.data / "whole" / "hf_format").iterdir())
    assert checkpoints == sorted([f"samples_{rows}", f"samples_{2 * rows}"])
    assert sorted(path.name for path in (pod.data / "whole" / "full_state").iterdir()) == ["epoch_0", "epoch_1"]
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (pod.data / "whole" / "hf_format" / checkpoints[0] / name).stat().st_size > 0
    assert not (pod.data / "whole" / ".unfinished").exists()


@pytest.mark.usefixtures("processed")
def test_a_restarted_training_goes_on_where_it_was_and_ends_the_same(pod: Pod) -> None:
    if not (pod.data / "whole").exists():
        train(pod, "/data/whole", epochs=2)
    # The state of a job that died in its second epoch: one complete epoch, and an unfinished save.
    survivor = pod.data / "survivor"
    (survivor / "full_state").mkdir(parents=True)
    result = pod.run("cp", "-r", "/data/whole/full_state/epoch_0", "/data/survivor/full_state/epoch_0")
    assert result.returncode == 0
    (survivor / "full_state" / "epoch_7").mkdir()
    master, _ = train(pod, "/data/survivor", epochs=2)
    assert "Resuming at epoch 1" in master
    assert {line["epoch"] for line in metrics(pod, "survivor")} == {1}
    whole = [line for line in metrics(pod, "whole") if line["epoch"] == 1]
    resumed = metrics(pod, "survivor")
    for key in ("step", "samples_seen", "lr", "avg_loss"):
        assert [line[key] for line in resumed] == pytest.approx([line[key] for line in whole]), key
    (last,) = (survivor / "hf_format").iterdir()
    assert (last / "model.safetensors").read_bytes() == (
        pod.data / "whole" / "hf_format" / last.name / "model.safetensors"
    ).read_bytes()


@pytest.mark.usefixtures("processed")
def test_a_finished_training_started_again_changes_nothing(pod: Pod) -> None:
    if not (pod.data / "whole").exists():
        train(pod, "/data/whole", epochs=2)
    before = len(metrics(pod, "whole"))
    train(pod, "/data/whole", epochs=2)
    assert len(metrics(pod, "whole")) == before


def test_ranks_that_do_not_share_their_output_folder_are_told(pod: Pod, rootfs: Path, tmp_path: Path) -> None:
    port = free_port()
    (pod.data / "shared" / "full_state" / "epoch_3").mkdir(parents=True)
    (pod.data / "shared" / "full_state" / "epoch_3" / "training_metadata.json").write_text("x")
    other = Pod(rootfs, tmp_path)
    for name in ("model", "processed"):
        subprocess.run(["cp", "-r", str(pod.data / name), str(tmp_path / name)], check=True)
    processes = [
        one.start(
            *f"torchrun --nnodes 2 --nproc_per_node 1 --node_rank {rank} --rdzv_endpoint 127.0.0.1:{port}".split(),
            *"-m ilab_miniature.main_ds --model_name_or_path /data/model --output_dir /data/shared".split(),
            "--num_epochs=1",
            *("--data_path=/data/processed/data.jsonl", *FLAGS),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for rank, one in enumerate((pod, other))
    ]
    results = [process.communicate(timeout=300) for process in processes]
    assert all(process.returncode != 0 for process in processes)
    assert any("must be one shared folder" in error for _, error in results)


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (("--is_granite",), "unrecognized arguments: --is_granite"),
        (("--validation_split", "0.1"), "--validation_frequency"),
        (("--lora_r", "4"), "LoRA"),
    ],
)
def test_a_command_line_that_cannot_be_carried_out(pod: Pod, flags: tuple[str, ...], word: str) -> None:
    result = pod.run("python3", "-m", "ilab_miniature.main_ds", *FLAGS, *flags)
    assert result.returncode == 2
    assert word in result.stderr


def test_the_images_torchrun_puts_the_trainer_in_the_place_of_main_ds_alone(pod: Pod) -> None:
    library = "/usr/local/lib/python3.13/dist-packages/instructlab/training"
    start = "torchrun --nnodes=1 --nproc-per-node=1 --node-rank=0 --master-addr=127.0.0.1 --rdzv-backend=static".split()
    start.append(f"--master-port={free_port()}")
    path = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    result = pod.run(*start, f"{library}/main_ds.py", "--is_granite", **path)
    assert result.returncode != 0
    assert "main_ds.py: error: unrecognized arguments: --is_granite" in result.stderr
    # The real one would not come so far: it loads the GPU's libraries first.
    assert "DeepSpeed" not in result.stderr
    (pod.data / "echo.py").write_text("import sys; print(sys.argv)")
    other = pod.run(*start, "/data/echo.py", "main_ds.py", "a blank", "", **path)
    assert "['/data/echo.py', 'main_ds.py', 'a blank', '']" in other.stdout


def test_the_trainer_has_every_flag_of_main_ds(pod: Pod) -> None:
    result = pod.run("python3", "-m", "ilab_miniature.main_ds", "--help")
    source = next(pod.rootfs.glob("usr/local/lib/python3*/dist-packages/instructlab/training/main_ds.py")).read_text()
    # Flags that a comment took away do not count.
    flags = re.findall(r'^\s+"?(--[\w-]+)"', source, re.M) + re.findall(
        r'^    parser\.add_argument\("(--[\w-]+)"', source, re.M
    )
    assert len(set(flags)) > 40
    assert all(flag in result.stdout for flag in flags)


# The server.


@pytest.fixture(scope="module")
def endpoint(pod: Pod) -> Iterator[str]:
    port = free_port()
    process = pod.start(
        *f"python3 -m ilab_miniature.server --port {port} --model /data/model --tensor-parallel-size 1".split()
    )
    deadline = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
            break
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline, "the server did not come up"
            time.sleep(0.1)
    yield f"http://127.0.0.1:{port}/v1"
    process.terminate()
    process.wait(timeout=30)


def call(url: str, body: Any = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data), timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_the_server_offers_its_model_under_the_path(endpoint: str) -> None:
    status, body = call(f"{endpoint}/models")
    assert (status, body["data"][0]["id"]) == (200, "/data/model")


def test_chats_are_answered_alike_each_time(endpoint: str) -> None:
    request = {
        "messages": [{"role": "user", "content": "What is the capital of Peru?"}],
        "max_tokens": 8,
        "temperature": 0.7,
    }
    answers = [call(f"{endpoint}/chat/completions", request) for _ in range(2)]
    assert answers[0][0] == 200
    assert answers[0][1]["choices"] == answers[1][1]["choices"]
    assert answers[0][1]["usage"]["completion_tokens"] <= 8


def test_completions_rate_a_batch_of_token_prompts_as_lm_eval_asks(endpoint: str) -> None:
    prompts = [[10, 20, 30, 40], [11, 21]]
    request = {
        "model": "/data/model",
        "prompt": prompts,
        "max_tokens": 1,
        "logprobs": 1,
        "echo": True,
        "temperature": 0,
        "seed": 1234,
    }
    status, body = call(f"{endpoint}/completions", request)
    assert status == 200
    assert [choice["index"] for choice in body["choices"]] == [0, 1]
    for prompt, choice in zip(prompts, body["choices"], strict=True):
        rated = choice["logprobs"]
        assert len(rated["token_logprobs"]) == len(rated["top_logprobs"]) == len(rated["tokens"]) == len(prompt) + 1
        assert rated["token_logprobs"][0] is None and rated["top_logprobs"][0] is None
        for value, best in zip(rated["token_logprobs"][1:], rated["top_logprobs"][1:], strict=True):
            assert value <= max(best.values()) <= 0
        assert rated["token_logprobs"][-1] == max(rated["top_logprobs"][-1].values()), (
            "temperature 0 takes the likeliest"
        )


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("completions", {"prompt": [[1, 10**9]]}, 400),
        ("completions", {"prompt": []}, 400),
        ("completions", {"prompt": [list(range(1, 900)) * 2]}, 400),
        ("completions", {"prompt": "a", "logprobs": 99}, 400),
        ("completions", {"prompt": "a", "model": "other"}, 404),
        ("chat/completions", {"messages": []}, 400),
        ("chat/completions", {"messages": [{"role": "user", "content": "x"}], "stream": True}, 400),
        ("chat/completions", [], 400),
        ("embeddings", {}, 404),
    ],
)
def test_the_server_refuses_with_the_right_status(endpoint: str, path: str, body: Any, status: int) -> None:
    given, answer = call(f"{endpoint}/{path}", body)
    assert given == status, answer
    assert answer["error"]["message"]


def test_a_folder_without_a_model_is_refused_at_once(pod: Pod) -> None:
    result = pod.run("python3", "-m", "ilab_miniature.server", "--model", "/data/taxonomy")
    assert result.returncode == 2
    assert "config.json" in result.stderr
