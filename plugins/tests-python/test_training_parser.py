"""The real instructlab-training parser, and the program that other tests ask it through."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from training_parser import Refused, accept


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--is_granite"], "--is_granite"),
        (["--cpu_offload_params"], "--cpu_offload_params"),
        (["--validation_split=0.1"], "--validation_frequency"),
        (["--document-column-name=x"], "--block-size"),
        (["--fsdp_sharding_strategy=BOGUS"], "BOGUS"),
        (["--distributed_training_framework=ddp"], "invalid choice"),
        (["--num_epochs=many"], "invalid int"),
    ],
)
def test_refused(arguments: list[str], reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        accept([*arguments, "--save_samples=0"])


def test_save_samples_is_needed_although_the_parser_does_not_say_so() -> None:
    with pytest.raises(Refused, match="save_samples"):
        accept([])


def test_as_a_program() -> None:
    program = Path(__file__).with_name("training_parser.py")

    def ask(arguments: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(program)],
            input=json.dumps(arguments),
            capture_output=True,
            text=True,
            check=False,
        )

    good = ask(["--save_samples=0", "--num_epochs", "4"])
    assert good.returncode == 0
    assert json.loads(good.stdout)["num_epochs"] == 4
    bad = ask(["--is_granite", "--save_samples=0"])
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr == "refused: unrecognized arguments: --is_granite\n"
