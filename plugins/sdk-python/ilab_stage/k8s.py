"""Kubernetes objects by the rules that every shared cluster asks for.

Containers meet the Pod Security Standard `restricted`, which is what the host's guard checks at its strictest; commands
are lists of arguments, so that no shell looks at a value. What a builder does not know goes into `extra`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from .contract import Holder, Json, Kind, ObjectRef

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
_SECCOMP = {"type": "RuntimeDefault"}


class Object(Protocol):
    """Something that a plan can apply."""

    @property
    def name(self) -> str:
        """`metadata.name`."""

    @property
    def kind(self) -> Kind:
        """What it is."""

    def manifest(self) -> dict[str, Any]:
        """The whole object."""


def reference(of: Object) -> ObjectRef:
    """Points at an object."""
    return ObjectRef(of.kind.api_version, of.kind.kind, of.name)


def _drop(**fields: Any) -> dict[str, Any]:
    """The fields that say something, by their Kubernetes names."""
    return {name: value for name, value in fields.items() if value not in (None, {}, [], ())}


@dataclass(frozen=True)
class Env:
    """An environment variable."""

    name: str
    value: str | None = None
    source: Mapping[str, Any] | None = None

    @staticmethod
    def of_key(name: str, key: str, holder: Holder) -> Env:
        """A variable that reads a key of a Secret or ConfigMap."""
        field = "secretKeyRef" if holder.kind == "Secret" else "configMapKeyRef"
        return Env(name, source={field: {"key": key, "name": holder.name}})

    def json(self) -> dict[str, Any]:
        """As in a manifest."""
        if self.source is not None:
            return {"name": self.name, "valueFrom": dict(self.source)}
        return {"name": self.name, "value": self.value or ""}


@dataclass(frozen=True)
class Mount:
    """A volume of the pod at a path of the container."""

    volume: str
    path: str
    read_only: bool = False

    def json(self) -> dict[str, Any]:
        """As in a manifest."""
        return {"mountPath": self.path, "name": self.volume} | ({"readOnly": True} if self.read_only else {})


@dataclass(frozen=True)
class Container:
    """A container that runs as an ordinary user without any privilege.

    The end of its log becomes its termination message, so that a failure explains itself in the pod's status. Empty
    quantities in `requests` and `limits` are left out.
    """

    name: str
    image: str
    command: Sequence[str] = ()
    env: Sequence[Env] | Mapping[str, str] = ()
    mounts: Sequence[Mount] = ()
    requests: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)
    pull_policy: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def json(self) -> dict[str, Any]:
        """As in a manifest."""
        env = [Env(n, v) for n, v in self.env.items()] if isinstance(self.env, Mapping) else self.env
        resources = _drop(
            requests={name: quantity for name, quantity in self.requests.items() if quantity},
            limits={name: quantity for name, quantity in self.limits.items() if quantity},
        )
        return _drop(
            name=self.name,
            image=self.image,
            imagePullPolicy=self.pull_policy,
            command=list(self.command),
            env=[variable.json() for variable in env],
            resources=resources,
            volumeMounts=[mount.json() for mount in self.mounts],
            terminationMessagePolicy="FallbackToLogsOnError",
            securityContext={
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "runAsNonRoot": True,
                "seccompProfile": dict(_SECCOMP),
            },
        ) | dict(self.extra)


@dataclass(frozen=True)
class PodVolume:
    """A volume of a pod; made by `PodVolume.claim` and its siblings."""

    name: str
    source: Mapping[str, Any]

    @staticmethod
    def claim(name: str, claim: str) -> PodVolume:
        """A claim."""
        return PodVolume(name, {"persistentVolumeClaim": {"claimName": claim}})

    @staticmethod
    def config_map(name: str, config_map: str) -> PodVolume:
        """A ConfigMap as files."""
        return PodVolume(name, {"configMap": {"name": config_map}})

    @staticmethod
    def scratch(name: str) -> PodVolume:
        """Scratch space that ends with the pod."""
        return PodVolume(name, {"emptyDir": {}})

    @staticmethod
    def memory(name: str, size: str = "") -> PodVolume:
        """Scratch space in memory, for `/dev/shm`."""
        return PodVolume(name, {"emptyDir": _drop(medium="Memory", sizeLimit=size or None)})

    def json(self) -> dict[str, Any]:
        """As in a manifest."""
        return {"name": self.name, **self.source}


@dataclass(frozen=True)
class Pod:
    """What a pod runs, without access to the Kubernetes API and without other Services' addresses."""

    containers: Sequence[Container]
    init: Sequence[Container] = ()
    volumes: Sequence[PodVolume] = ()
    run_as_user: int | None = None
    fs_group: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def json(self, restart_policy: str | None = None) -> dict[str, Any]:
        """As in a manifest."""
        return _drop(
            automountServiceAccountToken=False,
            enableServiceLinks=False,
            restartPolicy=restart_policy,
            initContainers=[container.json() for container in self.init],
            containers=[container.json() for container in self.containers],
            securityContext=_drop(
                runAsNonRoot=True,
                seccompProfile=dict(_SECCOMP),
                runAsUser=self.run_as_user,
                fsGroup=self.fs_group,
            ),
            volumes=[volume.json() for volume in self.volumes],
        ) | dict(self.extra)

    def template(self, app: str, restart_policy: str | None = None) -> dict[str, Any]:
        """A pod template, kept out of service meshes: a sidecar that never ends would keep a Job from completing."""
        metadata = {"annotations": {"sidecar.istio.io/inject": "false"}, "labels": {"app": app}}
        return {"metadata": metadata, "spec": self.json(restart_policy)}


def _metadata(name: str, labels: Mapping[str, str]) -> dict[str, Any]:
    return _drop(name=name, labels=dict(labels))


@dataclass(frozen=True)
class ConfigMap:
    """Files, for `PodVolume.config_map`."""

    name: str
    data: Mapping[str, str]
    kind: Kind = field(default=Kind.CONFIG_MAP, init=False)

    def manifest(self) -> dict[str, Any]:
        """The whole object."""
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": self.name}, "data": dict(self.data)}


@dataclass(frozen=True)
class Job:
    """A Job that runs the pod once and tries again `backoff_limit` times."""

    name: str
    app: str
    pod: Pod
    backoff_limit: int = 2
    labels: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    kind: Kind = field(default=Kind.JOB, init=False)

    def manifest(self) -> dict[str, Any]:
        """The whole object."""
        spec = {"backoffLimit": self.backoff_limit, "template": self.pod.template(self.app, "Never")}
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": _metadata(self.name, self.labels),
            "spec": spec | dict(self.extra),
        }


@dataclass(frozen=True)
class PyTorchJob:
    """Kubeflow's PyTorchJob: one master, and workers.

    The container of the pod must be called `pytorch`. Without a backoff limit the operator would restart a crash loop
    for ever and never say `Failed`, so there is always one.
    """

    name: str
    app: str
    pod: Pod
    workers: int = 0
    backoff_limit: int = 3
    restart_policy: str = "OnFailure"
    labels: Mapping[str, str] = field(default_factory=dict)
    run_policy: Mapping[str, Any] = field(default_factory=dict)
    kind: Kind = field(default=Kind.PYTORCH_JOB, init=False)

    def manifest(self) -> dict[str, Any]:
        """The whole object."""

        def replicas(count: int) -> dict[str, Any]:
            return {
                "replicas": count,
                "restartPolicy": self.restart_policy,
                "template": self.pod.template(self.app),
            }

        roles = {"Master": replicas(1)} | ({"Worker": replicas(self.workers)} if self.workers else {})
        return {
            "apiVersion": Kind.PYTORCH_JOB.api_version,
            "kind": "PyTorchJob",
            "metadata": _metadata(self.name, self.labels),
            "spec": {
                "pytorchReplicaSpecs": roles,
                "runPolicy": {"backoffLimit": self.backoff_limit, **self.run_policy},
            },
        }


@dataclass(frozen=True)
class TrainJob:
    """Kubeflow Trainer v2's TrainJob: a runtime of the cluster, and what this training says differently."""

    name: str
    runtime: str
    image: str | None = None
    command: Sequence[str] = ()
    args: Sequence[str] = ()
    env: Sequence[Env] = ()
    nodes: int | None = None
    resources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    runtime_kind: str = "ClusterTrainingRuntime"
    labels: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Json] = field(default_factory=dict)
    kind: Kind = field(default=Kind.TRAIN_JOB, init=False)

    def manifest(self) -> dict[str, Any]:
        """The whole object."""
        trainer = _drop(
            image=self.image,
            command=list(self.command),
            args=list(self.args),
            env=[variable.json() for variable in self.env],
            numNodes=self.nodes,
            resourcesPerNode={name: dict(amounts) for name, amounts in self.resources.items()},
        )
        runtime = {"apiGroup": "trainer.kubeflow.org", "kind": self.runtime_kind, "name": self.runtime}
        return {
            "apiVersion": Kind.TRAIN_JOB.api_version,
            "kind": "TrainJob",
            "metadata": _metadata(self.name, self.labels),
            "spec": {"runtimeRef": runtime} | _drop(trainer=trainer) | dict(self.extra),
        }
