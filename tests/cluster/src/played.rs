//! The kubelet, played by a test: what a node would report of a pod.

use crate::ClusterError;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

/// Writes the status of pods in one namespace of a cluster without nodes.
///
/// Kubernetes' controllers take what it says for what has happened. It does not check that the order of what it is told makes
/// sense: a test may play a kubelet that is behind, or one that has lost its mind.
#[derive(Clone)]
pub struct PlayedKubelet {
    pods: Api<Pod>,
}

impl std::fmt::Debug for PlayedKubelet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlayedKubelet").finish_non_exhaustive()
    }
}

impl PlayedKubelet {
    /// That of the pods in this namespace.
    #[must_use]
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { pods: Api::namespaced(client, namespace) }
    }

    /// All containers run and are ready.
    ///
    /// # Errors
    /// When the server refuses it; the same goes for all that follow.
    pub async fn running(&self, pod: &str) -> Result<(), ClusterError> {
        let state = json!({"running": {"startedAt": NOW}});
        self.all(pod, "Running", true, &state).await
    }

    /// All containers have ended with 0.
    ///
    /// # Errors
    /// When the server refuses it.
    pub async fn succeeded(&self, pod: &str) -> Result<(), ClusterError> {
        self.all(pod, "Succeeded", false, &ended(0, "Completed")).await
    }

    /// All containers have ended with this code, for a reason such as `Error` or `OOMKilled`.
    ///
    /// # Errors
    /// When the server refuses it.
    pub async fn failed(&self, pod: &str, code: i32, reason: &str) -> Result<(), ClusterError> {
        self.all(pod, "Failed", false, &ended(code, reason)).await
    }

    /// The containers wait, for a reason such as `ImagePullBackOff` or `CreateContainerConfigError`.
    ///
    /// # Errors
    /// When the server refuses it.
    pub async fn waiting(&self, pod: &str, reason: &str, message: &str) -> Result<(), ClusterError> {
        let state = json!({"waiting": {"reason": reason, "message": message}});
        self.all(pod, "Pending", false, &state).await
    }

    /// No node takes the pod: what the scheduler would write.
    ///
    /// # Errors
    /// When the server refuses it.
    pub async fn unschedulable(&self, pod: &str, message: &str) -> Result<(), ClusterError> {
        let condition = json!({
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
        });
        self.status(pod, json!({"phase": "Pending", "conditions": [condition]})).await
    }

    /// The node has thrown it out.
    ///
    /// # Errors
    /// When the server refuses it.
    pub async fn evicted(&self, pod: &str, message: &str) -> Result<(), ClusterError> {
        self.status(pod, json!({"phase": "Failed", "reason": "Evicted", "message": message})).await
    }

    /// Writes a status of one's own, merged into what is there.
    ///
    /// # Errors
    /// When the server refuses it.
    pub async fn status(&self, pod: &str, status: Value) -> Result<(), ClusterError> {
        self.pods
            .patch_status(pod, &PatchParams::default(), &Patch::Merge(json!({"status": status})))
            .await
            .map(drop)
            .map_err(ClusterError::api(format!("the status of pod {pod} could not be written")))
    }

    async fn all(&self, pod: &str, phase: &str, ready: bool, state: &Value) -> Result<(), ClusterError> {
        let found =
            self.pods.get(pod).await.map_err(ClusterError::api(format!("pod {pod} could not be read")))?;
        let containers = found.spec.map(|spec| spec.containers).unwrap_or_default();
        let statuses: Vec<Value> = containers
            .iter()
            .map(|container| {
                json!({
                    "name": container.name,
                    "image": container.image.as_deref().unwrap_or_default(),
                    "imageID": "",
                    "ready": ready,
                    "restartCount": 0,
                    "state": state,
                })
            })
            .collect();
        let condition = json!({"type": "Ready", "status": if ready { "True" } else { "False" }});
        self.status(pod, json!({"phase": phase, "conditions": [condition], "containerStatuses": statuses}))
            .await
    }
}

/// Nobody compares it; a fixed one keeps golden files still.
const NOW: &str = "2026-01-01T00:00:00Z";

fn ended(code: i32, reason: &str) -> Value {
    json!({"terminated": {"exitCode": code, "reason": reason, "startedAt": NOW, "finishedAt": NOW}})
}
