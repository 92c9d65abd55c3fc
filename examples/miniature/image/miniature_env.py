"""Defaults of the miniature image, loaded at every start of its Python through the .pth file beside it.

What a pod sets itself is kept. Nothing here is imported by the workload; it only makes Debian's torch usable.
"""

from __future__ import annotations

import importlib.abc
import os
import sys
from typing import Any

DEFAULTS = {
    # Debian builds torch without libuv, which is the default transport of torchrun's rendezvous.
    "USE_LIBUV": "0",
    # Several ranks share few cores; a thread pool in each only makes them wait for one another.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # All models and data are local; a library that asks the network anyway should fail at once, not hang.
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
}
for _name, _value in DEFAULTS.items():
    os.environ.setdefault(_name, _value)

_TARGET = "torch.distributed.distributed_c10d"


class _TcpStoreWithoutLibuv(importlib.abc.MetaPathFinder):
    """Makes TCPStore's constructor default to use_libuv=False, just before anything in torch can call it.

    torch 2.6 reads USE_LIBUV where it builds most stores, but not for the static rendezvous of a plain
    `torchrun --rdzv_endpoint`, which then dies with "PyTorch was build without libuv support".
    """

    def find_spec(self, fullname: str, *_: object) -> None:
        """Finds nothing; it only learns that the module is about to be imported."""
        if fullname == _TARGET:
            sys.meta_path.remove(self)
            _patch()


def _patch() -> None:
    try:
        from torch._C._distributed_c10d import TCPStore
    except ImportError:
        return
    construct = TCPStore.__init__

    def without_libuv(self: Any, *args: Any, **kwargs: Any) -> None:
        # The ninth argument of torch 2.6; its own callers name it or leave it out.
        if len(args) < 9:
            kwargs.setdefault("use_libuv", False)
        construct(self, *args, **kwargs)

    TCPStore.__init__ = without_libuv


if os.environ["USE_LIBUV"] == "0":
    sys.meta_path.insert(0, _TcpStoreWithoutLibuv())
