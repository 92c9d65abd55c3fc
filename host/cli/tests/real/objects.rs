//! Objects that go, come back as others, or go because they are done.

use crate::kit::{Host, PATIENCE, Place};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, PostParams, PropagationPolicy};
use kube::runtime::conditions;
use kube::runtime::wait::await_condition;
use serde_json::json;

fn job_of_somebody() -> Job {
    crate::kit::object(json!({
        "metadata": {"name": "one-step-1"},
        "spec": {"suspend": true, "template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "c", "image": "example.test/none:1"}],
        }}},
    }))
}

async fn delete(place: &Place<'_>) {
    let jobs: Api<Job> = place.api();
    let params =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Background), ..Default::default() };
    jobs.delete("one-step-1", &params).await.unwrap();
}

#[tokio::test]
async fn b12_an_object_that_somebody_deletes_fails_its_stage_at_once() {
    let place = Place::shared("deleted").await;
    let host = place.start_plainly(&[]);
    place.pod(1).await;
    delete(&place).await;
    let ended = host.end().await;
    ended.expect(5, &["somebody deleted it before it was done"]);
    place.golden("job-deleted", &ended);
    assert_eq!(place.left().await, place.leftovers(&[]));
}

#[tokio::test]
async fn b13_an_object_of_the_same_name_is_not_the_one_that_was_waited_for() {
    let place = Place::shared("recreated").await;
    let mut host = place.start(&[]);
    host.stage("stage-started", 1).await;
    let (pods, name): (Api<Pod>, _) = (place.api(), place.pod(1).await);
    let uid = pods.get(&name).await.unwrap().metadata.uid.unwrap();
    host.kill().await;
    delete(&place).await;
    // While its pod is still there, it is told of as well.
    let gone = await_condition(pods, &name, conditions::is_deleted(&uid));
    tokio::time::timeout(PATIENCE, gone).await.expect("the pod goes with its Job").unwrap();
    let jobs: Api<Job> = place.api();
    let other = jobs.create(&PostParams::default(), &job_of_somebody()).await.unwrap();
    let ended = Host::new(place.run(true, &[])).end().await;
    ended.expect(5, &["is not the object that was waited for"]);
    place.golden("job-recreated", &ended);
    // The next attempt needs the name; it is not taken from somebody.
    let ended = place.resume(&[]).end().await;
    ended.expect(4, &["Job/one-step-1", "exists already and was not made by ilab-host", "try:"]);
    assert_eq!(jobs.get("one-step-1").await.unwrap().metadata.uid, other.metadata.uid);
}

#[tokio::test]
async fn b13_an_object_of_somebody_is_neither_used_nor_changed() {
    let place = Place::shared("stale").await;
    let jobs: Api<Job> = place.api();
    let other = jobs.create(&PostParams::default(), &job_of_somebody()).await.unwrap();
    let ended = place.start(&[]).end().await;
    ended.expect(4, &["Job/one-step-1", "was not made by ilab-host"]);
    let now = jobs.get("one-step-1").await.unwrap();
    assert_eq!((now.metadata.uid, now.spec), (other.metadata.uid, other.spec));
}

#[tokio::test]
async fn b12_an_object_that_goes_because_it_is_done_is_a_success() {
    let place = Place::shared("ttl").await;
    let mut host = place.start(&[]);
    let pod = place.pod(1).await;
    place.patch_job(1, json!({"spec": {"ttlSecondsAfterFinished": 0}})).await;
    place.kubelet.succeeded(&pod).await.unwrap();
    host.stage("stage-succeeded", 1).await;
    host.stage("stage-started", 2).await;
    let jobs: Api<Job> = place.api();
    let gone =
        kube::runtime::wait::await_condition(jobs, "one-step-1", kube::runtime::conditions::is_deleted(""));
    tokio::time::timeout(crate::kit::PATIENCE, gone).await.unwrap().unwrap();
    host.interrupt().await.expect(130, &[]);
}
