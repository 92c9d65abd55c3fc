"""The contract's words (`wit/stage.wit`) as plain Python types."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"

_PATH = "^(/[A-Za-z0-9_+@%-][A-Za-z0-9._+@%-]*)+$"
_QUANTITY = "^([0-9]{1,9}(\\.[0-9]{1,9})?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?)?$"
_IMAGE = "^[A-Za-z0-9][A-Za-z0-9._/:@-]{0,511}$"


class StageError(Exception):
    """What the person who runs the pipeline can do something about.

    With `parameter`, the value of that parameter is at fault.
    """

    def __init__(self, message: str, parameter: str | None = None) -> None:
        super().__init__(message if parameter is None else f"parameter {parameter}: {message}")
        self.message = message
        self.parameter = parameter


class _Missing:
    """The default of what has no default: the user must give a value."""


REQUIRED = _Missing()


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One setting that a stage understands; made by `Parameter.integer` and its siblings."""

    name: str
    help: str
    schema: Mapping[str, Json]
    default: Json | _Missing = REQUIRED
    flag: str | None = None
    env: str | None = None

    @staticmethod
    def integer(
        name: str,
        help: str,
        *,
        minimum: int | None = None,
        maximum: int | None = None,
        default: int | _Missing = REQUIRED,
        flag: str | None = None,
        env: str | None = None,
    ) -> Parameter:
        """A whole number."""
        schema = {"type": "integer", **_given(minimum=minimum, maximum=maximum)}
        return Parameter(name=name, help=help, schema=schema, default=default, flag=flag, env=env)

    @staticmethod
    def number(
        name: str,
        help: str,
        *,
        minimum: float | None = None,
        maximum: float | None = None,
        default: float | _Missing = REQUIRED,
        flag: str | None = None,
        env: str | None = None,
    ) -> Parameter:
        """A number."""
        schema = {"type": "number", **_given(minimum=minimum, maximum=maximum)}
        return Parameter(name=name, help=help, schema=schema, default=default, flag=flag, env=env)

    @staticmethod
    def boolean(
        name: str,
        help: str,
        *,
        default: bool | _Missing = REQUIRED,
        flag: str | None = None,
        env: str | None = None,
    ) -> Parameter:
        """True or false."""
        return Parameter(name=name, help=help, schema={"type": "boolean"}, default=default, flag=flag, env=env)

    @staticmethod
    def string(
        name: str,
        help: str,
        *,
        pattern: str | None = None,
        default: str | _Missing = REQUIRED,
        flag: str | None = None,
        env: str | None = None,
    ) -> Parameter:
        """Text. Give it a pattern (ECMA 262, anchored) when it ends up in a command line."""
        schema = {"type": "string", "maxLength": 1024, **_given(pattern=pattern)}
        return Parameter(name=name, help=help, schema=schema, default=default, flag=flag, env=env)

    @staticmethod
    def choice(
        name: str,
        help: str,
        words: Sequence[str],
        *,
        default: str | _Missing = REQUIRED,
        flag: str | None = None,
        env: str | None = None,
    ) -> Parameter:
        """One of several words."""
        schema: dict[str, Json] = {"type": "string", "enum": list(words)}
        return Parameter(name=name, help=help, schema=schema, default=default, flag=flag, env=env)

    @staticmethod
    def strings(
        name: str,
        help: str,
        *,
        pattern: str | None = None,
        default: Sequence[str] | _Missing = REQUIRED,
        flag: str | None = None,
        env: str | None = None,
    ) -> Parameter:
        """A list of texts."""
        items = {"type": "string", "maxLength": 1024, **_given(pattern=pattern)}
        schema: dict[str, Json] = {"type": "array", "items": items, "maxItems": 100}
        return Parameter(name=name, help=help, schema=schema, default=default, flag=flag, env=env)

    @staticmethod
    def path(
        name: str, help: str, *, default: str | _Missing = REQUIRED, flag: str | None = None, env: str | None = None
    ) -> Parameter:
        """An absolute path in a pod, without what some program on the way would take for something else."""
        return Parameter.string(name, help, pattern=_PATH, default=default, flag=flag, env=env)

    @staticmethod
    def quantity(
        name: str, help: str, *, default: str | _Missing = REQUIRED, flag: str | None = None, env: str | None = None
    ) -> Parameter:
        """A Kubernetes quantity such as `500m` or `16Gi`; empty for none."""
        return Parameter.string(name, help, pattern=_QUANTITY, default=default, flag=flag, env=env)

    @staticmethod
    def image(
        name: str, help: str, *, default: str | _Missing = REQUIRED, flag: str | None = None, env: str | None = None
    ) -> Parameter:
        """A container image reference."""
        return Parameter.string(name, help, pattern=_IMAGE, default=default, flag=flag, env=env)


def _given(**words: Json) -> dict[str, Json]:
    return {word: value for word, value in words.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Credential:
    """Access data that the host holds. The stage learns which keys there are, never a value."""

    name: str
    required_keys: Sequence[str] = ()
    optional_keys: Sequence[str] = ()
    config_map_keys: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Volume:
    """A claim that the host provides and shares between stages by its logical name."""

    name: str
    size: str
    read_only: bool = False


@dataclass(frozen=True, kw_only=True)
class Output:
    """A value that a stage hands to later stages, with a sample that stands in while nothing has run."""

    name: str
    help: str
    schema: Mapping[str, Json]
    sample: Json
    sample_parameter: str | None = None

    @staticmethod
    def string(name: str, help: str, *, sample: str, sample_parameter: str | None = None) -> Output:
        """Text."""
        schema: dict[str, Json] = {"type": "string", "minLength": 1, "maxLength": 4096}
        return Output(name=name, help=help, schema=schema, sample=sample, sample_parameter=sample_parameter)

    @staticmethod
    def number(name: str, help: str, *, sample: float) -> Output:
        """A number."""
        if not math.isfinite(sample):
            raise ValueError(f"{name}: {sample} is no JSON number")
        return Output(name=name, help=help, schema={"type": "number"}, sample=sample)

    @staticmethod
    def count(name: str, help: str, *, sample: int) -> Output:
        """A whole number of at least 0."""
        return Output(name=name, help=help, schema={"type": "integer", "minimum": 0}, sample=sample)


@dataclass(frozen=True)
class Kind:
    """A kind of Kubernetes object."""

    api_version: str
    kind: str

    CONFIG_MAP: ClassVar[Kind]
    JOB: ClassVar[Kind]
    POD: ClassVar[Kind]
    PYTORCH_JOB: ClassVar[Kind]
    TRAIN_JOB: ClassVar[Kind]


Kind.CONFIG_MAP = Kind("v1", "ConfigMap")
Kind.JOB = Kind("batch/v1", "Job")
Kind.POD = Kind("v1", "Pod")
Kind.PYTORCH_JOB = Kind("kubeflow.org/v1", "PyTorchJob")
Kind.TRAIN_JOB = Kind("trainer.kubeflow.org/v1alpha1", "TrainJob")


@dataclass(frozen=True)
class Selector:
    """How `run GROUP --FLAG VALUE` picks a stage out of its group."""

    flag: str
    value: str


@dataclass(frozen=True, kw_only=True)
class Descriptor:
    """What a stage is and asks for. Constant: it may not depend on anything."""

    name: str
    group: str
    summary: str
    selected_by: Selector | None = None
    after: Sequence[str] = ()
    parameters: Sequence[Parameter] = ()
    credentials: Sequence[Credential] = ()
    volumes: Sequence[Volume] = ()
    inputs: Sequence[str] = ()
    outputs: Sequence[Output] = ()
    creates: Sequence[Kind] = ()
    licence: str | None = None
    homepage: str | None = None


@dataclass(frozen=True)
class Holder:
    """The Secret or ConfigMap that holds a key."""

    kind: str
    name: str

    @staticmethod
    def secret(name: str) -> Holder:
        """A Secret of this name."""
        return Holder("Secret", name)

    @staticmethod
    def config_map(name: str) -> Holder:
        """A ConfigMap of this name."""
        return Holder("ConfigMap", name)


@dataclass(frozen=True)
class BoundCredential:
    """A credential as it is in this run: which object holds each key that is there."""

    name: str
    keys: Mapping[str, Holder]


@dataclass(frozen=True)
class ObjectRef:
    """Points at one object of the run's namespace."""

    api_version: str
    kind: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Target:
    """How the host knows that an object is done; see `targets` for the usual ones.

    The texts are CEL over `object`; `failed` is asked first.
    """

    object: ObjectRef
    succeeded: str
    failed: str
    reason: str | None = None
    timeout_seconds: int | None = None


@dataclass(frozen=True)
class ExcerptSource:
    """Text that the host gathers for `collect` when all targets have succeeded."""

    object: ObjectRef
    container: str
    max_bytes: int


@dataclass(frozen=True)
class Excerpt:
    """Text of one container."""

    source: ObjectRef
    container: str
    text: str
