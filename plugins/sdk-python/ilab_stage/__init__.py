"""The SDK for authors of ilab-host stages in Python.

A stage is an object with a `descriptor`, a `render` and, where the usual one does not fit, a `collect`. The same code
is ordinary Python on the author's machine, where it is tested, and a WebAssembly component after `ilab-host plugin
build`.

    from ilab_stage import Context, Descriptor, Kind, Output, Parameter, Plan, Stage, k8s, targets

    class Hello(Stage):
        descriptor = Descriptor(
            name="hello",
            group="demo",
            summary="Says hello",
            parameters=[Parameter.image("image", "Image with a shell", default="busybox:1.37")],
            outputs=[Output.string("said", "What was said", sample="hello")],
            creates=[Kind.JOB],
        )

        def render(self, ctx: Context) -> Plan:
            line = 'ILAB_OUTPUTS {"said": "hello"}'
            container = k8s.Container("hello", ctx.text("image"), command=["echo", line])
            job = k8s.Job(ctx.name(), app="hello", pod=k8s.Pod([container]))
            return Plan().apply(job).wait(targets.job(job.name)).read(job, "hello")

Everything that a stage is given has been validated by the schemas that it declared, but it is still foreign text: build
commands as lists of arguments, never as shell scripts.
"""

from . import k8s, log, outputs, targets
from .context import Context, path_problem
from .contract import (
    BoundCredential,
    Credential,
    Descriptor,
    Excerpt,
    ExcerptSource,
    Holder,
    Json,
    Kind,
    ObjectRef,
    Output,
    Parameter,
    Selector,
    StageError,
    Target,
    Volume,
)
from .plan import Plan
from .stage import Stage

__all__ = [
    "BoundCredential",
    "Context",
    "Credential",
    "Descriptor",
    "Excerpt",
    "ExcerptSource",
    "Holder",
    "Json",
    "Kind",
    "ObjectRef",
    "Output",
    "Parameter",
    "Plan",
    "Selector",
    "Stage",
    "StageError",
    "Target",
    "Volume",
    "k8s",
    "log",
    "outputs",
    "path_problem",
    "targets",
]
