"""The stage `my-eval`: looks at every checkpoint of training phase 2.

What is here says what the cluster is to do. It runs in the host, in a sandbox without files, network or clock; the work
itself is done by `evaluate.py`, in a pod.
"""

from __future__ import annotations

from pathlib import Path

from ilab_stage import (
    Context,
    Descriptor,
    Json,
    Kind,
    Output,
    Parameter,
    Plan,
    Selector,
    Stage,
    Volume,
    k8s,
    targets,
)

# Read when the component is built: it has no files later.
SCRIPT = Path(__file__).with_name("evaluate.py").read_text()
CHECKPOINTS = "train-phase-2.checkpoints-dir"
IMAGE = "registry.redhat.io/rhelai1/instructlab-nvidia-rhel9:1.2"
SCORES: dict[str, Json] = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "required": ["model", "score"],
        "properties": {"model": {"type": "string"}, "score": {"type": "number"}},
    },
}


class Evaluation(Stage):
    """One evaluation of all checkpoints."""

    descriptor = Descriptor(
        name="my-eval",
        group="evaluation",
        summary="Tells which share of every checkpoint's weights is finite",
        selected_by=Selector("eval-type", "my-eval"),
        after=["?train-phase-2"],
        inputs=[CHECKPOINTS],
        parameters=[
            Parameter.image("image", "Image with Python, PyTorch and safetensors", default=IMAGE),
            Parameter.choice(
                "image-pull-policy",
                "When images are pulled",
                ["IfNotPresent", "Always", "Never"],
                default="IfNotPresent",
            ),
            Parameter.integer(
                "run-as-user", "User id of the processes; -1: what image or cluster say", minimum=-1, default=-1
            ),
            Parameter.integer(
                "fs-group", "Group that owns the volumes; -1: what the cluster says", minimum=-1, default=-1
            ),
            Parameter.quantity("memory", "Memory asked for; empty: none", default="4Gi"),
        ],
        volumes=[Volume(name="data", size="200Gi")],
        outputs=[
            Output.string("best-model", "The best checkpoint", sample="/data/model/output/ilab/phase_2/hf_format/s"),
            Output.number("best-score", "Its score", sample=1.0),
            Output(
                name="scores",
                help="The score of each checkpoint",
                schema=SCORES,
                sample=[{"model": "/data/model/output/ilab/phase_2/hf_format/s", "score": 1.0}],
            ),
        ],
        creates=[Kind.CONFIG_MAP, Kind.JOB],
        licence="Apache-2.0",
    )

    def render(self, ctx: Context) -> Plan:
        """A Job that runs the script, with the claim that all stages share."""
        files = k8s.ConfigMap(ctx.name("scripts"), {"evaluate.py": SCRIPT})
        container = k8s.Container(
            "evaluate",
            ctx.text("image"),
            command=["python3", "/ilab/scripts/evaluate.py", "--checkpoints-dir", ctx.path_input(CHECKPOINTS, "/data")],
            env={"HOME": "/tmp", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"},  # noqa: S108
            mounts=[
                k8s.Mount("data", "/data", read_only=True),
                k8s.Mount("scripts", "/ilab/scripts", read_only=True),
                k8s.Mount("tmp", "/tmp"),  # noqa: S108
            ],
            requests={"memory": ctx.text("memory")},
            pull_policy=ctx.text("image-pull-policy"),
        )
        user, group = ctx.integer("run-as-user"), ctx.integer("fs-group")
        pod = k8s.Pod(
            [container],
            volumes=[
                k8s.PodVolume.claim("data", ctx.claim("data")),
                k8s.PodVolume.config_map("scripts", files.name),
                k8s.PodVolume.scratch("tmp"),
            ],
            run_as_user=user if user >= 0 else None,
            fs_group=group if group >= 0 else None,
        )
        job = k8s.Job(ctx.name(), app="my-eval", pod=pod)
        return Plan().apply(files).apply(job).wait(targets.job(job.name)).read(job, "evaluate")


STAGES = [Evaluation()]
