"""The stage `lm-eval`: evaluates the best checkpoint with EleutherAI's lm-evaluation-harness, beside MT-Bench's judge.

Tasks are the harness's own, or task files on the shared claim, as SDG makes them of the taxonomy (`tasks-dir`).
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
    StageError,
    Volume,
    k8s,
    path_problem,
    targets,
)

# Read when the component is built: it has no files later.
SCRIPT = Path(__file__).with_name("run_lm_eval.py").read_text()
BEST_MODEL = "mt-bench.best-model"
IMAGE = "registry.redhat.io/rhelai1/instructlab-nvidia-rhel9:1.2"
RESULTS: dict[str, Json] = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": {"type": "object", "additionalProperties": {"type": "number"}},
}


class LmEval(Stage):
    """One model, any number of tasks."""

    descriptor = Descriptor(
        name="lm-eval",
        group="evaluation",
        summary="Evaluates the best checkpoint with lm-evaluation-harness",
        selected_by=Selector("eval-type", "lm-eval"),
        after=["?mt-bench"],
        inputs=[f"?{BEST_MODEL}"],
        parameters=[
            Parameter.image("image", "Image with Python, PyTorch, transformers and lm_eval", default=IMAGE),
            Parameter.choice(
                "image-pull-policy",
                "When images are pulled",
                ["IfNotPresent", "Always", "Never"],
                default="IfNotPresent",
            ),
            Parameter.string("model", "Path of the model on the claim; empty: the best of mt-bench", default=""),
            Parameter.strings(
                "tasks", "The harness's tasks; with tasks-dir, those of its files", pattern="^[A-Za-z0-9_.-]{1,128}$"
            ),
            Parameter.string("tasks-dir", "Folder on the claim with task files of one's own; empty: none", default=""),
            Parameter.integer("few-shots", "Examples before each question", minimum=0, maximum=64, default=0),
            Parameter.integer("batch-size", "Questions at once", minimum=1, maximum=4096, default=8),
            Parameter.integer("limit", "Questions of each task at most; 0: all", minimum=0, default=0),
            Parameter.integer("gpus", "GPUs of the pod; 0: none", minimum=0, maximum=16, default=1),
            Parameter.quantity("cpu", "CPUs asked for; empty: none", default="4"),
            Parameter.quantity("memory", "Memory asked for; empty: none", default="16Gi"),
            Parameter.integer(
                "run-as-user", "User id of the processes; -1: what image or cluster say", minimum=-1, default=-1
            ),
            Parameter.integer(
                "fs-group", "Group that owns the volumes; -1: what the cluster says", minimum=-1, default=-1
            ),
        ],
        volumes=[Volume(name="data", size="200Gi")],
        outputs=[
            Output.string("model", "The model", sample="/data/model", sample_parameter="model"),
            Output(
                name="results",
                help="Each task's metrics",
                schema=RESULTS,
                sample={"arc_easy": {"acc": 0.5, "acc_stderr": 0.01}},
            ),
        ],
        creates=[Kind.CONFIG_MAP, Kind.JOB],
        licence="Apache-2.0",
        homepage="https://github.com/instructlab/ilab-host/tree/main/examples/python-lm-eval",
    )

    def render(self, ctx: Context) -> Plan:
        """A Job that runs the harness, offline, with the claim that all stages share."""
        if not ctx.texts("tasks"):
            raise StageError("names no task", "tasks")
        files = k8s.ConfigMap(ctx.name("scripts"), {"run_lm_eval.py": SCRIPT})
        gpus = {"nvidia.com/gpu": str(ctx.integer("gpus"))} if ctx.integer("gpus") else {}
        container = k8s.Container(
            "lm-eval",
            ctx.text("image"),
            command=["python3", "/ilab/scripts/run_lm_eval.py", *_arguments(ctx)],
            env={
                "HOME": "/tmp",  # noqa: S108 - the pod's own.
                "HF_HOME": "/tmp/huggingface",  # noqa: S108
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONUNBUFFERED": "1",
            },
            mounts=[
                k8s.Mount("data", "/data", read_only=True),
                k8s.Mount("scripts", "/ilab/scripts", read_only=True),
                k8s.Mount("tmp", "/tmp"),  # noqa: S108
            ],
            requests={"cpu": ctx.text("cpu"), "memory": ctx.text("memory"), **gpus},
            limits=gpus,
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
        job = k8s.Job(ctx.name(), app="lm-eval", pod=pod, backoff_limit=1)
        return Plan().apply(files).apply(job).wait(targets.job(job.name)).read(job, "lm-eval")


def _arguments(ctx: Context) -> list[str]:
    arguments = ["--model", _model(ctx), "--device", "cuda" if ctx.integer("gpus") else "cpu"]
    for task in ctx.texts("tasks"):
        arguments += ["--task", task]
    arguments += ["--few-shots", str(ctx.integer("few-shots")), "--batch-size", str(ctx.integer("batch-size"))]
    if ctx.integer("limit"):
        arguments += ["--limit", str(ctx.integer("limit"))]
    if ctx.text("tasks-dir"):
        arguments += ["--tasks-dir", _below_data(ctx, "tasks-dir")]
    return arguments


def _model(ctx: Context) -> str:
    return _below_data(ctx, "model") if ctx.text("model") else ctx.path_input(BEST_MODEL, "/data")


def _below_data(ctx: Context, parameter: str) -> str:
    path = ctx.text(parameter)
    problem = path_problem(path, "/data")
    if problem is not None:
        raise StageError(problem, parameter)
    return path


STAGES = [LmEval()]
