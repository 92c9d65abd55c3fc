//! Jobs that come to a good end, and those that wait.

use super::manifests::job;
use crate::talk::{Talk, text};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The pods of a Job that have not ended, once there are so many; in the order of their names.
pub(super) async fn active(talk: &mut Talk, job: &str, count: usize) -> Vec<Value> {
    let going = |pod: &Value| {
        !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
            && pod["metadata"]["deletionTimestamp"].is_null()
    };
    let of = format!("pods?labelSelector=job-name={job}");
    let all = talk
        .all(&of, &format!("{count} pods of job {job}"), |all| {
            all.values().filter(|pod| going(pod)).count() == count
        })
        .await;
    let mut pods: Vec<Value> = all.into_values().filter(going).collect();
    pods.sort_by_key(name);
    for pod in &pods {
        talk.names.call(&name(pod), &format!("{job}-<random>"));
    }
    pods
}

pub(super) fn name(pod: &Value) -> String {
    text(pod, "/metadata/name").to_owned()
}

/// Whether a condition holds.
pub(super) fn is(object: &Value, condition: &str) -> bool {
    let all = object["status"]["conditions"].as_array();
    all.is_some_and(|all| all.iter().any(|one| one["type"] == condition && one["status"] == "True"))
}

/// Waits for a condition of a Job, and writes its status down.
pub(super) async fn comes_to(talk: &mut Talk, note: &str, job: &str, condition: &str) -> Value {
    let done = talk.until(&format!("jobs/{job}"), condition, |job| is(job, condition)).await;
    talk.note(note, &done["status"]);
    done
}

/// Waits for the events of these reasons about an object, and writes them down.
pub(super) async fn events(talk: &mut Talk, note: &str, uid: &str, reasons: &[&str]) {
    let of = format!("events?fieldSelector=involvedObject.uid={uid}");
    let has =
        |all: &BTreeMap<String, Value>, reason: &str| all.values().any(|event| event["reason"] == reason);
    let all = talk
        .all(&of, &format!("events {reasons:?}"), |all| reasons.iter().all(|reason| has(all, reason)))
        .await;
    let mut shown: Vec<Value> = all
        .values()
        .filter(|event| reasons.iter().any(|reason| event["reason"] == *reason))
        .map(|event| json!({"reason": event["reason"], "type": event["type"], "message": event["message"], "from": event["source"]["component"], "about": event["involvedObject"]["kind"]}))
        .collect();
    shown.sort_by_key(Value::to_string);
    talk.note(note, &json!(shown));
}

pub(super) async fn tell(talk: &mut Talk) {
    success(talk).await;
    retried(talk).await;
    suspended(talk).await;
    several(talk).await;
    lasting(talk).await;
}

async fn success(talk: &mut Talk) {
    let uid = talk.tell("created", "POST jobs", job("good", &json!({"backoffLimit": 0}))).await.uid();
    let pods = active(talk, "good", 1).await;
    talk.note("its pod", &pods[0]);
    let pod = name(&pods[0]);
    let counted = talk.until("jobs/good", "one active", |job| job["status"]["active"] == json!(1)).await;
    talk.note("pending", &counted["status"]);
    talk.kubelet.running(&pod).await.expect("the pod's status is written");
    let ready = talk.until("jobs/good", "one ready", |job| job["status"]["ready"] == json!(1)).await;
    talk.note("running", &ready["status"]);
    talk.kubelet.succeeded(&pod).await.expect("the pod's status is written");
    let done = comes_to(talk, "succeeded", "good", "Complete").await;
    talk.note("its spec in the end", &json!([done["spec"], done["metadata"]["generation"]]));
    let left = talk.quietly("GET pods?labelSelector=job-name=good", Value::Null).await.body;
    let left = left["items"].as_array().cloned().unwrap_or_default();
    talk.note(
        "its pod in the end",
        &json!(
            left.iter()
                .map(|pod| json!([pod["status"]["phase"], pod["metadata"]["ownerReferences"]]))
                .collect::<Vec<_>>()
        ),
    );
    events(talk, "its events", &uid, &["SuccessfulCreate", "Completed"]).await;
    // A Job that has ended is left as it is.
    let again = talk.quietly("MERGE jobs/good", json!({"spec": {"suspend": true}})).await;
    talk.note("suspend what has ended", &json!([again.code, again.body["status"]["conditions"]]));
}

/// A failed pod has a successor, as long as the limit allows it.
async fn retried(talk: &mut Talk) {
    talk.quietly("POST jobs", job("retried", &json!({"backoffLimit": 1}))).await;
    let first = active(talk, "retried", 1).await.remove(0);
    talk.kubelet.failed(&name(&first), 1, "Error").await.expect("the pod's status is written");
    let second = active(talk, "retried", 1).await.remove(0);
    let counted = talk
        .until("jobs/retried", "one failed and one active", |job| {
            job["status"]["failed"] == json!(1) && job["status"]["active"] == json!(1)
        })
        .await;
    talk.note("failed once", &counted["status"]);
    talk.kubelet.running(&name(&second)).await.expect("the pod's status is written");
    talk.kubelet.succeeded(&name(&second)).await.expect("the pod's status is written");
    comes_to(talk, "failed once, then succeeded", "retried", "Complete").await;
}

async fn suspended(talk: &mut Talk) {
    let uid = talk.quietly("POST jobs", job("held", &json!({"suspend": true}))).await.uid();
    comes_to(talk, "suspended from the start", "held", "Suspended").await;
    let none = talk.quietly("GET pods?labelSelector=job-name=held", Value::Null).await.body;
    talk.note("without pods", &json!(none["items"].as_array().map(Vec::len)));
    talk.quietly("MERGE jobs/held", json!({"spec": {"suspend": false}})).await;
    let first = active(talk, "held", 1).await.remove(0);
    let resumed = |job: &Value| job["status"]["active"] == json!(1) && !is(job, "Suspended");
    let going = talk.until("jobs/held", "resumed", resumed).await;
    talk.note("resumed", &going["status"]);
    talk.quietly("MERGE jobs/held", json!({"spec": {"suspend": true}})).await;
    talk.gone(&format!("pods/{}", name(&first))).await;
    let stopped = |job: &Value| {
        is(job, "Suspended") && job["status"]["active"].is_null() && job["status"]["terminating"] == json!(0)
    };
    let held = talk.until("jobs/held", "suspended again", stopped).await;
    talk.note("suspended again", &held["status"]);
    talk.quietly("MERGE jobs/held", json!({"spec": {"suspend": false}})).await;
    let second = active(talk, "held", 1).await.remove(0);
    talk.kubelet.succeeded(&name(&second)).await.expect("the pod's status is written");
    comes_to(talk, "resumed and succeeded", "held", "Complete").await;
    events(talk, "events of a suspended Job", &uid, &["Suspended", "Resumed", "SuccessfulDelete"]).await;
}

async fn several(talk: &mut Talk) {
    talk.quietly(
        "POST jobs",
        job("indexed", &json!({"completions": 3, "parallelism": 2, "completionMode": "Indexed"})),
    )
    .await;
    let index = |pod: &Value| {
        pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let mut pods = active(talk, "indexed", 2).await;
    pods.sort_by_key(index);
    let shown: Vec<_> = pods
        .iter()
        .map(|pod| {
            json!({
                "annotations": pod["metadata"]["annotations"], "labels": pod["metadata"]["labels"],
                "hostname": pod["spec"]["hostname"], "env": pod["spec"]["containers"][0]["env"],
            })
        })
        .collect();
    talk.note("indexed pods", &json!(shown));
    talk.kubelet.succeeded(&name(&pods[0])).await.expect("the pod's status is written");
    let third = talk.all("pods?labelSelector=job-name=indexed", "a third pod", |all| all.len() == 3).await;
    let counted = talk
        .until("jobs/indexed", "one succeeded", |job| {
            job["status"]["succeeded"] == json!(1) && job["status"]["active"] == json!(2)
        })
        .await;
    talk.note("one of three", &counted["status"]);
    for pod in third.values().filter(|pod| index(pod) != "0") {
        talk.kubelet.succeeded(&name(pod)).await.expect("the pod's status is written");
    }
    comes_to(talk, "three of three", "indexed", "Complete").await;

    talk.quietly("POST jobs", job("narrow", &json!({"completions": 3, "parallelism": 3}))).await;
    active(talk, "narrow", 3).await;
    talk.quietly("MERGE jobs/narrow", json!({"spec": {"parallelism": 1}})).await;
    let one = active(talk, "narrow", 1).await.remove(0);
    talk.note("fewer at once", &json!("one pod is left"));
    assert!(!name(&one).is_empty());
    talk.quietly("DELETE jobs/narrow", json!({"propagationPolicy": "Background"})).await;
    talk.gone("jobs/narrow").await;
}

/// What is left of a Job after its end.
async fn lasting(talk: &mut Talk) {
    talk.quietly("POST jobs", job("brief", &json!({"ttlSecondsAfterFinished": 0}))).await;
    let pod = active(talk, "brief", 1).await.remove(0);
    talk.kubelet.succeeded(&name(&pod)).await.expect("the pod's status is written");
    talk.note_gone("its time to live is over", "jobs/brief").await;
    talk.gone(&format!("pods/{}", name(&pod))).await;
    talk.note("and that of its pod", &json!("gone"));
}
