//! `runs delete`: what it waits for, and that the name is free when it is done.

use crate::kit::{Host, Place};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};

/// What keeps an object from going until the test says so: a pod that takes its time, or a volume.
async fn hold<K>(api: &Api<K>, name: &str, finalizers: &[&str])
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let patch = Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    api.patch(name, &PatchParams::default(), &patch).await.unwrap();
}

async fn delete(place: &Place<'_>, args: &[&str]) -> crate::kit::Ended {
    Host::new(place.command(&[&["runs", "delete", "one"], args].concat())).end().await
}

/// A run whose first step has a pod, and that was let go of.
async fn begun(place: &Place<'_>) -> String {
    let mut host = place.start(&[]);
    host.stage("stage-started", 1).await;
    let pod = place.pod(1).await;
    host.interrupt().await.expect(130, &[]);
    pod
}

#[tokio::test]
async fn a_run_is_gone_when_its_pods_are_and_then_its_name_is_free() {
    let place = Place::shared("removed").await;
    let pod = begun(&place).await;
    let pods: Api<Pod> = place.api();
    hold(&pods, &pod, &["ilab.test/slow"]).await;

    let mut child = place.command(&["runs", "delete", "one"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let first = lines.next_line().await.unwrap().unwrap();
    assert!(first.starts_with("run one is being deleted; waiting for "), "{first}");
    for object in ["ConfigMap/ilab-run-one", "Job/one-step-1", "Lease/ilab-run-one"] {
        assert!(first.contains(object), "{first}");
    }
    // Whether the Job outlasts its pods is the garbage collector's to decide; it goes by how the record was deleted.
    for object in ["ConfigMap", "Lease"] {
        let line = lines.next_line().await.unwrap();
        assert_eq!(line, Some(format!("  {object}/ilab-run-one: gone")));
    }
    assert!(child.try_wait().unwrap().is_none(), "the pod is still there");

    hold(&pods, &pod, &[]).await;
    let mut rest = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        rest.push(line);
    }
    let expected = [
        "  Job/one-step-1: gone",
        "  pods of Job/one-step-1: gone",
        "run one is deleted, with all that it created",
    ];
    assert_eq!(rest, expected);
    assert!(child.wait().await.unwrap().success());
    assert_eq!(place.left().await, Vec::<String>::new());

    let _kubelet = place.end_well_from(1);
    place.start(&[]).end().await.expect(0, &[]);
}

#[tokio::test]
async fn what_is_still_there_when_the_time_is_over_is_named() {
    let place = Place::shared("held").await;
    let pod = begun(&place).await;
    let pods: Api<Pod> = place.api();
    hold(&pods, &pod, &["ilab.test/slow"]).await;
    let ended = delete(&place, &["--timeout", "1s"]).await;
    ended.expect(4, &["after 1 s still there: ", "Job/one-step-1", "try: the cluster goes on"]);
    hold(&pods, &pod, &[]).await;
    delete(&place, &[]).await.expect(7, &["there is no run one"]);
}

/// A claim of the run's own outlasts its record, as it does for as long as a pod uses it.
#[tokio::test]
async fn without_waiting_the_name_may_still_be_taken() {
    let place = Place::shared("unwaited").await;
    let own = |place: &Place<'_>| {
        let mut command = place.command(&["run", "--run", "one"]);
        command.arg("--plugins").arg(crate::common::steps());
        command.args(["--storage-class=", "-o", "json"]);
        Host::new(command)
    };
    let mut host = own(&place);
    host.stage("stage-started", 1).await;
    host.interrupt().await.expect(130, &[]);
    let claims: Api<PersistentVolumeClaim> = place.api();
    hold(&claims, "one-data", &["ilab.test/used"]).await;
    let ended = delete(&place, &["--wait=false"]).await;
    ended.expect(0, &["run one is being deleted, with all that it created"]);
    assert!(!ended.stderr.contains("waiting"), "{}", ended.stderr);
    crate::kit::seen(claims.clone(), "one-data", "going", |c| c.metadata.deletion_timestamp.is_some()).await;
    own(&place).end().await.expect(4, &["one-data", "belongs to an earlier run"]);
    hold(&claims, "one-data", &[]).await;
}

/// A record that is held up keeps its name, and says why.
#[tokio::test]
async fn a_run_that_is_being_deleted_is_not_begun_again() {
    let place = Place::shared("going").await;
    begun(&place).await;
    let records: Api<k8s_openapi::api::core::v1::ConfigMap> = place.api();
    hold(&records, "ilab-run-one", &["ilab.test/audit"]).await;
    let ended = delete(&place, &["--timeout=1s"]).await;
    ended.expect(4, &["still there: ", "ConfigMap/ilab-run-one"]);
    place.start(&[]).end().await.expect(7, &["run one is being deleted", "runs delete one"]);
    hold(&records, "ilab-run-one", &[]).await;
    // What was only waiting for that is gone with it.
    let gone = kube::runtime::wait::await_condition(
        records,
        "ilab-run-one",
        kube::runtime::conditions::is_deleted(""),
    );
    tokio::time::timeout(crate::kit::PATIENCE, gone).await.unwrap().unwrap();
}
