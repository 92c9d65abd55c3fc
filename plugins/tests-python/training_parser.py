"""Ask the real parser of `instructlab.training.main_ds` whether it accepts a command line, without torch or a GPU.

Reads a JSON list of arguments on stdin. Accepted: exit 0, and the parsed values as JSON on stdout. Refused: exit 2 and
the reason on stderr. Needs nothing but Python and the wheel, which is fetched on first use.

The parser is built inside main_ds's `if __name__ == "__main__"` block, so that block is cut out of the source up to
the call of parse_args, together with the cross checks after it, and run with the enumerations of config.py.
"""

from __future__ import annotations

import argparse
import ast
import enum
import json
import sys
import zipfile
from typing import Any

from wheels import TRAINING, wheel


class Refused(Exception):
    """The command line would not work, and why."""


def accept(arguments: list[str], version: str = TRAINING[1]) -> dict[str, Any]:
    """Parse a command line; returns the values, or raises `Refused`."""
    with zipfile.ZipFile(wheel(TRAINING[0], version)) as archive:
        main = archive.read("instructlab/training/main_ds.py").decode()
        config = archive.read("instructlab/training/config.py").decode()
    space: dict[str, Any] = {"argparse": argparse, "enum": enum, "Enum": enum.Enum, **_enumerations(config)}
    build, checks = _cut(main)
    exec(compile(build, "main_ds.py", "exec"), space)
    parser: argparse.ArgumentParser = space["parser"]
    parser.error = _refuse  # type: ignore[method-assign]
    _require_exact(parser, arguments)
    values = parser.parse_args(arguments)
    space["args"] = values
    exec(compile(checks, "main_ds.py", "exec"), space)
    _check_what_the_parser_does_not(values, space)
    return dict(vars(values))


def _refuse(message: str) -> Any:
    raise Refused(message)


def _enumerations(source: str) -> dict[str, Any]:
    """The enumerations of config.py; the rest of it needs pydantic."""
    classes = [
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and any("Enum" in ast.unparse(base) for base in node.bases)
    ]
    space: dict[str, Any] = {"Enum": enum.Enum, "enum": enum}
    exec(compile(ast.Module(body=list(classes), type_ignores=[]), "config.py", "exec"), space)
    return {node.name: space[node.name] for node in classes}


def _cut(source: str) -> tuple[ast.Module, ast.Module]:
    block = next(
        node
        for node in reversed(ast.parse(source).body)
        if isinstance(node, ast.If) and "__main__" in ast.unparse(node.test)
    )
    at = next(index for index, node in enumerate(block.body) if "parse_args(" in ast.unparse(node))
    checks = [node for node in block.body[at + 1 :] if isinstance(node, ast.If) and "parser.error" in ast.unparse(node)]
    return ast.Module(body=block.body[:at], type_ignores=[]), ast.Module(body=list(checks), type_ignores=[])


def _require_exact(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    # argparse accepts any unambiguous beginning of an option, which the next release may make ambiguous.
    known = parser._option_string_actions
    for argument in arguments:
        option = argument.partition("=")[0]
        if option.startswith("--") and option not in known:
            raise Refused(f"unrecognized arguments: {option}")


def _check_what_the_parser_does_not(values: argparse.Namespace, space: dict[str, Any]) -> None:
    strategies = space.get("ShardingStrategies")
    if strategies is not None and values.fsdp_sharding_strategy not in {each.name for each in strategies}:
        raise Refused(f"unknown sharding strategy: {values.fsdp_sharding_strategy}")
    if values.save_samples is None:
        raise Refused("--save_samples has no default, and None is compared with a number")


def main() -> int:
    """Read, parse, answer."""
    try:
        values = accept([str(argument) for argument in json.load(sys.stdin)])
    except Refused as reason:
        print(f"refused: {reason}", file=sys.stderr)
        return 2
    print(json.dumps(values))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
