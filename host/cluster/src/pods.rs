//! The pods of a Job, a PyTorchJob, or of itself.

use crate::diagnose::{self, Trouble};
use crate::error::ClusterError;
use crate::transport::Cluster;
use crate::watch::{Change, Selection};
use futures::{Stream, StreamExt};
use ilab_core::contract::ObjectRef;
use ilab_core::names::ObjectUid;
use serde_json::Value;

/// What a container is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerState {
    /// Not started, or between two attempts.
    Waiting,
    /// Running.
    Running,
    /// Ended.
    Terminated {
        /// With this.
        exit_code: i64,
    },
}

/// One container of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerView {
    /// Its name.
    pub name: String,
    /// Whether it is an init container.
    pub init: bool,
    /// What it is doing.
    pub state: ContainerState,
    /// How often it was started again.
    pub restarts: u64,
    /// How the attempt before ended.
    pub last_exit: Option<i64>,
}

/// A pod, as much of it as the host looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodView {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uid: ObjectUid,
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub phase: String,
    /// When it was made, RFC 3339.
    pub created: String,
    /// Whether it is the master of a PyTorchJob.
    pub master: bool,
    /// Init containers first.
    pub containers: Vec<ContainerView>,
    /// What is wrong with it.
    pub trouble: Option<Trouble>,
}

impl PodView {
    /// Reads a pod; none when it has no name or identity.
    #[must_use]
    pub fn read(pod: &Value) -> Option<Self> {
        let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str);
        let label = |key: &str| {
            pod.pointer("/metadata/labels").and_then(|labels| labels.get(key)).and_then(Value::as_str)
        };
        let of = |pointer: &str, init: bool| {
            pod.pointer(pointer)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(move |s| container(s, init))
        };
        Some(Self {
            name: text("/metadata/name")?.to_owned(),
            uid: ObjectUid(text("/metadata/uid")?.to_owned()),
            phase: text("/status/phase").unwrap_or("Pending").to_owned(),
            created: text("/metadata/creationTimestamp").unwrap_or("").to_owned(),
            master: label("training.kubeflow.org/replica-type")
                .is_some_and(|t| t.eq_ignore_ascii_case("master"))
                || label("training.kubeflow.org/job-role").is_some_and(|t| t.eq_ignore_ascii_case("master")),
            containers: of("/status/initContainerStatuses", true)
                .chain(of("/status/containerStatuses", false))
                .collect(),
            trouble: diagnose::pod(pod),
        })
    }

    /// Whether nothing in it will run any more.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.phase == "Succeeded" || self.phase == "Failed"
    }
}

fn container(status: &Value, init: bool) -> Option<ContainerView> {
    let exit = |pointer: &str| status.pointer(pointer).and_then(Value::as_i64);
    let state = if status.pointer("/state/running").is_some_and(|s| !s.is_null()) {
        ContainerState::Running
    } else if let Some(exit_code) = exit("/state/terminated/exitCode") {
        ContainerState::Terminated { exit_code }
    } else {
        ContainerState::Waiting
    };
    Some(ContainerView {
        name: status.get("name")?.as_str()?.to_owned(),
        init,
        state,
        restarts: status.pointer("/restartCount").and_then(Value::as_u64).unwrap_or(0),
        last_exit: exit("/lastState/terminated/exitCode"),
    })
}

/// How the pods of an object are found: a label or a field selector. None for kinds whose pods the host does not know.
#[must_use]
pub fn selector_of(object: &ObjectRef) -> Option<(Option<String>, Option<String>)> {
    let group = object.api_version.split('/').next().unwrap_or("");
    match (group, object.kind.as_str()) {
        ("v1", "Pod") => Some((Some(format!("metadata.name={}", object.name)), None)),
        ("batch", "Job") => Some((None, Some(format!("batch.kubernetes.io/job-name={}", object.name)))),
        ("kubeflow.org", _) => Some((None, Some(format!("training.kubeflow.org/job-name={}", object.name)))),
        ("jobset.x-k8s.io" | "trainer.kubeflow.org", _) => {
            Some((None, Some(format!("jobset.sigs.k8s.io/jobset-name={}", object.name))))
        }
        _ => None,
    }
}

/// Whether a pod is the object's: its own, or owned by it. A pod whose label lies, or one of an earlier object of the
/// same name, is not.
fn belongs(pod: &Value, object: &ObjectRef, uid: &ObjectUid) -> bool {
    let is = |value: Option<&Value>| value.and_then(Value::as_str) == Some(&uid.0);
    match object.kind.as_str() {
        "Pod" => is(pod.pointer("/metadata/uid")),
        // There is a Job between these and their pods.
        "JobSet" | "TrainJob" => true,
        _ => pod
            .pointer("/metadata/ownerReferences")
            .and_then(Value::as_array)
            .is_some_and(|owners| owners.iter().any(|owner| is(owner.get("uid")))),
    }
}

impl Cluster {
    /// The pods of an object, oldest first.
    ///
    /// # Errors
    /// When the API server refuses or does not answer.
    pub async fn pods_of(&self, object: &ObjectRef, uid: &ObjectUid) -> Result<Vec<PodView>, ClusterError> {
        let Some((field, label)) = selector_of(object) else { return Ok(Vec::new()) };
        let what = format!("list the pods of {object}");
        let items = self.list(&what, "v1", "Pod", &Selection { field, label }).await?;
        let mut pods: Vec<_> =
            items.iter().filter(|pod| belongs(pod, object, uid)).filter_map(PodView::read).collect();
        pods.sort_by(|a, b| (&a.created, &a.name).cmp(&(&b.created, &b.name)));
        Ok(pods)
    }

    /// Watches the pods of an object. None for kinds whose pods the host does not know.
    pub fn watch_pods(
        &self,
        object: &ObjectRef,
        uid: &ObjectUid,
    ) -> Option<impl Stream<Item = Result<PodChange, ClusterError>> + Send + use<>> {
        let (field, label) = selector_of(object)?;
        let (object, uid) = (object.clone(), uid.clone());
        let what = format!("watch the pods of {object}");
        let changes = self.changes(what, "v1".to_owned(), "Pod".to_owned(), Selection { field, label }, None);
        Some(changes.filter_map(move |change| {
            let view = |pod: &Value| belongs(pod, &object, &uid).then(|| PodView::read(pod)).flatten();
            let change = match change {
                Err(error) => Some(Err(error)),
                Ok(Change::Snapshot(pods)) => {
                    Some(Ok(PodChange::Snapshot(pods.iter().filter_map(view).collect())))
                }
                Ok(Change::Put(pod)) => view(&pod).map(|pod| Ok(PodChange::Put(pod))),
                Ok(Change::Removed(pod)) => view(&pod).map(|pod| Ok(PodChange::Removed(pod))),
            };
            std::future::ready(change)
        }))
    }
}

/// A change of an object's pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodChange {
    /// All there are now.
    Snapshot(Vec<PodView>),
    /// One is new or different.
    Put(PodView),
    /// One is gone; this is what it was last.
    Removed(PodView),
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn job() -> ObjectRef {
        ObjectRef { api_version: "batch/v1".into(), kind: "Job".into(), name: "x".into() }
    }

    #[test]
    fn b24_only_pods_owned_by_this_very_object_are_its_pods() {
        let uid = ObjectUid("u1".into());
        let pod =
            |owner: &str| json!({"metadata": {"name": "p", "uid": "p", "ownerReferences": [{"uid": owner}]}});
        assert!(belongs(&pod("u1"), &job(), &uid));
        assert!(!belongs(&pod("u0"), &job(), &uid));
        assert!(!belongs(&json!({"metadata": {"labels": {"app": "x"}}}), &job(), &uid));
    }

    #[test]
    fn b10_a_pod_without_container_statuses_is_read_all_the_same() {
        for status in [json!(null), json!({}), json!({"phase": "Pending", "containerStatuses": null})] {
            let view =
                PodView::read(&json!({"metadata": {"name": "p", "uid": "u"}, "status": status})).unwrap();
            assert_eq!((view.phase.as_str(), view.containers.len()), ("Pending", 0));
        }
        assert_eq!(PodView::read(&json!({"metadata": {"name": "p"}})), None);
    }

    #[test]
    fn containers_keep_their_state_and_the_master_is_known() {
        let view = PodView::read(&json!({
            "metadata": {"name": "p", "uid": "u", "labels": {"training.kubeflow.org/replica-type": "master"}},
            "status": {"phase": "Running",
                "initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 0}}}],
                "containerStatuses": [{"name": "c", "restartCount": 2, "state": {"running": {"startedAt": "t"}},
                    "lastState": {"terminated": {"exitCode": 3}}}]}
        }))
        .unwrap();
        assert!(view.master);
        assert_eq!(view.containers[0].state, ContainerState::Terminated { exit_code: 0 });
        assert_eq!(view.containers[1].state, ContainerState::Running);
        assert_eq!((view.containers[1].restarts, view.containers[1].last_exit), (2, Some(3)));
    }

    #[test]
    fn selectors_are_the_controllers_own_labels() {
        assert_eq!(selector_of(&job()).unwrap().1.unwrap(), "batch.kubernetes.io/job-name=x");
        let train =
            ObjectRef { api_version: "kubeflow.org/v1".into(), kind: "PyTorchJob".into(), name: "t".into() };
        assert_eq!(selector_of(&train).unwrap().1.unwrap(), "training.kubeflow.org/job-name=t");
        let odd = ObjectRef { api_version: "v1".into(), kind: "ConfigMap".into(), name: "t".into() };
        assert_eq!(selector_of(&odd), None);
    }
}
