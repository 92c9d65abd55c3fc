"""Running a stage's script as a pod would: in the miniature root file system, as process 1 and an arbitrary user."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

import kit
import wheels

# An arbitrary user without a home folder, as OpenShift gives to pods.
_UID = "1000650000"
# Where the sample archive has its base model.
MODEL = "/data/model"


def root_file_system(module: str) -> Path:
    """The newest miniature image that has a Python module; the test is skipped where there is none.

    ILAB_MINIATURE_ROOTFS names another one.
    """
    named = os.environ.get("ILAB_MINIATURE_ROOTFS")
    found = [
        root
        for root in ([Path(named)] if named else (wheels.cache() / "miniature").glob("*/rootfs"))
        if any(root.glob(f"usr/local/lib/python3*/dist-packages/{module.replace('.', '/')}*"))
    ]
    if not found or shutil.which("bwrap") is None:
        pytest.skip(f"no miniature image with {module}; examples/miniature/image/build.sh makes it")
    return max(found, key=lambda root: root.parent.stat().st_mtime)


class Container:
    """One claim at /data, shared by the containers of a test."""

    def __init__(self, root: Path, data: Path) -> None:
        self.root, self.data = root, data

    def command(self, scripts: Path, script: str, arguments: Sequence[str], env: dict[str, str]) -> list[str]:
        """The command that runs a script inside."""
        variables = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": "/",
            "LC_ALL": "C.UTF-8",
            "OMP_NUM_THREADS": "1",
        } | env
        command = ["bwrap", "--unshare-user", "--uid", _UID, "--gid", "0", "--unshare-pid", "--as-pid-1"]
        command += ["--unshare-ipc", "--unshare-uts", "--die-with-parent", "--ro-bind", str(self.root), "/"]
        command += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--bind", str(self.data), "/data"]
        command += ["--ro-bind", str(scripts), "/ilab/scripts", "--chdir", "/", "--clearenv"]
        for name, value in variables.items():
            command += ["--setenv", name, value]
        return [*command, "python3", f"/ilab/scripts/{script}", *arguments]

    def start(self, scripts: Path, script: str, *arguments: str, **env: str) -> subprocess.Popen[str]:
        """Start a script."""
        return subprocess.Popen(
            self.command(scripts, script, arguments, env),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={"PATH": os.environ["PATH"]},
        )

    def run(self, scripts: Path, script: str, *arguments: str, **env: str) -> kit.Outcome:
        """Run a script to its end."""
        return finish(self.start(scripts, script, *arguments, **env))


def process_1(process: subprocess.Popen[str]) -> int:
    """The container's process 1, as the machine numbers it: that is who a pod's stop signal goes to."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + kit.PATIENCE
    while time.monotonic() < deadline:
        found = children.read_text().split()
        if found:
            return int(found[0])
        time.sleep(0.05)
    raise AssertionError("the container has not started")


def finish(process: subprocess.Popen[str], timeout: float = 2 * kit.PATIENCE) -> kit.Outcome:
    """Wait for a container."""
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        stdout, stderr = process.communicate()
    return kit.Outcome(process.returncode, stdout, stderr)
