//! Kubernetes' own Events about an object.

use crate::error::ClusterError;
use crate::transport::Cluster;
use crate::watch::{Change, Selection};
use futures::{Stream, StreamExt};
use ilab_core::names::ObjectUid;
use ilab_core::text::bounded;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Kubernetes itself keeps no more of a message.
const MAX_MESSAGE: usize = 1024;

/// One Event about an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ObjectEvent {
    /// Whether it is a warning.
    pub warning: bool,
    /// The machine's word, for example `FailedScheduling`.
    pub reason: String,
    /// The sentence.
    pub message: String,
    /// How often it happened.
    pub count: u64,
    /// When last, RFC 3339; empty when it does not say.
    pub last: String,
    /// The object, for example `Pod/x`.
    pub object: String,
}

impl ObjectEvent {
    /// Reads an Event, of the old form or with a series.
    #[must_use]
    pub fn read(event: &Value) -> Self {
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or("").to_owned();
        let last =
            ["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"]
                .iter()
                .map(|p| text(p))
                .find(|t| !t.is_empty())
                .unwrap_or_default();
        let count =
            event.pointer("/series/count").or_else(|| event.pointer("/count")).and_then(Value::as_u64);
        Self {
            warning: text("/type") == "Warning",
            reason: text("/reason"),
            message: bounded(&text("/message"), MAX_MESSAGE),
            count: count.unwrap_or(1).max(1),
            last,
            object: format!("{}/{}", text("/involvedObject/kind"), text("/involvedObject/name")),
        }
    }
}

impl std::fmt::Display for ObjectEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.object, self.reason, self.message.trim_end())?;
        if self.count > 1 { write!(f, " ({} times)", self.count) } else { Ok(()) }
    }
}

fn about(uid: &ObjectUid) -> Selection {
    Selection { field: Some(format!("involvedObject.uid={uid}")), label: None }
}

fn concerns(event: &Value, uid: &ObjectUid) -> bool {
    event.pointer("/involvedObject/uid").and_then(Value::as_str) == Some(&uid.0)
}

impl Cluster {
    /// The Events about one object, oldest first.
    ///
    /// # Errors
    /// When the API server refuses or does not answer.
    pub async fn events_of(&self, uid: &ObjectUid) -> Result<Vec<ObjectEvent>, ClusterError> {
        let items = self.list("list the Events of an object", "v1", "Event", &about(uid)).await?;
        let mut events: Vec<_> = items.iter().filter(|e| concerns(e, uid)).map(ObjectEvent::read).collect();
        events.sort_by(|a, b| a.last.cmp(&b.last));
        Ok(events)
    }

    /// The Events about one object, those that are there and those to come.
    pub fn watch_events_of(
        &self,
        uid: &ObjectUid,
    ) -> impl Stream<Item = Result<ObjectEvent, ClusterError>> + Send + use<> {
        let uid = uid.clone();
        let what = "watch the Events of an object".to_owned();
        self.changes(what, "v1".to_owned(), "Event".to_owned(), about(&uid), None).flat_map(move |change| {
            let found: Vec<Result<ObjectEvent, ClusterError>> = match change {
                Err(error) => vec![Err(error)],
                Ok(Change::Snapshot(items)) => {
                    items.iter().filter(|e| concerns(e, &uid)).map(|e| Ok(ObjectEvent::read(e))).collect()
                }
                Ok(Change::Put(item)) if concerns(&item, &uid) => vec![Ok(ObjectEvent::read(&item))],
                Ok(_) => vec![],
            };
            futures::stream::iter(found)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_forms_of_events_are_read() {
        let old = json!({"type": "Warning", "reason": "FailedCreate", "message": "quota", "count": 3,
            "lastTimestamp": "2026-01-01T00:00:00Z", "eventTime": null, "involvedObject": {"kind": "Job", "name": "x"}});
        let event = ObjectEvent::read(&old);
        assert_eq!(event.to_string(), "Job/x FailedCreate: quota (3 times)");
        let new = json!({"reason": "R", "eventTime": "2026-01-02T00:00:00Z", "lastTimestamp": null});
        assert_eq!(ObjectEvent::read(&new).last, "2026-01-02T00:00:00Z");
        assert_eq!(ObjectEvent::read(&json!(null)).count, 1);
    }
}
