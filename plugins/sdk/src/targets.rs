//! Ready predicates for the usual workloads.
//!
//! They look only at conditions whose status is `True`, never at counters: a Job whose first pod failed and whose
//! second one runs has neither failed nor succeeded.

use crate::contract::{ObjectRef, Target};

// What the condition of that type says, where it is there.
macro_rules! condition_text {
    ($kind:literal) => {
        concat!(
            "object.status.conditions.filter(c, c.type == \"",
            $kind,
            "\" && c.status == \"True\").map(c, (has(c.reason) ? c.reason : \"",
            $kind,
            "\") + (has(c.message) && c.message != \"\" ? \": \" + c.message : \"\"))[0]"
        )
    };
}

const JOB_REASON: &str = concat!(
    "condition(object, \"Failed\") ? ",
    condition_text!("Failed"),
    " : condition(object, \"Suspended\") ? ",
    condition_text!("Suspended"),
    " : object == null ? \"not created yet\"",
    " : has(object.status) && has(object.status.active) && object.status.active > 0 ? \"a pod is active\"",
    " : \"no pod is active\""
);

const PYTORCH_JOB_REASON: &str = concat!(
    "condition(object, \"Failed\") ? ",
    condition_text!("Failed"),
    " : condition(object, \"Suspended\") ? ",
    condition_text!("Suspended"),
    " : condition(object, \"Restarting\") ? ",
    condition_text!("Restarting"),
    " : condition(object, \"Running\") ? ",
    condition_text!("Running"),
    " : object == null ? \"not created yet\"",
    " : condition(object, \"Created\") ? ",
    condition_text!("Created"),
    " : \"the training operator has not looked at it yet\""
);

const TRAIN_JOB_REASON: &str = concat!(
    "condition(object, \"Failed\") ? ",
    condition_text!("Failed"),
    " : condition(object, \"Suspended\") ? ",
    condition_text!("Suspended"),
    " : object == null ? \"not created yet\" : \"not finished, as far as the trainer says\""
);

/// Points at a Job.
#[must_use]
pub fn job_ref(name: &str) -> ObjectRef {
    ObjectRef { api_version: "batch/v1".into(), kind: "Job".into(), name: name.into() }
}

/// Points at a PyTorchJob.
#[must_use]
pub fn pytorch_job_ref(name: &str) -> ObjectRef {
    ObjectRef { api_version: "kubeflow.org/v1".into(), kind: "PyTorchJob".into(), name: name.into() }
}

/// Points at a TrainJob.
#[must_use]
pub fn train_job_ref(name: &str) -> ObjectRef {
    ObjectRef {
        api_version: "trainer.kubeflow.org/v1alpha1".into(),
        kind: "TrainJob".into(),
        name: name.into(),
    }
}

fn by_condition(object: ObjectRef, succeeded: &str, reason: &str) -> Target {
    Target {
        object,
        succeeded: format!("condition(object, \"{succeeded}\")"),
        failed: "condition(object, \"Failed\")".into(),
        reason: Some(reason.into()),
        timeout_seconds: None,
    }
}

/// A Job that is to complete.
///
/// ```
/// let target = ilab_stage_sdk::targets::job("ilab-hello");
/// assert_eq!(target.succeeded, r#"condition(object, "Complete")"#);
/// ```
#[must_use]
pub fn job(name: &str) -> Target {
    by_condition(job_ref(name), "Complete", JOB_REASON)
}

/// A PyTorchJob that is to succeed. Its `Running` condition may stay True for ever; it is not looked at.
#[must_use]
pub fn pytorch_job(name: &str) -> Target {
    by_condition(pytorch_job_ref(name), "Succeeded", PYTORCH_JOB_REASON)
}

/// A TrainJob that is to complete. Its conditions are `Suspended`, `Complete` and `Failed` only; a `Suspended` of status
/// `False` stays behind after a resume, and means nothing.
#[must_use]
pub fn train_job(name: &str) -> Target {
    by_condition(train_job_ref(name), "Complete", TRAIN_JOB_REASON)
}
