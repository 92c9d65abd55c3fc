//! Events are forgotten after an hour, as on a real cluster: a state folder is kept for long.

use super::object::{parse, text};
use super::{Server, Shared, resources};
use std::sync::Arc;
use std::time::Duration;

const KEPT: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);
const EVERY: Duration = Duration::from_secs(300);

/// Looks now and then, until the cluster stops.
pub(super) fn start(server: &Shared) {
    let stopping = server.stopping.clone();
    let server = Arc::downgrade(server);
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(EVERY);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = stopping.cancelled() => return,
            }
            let Some(server) = server.upgrade() else { return };
            expire(&server, jiff::Timestamp::now());
        }
    });
}

/// Removes the events that are too old at this time.
fn expire(server: &Server, now: jiff::Timestamp) {
    let Some(events) = resources::find("", "v1", "events") else { return };
    for (key, stored) in server.store.list(events.id, None).0 {
        let Ok(mut event) = parse(&stored.object) else { continue };
        let last =
            ["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"]
                .iter()
                .find_map(|pointer| text(&event, pointer).parse::<jiff::Timestamp>().ok());
        let old = last.is_some_and(|last| now.duration_since(last) > KEPT);
        // One that was just seen again stays.
        if old && let Err(error) = server.store.remove(&key, stored.version, &mut event) {
            tracing::debug!(%error, name = %key.name, "an old event is still there");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Key, Store};
    use serde_json::json;
    use tokio_util::sync::CancellationToken;

    #[test]
    fn old_events_go_and_fresh_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), |id| resources::by_id(id).map(|r| r.id)).unwrap();
        let server = Server { store, state: folder.path().to_owned(), stopping: CancellationToken::new() };
        let key = |name: &str| Key { resource: "/events", namespace: "default".into(), name: name.into() };
        for (name, field, at) in [
            ("old", "lastTimestamp", "2026-01-01T10:00:00Z"),
            ("fresh", "lastTimestamp", "2026-01-01T11:30:00Z"),
            ("old-micro", "eventTime", "2026-01-01T10:00:00.000000Z"),
        ] {
            let mut event = json!({"metadata": {"creationTimestamp": "2026-01-01T09:00:00Z"}, field: at});
            server.store.put(key(name), None, &mut event).unwrap();
        }
        expire(&server, "2026-01-01T12:00:00Z".parse().unwrap());
        let left: Vec<_> =
            server.store.list("/events", None).0.into_iter().map(|(key, _)| key.name.clone()).collect();
        assert_eq!(left, ["fresh"]);
    }
}
