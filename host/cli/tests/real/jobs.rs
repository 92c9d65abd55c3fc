//! Jobs that fail, are tried again, wait.

use crate::kit::Place;
use serde_json::json;

#[tokio::test]
async fn b7_a_job_whose_first_pod_fails_and_whose_second_succeeds_is_a_success() {
    let place = Place::shared("retry").await;
    let mut host = place.start(&["--set", "step-1.backoff-limit=1"]);
    let first = place.pod(1).await;
    place.kubelet.failed(&first, 1, "Error").await.unwrap();
    let pods = place.pods(1, 2).await;
    assert_eq!(pods[0], first);
    place.kubelet.succeeded(&pods[1]).await.unwrap();
    host.stage("stage-succeeded", 1).await;
    host.stage("stage-started", 2).await;
    host.interrupt().await.expect(130, &[]);
}

#[tokio::test]
async fn b6_a_job_that_has_used_up_its_attempts_fails() {
    let place = Place::shared("backoff").await;
    let host = place.start_plainly(&[]);
    let pod = place.pod(1).await;
    let message = "Traceback (most recent call last):\nValueError: no samples\n";
    let ended = json!({"terminated": {"exitCode": 3, "reason": "Error", "message": message}});
    place.container(&pod, "Failed", json!({"state": ended})).await;
    let ended = host.end().await;
    ended.expect(5, &["exit code 3", "--resume one"]);
    place.golden("job-backoff", &ended);
    place.check_failed("Job").await;
}

#[tokio::test]
async fn b6_a_failure_that_nobody_watched_is_found_by_who_comes_back() {
    let place = Place::shared("unwatched").await;
    let mut host = place.start(&["--set", "step-1.backoff-limit=0"]);
    host.stage("stage-started", 1).await;
    let pod = place.pod(1).await;
    host.kill().await;
    place.kubelet.failed(&pod, 1, "Error").await.unwrap();
    place.job(1, "failed", |job| has_condition(job, "Failed")).await;
    let ended = place.resume(&["--set", "step-1.backoff-limit=0"]).end().await;
    ended.expect(5, &[]);
    place.check_failed("Job").await;
}

fn has_condition(job: &k8s_openapi::api::batch::v1::Job, kind: &str) -> bool {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|one| one.type_ == kind && one.status == "True"))
}

#[tokio::test]
async fn a_failed_stage_is_run_again_by_resume_with_an_object_of_its_own() {
    let place = Place::shared("again").await;
    let host = place.start(&[]);
    let pod = place.pod(1).await;
    place.kubelet.failed(&pod, 1, "Error").await.unwrap();
    host.end().await.expect(5, &[]);
    let old = place.job(1, "there", |_| true).await.metadata.uid;
    let mut host = place.resume(&[]);
    let started = host.stage("stage-started", 1).await;
    assert_eq!((&started["attempt"], &started["reattached"]), (&json!(2), &json!(false)));
    let new = place.job(1, "another", |job| job.metadata.uid != old).await;
    assert!(new.metadata.deletion_timestamp.is_none());
    let _kubelet = place.end_well_from(1);
    host.stage("stage-succeeded", 1).await;
}

#[tokio::test]
async fn b11_a_suspended_job_waits_and_goes_on_when_it_is_resumed() {
    let place = Place::shared("suspended").await;
    let mut host = place.start(&["--pending-timeout", "1s"]);
    place.pod(1).await;
    place.patch_job(1, json!({"spec": {"suspend": true}})).await;
    host.event("pending", |e| e["why"].as_str().unwrap().contains("suspend")).await;
    place.patch_job(1, json!({"spec": {"suspend": false}})).await;
    // From now on the condition Suspended is there with the status False.
    place
        .job(1, "resumed", |job| {
            let conditions = job.status.as_ref().and_then(|s| s.conditions.as_ref());
            conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Suspended" && c.status == "False"))
        })
        .await;
    let _kubelet = place.end_well_from(1);
    host.stage("stage-succeeded", 1).await;
}

#[tokio::test]
async fn a_container_that_used_too_much_memory_is_said_to_have() {
    let place = Place::shared("memory").await;
    let host = place.start_plainly(&[]);
    place.kubelet.failed(&place.pod(1).await, 137, "OOMKilled").await.unwrap();
    let ended = host.end().await;
    ended.expect(5, &["used more memory than it may"]);
    place.golden("job-out-of-memory", &ended);
    place.check_failed("Job").await;
}

#[tokio::test]
async fn an_evicted_pod_is_said_to_be() {
    let place = Place::shared("evicted").await;
    let host = place.start_plainly(&[]);
    let message = "The node was low on resource: ephemeral-storage.";
    place.kubelet.evicted(&place.pod(1).await, message).await.unwrap();
    let ended = host.end().await;
    ended.expect(5, &["ephemeral-storage"]);
    place.golden("job-evicted", &ended);
    place.check_failed("Job").await;
}

#[tokio::test]
async fn a_preempted_pod_is_said_to_be() {
    let place = Place::shared("preempted").await;
    let host = place.start_plainly(&[]);
    let message = "default-scheduler: preempting to accommodate a higher priority pod";
    let condition = json!({
        "type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": message,
    });
    let status = json!({"phase": "Failed", "conditions": [condition]});
    place.kubelet.status(&place.pod(1).await, status).await.unwrap();
    let ended = host.end().await;
    ended.expect(5, &["higher priority"]);
    place.golden("job-preempted", &ended);
    place.check_failed("Job").await;
}
