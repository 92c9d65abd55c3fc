//! Stages that wait in a queue of Kueue's. Its CRDs are the real ones; the test says what Kueue would say.

use crate::kit::{Place, object};
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

const VERSION: &str = "v1beta2";

fn kueue(place: &Place<'_>, kind: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("kueue.x-k8s.io", VERSION, kind);
    Api::namespaced_with(place.client.clone(), place.namespace.name(), &ApiResource::from_gvk(&kind))
}

/// A condition as Kueue writes it.
async fn say(place: &Place<'_>, kind: &str, status: &str, message: &str) {
    let conditions = json!([{
        "type": kind, "status": status, "reason": "Pending", "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]);
    let patch = Patch::Merge(json!({"status": {"conditions": conditions}}));
    kueue(place, "Workload").patch_status("job-one-step-1", &PatchParams::default(), &patch).await.unwrap();
}

async fn create(place: &Place<'_>, kind: &str, value: Value) {
    kueue(place, kind).create(&PostParams::default(), &object(value)).await.unwrap();
}

#[tokio::test]
async fn a_queued_stage_says_why_it_waits_and_when_it_is_let_in() {
    let place = Place::shared("queued").await;
    place.cluster.install_kueue_crds().await.unwrap();
    let queued = ["--steps-queue", "team"];
    place.start(&queued).end().await.expect(4, &["there is no LocalQueue team", "kubectl get localqueue"]);
    assert!(place.left().await.is_empty(), "nothing was created");

    let of_kind = |kind: &str| json!({"apiVersion": format!("kueue.x-k8s.io/{VERSION}"), "kind": kind});
    let mut queue = of_kind("LocalQueue");
    queue["metadata"] = json!({"name": "team"});
    queue["spec"] = json!({"clusterQueue": "all"});
    create(&place, "LocalQueue", queue).await;
    let mut host = place.start(&queued);
    host.stage("stage-started", 1).await;
    // What Kueue's webhook and controller do.
    place.patch_job(1, json!({"spec": {"suspend": true}})).await;
    let job = place.job(1, "there", |_| true).await;
    assert_eq!(job.metadata.labels.unwrap()["kueue.x-k8s.io/queue-name"], "team");
    let mut workload = of_kind("Workload");
    workload["metadata"] =
        json!({"name": "job-one-step-1", "labels": {"kueue.x-k8s.io/job-uid": job.metadata.uid}});
    let pod = json!({"metadata": {}, "spec": {"containers": [{"name": "pytorch", "image": "steps:1"}], "restartPolicy": "Never"}});
    workload["spec"] =
        json!({"queueName": "team", "podSets": [{"name": "main", "count": 1, "template": pod}]});
    create(&place, "Workload", workload).await;
    let first = host.stage("queued", 1).await;
    assert_eq!(first["message"], "Kueue has not looked at it yet", "{first}");

    let short = "couldn't assign flavors to pod set main: insufficient unused quota for nvidia.com/gpu, 8 more needed";
    say(&place, "QuotaReserved", "False", short).await;
    let waits = host.stage("queued", 1).await;
    assert_eq!((&waits["queue"], &waits["message"]), (&json!("team"), &json!(short)), "{waits}");
    assert_eq!(waits["admitted"], false);

    say(&place, "Admitted", "True", "The workload is admitted").await;
    let admitted = host.stage("queued", 1).await;
    assert_eq!((&admitted["admitted"], &admitted["message"]), (&json!(true), &json!("")), "{admitted}");
    place.patch_job(1, json!({"spec": {"suspend": false}})).await;
    place.kubelet.succeeded(&place.pod(1).await).await.unwrap();
    host.stage("stage-succeeded", 1).await;
}
