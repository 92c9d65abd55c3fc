//! PyTorchJobs that fail, or nearly do.

use super::jobs::{events, is, name};
use super::pytorch::{comes_to, create, idle, ranks, run};
use crate::talk::Talk;
use serde_json::{Value, json};

pub(super) async fn tell(talk: &mut Talk) {
    never(talk).await;
    again(talk).await;
    by_code(talk).await;
    exhausted(talk).await;
    lost(talk).await;
}

async fn fail(talk: &Talk, pod: &str, code: i32) {
    let ended = json!({"terminated": {"exitCode": code, "reason": "Error", "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:00Z"}});
    let status = json!({"phase": "Failed", "containerStatuses": [{
        "name": "pytorch", "image": "example.test/none:1", "imageID": "", "ready": false, "restartCount": 0, "state": ended,
    }]});
    talk.kubelet.status(pod, status).await.expect("the pod's status is written");
}

async fn never(talk: &mut Talk) {
    let uid = create(talk, "never", "Never", &json!({})).await;
    run(talk, "never").await;
    fail(talk, "never-worker-0", 1).await;
    comes_to(talk, "a worker that is not restarted", "never", "Failed", |_| true).await;
    let pods =
        talk.quietly("GET pods?labelSelector=training.kubeflow.org/job-name=never", Value::Null).await.body;
    let mut pods: Vec<_> = pods["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|pod| json!([name(pod), pod["status"]["phase"]]))
        .collect();
    pods.sort_by_key(Value::to_string);
    talk.note("its pods stay", &json!(pods));
    events(talk, "its events", &uid, &["PyTorchJobFailed"]).await;

    create(talk, "first", "Never", &json!({"cleanPodPolicy": "All"})).await;
    run(talk, "first").await;
    fail(talk, "first-master-0", 1).await;
    comes_to(talk, "a master that is not restarted", "first", "Failed", |_| true).await;
    for rank in ["master", "worker"] {
        talk.note_gone(&format!("clean All after a failure: {rank}"), &format!("pods/first-{rank}-0")).await;
    }
}

/// A failed pod, such as one that was thrown out, has a successor of its name.
async fn again(talk: &mut Talk) {
    create(talk, "again", "OnFailure", &json!({"backoffLimit": 3})).await;
    run(talk, "again").await;
    let before = talk.quietly("GET pods/again-worker-0", Value::Null).await.uid();
    fail(talk, "again-worker-0", 1).await;
    let other = |pod: &Value| {
        pod["metadata"]["uid"] != json!(before) && pod["metadata"]["deletionTimestamp"].is_null()
    };
    talk.until("pods/again-worker-0", "another worker", other).await;
    let running = run(talk, "again").await;
    talk.note("it runs again", &running["status"]);
    talk.kubelet.succeeded("again-master-0").await.expect("the pod's status is written");
    comes_to(talk, "it succeeds in the end", "again", "Succeeded", idle).await;
}

async fn by_code(talk: &mut Talk) {
    create(talk, "code", "ExitCode", &json!({})).await;
    run(talk, "code").await;
    let before = talk.quietly("GET pods/code-worker-0", Value::Null).await.uid();
    fail(talk, "code-worker-0", 137).await;
    let other = |pod: &Value| {
        pod["metadata"]["uid"] != json!(before) && pod["metadata"]["deletionTimestamp"].is_null()
    };
    talk.until("pods/code-worker-0", "another worker", other).await;
    talk.note("a signal is no failure", &json!("another worker"));
    run(talk, "code").await;
    fail(talk, "code-worker-0", 1).await;
    let failed = comes_to(talk, "a code that is one", "code", "Failed", |_| true).await;
    assert!(is(&failed, "Failed"));
}

/// Containers that are started again in their pods, too often.
async fn exhausted(talk: &mut Talk) {
    create(talk, "loop", "OnFailure", &json!({"backoffLimit": 2})).await;
    run(talk, "loop").await;
    let restarted = |count: i32| {
        json!({
            "phase": "Running",
            "containerStatuses": [{
                "name": "pytorch", "image": "example.test/none:1", "imageID": "", "ready": false, "restartCount": count,
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off restarting failed container"}},
            }],
        })
    };
    talk.kubelet.status("loop-worker-0", restarted(1)).await.expect("the pod's status is written");
    talk.kubelet.status("loop-worker-0", restarted(2)).await.expect("the pod's status is written");
    comes_to(talk, "restarted too often", "loop", "Failed", |_| true).await;
    for rank in ["master", "worker"] {
        talk.note_gone(&format!("restarted too often: {rank}"), &format!("pods/loop-{rank}-0")).await;
    }
}

/// A pod that somebody has deleted has a successor, and nothing has failed.
async fn lost(talk: &mut Talk) {
    create(talk, "lost", "OnFailure", &json!({"backoffLimit": 0})).await;
    run(talk, "lost").await;
    let before = talk.quietly("GET pods/lost-worker-0", Value::Null).await.uid();
    talk.quietly("DELETE pods/lost-worker-0", Value::Null).await;
    talk.until("pods/lost-worker-0", "another worker", |pod| pod["metadata"]["uid"] != json!(before)).await;
    assert_eq!(ranks(talk, "lost", 2).await.len(), 2);
    let running = run(talk, "lost").await;
    talk.note("a lost worker", &running["status"]["conditions"]);
}
