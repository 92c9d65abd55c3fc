"""Generate the sample archive: `data/`, `model/` and `taxonomy/`, as the SDG step of a real workflow would leave them.

Runs inside the miniature image (torch, transformers, git); `build.sh` beside this file does that.

    python3 generate.py --output sample.tar.gz [--seed 42] [--base-steps 200]
"""

from __future__ import annotations

import argparse
import gzip
import os
import sys
import tarfile
import tempfile
from pathlib import Path

import sdg
import taxonomy


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and write the archive."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="the archive to write (.tar.gz)")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--base-steps", type=int, default=200, help="pretraining steps of the base model")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _say("writing the data")
        sdg.write_data(folder / "data", options.seed, sdg.Sizes())
        _say("writing the taxonomy")
        taxonomy.write_taxonomy(folder / "taxonomy")
        _say("training tokenizer and base model")
        # Imported late: torch takes seconds to load, and mistakes in the data should not.
        import base_model

        base_model.write_model(folder / "model", options.seed, options.base_steps)
        write_archive(folder, options.output)
    _say(f"wrote {options.output.name}, {options.output.stat().st_size / 1e6:.1f} MB")
    return 0


def write_archive(folder: Path, output: Path) -> None:
    """Pack the folder's content with nothing of this machine in it: no owners, no times, sorted names."""

    def neutral(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mtime = 0
        member.mode = 0o755 if member.isdir() else 0o644
        return member

    unfinished = output.with_name(output.name + ".part")
    with (
        unfinished.open("wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name in sorted(os.listdir(folder)):
            # `add` walks folders in sorted order.
            archive.add(folder / name, arcname=name, filter=neutral)
    unfinished.replace(output)


def _say(text: str) -> None:
    print(f"sample data: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
