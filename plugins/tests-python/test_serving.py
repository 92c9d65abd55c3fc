"""The model server's life, with a stand-in for vLLM."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import kit
import runner
import serving
from serving import ModelServer, ServerOptions


@pytest.fixture(autouse=True)
def fake_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", str(kit.FAKES / "server"))
    monkeypatch.setenv("FAKE_SERVER_LOG", str(tmp_path / "log.jsonl"))


def server(tmp_path: Path, *, gpus: int = 0, timeout: float = kit.PATIENCE, **behaviour: object) -> ModelServer:
    model = kit.make_checkpoint(tmp_path / "model", **behaviour)
    return ModelServer(ServerOptions("fake_server", gpus, timeout), model, tmp_path / "work", "model")


def started(tmp_path: Path) -> list[dict[str, object]]:
    return [entry for entry in kit.log_entries(tmp_path / "log.jsonl") if "argv" in entry]


def alive(pid: object) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_answers_inside_and_is_gone_afterwards(tmp_path: Path) -> None:
    pytest.importorskip("httpx")
    with server(tmp_path) as running:
        with running.http_client() as client:
            assert client.get(f"{running.url}/models").status_code == 200
        (entry,) = started(tmp_path)
        assert alive(entry["pid"])
    assert not alive(entry["pid"])


def test_listens_on_loopback_only_and_in_a_folder_of_its_own(tmp_path: Path) -> None:
    with server(tmp_path):
        (entry,) = started(tmp_path)
    argv = entry["argv"]
    assert isinstance(argv, list)
    assert argv[argv.index("--host") + 1] == "127.0.0.1"
    assert "--tensor-parallel-size" not in argv
    assert entry["cwd"] == str(tmp_path / "work" / "cwd")


def test_b16_server_gets_the_number_of_gpus() -> None:
    command = ServerOptions("vllm.entrypoints.openai.api_server", 4, 1.0, ["--max-model-len=4096"]).command(
        Path("/m"), 1
    )
    assert command[command.index("--tensor-parallel-size") + 1] == "4"
    assert command[-1] == "--max-model-len=4096"


def test_death_at_the_start_is_noticed_at_once(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(runner.Failed) as failure, server(tmp_path, timeout=600, exit=3):
        pass
    assert time.monotonic() - began < 300
    line = failure.value.line()
    assert "the model server exited with status 3" in line
    assert "this architecture is not supported" in line, "the end of its log"


def test_unknown_module_is_noticed_at_once(tmp_path: Path) -> None:
    model = kit.make_checkpoint(tmp_path / "model")
    with (
        pytest.raises(runner.Failed, match="exited with status 1"),
        ModelServer(ServerOptions("no_such_module", 0, 600), model, tmp_path / "work", "model"),
    ):
        pass


def test_timeout_stops_the_server(tmp_path: Path) -> None:
    with pytest.raises(runner.Failed) as failure, server(tmp_path, timeout=2.0, never_ready=True):
        pass
    assert "not ready within 2 s" in failure.value.line()
    if (tmp_path / "log.jsonl").exists():  # On a busy machine it has not come that far.
        assert not alive(started(tmp_path)[0]["pid"])


def test_somebody_elses_server_is_not_taken_for_it(tmp_path: Path) -> None:
    with pytest.raises(runner.Failed, match="something else answers"), server(tmp_path, other_name="/other"):
        pass


def test_death_while_answering_is_blamed_on_the_server(tmp_path: Path) -> None:
    httpx = pytest.importorskip("httpx")
    began = time.monotonic()
    with (
        server(tmp_path, die_after=0) as running,
        pytest.raises(runner.Failed) as failure,
        running.working("answering"),
        running.http_client() as client,
    ):
        for _ in range(50):
            try:
                client.post(f"{running.url}/chat/completions", json={"model": "x"})
            except httpx.HTTPError:
                time.sleep(0.05)
    assert time.monotonic() - began < 300
    assert "answering: the model server exited with status 9" in failure.value.line()
    assert "CUDA error: out of memory" in failure.value.line()


def test_server_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_STOP_SECONDS", 0.5)
    with server(tmp_path, ignore_term=True):
        pid = started(tmp_path)[0]["pid"]
    assert not alive(pid)


def test_taken_port_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = serving.free_port
    ports = []
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports.append(taken.getsockname()[1])
        monkeypatch.setattr(serving, "free_port", lambda: ports.pop() if ports else free())
        with server(tmp_path) as running:
            assert str(taken.getsockname()[1]) not in running.url


def test_stop_signal_leaves_no_server_behind(tmp_path: Path) -> None:
    program = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); import serving; from pathlib import Path\n"
        "serving.stop_servers_on_signals()\n"
        "options = serving.ServerOptions('fake_server', 0, 600)\n"
        "with serving.ModelServer(options, Path(sys.argv[2]), Path(sys.argv[3]), 'model'):\n"
        "    print('ready', flush=True); time.sleep(60)\n"
    )
    model = kit.make_checkpoint(tmp_path / "model")
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(kit.PLUGINS / "scripts"), str(model), str(tmp_path / "work")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    assert process.wait(timeout=kit.PATIENCE) == 143
    time.sleep(0.2)
    assert not alive(started(tmp_path)[0]["pid"])


def test_b20_stopping_a_server_that_is_gone_already(tmp_path: Path) -> None:
    # The reference named an exception that does not exist, in the very line that should have caught it.
    running = server(tmp_path)
    with running:
        os.kill(int(str(started(tmp_path)[0]["pid"])), 9)
        time.sleep(0.2)


def test_without_nvidia_smi_nothing_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    began = time.monotonic()
    serving.await_stable_gpu_memory()
    assert time.monotonic() - began < 1


def test_stable_gpu_memory_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        f"#!/bin/sh\nn=$(cat {tmp_path}/n 2>/dev/null || echo 3)\n"
        f'echo "$n"\n[ "$n" = 1 ] || echo $((n - 1)) > {tmp_path}/n\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("serving.time.sleep", lambda _seconds: None)
    serving.await_stable_gpu_memory()
    assert (tmp_path / "n").read_text().strip() == "1"
