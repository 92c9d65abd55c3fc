"""What the files in an output folder say about the training run that writes there.

`ilab-run.json` names the run that owns the folder; `checkpoints.json`, written last and only after success, says that
the training is complete. All ranks share the folder, so all of them come to the same conclusion.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from checkpoints import list_checkpoints
from outputs import write_json
from runner import BadInput, Failed, say

OWNER_FILE = "ilab-run.json"
RESULT_FILE = "checkpoints.json"
HF_FORMAT = "hf_format"


@dataclass(frozen=True)
class RunState:
    """An output folder as seen by one run."""

    folder: Path
    run_id: str | None
    epochs: int

    def owner(self) -> str | None:
        """The run that the folder belongs to."""
        value = _read(self.folder / OWNER_FILE).get("run-id")
        return value if isinstance(value, str) else None

    def refuse_foreign(self) -> None:
        """Stop when the folder holds another run's checkpoints: the trainer would silently go on from them."""
        if self.run_id is None:
            return
        owner = self.owner()
        used = any((self.folder / name).exists() for name in (HF_FORMAT, "full_state", RESULT_FILE))
        if not used or owner == self.run_id:
            return
        whose = "of unknown origin" if owner is None else f"of run {owner}"
        raise BadInput(
            f"the output folder holds checkpoints {whose}, this is run {self.run_id}",
            self.folder,
            "deleting the folder, or resuming the run that made it",
        )

    def claim(self) -> None:
        """Write down whose folder it is; rank 0 does so before anything else is written."""
        if self.run_id is not None and self.owner() != self.run_id:
            write_json(self.folder / OWNER_FILE, {"run-id": self.run_id})

    def result(self) -> dict[str, Any] | None:
        """The outputs of this very run, when it has been completed before."""
        found = _read(self.folder / RESULT_FILE)
        if self.run_id is None or found.get("run-id") != self.run_id or found.get("epochs") != self.epochs:
            return None
        outputs = found.get("outputs")
        return outputs if isinstance(outputs, dict) else None

    def finish(self, *, every_epoch: bool) -> dict[str, Any]:
        """Check what the training left behind, record it, and return the stage's outputs.

        `every_epoch` says that each epoch was to leave a checkpoint of its own, so fewer of them than epochs means
        that the trainer ended early, whatever its exit status was.
        """
        folder = self.folder / HF_FORMAT
        if not folder.is_dir():
            raise Failed("the training ended without error but wrote no checkpoint", folder)
        listing = list_checkpoints(folder)
        for skipped in listing.skipped:
            say(f"passed over {skipped.path}: {skipped.reason}")
        complete = [str(path.absolute()) for path in listing.complete]
        if not complete:
            raise Failed("the training ended without error but left no complete checkpoint", folder)
        if every_epoch and len(complete) < self.epochs:
            raise Failed(
                f"the training ended without error but only {len(complete)} of {self.epochs} epochs have a checkpoint",
                folder,
                "the log above for what ended it early",
            )
        outputs = {"checkpoints": complete, "last-checkpoint": complete[-1], "checkpoints-dir": str(folder.absolute())}
        write_json(
            self.folder / RESULT_FILE,
            {"run-id": self.run_id, "epochs": self.epochs, "outputs": outputs},
        )
        return outputs

    def await_result(self, seconds: float) -> None:
        """On the other ranks: leave only when rank 0 has recorded the result.

        Otherwise rank 0, restarted between the end of training and its record, would wait alone at the rendezvous.
        """
        if self.run_id is None or self.owner() != self.run_id:
            return  # The folder is not shared, or nobody keeps records in it.
        deadline = time.monotonic() + seconds
        while self.result() is None:
            if time.monotonic() > deadline:
                raise Failed(f"rank 0 has not confirmed the result within {seconds:.0f} s", self.folder / RESULT_FILE)
            time.sleep(0.2)


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
