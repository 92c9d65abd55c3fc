"""What the end-to-end tests share: programs that end in time, and what is seen of them meanwhile."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# One name here and there: it is part of the checkpoints' paths.
RUN = "under-test"


def program(variable: str) -> Path:
    """A program that `make test` and `make e2e` have built."""
    path = os.environ.get(variable)
    assert path, f"{variable} is not set; try: make test, or make e2e"
    return Path(path).absolute()


@contextlib.contextmanager
def phase(what: str) -> Iterator[None]:
    """Tells what is done now, and how long it took."""
    print(f"\n== {what}", flush=True)
    begun = time.monotonic()
    try:
        yield
    finally:
        print(f"== {what}: {time.monotonic() - begun:.1f} s", flush=True)


@contextlib.contextmanager
def ended_within(process: subprocess.Popen[str], seconds: float) -> Iterator[threading.Event]:
    """Kills the process when the block takes longer; the event tells that it did."""
    late = threading.Event()

    def kill() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(seconds, kill)
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()


def ignore(_line: str) -> None:
    """For those who need not see a command's lines."""


def watched(
    command: Sequence[str | Path],
    log: Path,
    seconds: float,
    env: Mapping[str, str] | None = None,
    seen: Callable[[str], None] = ignore,
) -> str:
    """Runs a command, shows what it tells people, and gives its output. `seen` gets every line when it is told.

    What pods print, one line in a hundred of interest, goes to the log only.
    """
    lines: list[str] = []
    with log.open("w") as kept:
        process = subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None and process.stderr is not None
        output = process.stdout
        reader = threading.Thread(target=lambda: lines.extend(output))
        reader.start()
        with ended_within(process, seconds) as late:
            try:
                for line in process.stderr:
                    kept.write(line)
                    seen(line)
                    if " | " not in line:
                        print(f"   {line}", end="", flush=True)
            except BaseException:
                # Whatever has gone wrong: the command is not left to itself.
                process.kill()
                raise
            code = process.wait()
        reader.join()
    end = "".join(log.read_text(errors="replace").splitlines(keepends=True)[-60:])
    assert not late.is_set(), f"not done within {seconds} s; the end of its log:\n{end}"
    assert code == 0, f"exit code {code}; the end of its log:\n{end}"
    return "".join(lines)


def first_line(process: subprocess.Popen[str], seconds: float) -> str:
    """The first line of its output; empty when it ended, or took too long and was ended."""
    assert process.stdout is not None
    with ended_within(process, seconds):
        return process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> None:
    """Ends a process that this test has started."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(20)
