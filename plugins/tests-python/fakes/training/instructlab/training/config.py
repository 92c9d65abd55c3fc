"""The one class of the real module that the stage uses, with the same fields."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class DataProcessArgs:
    data_path: str
    data_output_path: str
    max_seq_len: int
    model_path: str
    chat_tmpl_path: str | None = None
    num_cpu_procs: int = 16
