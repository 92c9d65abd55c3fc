"""What the tests that need the miniature's root file system share."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parent.parent

Popen = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="session")
def rootfs() -> Path:
    """The image: MINIATURE_ROOTFS, or what image/build.sh makes (minutes the first time, a moment after)."""
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    given = os.environ.get("MINIATURE_ROOTFS")
    if given:
        return Path(given)
    built = subprocess.run([FOLDER / "image" / "build.sh"], stdout=subprocess.PIPE, text=True, check=True)
    return Path(built.stdout.splitlines()[-1])


class Pod:
    """Runs programs as a pod would: a read-only root, /tmp and /data to write, none of this machine's environment."""

    def __init__(self, rootfs: Path, data: Path) -> None:
        self.rootfs = rootfs
        self.data = data

    def command(self, *command: str, **environment: str) -> list[str]:
        """The bubblewrap command line."""
        variables = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "HF_HOME": "/tmp/hf", "LC_ALL": "C.UTF-8", **environment}
        line = ["bwrap", "--unshare-user", "--unshare-pid", "--unshare-ipc", "--die-with-parent"]
        line += ["--ro-bind", str(self.rootfs), "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
        line += ["--bind", str(self.data), "/data", "--ro-bind", str(FOLDER / "data"), "/ilab/scripts"]
        line += ["--chdir", "/tmp", "--clearenv"]
        for name, value in variables.items():
            line += ["--setenv", name, value]
        return [*line, *command]

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run to the end; output is captured, failure is the caller's to look at."""
        line = self.command(*command, **environment)
        return subprocess.run(line, capture_output=True, text=True, timeout=300, check=False)

    def start(self, *command: str, **options: Any) -> subprocess.Popen[str]:
        """Start in the background."""
        return subprocess.Popen(self.command(*command), text=True, **options)


@pytest.fixture(scope="session")
def archive(rootfs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample archive whose base model has had three steps of training: it need not be good, only whole."""
    folder = tmp_path_factory.mktemp("archive")
    return generate(Pod(rootfs, folder), "sample.tar.gz")


def generate(pod: Pod, name: str) -> Path:
    """Run the generator."""
    result = pod.run("python3", "-B", "/ilab/scripts/generate.py", "--output", f"/data/{name}", "--base-steps", "3")
    assert result.returncode == 0, result.stderr
    return pod.data / name


@pytest.fixture(scope="session")
def pod(rootfs: Path, archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Pod:
    """A pod whose /data holds the unpacked archive."""
    import tarfile

    volume = tmp_path_factory.mktemp("data")
    with tarfile.open(archive) as packed:
        packed.extractall(volume, filter="data")
    return Pod(rootfs, volume)
