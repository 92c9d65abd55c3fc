//! Pods that do not start: it is said while they wait, and after a while the stage fails.

use crate::kit::{Ended, Place};
use kube::api::PostParams;
use serde_json::{Value, json};

/// Waits for the trouble to be told, and for the failure that follows.
async fn blocked(place: &Place<'_>, status: Value) -> Ended {
    let host = place.start_plainly(&["--pending-timeout", "1s"]);
    place.kubelet.status(&place.pod(1).await, status).await.unwrap();
    let ended = host.end().await;
    ended.expect(5, &["step-1: trouble: ", "that has lasted for 1 second"]);
    place.check_failed("Job").await;
    ended
}

fn waiting(reason: &str, message: &str) -> Value {
    json!({"phase": "Pending", "containerStatuses": [{
        "name": "pytorch", "image": "steps:1", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": reason, "message": message}},
    }]})
}

#[tokio::test]
async fn b12_an_image_that_cannot_be_pulled() {
    let place = Place::shared("pull").await;
    let status = waiting("ImagePullBackOff", "Back-off pulling image \"steps:1\"");
    place.golden("pending-image", &blocked(&place, status).await);
}

#[tokio::test]
async fn b12_a_container_that_cannot_be_configured() {
    let place = Place::shared("config").await;
    let status = waiting("CreateContainerConfigError", "secret \"judge\" not found");
    place.golden("pending-config", &blocked(&place, status).await);
}

#[tokio::test]
async fn b12_a_pod_that_no_node_takes() {
    let place = Place::shared("unschedulable").await;
    let message =
        "0/3 nodes are available: 3 Insufficient nvidia.com/gpu. preemption: 0/3 nodes are available.";
    let condition =
        json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message});
    let status = json!({"phase": "Pending", "conditions": [condition]});
    place.golden("pending-gpu", &blocked(&place, status).await);
}

#[tokio::test]
async fn b12_a_quota_that_is_used_up() {
    let place = Place::shared("quota").await;
    let quotas: kube::Api<k8s_openapi::api::core::v1::ResourceQuota> = place.api();
    let quota = json!({"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}});
    quotas.create(&PostParams::default(), &crate::kit::object(quota)).await.unwrap();
    crate::kit::seen(quotas, "none", "counted", |q| q.status.as_ref().is_some_and(|s| s.hard.is_some()))
        .await;
    // The preflight says it at once, and creates nothing.
    place.start(&[]).end().await.expect(4, &["quota"]);
    assert!(place.left().await.is_empty());
    // Where it is used up later, the pods' controller says it.
    let ended = place.start_plainly(&["--pending-timeout", "1s", "--preflight", "skip"]).end().await;
    ended.expect(5, &["exceeded quota: none", "that has lasted for 1 second"]);
    place.golden("pending-quota", &ended);
    place.check_failed("Job").await;
}

#[tokio::test]
async fn trouble_that_passes_fails_nothing() {
    let place = Place::shared("passing").await;
    let mut host = place.start(&["--pending-timeout", "30s"]);
    let pod = place.pod(1).await;
    place.kubelet.waiting(&pod, "ErrImagePull", "registry is down").await.unwrap();
    let trouble = host.stage("trouble", 1).await;
    assert_eq!((&trouble["kind"], &trouble["pod"]), (&json!("image-pull"), &json!(pod)), "{trouble}");
    place.kubelet.running(&pod).await.unwrap();
    host.stage("trouble-over", 1).await;
    place.kubelet.succeeded(&pod).await.unwrap();
    host.stage("stage-succeeded", 1).await;
}
