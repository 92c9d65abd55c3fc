"""Ready predicates for the usual workloads.

They look only at conditions whose status is `True`, never at counters: a Job whose first pod failed and whose second
one runs has neither failed nor succeeded.
"""

from __future__ import annotations

from .contract import Kind, ObjectRef, Target


def condition(kind: str) -> str:
    """A predicate: the object has a condition of this type whose status is `True`."""
    return f'condition(object, "{kind}")'


def condition_text(kind: str) -> str:
    """The reason and message of that condition; only where it is there."""
    return (
        f'object.status.conditions.filter(c, c.type == "{kind}" && c.status == "True")'
        f'.map(c, (has(c.reason) ? c.reason : "{kind}")'
        ' + (has(c.message) && c.message != "" ? ": " + c.message : ""))[0]'
    )


def _reason(kinds: tuple[str, ...], otherwise: str) -> str:
    told = "".join(f"{condition(kind)} ? {condition_text(kind)} : " for kind in kinds)
    return f'{told}object == null ? "not created yet" : {otherwise}'


_ACTIVE = (
    "has(object.status) && has(object.status.active) && object.status.active > 0"
    ' ? "a pod is active" : "no pod is active"'
)


def by_condition(object: ObjectRef, succeeded: str, failed: str = "Failed", reason: str | None = None) -> Target:
    """Anything that says by conditions how it ended."""
    return Target(object=object, succeeded=condition(succeeded), failed=condition(failed), reason=reason)


def job(name: str) -> Target:
    """A Job that is to complete."""
    reference = ObjectRef(Kind.JOB.api_version, "Job", name)
    return by_condition(reference, "Complete", reason=_reason(("Failed", "Suspended"), _ACTIVE))


def pytorch_job(name: str) -> Target:
    """A PyTorchJob that is to succeed. Its `Running` condition may stay True for ever; it is not looked at."""
    reference = ObjectRef(Kind.PYTORCH_JOB.api_version, "PyTorchJob", name)
    reason = _reason(
        ("Failed", "Suspended", "Restarting", "Running"),
        f'{condition("Created")} ? {condition_text("Created")} : "the training operator has not looked at it yet"',
    )
    return by_condition(reference, "Succeeded", reason=reason)


def train_job(name: str) -> Target:
    """A TrainJob that is to complete. `Suspended=False` stays behind after a resume, and means nothing."""
    reference = ObjectRef(Kind.TRAIN_JOB.api_version, "TrainJob", name)
    return by_condition(
        reference, "Complete", reason=_reason(("Failed", "Suspended"), '"not finished, as far as the trainer says"')
    )
