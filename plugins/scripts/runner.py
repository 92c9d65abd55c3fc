"""How every stage script starts, talks and fails.

A script calls `execute(main)`. Expected failures are `BadInput` (exit 2: somebody has to change something before
it can work) and `Failed` (exit 1: it was tried and did not work); both become one line on stderr. Anything else
is a defect of the script and keeps its traceback.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class ScriptError(Exception):
    """An expected failure: what happened, where, and what to try."""

    exit_code = EXIT_FAILED

    def __init__(self, what: str, where: str | Path = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = str(where)
        self.hint = hint

    def line(self) -> str:
        """The message as one line: `error: what; where; try …`."""
        parts = [self.what]
        if self.where:
            parts.append(self.where)
        if self.hint:
            parts.append(f"try {self.hint}")
        return "error: " + "; ".join(" ".join(part.split()) for part in parts)


class Failed(ScriptError):
    """The work was started and did not succeed."""


class BadInput(ScriptError):
    """The input cannot work; nothing was started."""

    exit_code = EXIT_BAD_INPUT


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints have the same one-line form as all others."""

    def __init__(self, description: str) -> None:
        # Abbreviations would make a misspelt flag of the stage pass for another one.
        super().__init__(description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Print one line and exit 2."""
        print(BadInput(message, hint=f"{self.prog} --help").line(), file=sys.stderr)
        raise SystemExit(EXIT_BAD_INPUT)


def execute(main: Callable[[], int | None]) -> NoReturn:
    """Run `main` and exit with the status that its outcome calls for."""
    try:
        code = main() or 0
    except ScriptError as error:
        print(error.line(), file=sys.stderr, flush=True)
        code = error.exit_code
    except KeyboardInterrupt:
        code = 130
    except Exception as error:
        traceback.print_exc()
        print(f"error: this is a defect of {Path(sys.argv[0]).name}: {describe(error)}", file=sys.stderr)
        code = EXIT_FAILED
    sys.stdout.flush()
    sys.stderr.flush()
    raise SystemExit(code)


def say(message: str) -> None:
    """Tell whoever follows the log how far the work is."""
    print(f"{time.strftime('%H:%M:%S')} {message}", file=sys.stderr, flush=True)


def describe(error: BaseException) -> str:
    """The message of an exception on one line.

    The evaluation library's exceptions have an empty `str()` and keep their text in `message`.
    """
    text = getattr(error, "message", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())


def root_cause(error: BaseException) -> str:
    """The message of an exception together with that of the exception it came from."""
    text = describe(error)
    cause = error.__cause__ or error.__context__
    while cause is not None and (cause.__cause__ or cause.__context__) is not None:
        cause = cause.__cause__ or cause.__context__
    if cause is None or describe(cause) in text:
        return text
    return f"{text} (because: {describe(cause)})"


def positive_int(text: str) -> int:
    """An argparse type: an integer of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is less than 1")
    return value


def natural_int(text: str) -> int:
    """An argparse type: an integer of at least 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is less than 0")
    return value


def fraction(text: str) -> float:
    """An argparse type: a number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{value} is not between 0 and 1")
    return value


def available_cpus() -> int:
    """How many CPUs this process may run on; never less than 1."""
    try:
        return max(1, len(os.sched_getaffinity(0)))
    except AttributeError:  # Not a Linux machine.
        return max(1, os.cpu_count() or 1)


def prepare_environment() -> None:
    """Give libraries writable places and keep them off the network, where the pod does not say otherwise.

    A pod with an arbitrary user id has `HOME=/`, where no cache can be written. Requests to the model server on
    the loopback interface must not go through the cluster's proxy.
    """
    temp = Path(tempfile.gettempdir())
    home = os.environ.get("HOME", "")
    if home in ("", "/") or not os.access(home, os.W_OK):
        os.environ["HOME"] = str(temp)
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"):
        os.environ.setdefault(name, "1")
    for name, folder in (
        ("HF_HOME", "hf"),
        ("XDG_CACHE_HOME", "cache"),
        ("TRITON_CACHE_DIR", "triton"),
        ("NUMBA_CACHE_DIR", "numba"),
        ("OUTLINES_CACHE_DIR", "outlines"),
    ):
        os.environ.setdefault(name, str(temp / folder))
    # Progress bars are for terminals; in a log each step is a line of its own.
    os.environ.setdefault("TQDM_MININTERVAL", "30")
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [host for host in os.environ.get(name, "").split(",") if host]
        os.environ[name] = ",".join(hosts + [host for host in _LOOPBACK if host not in hosts])
