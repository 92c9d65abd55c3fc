//! What Kueue says of an object that waits in one of its queues.

use crate::error::ClusterError;
use crate::transport::Cluster;
use crate::watch::{Change, Selection};
use futures::{Stream, StreamExt};
use ilab_core::contract::ObjectRef;
use ilab_core::names::ObjectUid;
use ilab_core::text::bounded;
use serde_json::Value;

/// The label by which Kueue takes an object into a queue.
pub const QUEUE_LABEL: &str = "kueue.x-k8s.io/queue-name";
/// Kueue's API group.
pub(crate) const GROUP: &str = "kueue.x-k8s.io";
/// The label by which a Workload tells whose it is.
const JOB_UID: &str = "kueue.x-k8s.io/job-uid";
/// Nobody reads more of a message.
const MAX_MESSAGE: usize = 500;

/// How an object stands in its queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queueing {
    /// The LocalQueue.
    pub queue: String,
    /// Whether it may run.
    pub admitted: bool,
    /// Why it may not, in Kueue's own words; empty when it may.
    pub message: String,
}

impl Queueing {
    /// Reads a Workload. Conditions count by type and status, in any order.
    ///
    /// ```
    /// use ilab_cluster::Queueing;
    /// let workload = serde_json::json!({
    ///     "spec": {"queueName": "team"},
    ///     "status": {"conditions": [{"type": "QuotaReserved", "status": "False", "message": "insufficient quota"}]},
    /// });
    /// assert_eq!(Queueing::read(&workload).message, "insufficient quota");
    /// ```
    #[must_use]
    pub fn read(workload: &Value) -> Self {
        let conditions = workload.pointer("/status/conditions").and_then(Value::as_array);
        let condition = |kind: &str| {
            let is = |c: &&Value| c.get("type").and_then(Value::as_str) == Some(kind);
            conditions.into_iter().flatten().find(is)
        };
        let holds = |kind: &str| condition(kind).and_then(|c| c.get("status")?.as_str()) == Some("True");
        let said = |kind: &str| condition(kind).and_then(|c| c.get("message")?.as_str()).unwrap_or_default();
        let admitted = holds("Admitted") || holds("Finished");
        let message = if admitted {
            String::new()
        } else if holds("QuotaReserved") {
            format!("it has its quota and waits for admission checks{}", checks(workload))
        } else if said("QuotaReserved").is_empty() && holds("Evicted") {
            said("Evicted").to_owned()
        } else {
            said("QuotaReserved").to_owned()
        };
        let message = match message.trim() {
            "" if !admitted => "Kueue has not looked at it yet".to_owned(),
            text => bounded(text, MAX_MESSAGE),
        };
        let queue = workload.pointer("/spec/queueName").and_then(Value::as_str).unwrap_or_default();
        Self { queue: queue.to_owned(), admitted, message }
    }
}

/// The checks that have not passed: `: budget: ask finance`.
fn checks(workload: &Value) -> String {
    let all = workload.pointer("/status/admissionChecks").and_then(Value::as_array);
    let text = |check: &Value, key: &str| check.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
    let waiting: Vec<String> = all
        .into_iter()
        .flatten()
        .filter(|check| text(check, "state") != "Ready")
        .map(|check| match text(check, "message") {
            message if message.is_empty() => text(check, "name"),
            message => format!("{}: {message}", text(check, "name")),
        })
        .collect();
    if waiting.is_empty() { String::new() } else { format!(": {}", waiting.join("; ")) }
}

impl Cluster {
    /// Kueue's apiVersion in this cluster, the one that it prefers; none when there is no Kueue. It is looked up once and
    /// remembered, as kinds are; that there is none is not, for it may be installed while a run goes on.
    async fn kueue(&self) -> Result<Option<String>, ClusterError> {
        if let Some(known) = self.kinds.preferred(GROUP) {
            return Ok(Some(known));
        }
        let versions = self.versions_of(GROUP).await?;
        let found = versions.and_then(|v| v.into_iter().next()).map(|version| format!("{GROUP}/{version}"));
        if let Some(api_version) = &found {
            self.kinds.prefer(GROUP, api_version);
        }
        Ok(found)
    }

    /// A LocalQueue of the namespace; none when there is none.
    ///
    /// # Errors
    /// [`ClusterError::UnknownKind`] when the cluster has no Kueue; when the API server refuses or does not answer.
    pub async fn local_queue(&self, name: &str) -> Result<Option<Value>, ClusterError> {
        let api_version = self.kueue().await?.unwrap_or_else(|| format!("{GROUP}/v1beta1"));
        self.get(&ObjectRef { api_version, kind: "LocalQueue".to_owned(), name: name.to_owned() }).await
    }

    /// Watches how an object stands in its queue, by the Workload that Kueue makes for it. Only what is new is told.
    pub fn watch_queueing(
        &self,
        uid: &ObjectUid,
    ) -> impl Stream<Item = Result<Queueing, ClusterError>> + Send + use<> {
        let (cluster, uid) = (self.clone(), uid.clone());
        async_stream::stream! {
            let api_version = match cluster.kueue().await {
                Ok(Some(found)) => found,
                // The label means nothing here.
                Ok(None) => return,
                Err(error) => {
                    yield Err(error);
                    return;
                }
            };
            let selection = Selection { field: None, label: Some(format!("{JOB_UID}={uid}")) };
            let what = "watch the Workload of a queued object".to_owned();
            let changes = cluster.changes(what, api_version, "Workload".to_owned(), selection, None);
            futures::pin_mut!(changes);
            let mut told = None;
            while let Some(change) = changes.next().await {
                let found = match change {
                    Err(error) => {
                        yield Err(error);
                        return;
                    }
                    Ok(Change::Snapshot(items)) => items.last().map(Queueing::read),
                    Ok(Change::Put(item)) => Some(Queueing::read(&item)),
                    Ok(Change::Removed(_)) => None,
                };
                if let Some(found) = found
                    && told.as_ref() != Some(&found)
                {
                    told = Some(found.clone());
                    yield Ok(found);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(status: Value) -> Queueing {
        Queueing::read(&json!({"spec": {"queueName": "team"}, "status": status}))
    }

    #[test]
    fn what_keeps_a_workload_is_told_in_kueues_words() {
        let condition = |kind: &str, status: &str, message: &str| json!({"type": kind, "status": status, "message": message});
        let waits = |status: Value, message: &str| {
            let found = read(status);
            assert_eq!((found.admitted, found.message.as_str()), (false, message));
        };
        waits(json!({}), "Kueue has not looked at it yet");
        let short = condition("QuotaReserved", "False", "couldn't assign flavors: 2 more needed");
        waits(json!({"conditions": [short]}), "couldn't assign flavors: 2 more needed");
        let preempted =
            condition("Evicted", "True", "Preempted to accommodate a workload of higher priority");
        waits(json!({"conditions": [preempted]}), "Preempted to accommodate a workload of higher priority");
        waits(json!({"conditions": [preempted, short]}), "couldn't assign flavors: 2 more needed");
        let reserved = condition("QuotaReserved", "True", "Quota reserved in ClusterQueue all");
        waits(
            json!({"conditions": [reserved], "admissionChecks": [
                {"name": "budget", "state": "Pending", "message": "ask finance"}, {"name": "done", "state": "Ready"},
            ]}),
            "it has its quota and waits for admission checks: budget: ask finance",
        );
    }

    #[test]
    fn an_admitted_workload_has_nothing_to_say() {
        for kind in ["Admitted", "Finished"] {
            let found = read(json!({"conditions": [
                {"type": "Evicted", "status": "True", "message": "before"},
                {"type": kind, "status": "True", "message": "x"},
            ]}));
            assert_eq!(found, Queueing { queue: "team".into(), admitted: true, message: String::new() });
        }
        assert!(!read(json!({"conditions": [{"type": "Admitted", "status": "False"}]})).admitted);
    }
}
