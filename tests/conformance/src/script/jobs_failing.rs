//! Jobs that fail, each in a way of its own.

use super::jobs::{active, comes_to, events, is, name};
use super::manifests::job;
use crate::talk::Talk;
use serde_json::{Value, json};

pub(super) async fn tell(talk: &mut Talk) {
    at_once(talk).await;
    third_time(talk).await;
    in_place(talk).await;
    deadline(talk).await;
    policies(talk).await;
    lost(talk).await;
}

async fn fail(talk: &Talk, pod: &Value, code: i32) {
    talk.kubelet.failed(&name(pod), code, "Error").await.expect("the pod's status is written");
}

async fn at_once(talk: &mut Talk) {
    let uid = talk.quietly("POST jobs", job("once", &json!({"backoffLimit": 0}))).await.uid();
    let pod = active(talk, "once", 1).await.remove(0);
    talk.kubelet.running(&name(&pod)).await.expect("the pod's status is written");
    fail(talk, &pod, 137).await;
    comes_to(talk, "without a second try", "once", "Failed").await;
    let pod = talk.quietly(&format!("GET pods/{}", name(&pod)), Value::Null).await;
    talk.note("its pod stays", &json!([pod.code, pod.body["status"]["phase"]]));
    events(talk, "its events", &uid, &["SuccessfulCreate", "BackoffLimitExceeded"]).await;
}

async fn third_time(talk: &mut Talk) {
    talk.quietly("POST jobs", job("thrice", &json!({"backoffLimit": 2}))).await;
    for n in 1..=2 {
        let pod = active(talk, "thrice", 1).await.remove(0);
        fail(talk, &pod, 1).await;
        talk.until("jobs/thrice", "counted", |job| job["status"]["failed"] == json!(n)).await;
    }
    let pod = active(talk, "thrice", 1).await.remove(0);
    fail(talk, &pod, 1).await;
    comes_to(talk, "after two more tries", "thrice", "Failed").await;
}

/// Containers that are started again in their pod.
async fn in_place(talk: &mut Talk) {
    let mut wanted = job("place", &json!({"backoffLimit": 2}));
    wanted["spec"]["template"]["spec"]["restartPolicy"] = json!("OnFailure");
    talk.quietly("POST jobs", wanted).await;
    let pod = active(talk, "place", 1).await.remove(0);
    let restarted = |count: i32| {
        json!({
            "phase": "Running",
            "containerStatuses": [{
                "name": "main", "image": "example.test/none:1", "imageID": "", "ready": false, "restartCount": count,
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off restarting failed container"}},
            }],
        })
    };
    talk.kubelet.status(&name(&pod), restarted(1)).await.expect("the pod's status is written");
    talk.kubelet.status(&name(&pod), restarted(2)).await.expect("the pod's status is written");
    let failed = talk.until("jobs/place", "Failed", |job| is(job, "Failed")).await;
    talk.note("restarted too often", &failed["status"]);
    talk.note_gone("its pod goes", &format!("pods/{}", name(&pod))).await;
}

async fn deadline(talk: &mut Talk) {
    let uid = talk.quietly("POST jobs", job("late", &json!({"activeDeadlineSeconds": 1}))).await.uid();
    comes_to(talk, "active for too long", "late", "Failed").await;
    talk.all("pods?labelSelector=job-name=late", "its pods go", |all| all.is_empty()).await;
    talk.note("its pods go", &json!("gone"));
    events(talk, "events of a late Job", &uid, &["DeadlineExceeded"]).await;
}

/// What a failure means may depend on its code.
async fn policies(talk: &mut Talk) {
    let rule = |action: &str, code: i32| json!({"action": action, "onExitCodes": {"containerName": "main", "operator": "In", "values": [code]}});
    let rules = json!({"rules": [rule("FailJob", 42), rule("Ignore", 43), {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]});
    talk.quietly("POST jobs", job("rule", &json!({"backoffLimit": 1, "podFailurePolicy": rules.clone()})))
        .await;
    // Ignored as often as it comes.
    for _ in 0..3 {
        let pod = active(talk, "rule", 1).await.remove(0);
        fail(talk, &pod, 43).await;
        talk.until(&format!("pods/{}", name(&pod)), "failed", |pod| pod["status"]["phase"] == "Failed").await;
    }
    let pod = active(talk, "rule", 1).await.remove(0);
    let counted = talk.until("jobs/rule", "active again", |job| job["status"]["active"] == json!(1)).await;
    talk.note("ignored failures", &counted["status"]["failed"]);
    fail(talk, &pod, 42).await;
    comes_to(talk, "a code that ends it", "rule", "Failed").await;
}

/// A pod that somebody has deleted.
async fn lost(talk: &mut Talk) {
    talk.quietly("POST jobs", job("lost", &json!({"backoffLimit": 1}))).await;
    let first = active(talk, "lost", 1).await.remove(0);
    talk.until("jobs/lost", "counted", |job| job["status"]["active"] == json!(1)).await;
    talk.quietly(&format!("DELETE pods/{}", name(&first)), Value::Null).await;
    talk.gone(&format!("pods/{}", name(&first))).await;
    let second = active(talk, "lost", 1).await.remove(0);
    let counted = talk
        .until("jobs/lost", "active again", |job| {
            job["status"]["active"] == json!(1) && job["status"]["terminating"] == json!(0)
        })
        .await;
    talk.note("a lost pod", &counted["status"]);
    talk.kubelet.succeeded(&name(&second)).await.expect("the pod's status is written");
    comes_to(talk, "a lost pod and one that succeeded", "lost", "Complete").await;
}
