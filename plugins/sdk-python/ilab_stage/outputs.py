"""How a container tells its results: one line `ILAB_OUTPUTS {json}`, the last of its kind."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NoReturn

from .contract import Descriptor, Excerpt, Json, StageError

MARKER = "ILAB_OUTPUTS "


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


def from_log(text: str) -> dict[str, Json]:
    """The object in the last line that begins with `ILAB_OUTPUTS `.

    The last one, because a container that was restarted, or a library that is talkative, may have printed earlier ones.
    """
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    line = next((line for line in reversed(lines) if line.startswith(MARKER)), None)
    if line is None:
        raise StageError("the log has no line that begins with ILAB_OUTPUTS")
    try:
        found = json.loads(line.removeprefix(MARKER), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise StageError(f"the ILAB_OUTPUTS line of the log is no JSON object: {error}") from None
    if not isinstance(found, dict):
        raise StageError("the ILAB_OUTPUTS line of the log is no JSON object")
    return found


def collect(descriptor: Descriptor, excerpts: Sequence[Excerpt]) -> dict[str, Json]:
    """The declared outputs out of what the excerpts say together; a later excerpt wins."""
    said: dict[str, Json] = {}
    for excerpt in excerpts:
        try:
            said |= from_log(excerpt.text)
        except StageError as error:
            raise StageError(f"{excerpt.source.name} {excerpt.container}: {error}") from None
    for output in descriptor.outputs:
        if output.name not in said:
            raise StageError(f"the containers printed no value for the output {output.name}")
    return {output.name: said[output.name] for output in descriptor.outputs}
