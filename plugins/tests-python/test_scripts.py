"""What is true of every script, because of how it travels: in a ConfigMap, to images of other Python versions."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import kit

MAIN = {"fetch": "preprocess.py", "train": "train.py", "mt-bench": "mt_bench.py", "final-eval": "final_eval.py"}
# Kubernetes' limit for a ConfigMap, less what the manifest around it may need.
LIMIT = 1_000_000


@pytest.mark.parametrize("stage", MAIN)
def test_fits_into_a_config_map(stage: str) -> None:
    files = kit.stage_files(stage)
    assert sum(len(name) + file.stat().st_size for name, file in files.items()) < LIMIT
    assert all(re.fullmatch(r"[-._a-zA-Z0-9]+", name) for name in files)
    shared = {file.name for file in (kit.PLUGINS / "scripts").glob("*.py")}
    own = {file.name for file in (kit.PLUGINS / stage / "scripts").glob("*.py")}
    assert not shared & own, "the mounted folder is flat"


@pytest.mark.parametrize("stage", MAIN)
def test_starts_from_a_mounted_config_map(stage: str, scripts: Callable[[str], Path]) -> None:
    outcome = kit.run(scripts(stage) / MAIN[stage], "--help", env=kit.environment())
    assert outcome.code == 0, outcome.stderr
    assert "usage" in outcome.stdout


@pytest.mark.parametrize("stage", MAIN)
def test_needs_only_the_standard_library_to_start(stage: str) -> None:
    files = kit.stage_files(stage)
    siblings = {Path(name).stem for name in files}
    for name, file in files.items():
        tree = ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 11))
        for node in tree.body:
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            else:
                continue
            for module in modules:
                top = module.partition(".")[0]
                assert top in siblings or top in sys.stdlib_module_names, f"{name} imports {module} at the top"


@pytest.mark.parametrize("stage", MAIN)
def test_the_component_ships_every_file_that_its_script_needs(stage: str) -> None:
    source = kit.PLUGINS / stage / "src" / "lib.rs"
    shipped = set(re.findall(r'\("(\w+\.py)",\s*include_str!', source.read_text(encoding="utf-8")))
    files = kit.stage_files(stage)
    needed: set[str] = set()
    waiting = [MAIN[stage]]
    while waiting:
        name = waiting.pop()
        needed.add(name)
        for module in re.findall(r"^\s*(?:from|import) (\w+)", files[name].read_text(encoding="utf-8"), re.MULTILINE):
            if f"{module}.py" in files and f"{module}.py" not in needed:
                waiting.append(f"{module}.py")
    assert shipped == needed


def test_names_no_host_and_no_secret() -> None:
    for stage in MAIN:
        for name, file in kit.stage_files(stage).items():
            addresses = set(re.findall(r"https?://[^\s\"'{]+", file.read_text(encoding="utf-8")))
            assert addresses <= {"http://127.0.0.1:", "https://HOST/v1"}, f"{name}: {addresses}"
