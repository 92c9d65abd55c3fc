"""docs/tutorial.md, command by command, in each language."""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from kit import ROOT, RUN, phase, program

MOST_COMMANDS = 5
# Five minutes of two processors: what else the machine does is not the tutorial's affair.
MOST_SECONDS = 600


def commands() -> list[list[str]]:
    """The commands of the tutorial, as words."""
    text = (ROOT / "docs/tutorial.md").read_text()
    block = re.search(r"## Five commands\n\n```sh\n(.*?)```", text, re.S)
    assert block, "the tutorial has no commands"
    return [shlex.split(line) for line in block.group(1).splitlines()]


@pytest.mark.parametrize("language", ["python", "javascript", "go", "rust"])
def test_from_an_empty_folder_to_a_stage_that_runs(demo: Path, tmp_path: Path, language: str) -> None:
    host = program("ILAB_HOST")
    environment = os.environ | {
        "PATH": f"{host.parent}:{os.environ['PATH']}",
        "ILAB_LOCAL_STATE": str(demo / "cluster"),
        "ILAB_PLUGINS": f"{ROOT / 'plugins'}:.",
    }
    words = commands()
    assert len(words) <= MOST_COMMANDS
    folder, output = tmp_path, ""
    name = f"my-eval-{language}"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with phase(f"the tutorial in {language}"):
        for command in words:
            # Of each language one, in one run.
            ours = {"python": language, "my-eval": name, "my-eval.wasm": f"{name}.wasm", "miniature": RUN}
            line = [ours.get(word, word) for word in command]
            if "run" in line:
                line += ["--record", str(tmp_path / "recorded")]
            if line[0] == "cd":
                folder /= line[1]
                continue
            done = subprocess.run(
                line,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=1800,
                check=False,
            )
            assert done.returncode == 0, f"{shlex.join(line)}\n{done.stdout}\n{done.stderr}"
            output = done.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"   {spent:.1f} s of one processor")
    assert spent < MOST_SECONDS
    assert f"{name}: succeeded" in output, output
    made_of_a_run(host, folder, tmp_path / "recorded", name, environment)
    status = subprocess.run(
        [host, "runs", "status", RUN, "--local", "-o", "json"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    stages = json.loads(status.stdout)["stages"]
    scores = stages[name]["outputs"]["scores"]
    # Every checkpoint that training has left was really read.
    assert {entry["model"] for entry in scores} == set(stages["train-phase-2"]["outputs"]["checkpoints"])
    assert all(entry["score"] == 1.0 for entry in scores), scores


def made_of_a_run(host: Path, folder: Path, recorded: Path, name: str, environment: Mapping[str, str]) -> None:
    """The run's recording is a case that the component holds, and one that a verdict which never fell does not."""

    def held(code: int) -> str:
        done = subprocess.run(
            [host, "plugin", "test", f"{name}.wasm", "--cases", recorded],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done.stderr

    held(0)
    observed = recorded / name / "observed.yaml"
    text = observed.read_text()
    assert "pending:" in text and text.rstrip().endswith("verdict: succeeded")
    observed.write_text(text.rstrip().removesuffix("succeeded") + "{failed: no reason}\n")
    assert "must be Failed" in held(3)
