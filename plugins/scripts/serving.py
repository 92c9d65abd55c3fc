"""A model server of one's own on the loopback interface, from start to clean end.

The server is any module with vLLM's command line that serves an OpenAI-compatible API. That it has died is noticed at
once, with its exit status and the end of its log, instead of being polled for until a timeout.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from runner import Failed, ScriptError, describe, say

_LOG_LINES = 15
_STOP_SECONDS = 20.0
_START_TRIES = 3
_PROGRESS_SECONDS = 30.0

# Servers that run now; a stop signal must not leave them behind with the GPU's memory.
_running: list[subprocess.Popen[bytes]] = []


class ServerDiedError(BaseException):
    """Raised inside a request when the server is gone.

    No `Exception`, because the client libraries would take that for a passing connection error and retry every
    remaining question for a quarter of a minute.
    """


@dataclass(frozen=True)
class ServerOptions:
    """How model servers are started."""

    module: str
    gpus: int
    startup_timeout: float
    extra: list[str] = field(default_factory=list)

    def command(self, model: Path, port: int) -> list[str]:
        """The server's command line. It listens on loopback only: nobody else in the cluster needs it."""
        command = [sys.executable, "-m", self.module, "--host", "127.0.0.1", "--port", str(port), "--model", str(model)]
        if self.gpus > 0:
            command += ["--tensor-parallel-size", str(self.gpus)]
        return command + self.extra


class ModelServer:
    """A context manager: inside it the server answers at `url`; afterwards it and all its children are gone."""

    def __init__(self, options: ServerOptions, model: Path, work: Path, label: str) -> None:
        self._options = options
        self._model = model
        self._work = work
        self._label = label
        self._log = work / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """The base address of the API."""
        return f"http://127.0.0.1:{self._port}/v1"

    def __enter__(self) -> ModelServer:
        try:
            for attempt in range(1, _START_TRIES + 1):
                self._start()
                try:
                    self._await_ready()
                    return self
                except ScriptError:
                    # Between finding a free port and binding it somebody else can take it.
                    if attempt == _START_TRIES or not self._port_was_taken():
                        raise
                    say(f"{self._label}: port {self._port} was taken meanwhile, starting again")
                    self._stop()
            raise AssertionError("the loop above returns or raises")
        except BaseException:
            self._stop()
            raise

    def __exit__(self, *_: object) -> None:
        self._stop()
        if self._options.gpus > 0:
            await_stable_gpu_memory()

    def http_client(self) -> Any:
        """A client for this server only: no proxy, no judge's certificates, and no retrying once it has died."""
        import httpx

        return httpx.Client(trust_env=False, timeout=600, event_hooks={"request": [self._require_alive]})

    @contextlib.contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Turn whatever goes wrong inside into one line, which blames the server when it is the server's fault."""
        try:
            yield
        except ServerDiedError as error:
            raise self._died(what) from error
        except ScriptError:
            raise
        except Exception as error:
            if self._exited(grace=1.0):
                raise self._died(what) from error
            raise Failed(
                f"{what} failed: {describe(error)}", self._model, f"the server's log: {self._tail()}"
            ) from error

    def _start(self) -> None:
        self._port = free_port()
        self._work.mkdir(parents=True, exist_ok=True)
        # Its own folder, because `python -m` would import modules that happen to lie in the current one.
        folder = self._work / "cwd"
        folder.mkdir(exist_ok=True)
        say(f"{self._label}: starting {self._options.module} on port {self._port}")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._options.command(self._model, self._port),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                # A group of its own, so that its workers can be ended with it.
                start_new_session=True,
            )
        _running.append(self._process)

    def _await_ready(self) -> None:
        began = time.monotonic()
        told = began
        # Proxies must not see requests to ourselves.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while True:
            if self._exited():
                raise self._died("starting the model server")
            served = self._served_models(opener)
            if served is not None:
                if str(self._model) not in served:
                    raise Failed(
                        f"something else answers on port {self._port}: it serves {', '.join(served) or 'nothing'}",
                        self._model,
                    )
                say(f"{self._label}: ready after {time.monotonic() - began:.0f} s")
                return
            now = time.monotonic()
            if now - began > self._options.startup_timeout:
                raise Failed(
                    f"the model server was not ready within {self._options.startup_timeout:.0f} s",
                    self._model,
                    f"a longer --startup-timeout, or its log: {self._tail()}",
                )
            if now - told > _PROGRESS_SECONDS:
                told = now
                say(f"{self._label}: still starting after {now - began:.0f} s: {self._tail(1)}")
            time.sleep(min(1.0, 0.1 + (now - began) / 20))

    def _served_models(self, opener: urllib.request.OpenerDirector) -> list[str] | None:
        """The names it serves, or None while it does not answer yet."""
        try:
            with opener.open(f"{self.url}/models", timeout=3) as reply:
                return [str(model["id"]) for model in json.load(reply)["data"]]
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _require_alive(self, _request: object) -> None:
        if self._exited():
            raise ServerDiedError

    def _exited(self, grace: float = 0.0) -> bool:
        if self._process is None:
            return True
        try:
            self._process.wait(timeout=grace)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _died(self, what: str) -> Failed:
        code = self._process.poll() if self._process is not None else None
        if code is None:
            how = "is gone"
        elif code < 0:
            how = f"was killed by signal {-code}" + (" (out of memory?)" if code == -signal.SIGKILL else "")
        else:
            how = f"exited with status {code}"
        return Failed(f"{what}: the model server {how}", self._model, f"its last lines: {self._tail()}")

    def _port_was_taken(self) -> bool:
        return re.search("address already in use", self._tail(200), re.IGNORECASE) is not None

    def _tail(self, lines: int = _LOG_LINES) -> str:
        try:
            with self._log.open("rb") as log:
                log.seek(max(0, self._log.stat().st_size - 64 * 1024))
                text = log.read().decode("utf-8", "replace")
        except OSError:
            return ""
        kept = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
        return " | ".join(kept[-lines:])

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            process.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            say(f"{self._label}: the model server did not stop within {_STOP_SECONDS:.0f} s, killing it")
        kill_group(process)
        process.wait()
        if process in _running:
            _running.remove(process)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a server and whatever workers it has left behind."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def stop_servers_on_signals() -> None:
    """On SIGTERM or SIGINT kill the servers and leave at once with 128 + n.

    An exception would not do: the evaluators' thread pools would first finish all questions that are waiting.
    """

    def leave(number: int, _frame: FrameType | None) -> None:
        for process in list(_running):
            kill_group(process)
        os._exit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)


def free_port() -> int:
    """A TCP port on loopback that is free now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return int(port)


def await_stable_gpu_memory(seconds: float = 30.0) -> None:
    """Wait until the driver has given back the memory of a server that has ended, so that the next one gets it."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return
    deadline = time.monotonic() + seconds
    before = None
    while time.monotonic() < deadline:
        query = [tool, "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
        try:
            used = subprocess.run(query, capture_output=True, check=True, timeout=10).stdout
        except (OSError, subprocess.SubprocessError):
            return
        if used == before:
            return
        before = used
        time.sleep(2)
