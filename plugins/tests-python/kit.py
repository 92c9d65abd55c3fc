"""What the tests share: staged scripts, tiny checkpoints, a judge, and running a script as a pod would."""

from __future__ import annotations

import json
import os
import re
import runpy
import signal
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PLUGINS = Path(__file__).resolve().parent.parent
FAKES = Path(__file__).resolve().parent / "fakes"
KEY = "the-secret-key-of-the-judge"
# Nothing here needs more than seconds, unless the machine is busy with a build.
PATIENCE = 600.0


def stage_files(stage: str) -> dict[str, Path]:
    """The files of a stage's ConfigMap by key: its own and the shared ones."""
    folders = (PLUGINS / "scripts", PLUGINS / stage / "scripts")
    return {file.name: file for folder in folders for file in sorted(folder.glob("*.py"))}


def mount(stage: str, target: Path) -> Path:
    """Lay a stage's scripts out as the kubelet mounts a ConfigMap: links to links to files, all read-only."""
    data = target / "..2026_11_24"
    data.mkdir(parents=True)
    (target / "..data").symlink_to(data.name)
    for name, file in stage_files(stage).items():
        (data / name).write_bytes(file.read_bytes())
        (data / name).chmod(0o444)
        (target / name).symlink_to(f"..data/{name}")
    data.chmod(0o555)
    return target


class Outcome:
    """How a script ended."""

    def __init__(self, code: int, stdout: str, stderr: str) -> None:
        self.code, self.stdout, self.stderr = code, stdout, stderr

    def outputs(self) -> dict[str, Any]:
        """The outputs; exactly one line must carry them."""
        return parse_outputs(self.stdout)

    def error(self) -> str:
        """The error; exactly one line, and no traceback."""
        assert "Traceback" not in self.stderr, self.stderr
        lines = [line for line in self.stderr.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.stderr
        return lines[0]


def parse_outputs(text: str) -> dict[str, Any]:
    """The outputs in a text with exactly one outputs line."""
    lines = [line for line in text.splitlines() if line.startswith("ILAB_OUTPUTS ")]
    assert len(lines) == 1, text
    value = json.loads(lines[0].removeprefix("ILAB_OUTPUTS "))
    assert isinstance(value, dict)
    return value


def environment(paths: Sequence[Path] = (), **extra: str) -> dict[str, str]:
    """A pod's environment: little, with `HOME=/`, and a proxy that must not be used for the loopback interface."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": "/",
        "PYTHONPATH": os.pathsep.join(str(path) for path in paths),
        "PYTHONDONTWRITEBYTECODE": "1",
        "http_proxy": "http://127.0.0.1:9",
    } | extra


def run(script: Path, *arguments: str | Path, env: dict[str, str], timeout: float = PATIENCE) -> Outcome:
    """Run a script to its end."""
    done = subprocess.run(
        [sys.executable, str(script), *(str(argument) for argument in arguments)],
        env=env,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def run_forked(script: Path, *arguments: str | Path, env: dict[str, str], timeout: float = PATIENCE) -> Outcome:
    """Run a script as `run` does, but in a fork of this process, which has imported the slow libraries already.

    Saves two seconds of CPU a call. That the scripts start from nothing as well is shown in test_scripts.py and by one
    test of each stage.
    """
    import git as _git
    import httpx as _httpx
    import openai.resources.chat as _openai
    import pandas as _pandas

    del _git, _httpx, _openai, _pandas
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child == 0:
            os.dup2(stdout.fileno(), 1)
            os.dup2(stderr.fileno(), 2)
            os._exit(_run_here(script, [str(argument) for argument in arguments], env))
        deadline = time.monotonic() + timeout
        while True:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                # The scripts stop their model server on this one.
                os.kill(child, signal.SIGTERM)
            time.sleep(0.02)
        stdout.seek(0)
        stderr.seek(0)
        return Outcome(os.waitstatus_to_exitcode(status), stdout.read(), stderr.read())


def _run_here(script: Path, arguments: list[str], env: dict[str, str]) -> int:
    sys.stdout = os.fdopen(1, "w", buffering=1)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    os.environ.clear()
    os.environ.update(env)
    # What the scripts find beside them and what the environment adds, as Python itself would set it up.
    for name, module in list(sys.modules.items()):
        if Path(getattr(module, "__file__", None) or "/").parent.name == "scripts":
            del sys.modules[name]
    sys.path[:] = [str(script.parent), *env["PYTHONPATH"].split(os.pathsep), *sys.path]
    sys.argv = [str(script), *arguments]
    code: object = 0
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as left:
        code = left.code
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code if isinstance(code, int) else int(code is not None)


def make_checkpoint(folder: Path, **behaviour: Any) -> Path:
    """A checkpoint that counts as complete; `behaviour` is for the fake server."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}", encoding="utf-8")
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0\0\0\0")
    (folder / "fake.json").write_text(json.dumps(behaviour), encoding="utf-8")
    return folder


class JudgeServer:
    """A judge that rates an answer by the last `quality N` in its prompt, or replies with a fixed status."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.status: list[int] = []
        self.url = ""

    def variables(self, **extra: str) -> dict[str, str]:
        """The variables that a stage's pod gets."""
        return {"JUDGE_ENDPOINT": self.url, "JUDGE_NAME": "judge", "JUDGE_API_KEY": KEY} | extra


def _claimed_quality(prompt: str) -> str | None:
    """What the fake server's answers say about themselves."""
    found = re.findall(r"quality (\S+)", prompt)
    return str(found[-1]) if found and found[-1] != "none" else None


@contextmanager
def judge_server(
    tls: tuple[Path, Path] | None = None, rate: Callable[[str], str | None] | None = None
) -> Iterator[JudgeServer]:
    """Run a judge on the loopback interface; `tls` is its certificate and key, `rate` turns a prompt into a rating."""
    rating = rate or _claimed_quality
    judge = JudgeServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            judge.requests.append({"path": self.path, "headers": dict(self.headers), "body": body})
            status = judge.status.pop(0) if judge.status else 200
            rated = rating(body["messages"][-1]["content"])
            text = "I cannot say." if rated is None else f"Rating: [[{rated}]]"
            reply: dict[str, Any] = {"id": "1", "choices": [{"index": 0, "message": {"content": text}}]}
            if status != 200:
                reply = {"error": {"message": f"refused {self.headers['Authorization']}"}}
            data = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    scheme = "http"
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    judge.url = f"{scheme}://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield judge
    finally:
        server.shutdown()
        server.server_close()


def log_entries(path: Path) -> list[dict[str, Any]]:
    """The entries of a JSON-lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def git(repository: Path, *arguments: str) -> str:
    """Run git as somebody who has not configured it."""
    settings = ["-c", "user.name=test", "-c", "user.email=test@test", "-c", "init.defaultBranch=main"]
    return subprocess.run(
        ["git", "-C", str(repository), *settings, *arguments], check=True, capture_output=True, text=True
    ).stdout


def make_taxonomy(folder: Path, skills: dict[str, list[tuple[str, str]]]) -> Path:
    """A taxonomy in a git repository; `skills` has questions and answers by path."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet")
    write_skills(folder, skills)
    (folder / "knowledge").mkdir()
    (folder / "knowledge" / "qna.yaml").write_text("not: [read", encoding="utf-8")
    commit(folder)
    return folder


def write_skills(folder: Path, skills: dict[str, list[tuple[str, str]]]) -> None:
    """Write `qna.yaml` files. JSON is YAML."""
    for path, pairs in skills.items():
        file = folder / path / "qna.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        examples = [{"question": question, "answer": answer} for question, answer in pairs]
        file.write_text(json.dumps({"version": 3, "seed_examples": examples}), encoding="utf-8")


def commit(folder: Path) -> None:
    """Commit everything."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "state")
