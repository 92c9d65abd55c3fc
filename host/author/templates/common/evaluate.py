"""Looks at every checkpoint of a training, and tells which share of its weights is finite.

It runs in the stage's pod, with the packages of the pod's image. The last line that it prints is what the stage hands
on: ILAB_OUTPUTS and a JSON object. Put your own evaluation into score().
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def score(checkpoint: Path) -> float:
    """The share of the checkpoint's weights that are finite numbers: 1.0 unless the training diverged."""
    import torch
    from safetensors.torch import load_file

    finite = total = 0
    for file in sorted(checkpoint.glob("*.safetensors")):
        for tensor in load_file(file).values():
            finite += int(torch.isfinite(tensor).sum())
            total += tensor.numel()
    if total == 0:
        raise SystemExit(f"error: {checkpoint} holds no weights (*.safetensors)")
    return finite / total


def main() -> None:
    """Scores every checkpoint and prints the outputs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoints-dir", type=Path, required=True, help="a folder of checkpoints")
    folder: Path = parser.parse_args().checkpoints_dir
    checkpoints = sorted(path for path in folder.iterdir() if (path / "config.json").is_file())
    if not checkpoints:
        sys.exit(f"error: {folder} holds no checkpoint; try: run the training stages first")
    scores = []
    for checkpoint in checkpoints:
        value = score(checkpoint)
        print(f"{checkpoint.name}: {value}", flush=True)
        scores.append({"model": str(checkpoint), "score": value})
    # The first of the best: a later one that is no better cost more.
    best = max(scores, key=lambda entry: entry["score"])
    outputs = {"best-model": best["model"], "best-score": best["score"], "scores": scores}
    print(f"ILAB_OUTPUTS {json.dumps(outputs, allow_nan=False)}")


if __name__ == "__main__":
    main()
