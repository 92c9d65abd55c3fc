//! PyTorchJobs, by the real training operator and without one.

use crate::kit::{Host, PATIENCE, Place, object, seen};
use ilab_test_cluster::Cluster;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::runtime::conditions;
use kube::runtime::wait::await_condition;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

const ONE_WORKER: [&str; 2] = ["--set", "step-1.workers=1"];
const PODS: [&str; 2] = ["one-step-1-master-0", "one-step-1-worker-0"];

fn has_condition(job: &DynamicObject, kind: &str, status: &str) -> bool {
    let conditions = job.data["status"]["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|one| one["type"] == kind && one["status"] == status))
}

async fn condition(place: &Place<'_>, kind: &str, status: &str) {
    let is = |job: &DynamicObject| has_condition(job, kind, status);
    seen(place.pytorch_jobs(), "one-step-1", kind, is).await;
}

async fn all_run(place: &Place<'_>) {
    place.pods(1, 2).await;
    for pod in PODS {
        place.kubelet.running(pod).await.unwrap();
    }
}

#[tokio::test]
async fn b11_a_suspended_job_waits_and_goes_on_when_it_is_resumed() {
    let place = Place::with_operator("halted").await;
    let mut host = place.start(&ONE_WORKER);
    all_run(&place).await;
    condition(&place, "Running", "True").await;
    let suspend = async |suspend: bool| {
        let patch = Patch::Merge(json!({"spec": {"runPolicy": {"suspend": suspend}}}));
        place.pytorch_jobs().patch("one-step-1", &PatchParams::default(), &patch).await.unwrap();
    };
    suspend(true).await;
    host.event("pending", |e| e["why"].as_str().unwrap().to_lowercase().contains("suspended")).await;
    condition(&place, "Running", "False").await;
    suspend(false).await;
    condition(&place, "Suspended", "False").await;
    let _kubelet = place.end_well_from(1);
    host.stage("stage-succeeded", 1).await;
}

#[tokio::test]
async fn b10_a_worker_without_any_status_beside_a_running_master() {
    let place = Place::with_operator("halfway").await;
    let mut host = place.start(&ONE_WORKER);
    place.pods(1, 2).await;
    place.kubelet.running(PODS[0]).await.unwrap();
    condition(&place, "Running", "True").await;
    host.event("pending", |e| e["why"].as_str().unwrap().to_lowercase().contains("running")).await;
    for pod in PODS {
        place.kubelet.succeeded(pod).await.unwrap();
    }
    host.stage("stage-succeeded", 1).await;
}

#[tokio::test]
async fn a_job_that_crashes_and_crashes_while_it_is_said_to_run() {
    let place = Place::with_operator("crashing").await;
    // More attempts than it will have: nobody else ends it.
    let host = place.start_plainly(
        &[&ONE_WORKER[..], &["--set", "step-1.backoff-limit=9", "--pending-timeout", "3s"]].concat(),
    );
    all_run(&place).await;
    condition(&place, "Running", "True").await;
    let died = json!({"terminated": {
        "exitCode": 1, "reason": "Error", "message": "Traceback:\nFileNotFoundError: /data/skills.jsonl\n",
    }});
    // As kubelets do: it waits, runs for a moment, and waits again.
    for restarts in 1..=4 {
        let state = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off restarting"}});
        let status = json!({"restartCount": restarts, "lastState": died, "state": state});
        place.container(PODS[0], "Running", status).await;
        let status = json!({"restartCount": restarts + 1, "lastState": died, "state": {"running": {}, "waiting": null}});
        place.container(PODS[0], "Running", status).await;
    }
    let ended = host.end().await;
    ended.expect(
        5,
        &["step-1: trouble: ", "was restarted", "FileNotFoundError", "that has lasted for 3 seconds"],
    );
    assert!(!ended.stderr.contains("the trouble is over"), "{}", ended.stderr);
    place.golden("pytorch-crash-loop", &ended);
    place.check_failed("PyTorchJob").await;
}

#[tokio::test]
async fn b12_a_job_that_goes_because_it_is_done_is_a_success() {
    let place = Place::with_operator("fleeting").await;
    let mut host = place.start(&ONE_WORKER);
    all_run(&place).await;
    let jobs = place.pytorch_jobs();
    let uid = jobs.get("one-step-1").await.unwrap().metadata.uid.unwrap();
    let patch = Patch::Merge(json!({"spec": {"runPolicy": {"ttlSecondsAfterFinished": 0}}}));
    jobs.patch("one-step-1", &PatchParams::default(), &patch).await.unwrap();
    for pod in PODS {
        place.kubelet.succeeded(pod).await.unwrap();
    }
    host.stage("stage-succeeded", 1).await;
    host.stage("stage-started", 2).await;
    let gone = await_condition(jobs, "one-step-1", conditions::is_deleted(&uid));
    tokio::time::timeout(PATIENCE, gone).await.expect("the operator removes it").unwrap();
    host.interrupt().await.expect(130, &[]);
}

/// A control plane with the kind and without its operator.
async fn unattended(name: &str) -> Place<'static> {
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    Place::new(CLUSTER.get_or_try_init(Cluster::control_plane).await.unwrap(), name).await
}

async fn write(place: &Place<'_>, conditions: Value) {
    let status = Patch::Merge(json!({"status": {"conditions": conditions, "replicaStatuses": {}}}));
    place.pytorch_jobs().patch_status("one-step-1", &PatchParams::default(), &status).await.unwrap();
}

fn one(kind: &str, status: &str) -> Value {
    json!({"type": kind, "status": status, "reason": format!("PyTorchJob{kind}"), "message": format!("it is {kind}")})
}

#[tokio::test]
async fn a_job_that_nobody_looks_at_stays_pending_and_says_so() {
    let place = unattended("unattended").await;
    let mut host = place.start(&ONE_WORKER);
    let pending = host.stage("pending", 1).await;
    assert_eq!(pending["why"], "the training operator has not looked at it yet");
    let ended = host.interrupt().await;
    ended.expect(130, &[]);
    assert!(ended.stdout.contains("--resume one"), "{}", ended.stdout);
    assert_eq!(place.left().await, place.leftovers(&["PyTorchJob/one-step-1"]));
}

#[tokio::test]
async fn b11_conditions_count_by_type_and_status_and_in_any_order() {
    let place = unattended("conditions").await;
    let mut host = place.start(&ONE_WORKER);
    host.stage("stage-started", 1).await;
    for none in ["Succeeded", "Failed"] {
        write(&place, json!([one(none, "False"), one("Running", "True"), one("Created", "True")])).await;
        host.event("pending", |e| e["why"].as_str().unwrap().contains("it is Running")).await;
        write(&place, json!([one("Running", "False"), one(none, "False"), one("Created", "True")])).await;
        host.event("pending", |e| e["why"].as_str().unwrap().contains("it is Created")).await;
    }
    // As a suspended and resumed one may end: Running stays, and comes last.
    write(&place, json!([one("Succeeded", "True"), one("Suspended", "False"), one("Running", "True")])).await;
    host.stage("stage-succeeded", 1).await;
    host.stage("stage-started", 2).await;
    host.interrupt().await.expect(130, &[]);
}

#[tokio::test]
async fn a_failed_condition_counts_wherever_it_stands() {
    let place = unattended("failing").await;
    let mut host = place.start(&ONE_WORKER);
    host.stage("stage-started", 1).await;
    write(&place, json!([one("Failed", "True"), one("Running", "True"), one("Created", "True")])).await;
    let failed = host.event("stage-failed", |_| true).await;
    assert_eq!(failed["failure"]["reason"], "PyTorchJobFailed: it is Failed");
    host.end().await.expect(5, &["it is Failed"]);
    place.check_failed("PyTorchJob").await;
}

#[tokio::test]
async fn b12_a_job_that_somebody_deletes_fails_its_stage_at_once() {
    let place = unattended("removed").await;
    let mut host = place.start(&ONE_WORKER);
    host.stage("stage-started", 1).await;
    place.pytorch_jobs().delete("one-step-1", &DeleteParams::default()).await.unwrap();
    host.end().await.expect(5, &["somebody deleted it before it was done"]);
    assert_eq!(place.left().await, place.leftovers(&[]));
}

#[tokio::test]
async fn b13_a_job_of_the_same_name_is_not_the_one_that_was_waited_for() {
    let place = unattended("replaced").await;
    let mut host = place.start(&ONE_WORKER);
    host.stage("stage-started", 1).await;
    host.kill().await;
    let jobs = place.pytorch_jobs();
    let mut other = jobs.get("one-step-1").await.unwrap();
    jobs.delete("one-step-1", &DeleteParams::default()).await.unwrap();
    other.metadata = object(json!({"name": "one-step-1"}));
    jobs.create(&PostParams::default(), &other).await.unwrap();
    // Whoever made it says that it is done: another's success is not ours.
    write(&place, json!([one("Succeeded", "True")])).await;
    Host::new(place.run(true, &ONE_WORKER)).end().await.expect(5, &["is not the object that was waited for"]);
}
