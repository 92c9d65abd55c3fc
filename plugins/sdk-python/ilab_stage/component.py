"""Between the component's ABI and `Stage`. Imported by what `ilab-host plugin build` writes, and by nobody else."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from componentize_py_types import Err
from wit_world.imports import host_log, types

from . import log
from .context import Context
from .contract import (
    REQUIRED,
    BoundCredential,
    Descriptor,
    Excerpt,
    Holder,
    Json,
    ObjectRef,
    Output,
    Parameter,
    StageError,
)
from .plan import Plan
from .stage import Stage

T = TypeVar("T")


def _say(level: str, message: str) -> None:
    host_log.log(host_log.Level[level.upper()], message)


log.sink = _say


def _text(value: Json) -> str:
    return json.dumps(value, allow_nan=False, ensure_ascii=False)


def _parameter(p: Parameter) -> types.Parameter:
    default = None if p.default is REQUIRED else _text(p.default)  # type: ignore[arg-type]
    return types.Parameter(p.name, p.help, _text(p.schema), default, p.flag, p.env)


def _output(o: Output) -> types.Output:
    return types.Output(o.name, o.help, _text(o.schema), _text(o.sample), o.sample_parameter)


def _descriptor(d: Descriptor) -> types.Descriptor:
    return types.Descriptor(
        d.name,
        d.summary,
        d.group,
        None if d.selected_by is None else types.Selector(d.selected_by.flag, d.selected_by.value),
        list(d.after),
        [_parameter(p) for p in d.parameters],
        [
            types.Credential(c.name, list(c.required_keys), list(c.optional_keys), list(c.config_map_keys))
            for c in d.credentials
        ],
        [types.Volume(v.name, v.size, v.read_only) for v in d.volumes],
        list(d.inputs),
        [_output(o) for o in d.outputs],
        [types.Kind(k.api_version, k.kind) for k in d.creates],
        d.licence,
        d.homepage,
    )


def _holder(holder: Any) -> Holder:
    if isinstance(holder, types.KeyHolder_Secret):
        return Holder.secret(holder.value)
    return Holder.config_map(holder.value)


def _context(c: types.Context) -> Context:
    return Context(
        run=c.run,
        namespace=c.namespace,
        prefix=c.prefix,
        parameters=json.loads(c.parameters),
        inputs=json.loads(c.inputs),
        credentials=[BoundCredential(b.name, {k.key: _holder(k.holder) for k in b.keys}) for b in c.credentials],
        volumes={v.name: v.claim for v in c.volumes},
    )


def _reference(o: ObjectRef) -> types.ObjectRef:
    return types.ObjectRef(o.api_version, o.kind, o.name)


def _plan(plan: Plan) -> types.Plan:
    return types.Plan(
        plan.texts(),
        [types.Target(_reference(t.object), t.succeeded, t.failed, t.reason, t.timeout_seconds) for t in plan.targets],
        [types.ExcerptSource(_reference(e.object), e.container, e.max_bytes) for e in plan.excerpts],
    )


def _guarded(call: Callable[[], T]) -> T:
    """Turns what a stage raises into what the contract has; anything unexpected is logged, for it is a defect."""
    try:
        return call()
    except StageError as error:
        if error.parameter is not None:
            raise Err(types.Error_InvalidParameter((error.parameter, error.message))) from None
        raise Err(types.Error_Other(error.message)) from None
    except Exception as error:
        log.error("".join(traceback.format_exception_only(error)).strip())
        log.error(traceback.format_exc())
        raise Err(types.Error_Other(f"the stage has a defect: {type(error).__name__}: {error}")) from None


def export(stages: Sequence[Stage]) -> type:
    """The class that the component exports."""
    known = {stage.descriptor.name: stage for stage in stages}
    # Made once, when the component is built: they are constant.
    descriptors = [_descriptor(stage.descriptor) for stage in stages]

    def find(name: str) -> Stage:
        if name not in known:
            raise StageError(f"there is no stage {name!r} here, only {', '.join(known)}")
        return known[name]

    class Component:
        def stages(self) -> list[types.Descriptor]:
            return descriptors

        def render(self, stage: str, context: types.Context) -> types.Plan:
            return _guarded(lambda: _plan(find(stage).render(_context(context))))

        def collect(self, stage: str, context: types.Context, excerpts: list[types.Excerpt]) -> str:
            given = [
                Excerpt(ObjectRef(e.source.api_version, e.source.kind, e.source.name), e.container, e.text)
                for e in excerpts
            ]
            return _guarded(lambda: _text(find(stage).collect(_context(context), given)))

    return Component
