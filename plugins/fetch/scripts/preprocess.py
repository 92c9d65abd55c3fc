"""Turn the SDG chat data into token sequences with the real `instructlab.training.data_process`.

Skills and knowledge are processed one after the other, each into a temporary folder; `data.jsonl` appears under the
output folder only when it is whole. Prints one line with the number of samples and the two paths.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import tempfile
from pathlib import Path

from outputs import outputs_line
from runner import (
    BadInput,
    Failed,
    Parser,
    available_cpus,
    execute,
    positive_int,
    prepare_environment,
    root_cause,
    say,
)

KINDS = ("skills", "knowledge")
# The library's own default; more processes than this cost more to start than they save.
MAX_PROCESSES = 16


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = Parser(__doc__ or "")
    parser.add_argument(
        "--model", type=Path, required=True, help="base model; its tokenizer and chat template are used"
    )
    parser.add_argument("--data-dir", type=Path, required=True, help="folder of the *_train_msgs*.jsonl files")
    parser.add_argument(
        "--output-dir", type=Path, required=True, help="gets skills/data.jsonl and knowledge/data.jsonl"
    )
    parser.add_argument("--max-seq-len", type=positive_int, required=True, help="longer samples are dropped (tokens)")
    parser.add_argument(
        "--max-batch-len", type=positive_int, required=True, help="tokens a GPU gets at once in training"
    )
    parser.add_argument("--chat-template", type=Path, help="legacy chat template file (default: the model's own)")
    parser.add_argument("--processes", type=positive_int, default=min(MAX_PROCESSES, available_cpus()))
    return parser.parse_args()


def input_files(data_dir: Path, kind: str) -> list[Path]:
    """The files of one kind; all checked to hold at least one chat record."""
    pattern = f"{kind}_train_msgs*.jsonl"
    files = sorted(data_dir.glob(pattern))
    if not files:
        found = sorted(path.name for path in data_dir.glob("*.jsonl"))
        raise BadInput(
            f"no {kind} data: no file matches {pattern}",
            f"{data_dir} (it has {', '.join(found[:5]) or 'no *.jsonl file'})",
            "an archive whose data/ folder is the output of `ilab data generate`",
        )
    for file in files:
        _check_first_record(file)
    return files


def _check_first_record(file: Path) -> None:
    try:
        with file.open(encoding="utf-8") as stream:
            line = next((line for line in stream if line.strip()), "")
        if not line:
            raise BadInput("the data file is empty", file, "generating the data again")
        record = json.loads(line)
    except (OSError, ValueError) as error:
        raise BadInput(f"the data file is not JSON lines: {error}", file, "generating the data again") from error
    if not isinstance(record, dict) or not isinstance(record.get("messages"), list):
        raise BadInput("the first record has no list of messages", file, "a *_train_msgs*.jsonl file of SDG")


def check(args: argparse.Namespace) -> dict[str, list[Path]]:
    """Check everything that can be checked before the slow part; returns the input files by kind."""
    if args.max_batch_len < args.max_seq_len:
        raise BadInput(
            f"--max-batch-len {args.max_batch_len} is less than --max-seq-len {args.max_seq_len}: "
            "the longest sample would not fit into a batch",
            hint=f"--max-batch-len of at least {args.max_seq_len}",
        )
    for name in ("config.json", "tokenizer_config.json"):
        if not (args.model / name).is_file():
            raise BadInput(f"the base model has no {name}", args.model, "an archive with a complete model/ folder")
    if args.chat_template is not None and not args.chat_template.is_file():
        raise BadInput("the chat template does not exist", args.chat_template)
    if not args.data_dir.is_dir():
        raise BadInput("the data folder does not exist", args.data_dir, "an archive with a data/ folder")
    files = {kind: input_files(args.data_dir, kind) for kind in KINDS}
    if importlib.util.find_spec("instructlab") is None:
        raise Failed("the image has no package instructlab-training", hint="another image for this stage")
    return files


def process(args: argparse.Namespace, kind: str, output: Path) -> int:
    """Run the library for one kind of data; returns the number of samples it wrote."""
    from instructlab.training import data_process
    from instructlab.training.config import DataProcessArgs

    template = None if args.chat_template is None else str(args.chat_template)
    output.mkdir(parents=True)
    try:
        data_process.main(
            DataProcessArgs(
                data_output_path=str(output),
                data_path=str(args.data_dir / f"{kind}_train_msgs*.jsonl"),
                max_seq_len=args.max_seq_len,
                model_path=str(args.model),
                chat_tmpl_path=template,
                num_cpu_procs=args.processes,
            )
        )
    except Exception as error:
        raise Failed(f"processing the {kind} data failed: {root_cause(error)}", args.data_dir) from error
    result = output / "data.jsonl"
    if not result.is_file():
        raise Failed(f"processing the {kind} data wrote no data.jsonl", output)
    with result.open(encoding="utf-8") as stream:
        count = sum(1 for line in stream if line.strip())
    if count == 0:
        raise Failed(
            f"no {kind} sample is left: all are longer than {args.max_seq_len} tokens",
            args.data_dir,
            "a larger --max-seq-len",
        )
    return count


def publish(result: Path, target: Path) -> None:
    """Put a complete result in place of an older one."""
    try:
        target.parent.mkdir(exist_ok=True)
        os.replace(result, target)
    except OSError as error:
        raise Failed(f"cannot write: {error.strerror}", target, "a writable claim with room") from error


def main() -> int:
    """Check, process both kinds, publish both results, print the outputs."""
    prepare_environment()
    args = arguments()
    files = check(args)
    try:
        args.output_dir.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".preprocess-", dir=args.output_dir))
    except OSError as error:
        raise Failed(f"cannot write: {error.strerror}", args.output_dir, "a writable claim with room") from error
    counts: dict[str, int] = {}
    try:
        for kind in KINDS:
            say(f"{kind}: processing {len(files[kind])} file(s) with {args.processes} process(es)")
            counts[kind] = process(args, kind, work / kind)
            say(f"{kind}: {counts[kind]} samples")
        for kind in KINDS:
            publish(work / kind / "data.jsonl", args.output_dir / kind / "data.jsonl")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    values: dict[str, object] = {f"{kind}-samples": counts[kind] for kind in KINDS}
    values |= {f"{kind}-data": str((args.output_dir / kind / "data.jsonl").absolute()) for kind in KINDS}
    print(outputs_line(values))
    return 0


if __name__ == "__main__":
    execute(main)
