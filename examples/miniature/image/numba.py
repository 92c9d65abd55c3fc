"""Stands in for numba, of which the miniature needs only that `instructlab.training.main_ds` can be imported.

The library's launcher, `run_training()`, lives in that module, and so does the GPU trainer, whose batch packer is
decorated with `njit`. It never runs here; if it did, it would run uncompiled. The real package and LLVM are 200 MB.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

_Function = TypeVar("_Function", bound=Callable[..., object])

int64 = int


def njit(function: _Function) -> _Function:
    """Leaves the function as it is."""
    return function
