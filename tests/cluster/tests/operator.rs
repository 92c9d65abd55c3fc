//! Kubeflow's training operator against the control plane, with a kubelet that the test plays.

#[expect(dead_code, reason = "a part of it is for other test programs")]
mod kit;

use ilab_test_cluster::{Cluster, PlayedKubelet, seen};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

fn resource() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("kubeflow.org", "v1", "PyTorchJob"))
}

fn pytorch_job(name: &str, container: &str) -> DynamicObject {
    let replica = json!({
        "replicas": 1,
        "restartPolicy": "OnFailure",
        "template": {"spec": {"containers": [{"name": container, "image": "example.test/none:1"}]}},
    });
    serde_json::from_value(json!({
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": {"name": name},
        "spec": {"pytorchReplicaSpecs": {"Master": replica, "Worker": replica}},
    }))
    .unwrap()
}

async fn condition(jobs: &Api<DynamicObject>, name: &str, kind: &str) -> Value {
    let job = seen(jobs.clone(), name, kind, |job| {
        let conditions = job.data["status"]["conditions"].as_array();
        conditions.is_some_and(|all| all.iter().any(|one| one["type"] == kind && one["status"] == "True"))
    });
    job.await.data["status"].clone()
}

/// The shared cluster with its operator, started on a thread that ends: what is shared outlives the test that needed it first.
async fn started() -> &'static Cluster {
    let start = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { Cluster::shared().await.unwrap().training_operator().await.unwrap() });
    };
    tokio::task::spawn_blocking(move || std::thread::spawn(start).join()).await.unwrap().unwrap();
    Cluster::shared().await.unwrap()
}

#[tokio::test]
async fn a_pytorch_job_is_created_runs_and_succeeds() {
    let cluster = started().await;
    let namespace = cluster.namespace("training").await.unwrap();
    let client = cluster.client().await.unwrap();
    let jobs: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace.name(), &resource());
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace.name());
    let kubelet = PlayedKubelet::new(client, namespace.name());

    jobs.create(&PostParams::default(), &pytorch_job("two", "pytorch")).await.unwrap();
    condition(&jobs, "two", "Created").await;
    let made = kit::pods(pods, "training.kubeflow.org/job-name=two", 2).await;
    let names: Vec<&str> = made.iter().filter_map(|pod| pod.metadata.name.as_deref()).collect();
    assert_eq!(names, ["two-master-0", "two-worker-0"]);
    let environment = &made[1].spec.as_ref().unwrap().containers[0].env;
    let rank = environment.iter().flatten().find(|variable| variable.name == "RANK").unwrap();
    assert_eq!(rank.value.as_deref(), Some("1"));

    for pod in &names {
        kubelet.running(pod).await.unwrap();
    }
    condition(&jobs, "two", "Running").await;
    for pod in &names {
        kubelet.succeeded(pod).await.unwrap();
    }
    let status = condition(&jobs, "two", "Succeeded").await;
    assert_eq!(status["replicaStatuses"]["Master"]["succeeded"], 1, "{status}");
}

#[tokio::test]
async fn its_webhook_is_asked() {
    let cluster = started().await;
    let namespace = cluster.namespace("refused").await.unwrap();
    let client = cluster.client().await.unwrap();
    let jobs: Api<DynamicObject> = Api::namespaced_with(client, namespace.name(), &resource());
    let error = jobs.create(&PostParams::default(), &pytorch_job("bad", "main")).await.unwrap_err();
    let error = error.to_string();
    assert!(error.contains("admission webhook") && error.contains("pytorch"), "{error}");
}
