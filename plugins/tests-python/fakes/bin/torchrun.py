"""Stands in for torchrun: what it does is said by FAKE_TORCHRUN, and its arguments go to the file FAKE_ARGV.

`ok` writes a checkpoint an epoch; `short` one too few; `torn` cuts the last one off; `exit:N`, `kill:N`;
`wait` waits for SIGTERM, after which it ends with status 0; `orphan` leaves a child to process 1.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path


def flag(name: str) -> str:
    return next(value.partition("=")[2] for value in sys.argv if value.startswith(f"{name}="))


def write_checkpoint(folder: Path, torn: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}", encoding="utf-8")
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    data = struct.pack("<Q", len(header)) + header + b"\0\0\0\0"
    (folder / "model.safetensors").write_bytes(data[:-1] if torn else data)


def main() -> int:
    if os.environ.get("FAKE_ARGV"):
        with Path(os.environ["FAKE_ARGV"]).open("a", encoding="utf-8") as log:
            log.write(json.dumps(sys.argv[1:]) + "\n")
    what, _, number = os.environ.get("FAKE_TORCHRUN", "ok").partition(":")
    if what == "exit":
        return int(number)
    if what == "kill":
        os.kill(os.getpid(), int(number))
    if what == "wait":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        print("training", flush=True)
        time.sleep(60)
    if what == "orphan":
        # A grandchild whose parent ends at once belongs to process 1 from then on.
        subprocess.run(["sh", "-c", "sleep 0.2 &"], check=True)
        time.sleep(0.5)
        states = [path.read_text().rsplit(")", 1)[1].split()[0] for path in Path("/proc").glob("[0-9]*/stat")]
        print("zombies", states.count("Z"), flush=True)
    if os.environ["RANK"] == "0":
        epochs = int(flag("--num_epochs")) - (what == "short")
        for epoch in range(1, epochs + 1):
            write_checkpoint(
                Path(flag("--output_dir"), "hf_format", f"samples_{epoch * 96}"), what == "torn" and epoch == epochs
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
