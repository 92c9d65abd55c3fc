//! Events: what people see at the end of `kubectl describe`.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// So many different events are remembered for counting.
const REMEMBERED: usize = 1024;

/// Writes events; one that repeats is counted, not written again.
#[derive(Clone)]
pub(crate) struct Recorder {
    client: Client,
    component: &'static str,
    known: Arc<Mutex<HashMap<String, (String, i32)>>>,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("component", &self.component).finish_non_exhaustive()
    }
}

impl Recorder {
    pub(crate) fn new(client: Client, component: &'static str) -> Self {
        Self { client, component, known: Arc::default() }
    }

    /// Something went as it should.
    pub(crate) async fn normal(&self, about: &ObjectReference, reason: &str, message: &str) {
        self.record(about, "Normal", reason, message).await;
    }

    /// Something did not.
    pub(crate) async fn warning(&self, about: &ObjectReference, reason: &str, message: &str) {
        self.record(about, "Warning", reason, message).await;
    }

    async fn record(&self, about: &ObjectReference, kind: &str, reason: &str, message: &str) {
        let (Some(namespace), Some(name)) = (&about.namespace, &about.name) else { return };
        let message: String = message.chars().take(1024).collect();
        let key = format!("{:?}/{:?}/{reason}/{message}", about.uid, about.field_path);
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let now = Timestamp::now();
        let repeated = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= REMEMBERED {
                known.clear();
            }
            known.get_mut(&key).map(|(name, count)| {
                *count += 1;
                (name.clone(), *count)
            })
        };
        let written = match repeated {
            Some((event, count)) => {
                let patch = serde_json::json!({"count": count, "lastTimestamp": Time(now)});
                api.patch(&event, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
            }
            None => {
                // As client-go names them: the object and the time.
                let event_name =
                    format!("{}.{:x}", name.chars().take(230).collect::<String>(), now.as_nanosecond());
                let event = Event {
                    metadata: ObjectMeta {
                        name: Some(event_name.clone()),
                        namespace: Some(namespace.clone()),
                        ..ObjectMeta::default()
                    },
                    involved_object: about.clone(),
                    type_: Some(kind.to_owned()),
                    reason: Some(reason.to_owned()),
                    message: Some(message),
                    count: Some(1),
                    first_timestamp: Some(Time(now)),
                    last_timestamp: Some(Time(now)),
                    source: Some(EventSource { component: Some(self.component.to_owned()), host: None }),
                    reporting_component: Some(self.component.to_owned()),
                    reporting_instance: Some(String::new()),
                    ..Event::default()
                };
                self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(key, (event_name, 1));
                api.create(&PostParams::default(), &event).await.map(drop)
            }
        };
        if let Err(error) = written {
            // A namespace that is going takes no new events, for example.
            tracing::debug!(%error, reason, "an event was not written");
        }
    }
}
