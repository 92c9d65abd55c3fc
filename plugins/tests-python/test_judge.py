"""The judge: its variables, its certificates, and the question that is asked before the work starts."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import kit
import runner
from judge import Judge


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch, judge: kit.JudgeServer) -> None:
    for name, value in judge.variables().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("JUDGE_CA_CERT_PATH", raising=False)
    monkeypatch.setattr("judge.time.sleep", lambda _seconds: None)


def test_all_missing_variables_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JUDGE_NAME")
    monkeypatch.setenv("JUDGE_API_KEY", " \n")
    with pytest.raises(runner.BadInput, match="not set or empty: JUDGE_NAME, JUDGE_API_KEY"):
        Judge.from_environment()


def test_line_ends_of_secrets_made_from_files_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_API_KEY", f"{kit.KEY}\n")
    assert Judge.from_environment().key == kit.KEY


@pytest.mark.parametrize("endpoint", ["judge.example", "ftp://judge/v1", "https://", "localhost:8000/v1"])
def test_endpoint_needs_scheme_and_host(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("JUDGE_ENDPOINT", endpoint)
    with pytest.raises(runner.BadInput, match=r"no http\(s\) address"):
        Judge.from_environment()


@pytest.mark.parametrize("name", ["/mnt/models", "../judge", "a/../../b"])
def test_name_that_would_be_a_file_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("JUDGE_NAME", name)
    with pytest.raises(runner.BadInput, match="JUDGE_NAME is a path"):
        Judge.from_environment()


def test_name_with_a_slash_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_NAME", "prometheus-eval/prometheus-8x7b-v2.0")
    assert Judge.from_environment().name == "prometheus-eval/prometheus-8x7b-v2.0"


def test_10_1_i_no_ca_certificate_is_normal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Judge.from_environment().ca is None
    monkeypatch.setenv("JUDGE_CA_CERT_PATH", "")
    assert Judge.from_environment().ca is None


def test_ca_certificate_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JUDGE_CA_CERT_PATH", str(tmp_path / "ca.crt"))
    with pytest.raises(runner.BadInput, match="names no file"):
        Judge.from_environment()
    (tmp_path / "ca.crt").write_text("no certificate")
    with pytest.raises(runner.BadInput, match="has no PEM certificates"):
        Judge.from_environment().http_client()


def test_question_reaches_the_judge(judge: kit.JudgeServer) -> None:
    Judge.from_environment().require_answer(0)
    (request,) = judge.requests
    assert request["path"] == "/v1/chat/completions"
    assert request["headers"]["Authorization"] == f"Bearer {kit.KEY}"
    assert request["body"]["model"] == "judge"


def test_passing_errors_are_retried(judge: kit.JudgeServer) -> None:
    judge.status = [503, 429, 200]
    Judge.from_environment().require_answer(60)
    assert len(judge.requests) == 3


@pytest.mark.parametrize(("status", "hint"), [(401, "JUDGE_API_KEY"), (404, "ends in /v1"), (400, "log")])
def test_permanent_errors_are_not_retried_and_do_not_show_the_key(
    judge: kit.JudgeServer, status: int, hint: str
) -> None:
    judge.status = [status] * 5
    with pytest.raises(runner.Failed) as failure:
        Judge.from_environment().require_answer(60)
    assert len(judge.requests) == 1
    line = failure.value.line()
    assert f"HTTP {status}" in line
    assert hint in line
    assert kit.KEY not in line
    assert "Bearer ***" in line


def test_unreachable_judge_fails_after_the_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_ENDPOINT", "http://127.0.0.1:9/v1")
    with pytest.raises(runner.Failed, match="the judge does not answer"):
        Judge.from_environment().require_answer(0)


def test_key_is_not_in_the_representation() -> None:
    assert kit.KEY not in repr(Judge.from_environment())


def test_custom_authority(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make certificates with")
    certificate, key = tmp_path / "ca.crt", tmp_path / "ca.key"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=judge -addext subjectAltName=IP:127.0.0.1"
    subprocess.run([*command.split(), "-out", certificate, "-keyout", key], check=True, capture_output=True)
    with kit.judge_server((certificate, key)) as server:
        monkeypatch.setenv("JUDGE_ENDPOINT", server.url)
        with pytest.raises(runner.Failed) as failure:
            Judge.from_environment().require_answer(60)
        assert "JUDGE_CA_CERT_PATH" in failure.value.line(), "not retried, and says what is missing"
        monkeypatch.setenv("JUDGE_CA_CERT_PATH", str(certificate))
        Judge.from_environment().require_answer(0)
        assert len(server.requests) == 1
