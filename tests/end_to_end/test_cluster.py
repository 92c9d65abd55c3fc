"""All six stages on a real node with the real training operator, and the same record as on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kit import ROOT, RUN, end, first_line, ignore, phase, program, watched

MINIATURE = ROOT / "examples/miniature"
NAMESPACE = "e2e"
HOST_IMAGE = "localhost/ilab-host:0.1.0"
# What `ilab-test-cluster` ends with where no node can run.
NO_NODE = 3
CLUSTER_START = 600
RUN_BOUND = 1500
PREEMPTED_BOUND = 900

Record = dict[str, Any]


@dataclass(frozen=True)
class Cluster:
    """A cluster whose pods run, with the object store and the judge that they reach."""

    kubeconfig: str
    kubectl: str
    storage_class: str
    judge: str
    credentials: dict[str, str]
    work: Path

    def host(
        self,
        *arguments: str,
        log: str = "log",
        seconds: float = 120,
        credentials: bool = False,
        seen: Callable[[str], None] = ignore,
    ) -> str:
        """Runs ilab-host on this machine and gives its output; `seen` gets what it tells people, line by line."""
        # Nothing that the shell of the developer has set goes in.
        theirs = ("ILAB_", "KUBE", "SDG_", "JUDGE_")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(theirs)}
        if credentials:
            environment |= self.credentials
        return watched([program("ILAB_HOST"), *arguments], self.work / log, seconds, environment, seen)

    def kube(self, *arguments: str, given: str | None = None, seconds: float = 60, check: bool = True) -> str:
        """Runs kubectl as the administrator and gives its output."""
        done = subprocess.run(
            [self.kubectl, "--kubeconfig", self.kubeconfig, "--namespace", NAMESPACE, *arguments],
            input=given,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert not check or done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def run(self, run: str, *what: str, log: str, seconds: float, seen: Callable[[str], None] = ignore) -> str:
        """Runs stages from outside the cluster, with what the README says of one's own."""
        return self.host(
            *("run", *what, "--run", run, "--plugins", str(ROOT / "plugins")),
            *("--values", str(MINIATURE / "values.yaml")),
            *("--kubeconfig", self.kubeconfig, "-n", NAMESPACE, "--storage-class", self.storage_class),
            *("--judge-serving-model-endpoint", self.judge, "--judge-serving-model-name", "miniature-judge"),
            log=log,
            seconds=seconds,
            credentials=True,
            seen=seen,
        )

    def record(self, run: str) -> Record:
        """The stages of a run, as its record in the cluster has them."""
        text = self.host("runs", "status", run, "--kubeconfig", self.kubeconfig, "-n", NAMESPACE, "-o", "json")
        stages: Record = json.loads(text)["stages"]
        return stages


def renamed(outputs: Record, run: str) -> Record:
    """The outputs of the first run as another run has them, in whose paths its own name stands."""
    there: Record = json.loads(json.dumps(outputs).replace(f"/{RUN}/", f"/{run}/"))
    return there


def made(script: Path, *arguments: Path) -> Path:
    """What one of the miniature's scripts makes; it is in the cache, or soon will be."""
    done = subprocess.run(
        [script, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=1800, check=True
    )
    return Path(done.stdout.splitlines()[-1])


def started_node(ended: contextlib.ExitStack, work: Path) -> dict[str, Any]:
    """Starts the cluster with both images; what it tells of itself."""
    image = made(MINIATURE / "image/build.sh")
    host_image = made(ROOT / "host/image/tree", program("ILAB_HOST"), work / "image", ROOT / "plugins")
    log = work / "cluster.log"
    images = [f"--image={HOST_IMAGE}={host_image}", f"--image=localhost/ilab-miniature:1={image}"]
    process = subprocess.Popen(
        [program("ILAB_TEST_CLUSTER"), "--node", "--training-operator", *images],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=ended.enter_context(log.open("w")),
        text=True,
    )

    def stop() -> None:
        # It ends with its input, and a process of its own removes the rest.
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)

    ended.callback(stop)
    line = first_line(process, CLUSTER_START)
    if not line:
        code, why = process.wait(20), log.read_text(errors="replace")[-8000:]
        if code == NO_NODE:
            pytest.skip(why.strip())
        pytest.fail(f"the cluster did not start within {CLUSTER_START} s, exit code {code}:\n{why}")
    told: dict[str, Any] = json.loads(line)
    return told


def started_store(ended: contextlib.ExitStack, work: Path, host: str, keys: tuple[str, str]) -> str:
    """Starts the S3 server at an address that pods reach; its endpoint."""
    with socket.socket() as free:
        free.bind((host, 0))
        port = free.getsockname()[1]
    (work / "store/sdg").mkdir(parents=True)
    process = subprocess.Popen(
        [made(ROOT / "tests/tools/versitygw"), "--port", f"{host}:{port}", "posix", work / "store"],
        env=os.environ | {"ROOT_ACCESS_KEY_ID": keys[0], "ROOT_SECRET_ACCESS_KEY": keys[1]},
        stdout=ended.enter_context((work / "s3.log").open("w")),
        stderr=subprocess.STDOUT,
        text=True,
    )
    ended.callback(end, process)
    return f"http://{host}:{port}"


def started_judge(ended: contextlib.ExitStack, work: Path, host: str, key: str) -> str:
    """Starts the judge at an address that pods reach; its endpoint."""
    process = subprocess.Popen(
        [sys.executable, MINIATURE / "judge/judge.py", "--host", host],
        env=os.environ | {"JUDGE_API_KEY": key},
        stdout=subprocess.PIPE,
        stderr=ended.enter_context((work / "judge.log").open("w")),
        text=True,
    )
    ended.callback(end, process)
    endpoint = first_line(process, 30)
    assert endpoint.startswith("http"), (work / "judge.log").read_text()
    return endpoint


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster, with the sample archive in its store. All of it ends with the tests, and when they fail."""
    work = tmp_path_factory.mktemp("cluster")
    with contextlib.ExitStack() as ended:
        with phase("a node, the training operator, and the images"):
            told = started_node(ended, work)
        keys, judge_key = ("miniature", secrets.token_hex(12)), secrets.token_hex(12)
        host = told["hostAddress"]
        credentials = {
            "SDG_OBJECT_STORE_ENDPOINT": started_store(ended, work, host, keys),
            "SDG_OBJECT_STORE_BUCKET": "sdg",
            "SDG_OBJECT_STORE_DATA_KEY": "sample/data.tar.gz",
            "SDG_OBJECT_STORE_ACCESS_KEY": keys[0],
            "SDG_OBJECT_STORE_SECRET_KEY": keys[1],
            "JUDGE_SERVING_MODEL_API_KEY": judge_key,
        }
        judge = started_judge(ended, work, host, judge_key)
        cluster = Cluster(told["kubeconfig"], told["kubectl"], told["storageClass"], judge, credentials, work)
        cluster.host("data", "upload", str(made(MINIATURE / "data/build.sh")), credentials=True)
        cluster.kube("create", "namespace", NAMESPACE)
        yield cluster


@pytest.fixture(scope="module")
def outside(cluster: Cluster) -> Record:
    """All six stages, run by a host outside the cluster."""
    with phase("the six stages on the node"):
        cluster.run(RUN, log="run.log", seconds=RUN_BOUND)
    return cluster.record(RUN)


def test_the_node_makes_the_same_record_as_this_machine(outside: Record, demo: Path) -> None:
    here: Record = json.loads((demo / "record.json").read_text())["stages"]
    assert sorted(outside) == sorted(here)
    for name, stage in outside.items():
        assert stage["state"] == "Succeeded", name
        # A second attempt would be a pod that died, which the demo does not see.
        assert stage["attempt"] == here[name]["attempt"] == 1, name
        if name == "upload-trained-model":
            continue
        # Not within a tolerance: seeds, ranks and the order of gloo's sums are the same, and both ran on one kind of
        # processor. A different score is a different environment of the pods (threads, ranks, offline switches).
        assert stage["outputs"] == here[name]["outputs"], name
        assert stage["inputs"] == here[name]["inputs"], name


def test_the_training_is_one_master_and_two_workers(outside: Record, cluster: Cluster) -> None:
    kinds = {each["ref"]["kind"] for each in outside["train-phase-1"]["objects"]}
    assert "PyTorchJob" in kinds
    for stage in ("train-phase-1", "train-phase-2"):
        job = json.loads(cluster.kube("get", "pytorchjob", f"{RUN}-{stage}", "-o", "json"))
        replicas = {role: spec["replicas"] for role, spec in job["spec"]["pytorchReplicaSpecs"].items()}
        assert replicas == {"Master": 1, "Worker": 2}
        assert job["status"]["replicaStatuses"]["Master"]["succeeded"] == 1
    log = (cluster.work / "run.log").read_text(errors="replace")
    for rank in range(3):
        assert f"rank {rank} of 3: phase 2" in log


def test_the_model_is_in_the_store(outside: Record, cluster: Cluster) -> None:
    outputs = outside["upload-trained-model"]["outputs"]
    # Of the same files as the demo's; key, size and digest hold the time of the upload.
    uploaded = cluster.work / "store/sdg" / outputs["key"]
    assert uploaded.stat().st_size == outputs["bytes"]


def test_a_training_goes_on_after_a_worker_was_preempted(outside: Record, cluster: Cluster) -> None:
    """A worker's pod is deleted in the middle of the second epoch; every rank saves, starts again and goes on."""
    name = "preempted"
    job, worker = f"{name}-train-phase-1", f"{name}-train-phase-1-worker-0"
    settings = [
        f"train-phase-1.{setting}"
        for setting in (
            "on-demand-checkpointing=true",
            # The real launcher, in whose place the image has nothing but the trainer that it starts.
            "module=instructlab.training.main_ds",
            "disable-flash-attn=true",
        )
    ]
    deleted: list[str] = []

    def pod_uid() -> str:
        return cluster.kube("get", "pod", worker, "-o", "jsonpath={.metadata.uid}")

    def preempt(line: str) -> None:
        # One step of the epoch is enough. What the host shows of the pods is what it has read of their logs.
        if not deleted and " | Epoch: 1, Step: " in line:
            deleted.append(pod_uid())
            cluster.kube("delete", "pod", worker, "--wait=false")

    with phase("a training whose worker is preempted"):
        cluster.run(name, "sdg-data-fetch", log="preempted-fetch.log", seconds=PREEMPTED_BOUND)
        cluster.run(
            *(name, "train", "--training-phase", "1", *(f"--set={setting}" for setting in settings)),
            log="preempted.log",
            seconds=PREEMPTED_BOUND,
            seen=preempt,
        )
    log = (cluster.work / "preempted.log").read_text(errors="replace")
    assert deleted, "no step of the second epoch was seen"
    # Each rank for itself has come to the conclusion that the training was not complete.
    for rank in range(3):
        assert f"rank {rank}: preempted in epoch 1" in log
        assert f"rank {rank}: going on from the state of epoch 1" in log
    assert "Resuming mid-epoch: epoch=1, last_step=" in log
    # The worker is another pod; the master is the same, and has been started again in its place.
    assert pod_uid() not in deleted
    master = json.loads(cluster.kube("get", "pod", f"{job}-master-0", "-o", "json"))
    assert master["spec"]["terminationGracePeriodSeconds"] == 480
    assert master["status"]["containerStatuses"][0]["restartCount"] >= 1
    # Two epochs are two checkpoints, with as many samples as in the training that nobody disturbed, and no third one of
    # the middle.
    stage = cluster.record(name)["train-phase-1"]
    assert (stage["state"], stage["attempt"]) == ("Succeeded", 1)
    assert stage["outputs"] == renamed(outside["train-phase-1"]["outputs"], name)


def test_the_host_runs_inside_the_cluster_with_no_more_than_its_role(outside: Record, cluster: Cluster) -> None:
    """All six stages from a Job, under the Role that `show` prints, with Secrets that are there already."""
    name, judge = "inside", "judge-of-the-team"
    keys = {
        "JUDGE_ENDPOINT": cluster.judge,
        "JUDGE_NAME": "miniature-judge",
        "JUDGE_API_KEY": cluster.credentials["JUDGE_SERVING_MODEL_API_KEY"],
    }
    literals = (f"--from-literal={key}={value}" for key, value in keys.items())
    cluster.kube("create", "secret", "generic", judge, *literals)
    shown = cluster.host(
        *("show", "--plugins", str(ROOT / "plugins"), "--values", str(MINIATURE / "values.yaml")),
        *("--image", HOST_IMAGE, "--name", name, "--run-as-user", "1000", "--run", name, "-n", NAMESPACE),
        *("--sdg-object-store-secret", "sdg-object-store-credentials", "--judge-serving-model-secret", judge),
        *("--storage-class", cluster.storage_class),
    )
    with phase("the six stages from inside the cluster"):
        cluster.kube("apply", "-f", "-", given=shown)
        wait = ("wait", f"job/{name}", "--for=condition=Complete", f"--timeout={RUN_BOUND}s")
        ended = cluster.kube(*wait, seconds=RUN_BOUND + 30, check=False)
    log = cluster.kube("logs", f"job/{name}", "--tail=40", check=False)
    assert "condition met" in ended, cluster.kube("describe", f"job/{name}") + log
    stages = cluster.record(name)
    assert sorted(stages) == sorted(outside)
    for stage, record in stages.items():
        assert (record["state"], record["attempt"]) == ("Succeeded", 1), log
        if stage != "upload-trained-model":
            assert record["outputs"] == renamed(outside[stage]["outputs"], name), stage
    # It was the role that let it do this: nobody has widened it.
    account = f"--as=system:serviceaccount:{NAMESPACE}:{name}"
    assert cluster.kube("auth", "can-i", "create", "jobs", account, check=False).strip() == "yes"
    assert cluster.kube("auth", "can-i", "create", "deployments", account, check=False).strip() == "no"
