"""What a stage implements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from . import outputs
from .context import Context
from .contract import Descriptor, Excerpt, Json
from .plan import Plan


class Stage(ABC):
    """One stage of a pipeline.

    `render` and `collect` are pure: the same input gives the same output, always. That is what makes dry runs, the run
    record and golden tests work.
    """

    descriptor: Descriptor

    @abstractmethod
    def render(self, ctx: Context) -> Plan:
        """The objects of the stage, and the predicates that say when they are done.

        Raise `StageError` for what the schemas could not rule out.
        """

    def collect(self, ctx: Context, excerpts: Sequence[Excerpt]) -> dict[str, Json]:
        """The stage's outputs, from what its containers printed.

        By default the last line `ILAB_OUTPUTS {json}` of each excerpt, together, reduced to the declared outputs.
        """
        return outputs.collect(self.descriptor, excerpts)
