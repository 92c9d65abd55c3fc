"""Says something to the person who runs the host. Bounded: the host drops what is too much."""

from __future__ import annotations

import sys
from collections.abc import Callable


def _to_stderr(level: str, message: str) -> None:
    print(f"{level}: {message}", file=sys.stderr)


# In a component, `component` puts the host's log here.
sink: Callable[[str, str], None] = _to_stderr


def debug(message: str) -> None:
    """Only for whoever looks for a defect."""
    sink("debug", message)


def info(message: str) -> None:
    """Worth knowing."""
    sink("info", message)


def warn(message: str) -> None:
    """Probably not what the user wants."""
    sink("warn", message)


def error(message: str) -> None:
    """Something went wrong."""
    sink("error", message)
