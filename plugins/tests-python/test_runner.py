"""Errors, exit statuses, environment, and files that appear whole."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import outputs
import runner
from evaluation import max_workers


def status(main: Callable[[], int | None]) -> int:
    with pytest.raises(SystemExit) as left:
        runner.execute(main)
    assert isinstance(left.value.code, int)
    return left.value.code


def failing(error: BaseException) -> Callable[[], int]:
    def main() -> int:
        raise error

    return main


def test_exit_statuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(lambda: None) == 0
    assert status(lambda: 7) == 7
    assert status(failing(runner.Failed("a"))) == 1
    assert status(failing(runner.BadInput("b"))) == 2
    assert status(failing(KeyboardInterrupt())) == 130
    assert "Traceback" not in capsys.readouterr().err
    assert status(failing(ZeroDivisionError("c"))) == 1
    assert "Traceback" in capsys.readouterr().err


def test_errors_are_one_line() -> None:
    error = runner.BadInput("two\nlines", "/some/where", "this\n  instead")
    assert error.line() == "error: two lines; /some/where; try this instead"


def test_usage_errors_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    parser = runner.Parser("x")
    parser.add_argument("--number", type=runner.positive_int)
    for arguments in (["--numb", "1"], ["--number", "0"], ["--other"]):
        with pytest.raises(SystemExit) as left:
            parser.parse_args(arguments)
        assert left.value.code == 2
        text = capsys.readouterr().err
        assert text.startswith("error: ")
        assert text.count("\n") == 1


def test_environment_is_writable_offline_and_without_proxy_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HOME", "HF_HUB_OFFLINE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "0")
    monkeypatch.setenv("HOME", "/")
    monkeypatch.setenv("no_proxy", ".svc")
    monkeypatch.setattr(os, "environ", dict(os.environ))
    runner.prepare_environment()
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert os.environ["HF_DATASETS_OFFLINE"] == "0", "what the pod says counts"
    assert os.access(Path(os.environ["HF_HOME"]).parent, os.W_OK)
    assert os.access(os.environ["HOME"], os.W_OK)
    assert os.environ["no_proxy"] == ".svc,127.0.0.1,localhost,::1"


def test_max_workers_auto_is_at_least_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {3})
    assert max_workers("auto", 0) == 1
    assert max_workers("auto", 4) == 1
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(64)))
    assert max_workers("auto", 0) == 10
    assert max_workers("auto", 4) == 40
    assert max_workers(3, 4) == 3


def test_b20_cpu_count_works_without_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    # The reference's fallback used a module that it did not import.
    monkeypatch.delattr(os, "sched_getaffinity")
    assert runner.available_cpus() >= 1


def test_root_cause() -> None:
    try:
        try:
            raise OSError("no space left")
        except OSError as cause:
            raise ValueError("malformed data") from cause
    except ValueError as error:
        assert runner.root_cause(error) == "malformed data (because: no space left)"


def test_messages_of_exceptions_that_hide_them() -> None:
    error = Exception()
    error.message = "kept here"  # type: ignore[attr-defined]
    assert runner.describe(error) == "kept here"
    assert runner.describe(KeyError()) == "KeyError"


def test_files_are_written_atomically_and_readable_by_other_pods(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.json"
    outputs.write_json(path, {"a": 1})
    assert json.loads(path.read_text()) == {"a": 1}
    assert path.stat().st_mode & 0o777 == 0o644
    with pytest.raises(ValueError, match="Out of range float"):
        outputs.write_json(path, {"a": float("nan")})
    assert [entry.name for entry in path.parent.iterdir()] == ["file.json"]


def test_unwritable_places_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(runner.Failed, match="cannot write"):
        outputs.write_text(tmp_path / "file" / "x", "")


def test_outputs_are_one_line_whatever_they_hold() -> None:
    line = outputs.outputs_line({"path": "a\nb\u2028c"})
    assert len(line.splitlines()) == 1
    assert json.loads(line.removeprefix("ILAB_OUTPUTS ")) == {"path": "a\nb\u2028c"}
