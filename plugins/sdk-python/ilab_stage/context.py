"""What a stage is rendered for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .contract import BoundCredential, Json, StageError
from .k8s import Env

_PLAIN = re.compile(r"[A-Za-z0-9._+@%-]+")


@dataclass(frozen=True, kw_only=True)
class Context:
    """The run, the parameters, the inputs, and the bound credentials and claims."""

    run: str
    namespace: str
    prefix: str
    parameters: Mapping[str, Json] = field(default_factory=dict)
    inputs: Mapping[str, Json] = field(default_factory=dict)
    credentials: Sequence[BoundCredential] = ()
    volumes: Mapping[str, str] = field(default_factory=dict)

    def name(self, suffix: str = "") -> str:
        """The name for the stage's main object, or with a suffix for a further one."""
        return f"{self.prefix}-{suffix}" if suffix else self.prefix

    def parameter(self, name: str) -> Json:
        """A parameter's value, whatever its type."""
        if name not in self.parameters:
            raise StageError(f"the stage reads the parameter {name}, which it does not declare")
        return self.parameters[name]

    def text(self, name: str) -> str:
        """A parameter that is text."""
        value = self.parameter(name)
        if not isinstance(value, str):
            raise StageError("is no text", name)
        return value

    def integer(self, name: str) -> int:
        """A parameter that is a whole number."""
        value = self.parameter(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
            raise StageError("is no whole number", name)
        return int(value)

    def number(self, name: str) -> float:
        """A parameter that is a number."""
        value = self.parameter(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise StageError("is no number", name)
        return float(value)

    def boolean(self, name: str) -> bool:
        """A parameter that is true or false."""
        value = self.parameter(name)
        if not isinstance(value, bool):
            raise StageError("is neither true nor false", name)
        return value

    def texts(self, name: str) -> list[str]:
        """A parameter that is a list of texts."""
        value = self.parameter(name)
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise StageError("is no list", name)
        return [str(item) for item in value]

    def input(self, name: str) -> Json:
        """An output of another stage, as `stage.output`; None when it is not known."""
        return self.inputs.get(name)

    def path_input(self, name: str, root: str) -> str:
        """An input without which the stage cannot do: the absolute path of something below `root`.

        It came from another stage's log, so it is checked like any foreign text.
        """
        value = self.inputs.get(name)
        if value is None:
            raise StageError(f"input {name} is not known: run {name.partition('.')[0]} first")
        if not isinstance(value, str):
            raise StageError(f"input {name} is no text")
        problem = path_problem(value, root)
        if problem is not None:
            raise StageError(f"input {name} ({json.dumps(value, ensure_ascii=False)}) {problem}")
        return value

    def claim(self, volume: str) -> str:
        """The claim that stands for a declared volume."""
        if volume not in self.volumes:
            raise StageError(f"volume {volume} is not bound to a claim")
        return self.volumes[volume]

    def credential(self, name: str) -> BoundCredential | None:
        """A declared credential; None when the host bound none."""
        return next((bound for bound in self.credentials if bound.name == name), None)

    def credential_env(
        self, name: str, required: Mapping[str, str], optional: Mapping[str, str] | None = None
    ) -> list[Env]:
        """Environment variables (variable to key) that read a credential's keys.

        Optional keys that are not bound are left out.
        """
        bound = self.credential(name)
        if bound is None:
            raise StageError(f"credential {name} is not bound")
        variables = []
        for variable, key in required.items():
            if key not in bound.keys:
                raise StageError(f"credential {name} has no key {key}")
            variables.append(Env.of_key(variable, key, bound.keys[key]))
        for variable, key in (optional or {}).items():
            if key in bound.keys:
                variables.append(Env.of_key(variable, key, bound.keys[key]))
        return variables


def path_problem(path: str, root: str) -> str | None:
    """What is wrong with a path, as a fragment that follows it; None when it is a plain absolute path below `root`."""
    if not path.startswith(f"{root}/"):
        return f"is not below {root}"
    if len(path.encode()) > 1024:
        return "is longer than 1024 bytes"
    segments = path.removeprefix(f"{root}/").split("/")
    if any(not _PLAIN.fullmatch(segment) or segment.startswith(".") for segment in segments):
        return "is not a plain path: use letters, digits and . _ + @ % - and no hidden or empty segment"
    return None
