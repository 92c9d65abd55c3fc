//! PyTorchJobs that come to a good end, and those that wait. On a real cluster it is Kubeflow's training operator that runs them.

use super::jobs::{events, is, name};
use super::manifests::training;
use crate::talk::{Talk, text};
use serde_json::{Value, json};

/// The ranks of a job that have not ended, once there are so many.
pub(super) async fn ranks(talk: &mut Talk, job: &str, count: usize) -> Vec<Value> {
    let going = |pod: &Value| {
        !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
            && pod["metadata"]["deletionTimestamp"].is_null()
    };
    let of = format!("pods?labelSelector=training.kubeflow.org/job-name={job}");
    let all = talk
        .all(&of, &format!("{count} ranks of {job}"), |all| {
            all.values().filter(|pod| going(pod)).count() == count
        })
        .await;
    let mut pods: Vec<Value> = all.into_values().filter(going).collect();
    pods.sort_by_key(name);
    pods
}

/// Both ranks run, and the job's status says so.
pub(super) async fn run(talk: &mut Talk, job: &str) -> Value {
    for pod in ranks(talk, job, 2).await {
        talk.kubelet.running(&name(&pod)).await.expect("the pod's status is written");
    }
    let counts = |job: &Value| {
        ["Master", "Worker"].iter().all(|kind| job["status"]["replicaStatuses"][kind]["active"] == json!(1))
    };
    talk.until(&format!("pytorchjobs/{job}"), "running", |job| is(job, "Running") && counts(job)).await
}

/// Waits for a condition and for its counts to settle, and writes the status down.
pub(super) async fn comes_to(
    talk: &mut Talk,
    note: &str,
    job: &str,
    condition: &str,
    settled: impl Fn(&Value) -> bool,
) -> Value {
    let done = talk
        .until(&format!("pytorchjobs/{job}"), condition, |job| is(job, condition) && settled(&job["status"]))
        .await;
    talk.note(note, &settled_status(&done));
    done
}

/// A status without the selectors of its replicas: whether the operator has come to write one of a kind when another kind ends the
/// job depends on the order in which it happens to look at them.
fn settled_status(job: &Value) -> Value {
    let mut status = job["status"].clone();
    for (_, replica) in status["replicaStatuses"].as_object_mut().into_iter().flatten() {
        replica.as_object_mut().map(|fields| fields.remove("selector"));
    }
    status
}

/// Nothing is active.
pub(super) fn idle(status: &Value) -> bool {
    let all = status["replicaStatuses"].as_object();
    all.is_none_or(|all| all.values().all(|one| one["active"].is_null()))
}

pub(super) async fn create(talk: &mut Talk, job: &str, restart_policy: &str, run_policy: &Value) -> String {
    talk.quietly("POST pytorchjobs", training(job, restart_policy, run_policy)).await.uid()
}

pub(super) async fn tell(talk: &mut Talk) {
    success(talk).await;
    cleaning(talk).await;
    suspended(talk).await;
    ends(talk).await;
}

async fn success(talk: &mut Talk) {
    let answer = talk
        .tell("created", "POST pytorchjobs", training("good", "OnFailure", &json!({"backoffLimit": 3})))
        .await;
    let pods = ranks(talk, "good", 2).await;
    let made = talk.until("pytorchjobs/good", "Created", |job| is(job, "Created")).await;
    let created: Vec<_> = made["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|one| one["type"] == "Created")
        .collect();
    talk.note("its first condition", &json!(created));
    for (pod, rank) in pods.iter().zip(["master", "worker"]) {
        let container = &pod["spec"]["containers"][0];
        // The port is any that is free where all pods share one network.
        let mut env = container["env"].as_array().cloned().unwrap_or_default();
        for variable in &mut env {
            if text(variable, "/name").ends_with("MASTER_PORT") && variable["value"] != json!("23456") {
                variable["value"] = json!("<a free port>");
            }
        }
        talk.note(&format!("the {rank}"), &json!({
            "name": pod["metadata"]["name"], "labels": pod["metadata"]["labels"], "annotations": pod["metadata"]["annotations"],
            "owners": pod["metadata"]["ownerReferences"], "finalizers": pod["metadata"]["finalizers"],
            "restartPolicy": pod["spec"]["restartPolicy"], "env": env, "ports": container["ports"],
            "init": pod["spec"]["initContainers"].as_array().map(Vec::len), "image": container["image"],
            "command": container["command"], "resources": container["resources"],
        }));
    }
    let services = talk.quietly("GET services", Value::Null).await.body;
    let mut services: Vec<_> = services["items"].as_array().into_iter().flatten().map(name).collect();
    services.sort();
    talk.note("its Services", &json!(services));
    let running = run(talk, "good").await;
    talk.note("running", &running["status"]);
    talk.kubelet.succeeded("good-master-0").await.expect("the pod's status is written");
    comes_to(talk, "the master has succeeded", "good", "Succeeded", idle).await;
    let left = ranks(talk, "good", 1).await;
    talk.note("the worker is left alone", &json!([left[0]["metadata"]["name"], left[0]["status"]["phase"]]));
    events(talk, "its events", &answer.uid(), &["SuccessfulCreatePod", "PyTorchJobSucceeded"]).await;
}

/// What is cleaned away after the end.
async fn cleaning(talk: &mut Talk) {
    for policy in ["Running", "All"] {
        let job = policy.to_lowercase();
        create(talk, &job, "OnFailure", &json!({"cleanPodPolicy": policy})).await;
        run(talk, &job).await;
        talk.kubelet.succeeded(&format!("{job}-master-0")).await.expect("the pod's status is written");
        talk.note_gone(&format!("clean {policy}: the worker"), &format!("pods/{job}-worker-0")).await;
        if policy == "All" {
            talk.note_gone("clean All: the master", "pods/all-master-0").await;
        } else {
            let master = talk.quietly("GET pods/running-master-0", Value::Null).await;
            talk.note("clean Running: the master", &json!([master.code, master.body["status"]["phase"]]));
        }
        comes_to(talk, &format!("clean {policy}"), &job, "Succeeded", idle).await;
    }
}

async fn suspended(talk: &mut Talk) {
    create(talk, "held", "OnFailure", &json!({"suspend": true})).await;
    comes_to(talk, "suspended from the start", "held", "Suspended", |_| true).await;
    let none =
        talk.quietly("GET pods?labelSelector=training.kubeflow.org/job-name=held", Value::Null).await.body;
    talk.note("without pods", &json!(none["items"].as_array().map(Vec::len)));
    talk.quietly("MERGE pytorchjobs/held", json!({"spec": {"runPolicy": {"suspend": false}}})).await;
    let running = run(talk, "held").await;
    talk.note("resumed", &running["status"]);
    talk.quietly("MERGE pytorchjobs/held", json!({"spec": {"runPolicy": {"suspend": true}}})).await;
    for rank in ["master", "worker"] {
        talk.gone(&format!("pods/held-{rank}-0")).await;
    }
    comes_to(talk, "suspended while it ran", "held", "Suspended", idle).await;
    talk.quietly("MERGE pytorchjobs/held", json!({"spec": {"runPolicy": {"suspend": false}}})).await;
    run(talk, "held").await;
    for rank in ["worker", "master"] {
        talk.kubelet.succeeded(&format!("held-{rank}-0")).await.expect("the pod's status is written");
    }
    comes_to(talk, "resumed and succeeded", "held", "Succeeded", idle).await;
}

/// How a PyTorchJob goes, with its pods.
async fn ends(talk: &mut Talk) {
    create(talk, "deleted", "OnFailure", &json!({})).await;
    run(talk, "deleted").await;
    let answer = talk.quietly("DELETE pytorchjobs/deleted", Value::Null).await;
    talk.note("delete", &json!([answer.code, answer.body["kind"], answer.body["status"]]));
    for what in ["pytorchjobs/deleted", "pods/deleted-master-0", "pods/deleted-worker-0"] {
        talk.note_gone(&format!("delete: {what}"), what).await;
    }
    create(talk, "brief", "OnFailure", &json!({"ttlSecondsAfterFinished": 0})).await;
    run(talk, "brief").await;
    talk.kubelet.succeeded("brief-master-0").await.expect("the pod's status is written");
    talk.note_gone("its time to live is over", "pytorchjobs/brief").await;
}
