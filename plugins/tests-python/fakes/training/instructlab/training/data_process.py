"""Writes one line a record, dropping records whose text is longer than the limit; fails like the real one."""

from __future__ import annotations

import glob
import json
import os
from pathlib import Path

from instructlab.training.config import DataProcessArgs


def main(args: DataProcessArgs) -> None:
    kept = []
    try:
        for name in sorted(glob.glob(args.data_path)):
            for line in Path(name).read_text(encoding="utf-8").splitlines():
                text = " ".join(message["content"] for message in json.loads(line)["messages"])
                if len(text) <= args.max_seq_len:
                    kept.append({"input_ids": [1], "labels": [1], "len": len(text)})
    except Exception as error:
        raise ValueError("Malformed or missing data") from error
    if os.environ.get("FAKE_FAIL_ON", "nothing") in args.data_path:
        raise ValueError("Tokenizer doesn't currently have a chat template. Need to support adding one.")
    Path(args.data_output_path, "data.jsonl").write_text(
        "".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8"
    )
