"""What unit tests of stages need: contexts made from descriptors, and golden files.

    from ilab_stage.testkit import Sample

    def test_render() -> None:
        Sample(MyStage()).set("gpus", 0).golden("tests/no-gpu.json")

What the host itself checks of a plan, `ilab-host plugin check` and `plugin test` check.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from .context import Context
from .contract import REQUIRED, BoundCredential, Excerpt, Holder, Json
from .plan import Plan
from .stage import Stage


@dataclass(frozen=True)
class Sample:
    """A stage with a context like the host's.

    Every parameter has its default, every credential its required and optional keys in a Secret of the credential's
    name, and every volume the claim `ilab-VOLUME`. Inputs are not known until `input` names them.
    """

    stage: Stage
    parameters: Mapping[str, Json] = field(default_factory=dict)
    inputs: Mapping[str, Json] = field(default_factory=dict)

    def set(self, name: str, value: Json) -> Sample:
        """Sets a parameter."""
        assert any(p.name == name for p in self.stage.descriptor.parameters), f"there is no parameter {name}"
        return replace(self, parameters={**self.parameters, name: value})

    def input(self, name: str, value: Json) -> Sample:
        """Makes an input known."""
        declared = [i.removeprefix("?") for i in self.stage.descriptor.inputs]
        assert name in declared, f"there is no input {name}"
        return replace(self, inputs={**self.inputs, name: value})

    def context(self) -> Context:
        """The context."""
        descriptor = self.stage.descriptor
        defaults = {p.name: p.default for p in descriptor.parameters if p.default is not REQUIRED}
        return Context(
            run="ilab",
            namespace="demo",
            prefix=f"ilab-{descriptor.name}",
            parameters={**defaults, **self.parameters},  # type: ignore[dict-item]
            inputs=self.inputs,
            credentials=[
                BoundCredential(c.name, {k: Holder.secret(c.name) for k in (*c.required_keys, *c.optional_keys)})
                for c in descriptor.credentials
            ],
            volumes={v.name: f"ilab-{v.name}" for v in descriptor.volumes},
        )

    def render(self) -> Plan:
        """The plan."""
        return self.stage.render(self.context())

    def object(self, kind: str) -> dict[str, Any]:
        """The plan's object of this kind."""
        found = [m for m in self.render().manifests if m["kind"] == kind]
        assert found, f"the plan has no {kind}"
        return found[0]

    def collect(self, *logs: str) -> dict[str, Json]:
        """The outputs from logs, one for each excerpt that the plan asks for."""
        sources = self.render().excerpts
        assert len(sources) == len(logs), f"the plan reads {len(sources)} logs"
        excerpts = [Excerpt(s.object, s.container, text) for s, text in zip(sources, logs, strict=True)]
        return self.stage.collect(self.context(), excerpts)

    def golden(self, file: str | Path) -> None:
        """Compares the plan with a file; with BLESS=1 in the environment it writes the file instead."""
        plan = self.render()
        whole = {
            "manifests": plan.manifests,
            "targets": [asdict(t) for t in plan.targets],
            "excerpts": [asdict(e) for e in plan.excerpts],
        }
        text = json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
        path = Path(file)
        if os.environ.get("BLESS"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            return
        assert path.is_file(), f"{path} is missing; BLESS=1 writes it"
        expected = path.read_text()
        pairs = enumerate(zip(expected.splitlines(), text.splitlines(), strict=False), start=1)
        for line, (was, now) in pairs:
            assert was == now, f"{path} line {line}; BLESS=1 accepts it"
        assert expected == text, f"{path} is longer or shorter; BLESS=1 accepts it"
