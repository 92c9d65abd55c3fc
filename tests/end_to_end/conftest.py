"""The demo, run once for all tests that look at what it leaves."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from kit import ROOT, RUN, phase


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs the README's demo, as a stranger would, and gives the folder with its result and its cluster's state."""
    result = tmp_path_factory.mktemp("demo")
    log = result / "log"
    with phase("the demo on this machine"), log.open("wb") as out:
        done = subprocess.run(
            [ROOT / "examples/miniature/demo", RUN],
            env=os.environ | {"ILAB_DEMO_RESULT": str(result), "ILAB_LOCAL_STATE": str(result / "cluster")},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            timeout=1200,
            check=False,
        )
    assert done.returncode == 0, log.read_text(errors="replace")[-8000:]
    return result
