//! Objects that several chapters create.

use serde_json::{Value, json};

/// A ConfigMap of one key.
pub(super) fn map(name: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"for": "conformance", "value": value}},
        "data": {"key": value},
    })
}

/// A pod's spec. No scheduler knows its pods: they are the script's.
pub(super) fn pod_spec(restart_policy: &str) -> Value {
    json!({
        "schedulerName": "conformance",
        "restartPolicy": restart_policy,
        "automountServiceAccountToken": false,
        "containers": [{
            "name": "main", "image": "example.test/none:1", "command": ["true"],
            "env": [{"name": "A", "value": "1"}],
            "resources": {"limits": {"memory": "64Mi"}, "requests": {"cpu": "100m", "memory": "64Mi"}},
        }],
    })
}

/// A pod.
pub(super) fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "conformance"}},
        "spec": pod_spec("Never"),
    })
}

/// A Job whose spec has more fields.
pub(super) fn job(name: &str, more: &Value) -> Value {
    let mut job = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": name, "labels": {"app": "conformance"}},
        "spec": {"template": {"spec": pod_spec("Never")}},
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        job["spec"][field] = value.clone();
    }
    job
}

/// A training job of a master and one worker.
pub(super) fn training(name: &str, restart_policy: &str, run_policy: &Value) -> Value {
    let mut spec = pod_spec("Never");
    spec.as_object_mut().expect("it is an object").remove("restartPolicy");
    spec["containers"][0]["name"] = json!("pytorch");
    let replica = json!({"replicas": 1, "restartPolicy": restart_policy, "template": {"spec": spec}});
    json!({
        "apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob",
        "metadata": {"name": name, "labels": {"app": "conformance"}},
        "spec": {
            "nprocPerNode": "1",
            "runPolicy": run_policy,
            "pytorchReplicaSpecs": {"Master": replica.clone(), "Worker": replica},
        },
    })
}
