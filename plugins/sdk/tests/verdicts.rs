//! The ready predicates, judged by the host on what real controllers write.

use ilab_core::verdict::{Predicates, Verdict};
use ilab_stage_sdk::{Target, targets};
use serde_json::{Value, json};

fn judge(target: &Target, observed: Option<&Value>) -> Verdict {
    let target = serde_json::from_value(serde_json::to_value(target).unwrap()).unwrap();
    Predicates::compile(&target).unwrap().judge(observed)
}

fn with_conditions(conditions: Value) -> Value {
    json!({"metadata": {"name": "x"}, "status": {"conditions": conditions}})
}

fn why(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::Pending { why } => why,
        Verdict::Failed { reason } => reason,
        Verdict::Succeeded => "",
    }
}

#[test]
fn what_has_no_status_yet_is_pending() {
    for target in [targets::job("x"), targets::pytorch_job("x")] {
        for observed in [
            json!({"metadata": {"name": "x"}}),
            json!({"status": null}),
            json!({"status": {}}),
            json!({"status": {"conditions": null}}),
            json!({"status": {"conditions": []}}),
        ] {
            let verdict = judge(&target, Some(&observed));
            assert!(matches!(verdict, Verdict::Pending { .. }), "{observed}: {verdict:?}");
        }
        assert!(matches!(judge(&target, None), Verdict::Pending { .. }));
    }
}

#[test]
fn a_job_is_judged_by_conditions_not_by_counters() {
    let job = targets::job("x");
    let retried = json!({"status": {"failed": 1, "active": 1}});
    let verdict = judge(&job, Some(&retried));
    assert_eq!(verdict, Verdict::Pending { why: "a pod is active".into() });
    let done = with_conditions(json!([
        {"type": "SuccessCriteriaMet", "status": "True"},
        {"type": "Complete", "status": "True"},
    ]));
    assert_eq!(judge(&job, Some(&done)), Verdict::Succeeded);
    let resumed = with_conditions(json!([{"type": "Suspended", "status": "False", "reason": "JobResumed"}]));
    assert_eq!(judge(&job, Some(&resumed)), Verdict::Pending { why: "no pod is active".into() });
}

#[test]
fn the_reason_is_what_the_controller_says() {
    let failed = with_conditions(json!([
        {"type": "Suspended", "status": "False"},
        {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded",
         "message": "Job has reached the specified backoff limit"},
    ]));
    let reason = "BackoffLimitExceeded: Job has reached the specified backoff limit".to_owned();
    for target in [targets::job("x"), targets::pytorch_job("x")] {
        assert_eq!(judge(&target, Some(&failed)), Verdict::Failed { reason: reason.clone() });
    }
    let bare = with_conditions(json!([{"type": "Failed", "status": "True"}]));
    assert_eq!(judge(&targets::job("x"), Some(&bare)), Verdict::Failed { reason: "Failed".into() });
    let queued = with_conditions(json!([
        {"type": "Suspended", "status": "True", "reason": "JobSuspended", "message": "Job suspended"},
    ]));
    assert_eq!(why(&judge(&targets::job("x"), Some(&queued))), "JobSuspended: Job suspended");
}

#[test]
fn a_running_condition_that_stays_true_does_not_hide_the_end() {
    let job = targets::pytorch_job("x");
    let done = with_conditions(json!([
        {"type": "Succeeded", "status": "True"},
        {"type": "Running", "status": "True"},
        {"type": "Created", "status": "True"},
    ]));
    assert_eq!(judge(&job, Some(&done)), Verdict::Succeeded);
    let failed = with_conditions(json!([
        {"type": "Running", "status": "True"},
        {"type": "Failed", "status": "True", "reason": "PyTorchJobFailed", "message": "backoff limit"},
    ]));
    assert_eq!(
        judge(&job, Some(&failed)),
        Verdict::Failed { reason: "PyTorchJobFailed: backoff limit".into() }
    );
    let restarting = with_conditions(json!([
        {"type": "Running", "status": "False"},
        {"type": "Restarting", "status": "True", "reason": "PyTorchJobRestarting", "message": ""},
    ]));
    assert_eq!(why(&judge(&job, Some(&restarting))), "PyTorchJobRestarting");
}
