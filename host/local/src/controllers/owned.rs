//! Pods that a job owns.

use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{DeleteParams, ListParams, PostParams, Preconditions};
use kube::runtime::controller::Action;
use kube::{Api, Client, ResourceExt};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// What a reconciliation can fail of; it is tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReconcileError {
    /// The API server.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// An object that cannot be read or written as what it is.
    #[error("not the expected shape: {0}")]
    Shape(#[from] serde_json::Error),
    /// A file.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: std::path::PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// After a failed reconciliation: soon after a conflict, because then there is something newer to see.
pub(super) fn retry(error: &ReconcileError) -> Action {
    match error {
        ReconcileError::Api(kube::Error::Api(refusal)) if refusal.code == 409 => {
            Action::requeue(Duration::from_millis(20))
        }
        error => {
            tracing::warn!(%error, "reconciliation failed");
            Action::requeue(Duration::from_secs(2))
        }
    }
}

/// The owner of what a job creates.
pub(super) fn owner(api_version: &str, kind: &str, meta: &ObjectMeta) -> OwnerReference {
    OwnerReference {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        name: meta.name.clone().unwrap_or_default(),
        uid: meta.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The pods with these labels that this owner controls.
pub(super) async fn pods(
    client: &Client,
    namespace: &str,
    labels: &str,
    uid: &str,
) -> Result<Vec<Pod>, kube::Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let mut pods = api.list(&ListParams::default().labels(labels)).await?.items;
    pods.retain(|pod| {
        pod.owner_references().iter().any(|owner| owner.controller == Some(true) && owner.uid == uid)
    });
    Ok(pods)
}

/// Creates a pod from a template; one that is there already is not an error.
pub(super) async fn create(
    client: &Client,
    namespace: &str,
    name: String,
    owner: OwnerReference,
    template: PodTemplateSpec,
) -> Result<bool, kube::Error> {
    let given = template.metadata.unwrap_or_default();
    let pod = Pod {
        metadata: ObjectMeta {
            name: Some(name),
            generate_name: given.generate_name,
            namespace: Some(namespace.to_owned()),
            labels: given.labels,
            annotations: given.annotations,
            finalizers: given.finalizers,
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    };
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    match api.create(&PostParams::default(), &pod).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(refusal)) if refusal.is_already_exists() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Deletes this very pod; one that is gone or going is not an error.
pub(super) async fn delete(client: &Client, pod: &Pod) -> Result<(), kube::Error> {
    if pod.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
    let parameters = DeleteParams {
        preconditions: Some(Preconditions { uid: pod.uid(), resource_version: None }),
        ..DeleteParams::background()
    };
    match api.delete(&pod.name_any(), &parameters).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(refusal)) if matches!(refusal.code, 404 | 409) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The phase, or what stands for none.
pub(super) fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
}

/// Whether it has ended.
pub(super) fn is_finished(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Whether its condition Ready is True.
pub(super) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// How often its containers were started again.
pub(super) fn restarts(pod: &Pod) -> i32 {
    let status = pod.status.iter();
    let all = status.flat_map(|status| {
        status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten())
    });
    all.fold(0_i32, |sum, container| sum.saturating_add(container.restart_count))
}

/// Five letters and digits that make a name unique, as Kubernetes picks them.
pub(super) fn suffix() -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut random = RandomState::new().hash_one(std::process::id());
    let mut text = String::new();
    for _ in 0..5 {
        let at = random % ALPHABET.len() as u64;
        random /= ALPHABET.len() as u64;
        text.push(char::from(ALPHABET[usize::try_from(at).unwrap_or_default()]));
    }
    text
}
