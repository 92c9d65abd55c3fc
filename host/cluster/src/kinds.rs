//! Where the objects of a kind are found.

use crate::error::ClusterError;
use crate::transport::{Call, Cluster, encode};
use ilab_core::contract::{Kind, ObjectRef};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Kinds of Kubernetes itself, which every cluster has: they need no question.
const BUILT_IN: &[(&str, &str, &str)] = &[
    ("v1", "ConfigMap", "configmaps"),
    ("v1", "Event", "events"),
    ("v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    ("v1", "Pod", "pods"),
    ("v1", "Secret", "secrets"),
    ("v1", "Service", "services"),
    ("batch/v1", "Job", "jobs"),
    ("coordination.k8s.io/v1", "Lease", "leases"),
];

/// What a kind is called as a resource, without asking a cluster: built-in ones are known, for others the rule counts that
/// the Kubernetes API machinery itself guesses by and that CRDs keep.
pub(crate) fn plural_of(kind: &Kind) -> String {
    if let Some((_, _, plural)) = BUILT_IN.iter().find(|(a, k, _)| *a == kind.api_version && *k == kind.kind)
    {
        return (*plural).to_owned();
    }
    let lower = kind.kind.to_ascii_lowercase();
    if lower.ends_with('s') {
        return format!("{lower}es");
    }
    match lower.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{lower}s"),
    }
}

/// What was learnt of the cluster: its other kinds, apiVersion and kind to the resource's name in paths.
#[derive(Debug, Default)]
pub(crate) struct Kinds {
    known: Mutex<HashMap<(String, String), String>>,
    /// Groups to the apiVersion that the cluster prefers.
    preferred: Mutex<HashMap<String, String>>,
    /// Whether it was found that logs are kept without times.
    untimed_logs: AtomicBool,
}

impl Kinds {
    pub(crate) fn timed_logs(&self) -> bool {
        !self.untimed_logs.load(Ordering::Relaxed)
    }

    pub(crate) fn no_timed_logs(&self) {
        self.untimed_logs.store(true, Ordering::Relaxed);
    }

    pub(crate) fn preferred(&self, group: &str) -> Option<String> {
        self.preferred.lock().unwrap_or_else(PoisonError::into_inner).get(group).cloned()
    }

    pub(crate) fn prefer(&self, group: &str, api_version: &str) {
        let mut preferred = self.preferred.lock().unwrap_or_else(PoisonError::into_inner);
        preferred.insert(group.to_owned(), api_version.to_owned());
    }

    fn get(&self, api_version: &str, kind: &str) -> Option<String> {
        if let Some((_, _, plural)) = BUILT_IN.iter().find(|(a, k, _)| *a == api_version && *k == kind) {
            return Some((*plural).to_owned());
        }
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(api_version.to_owned(), kind.to_owned())).cloned()
    }

    fn learn(&self, api_version: &str, resources: &Value) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for resource in resources.get("resources").and_then(Value::as_array).into_iter().flatten() {
            let text = |key: &str| resource.get(key).and_then(Value::as_str);
            if let (Some(name), Some(kind), Some(true)) =
                (text("name"), text("kind"), resource.get("namespaced").and_then(Value::as_bool))
                && !name.contains('/')
            {
                known.insert((api_version.to_owned(), kind.to_owned()), name.to_owned());
            }
        }
    }
}

/// The path of a group version, checked, because it comes from a manifest.
fn group_path(api_version: &str) -> Option<String> {
    let sane = |part: &str| {
        !part.is_empty()
            && part.len() < 254
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-')
            && !part.starts_with('.')
    };
    match api_version.split_once('/') {
        None if sane(api_version) => Some(format!("/api/{api_version}")),
        Some((group, version)) if sane(group) && sane(version) => Some(format!("/apis/{group}/{version}")),
        _ => None,
    }
}

impl Cluster {
    /// The path of the namespace's objects of a kind.
    ///
    /// The kind is looked up once a cluster and remembered. An unknown one is an error that says what installs it.
    pub(crate) async fn collection(&self, api_version: &str, kind: &str) -> Result<String, ClusterError> {
        let unknown = || ClusterError::UnknownKind {
            kind: kind.to_owned(),
            api_version: api_version.to_owned(),
            hint: how_to_get(api_version, kind),
        };
        let group = group_path(api_version).ok_or_else(unknown)?;
        let plural = match self.kinds.get(api_version, kind) {
            Some(plural) => plural,
            None => {
                let call = Call::get(format!("look up the kinds of {api_version}"), group.clone());
                let found = self.find(&call).await?.ok_or_else(unknown)?;
                self.kinds.learn(api_version, &found);
                self.kinds.get(api_version, kind).ok_or_else(unknown)?
            }
        };
        Ok(format!("{group}/namespaces/{}/{plural}", encode(self.namespace())))
    }

    /// The path of one object.
    pub(crate) async fn path(&self, object: &ObjectRef) -> Result<String, ClusterError> {
        let collection = self.collection(&object.api_version, &object.kind).await?;
        Ok(format!("{collection}/{}", encode(&object.name)))
    }

    /// The object as it is now; none when there is none.
    ///
    /// # Errors
    /// When the API server refuses, does not answer, or does not know the kind.
    pub async fn get(&self, object: &ObjectRef) -> Result<Option<Value>, ClusterError> {
        let path = self.path(object).await?;
        self.find(&Call::get(format!("get {object}"), path)).await
    }

    /// What a kind is called as a resource, for example `jobs`.
    ///
    /// # Errors
    /// [`ClusterError::UnknownKind`] with what to install, when the cluster does not know it.
    pub async fn resource_of(&self, kind: &Kind) -> Result<String, ClusterError> {
        let path = self.collection(&kind.api_version, &kind.kind).await?;
        Ok(path.rsplit('/').next().unwrap_or_default().to_owned())
    }
}

fn how_to_get(api_version: &str, kind: &str) -> String {
    let group = api_version.split('/').next().unwrap_or(api_version);
    match group {
        "kubeflow.org" => "install the Kubeflow training operator v1.9",
        "trainer.kubeflow.org" => "install Kubeflow Trainer v2",
        "jobset.x-k8s.io" => "install JobSet",
        "kueue.x-k8s.io" => "install Kueue",
        "ray.io" => "install the KubeRay operator",
        "batch" | "apps" | "v1" | "networking.k8s.io" | "coordination.k8s.io" => {
            return format!("check its apiVersion, a Kubernetes of today has no {api_version} {kind}");
        }
        _ => "install the operator that brings it, or check its apiVersion",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_whole_namespaced_resources_are_learnt() {
        let kinds = Kinds::default();
        kinds.learn(
            "kubeflow.org/v1",
            &json!({"resources": [
                {"name": "pytorchjobs", "kind": "PyTorchJob", "namespaced": true},
                {"name": "pytorchjobs/status", "kind": "PyTorchJob", "namespaced": true},
                {"name": "wides", "kind": "Wide", "namespaced": false}
            ]}),
        );
        assert_eq!(kinds.get("kubeflow.org/v1", "PyTorchJob").as_deref(), Some("pytorchjobs"));
        assert_eq!(kinds.get("kubeflow.org/v1", "Wide"), None);
        assert_eq!(kinds.get("batch/v1", "Job").as_deref(), Some("jobs"));
    }

    #[test]
    fn hostile_api_versions_make_no_paths() {
        for bad in ["", "/", "a/b/c", "../v1", "v1?x", "a/..", "a b/v1", "v1/"] {
            assert_eq!(group_path(bad), None, "{bad}");
        }
        assert_eq!(group_path("v1").as_deref(), Some("/api/v1"));
        assert_eq!(group_path("kubeflow.org/v1").as_deref(), Some("/apis/kubeflow.org/v1"));
    }

    #[test]
    fn plurals_follow_the_rule_of_the_api_machinery() {
        let plural = |api_version: &str, kind: &str| {
            plural_of(&Kind { api_version: api_version.into(), kind: kind.into() })
        };
        assert_eq!(plural("v1", "PersistentVolumeClaim"), "persistentvolumeclaims");
        assert_eq!(plural("kubeflow.org/v1", "PyTorchJob"), "pytorchjobs");
        assert_eq!(plural("example.com/v1", "Policy"), "policies");
        assert_eq!(plural("example.com/v1", "Bus"), "buses");
    }

    #[test]
    fn the_hint_names_the_operator() {
        assert!(how_to_get("kubeflow.org/v1", "PyTorchJob").contains("training operator v1.9"));
    }
}
