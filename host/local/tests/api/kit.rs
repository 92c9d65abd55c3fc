//! Objects, and a client of the cluster in process and of the same over a socket.

use ilab_local::{LocalCluster, LocalOptions};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, PatchParams};
use kube::core::Status;
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn open(state: &Path) -> LocalCluster {
    LocalCluster::open(LocalOptions::new(state)).await.unwrap()
}

pub(crate) fn made<K: DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).unwrap()
}

pub(crate) fn job(name: &str) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "labels": {"app": "x"}},
        "spec": {"template": {"spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "c", "image": "busybox", "command": ["true"], "env": [{"name": "A", "value": "1"}]}],
        }}},
    })
}

pub(crate) fn training(name: &str) -> Value {
    json!({
        "apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "metadata": {"name": name},
        "spec": {
            "runPolicy": {"backoffLimit": 3, "cleanPodPolicy": "None"},
            "nprocPerNode": "1",
            "pytorchReplicaSpecs": {"Master": {"replicas": 1, "restartPolicy": "OnFailure", "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{
                    "name": "pytorch", "image": "x",
                    "resources": {"limits": {"nvidia.com/gpu": 2, "memory": "2Gi"}},
                }]},
            }}},
        },
    })
}

pub(crate) fn training_jobs(client: &Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("kubeflow.org", "v1", "PyTorchJob");
    Api::default_namespaced_with(client.clone(), &ApiResource::from_gvk_with_plural(&kind, "pytorchjobs"))
}

pub(crate) fn map(name: &str, value: &str) -> ConfigMap {
    made(json!({"metadata": {"name": name, "labels": {"for": "test", "v": value}}, "data": {"v": value}}))
}

pub(crate) fn refused<T: std::fmt::Debug>(result: kube::Result<T>) -> Status {
    match result {
        Err(kube::Error::Api(status)) => *status,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// Code and reason.
pub(crate) fn kind<T: std::fmt::Debug>(result: kube::Result<T>) -> (u16, String) {
    let status = refused(result);
    (status.code, status.reason)
}

pub(crate) fn causes(status: &Status) -> Vec<String> {
    let details = status.details.as_ref();
    details.into_iter().flat_map(|details| &details.causes).map(|cause| cause.field.clone()).collect()
}

pub(crate) fn apply(manager: &str) -> PatchParams {
    PatchParams::apply(manager)
}

/// Runs a script against the cluster in process, and against the same over TCP.
pub(crate) async fn both<F>(script: impl Fn(Client) -> F)
where
    F: Future<Output = ()>,
{
    let folder = tempfile::tempdir().unwrap();
    let cluster = open(folder.path()).await;
    script(cluster.client()).await;
    drop(cluster);
    let folder = tempfile::tempdir().unwrap();
    let cluster = open(folder.path()).await;
    let served = cluster.serve("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = format!("http://{}", served.address()).parse().unwrap();
    script(Client::try_from(kube::Config::new(address)).unwrap()).await;
}
