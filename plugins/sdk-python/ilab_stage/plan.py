"""What a stage wants done."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from .contract import ExcerptSource, ObjectRef, Target
from .k8s import Object, reference

DEFAULT_EXCERPT_BYTES = 256 * 1024


@dataclass
class Plan:
    """Objects, the targets to wait for, and the logs to read afterwards; built in a chain."""

    manifests: list[dict[str, Any]] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    excerpts: list[ExcerptSource] = field(default_factory=list)

    def apply(self, object: Object | dict[str, Any]) -> Plan:
        """Adds an object, to be applied after those before it: one of `k8s`, or a manifest of one's own."""
        self.manifests.append(object if isinstance(object, dict) else object.manifest())
        return self

    def wait(self, target: Target) -> Plan:
        """Adds something to wait for; see `targets`."""
        self.targets.append(target)
        return self

    def read(self, object: Object | ObjectRef, container: str, max_bytes: int = DEFAULT_EXCERPT_BYTES) -> Plan:
        """Hands the end of a container's log to `collect`."""
        source = object if isinstance(object, ObjectRef) else reference(object)
        self.excerpts.append(ExcerptSource(source, container, max_bytes))
        return self

    def texts(self) -> list[str]:
        """The manifests as JSON."""
        return [json.dumps(manifest, allow_nan=False, ensure_ascii=False) for manifest in self.manifests]
