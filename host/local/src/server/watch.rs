//! Watches: what changed from a version on, in order, without gaps.

use super::bodies::{self, Answer};
use super::list::{expired, too_large, version_of};
use super::request::Request;
use super::route::Target;
use super::selector::Selector;
use super::status::Refusal;
use super::{Server, Shared};
use crate::store::{Change, Event};
use bytes::{BufMut, Bytes, BytesMut};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// How many events go out in one chunk at most.
const BATCH: usize = 256;
/// How often a client that asks for bookmarks gets one.
const BOOKMARK: Duration = Duration::from_secs(60);

fn line(kind: &str, object: &[u8], into: &mut BytesMut) {
    into.put_slice(b"{\"type\":\"");
    into.put_slice(kind.as_bytes());
    into.put_slice(b"\",\"object\":");
    into.put_slice(object);
    into.put_slice(b"}\n");
}

fn bookmark(target: &Watching, version: u64, initial_end: bool, into: &mut BytesMut) {
    let mut object = json!({
        "kind": target.kind, "apiVersion": target.api_version,
        "metadata": {"resourceVersion": version.to_string(), "creationTimestamp": null},
    });
    if initial_end {
        object["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    line("BOOKMARK", object.to_string().as_bytes(), into);
}

struct Watching {
    resource: &'static str,
    kind: &'static str,
    api_version: String,
    namespace: Option<String>,
    selector: Selector,
    bookmarks: bool,
}

/// How an event looks through a selector: something may enter or leave its view.
fn seen(watching: &Watching, event: &Event) -> Option<&'static str> {
    if !watching.selector.admits(&event.key) {
        return None;
    }
    let whole = !watching.selector.looks();
    let before = || whole || event.previous.as_ref().is_some_and(|object| watching.selector.matches(object));
    let after = || whole || watching.selector.matches(&event.object);
    match event.change {
        Change::Added => after().then_some("ADDED"),
        Change::Deleted => before().then_some("DELETED"),
        Change::Modified => match (before(), after()) {
            (true, true) => Some("MODIFIED"),
            (false, true) => Some("ADDED"),
            (true, false) => Some("DELETED"),
            (false, false) => None,
        },
    }
}

fn at_version(object: &Bytes, version: u64) -> Bytes {
    let Ok(mut object) = serde_json::from_slice::<serde_json::Value>(object) else { return object.clone() };
    object["metadata"]["resourceVersion"] = json!(version.to_string());
    Bytes::from(object.to_string())
}

/// The events up to the newest, as lines, and the version that they cover.
fn pull(server: &Server, watching: &Watching, cursor: u64) -> (BytesMut, Option<u64>) {
    let mut chunk = BytesMut::new();
    match server.store.since(cursor, watching.resource, watching.namespace.as_deref(), BATCH) {
        Ok((events, covered)) => {
            for event in &events {
                match (seen(watching, event), &event.previous) {
                    // What leaves the view is shown as it last was in it, at the version at which it left.
                    (Some("DELETED"), Some(previous)) if event.change == Change::Modified => {
                        line("DELETED", &at_version(previous, event.version), &mut chunk);
                    }
                    (Some(kind), _) => line(kind, &event.object, &mut chunk),
                    (None, _) => {}
                }
            }
            (chunk, Some(covered))
        }
        Err(too_old) => {
            line("ERROR", expired(&too_old.to_string()).body().to_string().as_bytes(), &mut chunk);
            (chunk, None)
        }
    }
}

/// `GET …?watch=true`.
pub(super) fn watch(
    server: &Shared,
    request: &Request,
    target: &Target,
    name: Option<&str>,
) -> Result<Answer, Refusal> {
    let asked = version_of(request)?;
    let newest = server.store.version();
    if let Some(asked) = asked.filter(|asked| *asked > newest) {
        return Err(too_large(asked, newest));
    }
    let mut selector = Selector::of(request, target.resource)?;
    if let Some(name) = name {
        selector.name = Some(name.to_owned());
    }
    let streaming = match request.param("sendInitialEvents") {
        Some(_) if request.param("resourceVersionMatch") != Some("NotOlderThan") => {
            return Err(Refusal::bad_request(
                "sendInitialEvents is forbidden for watch unless resourceVersionMatch is NotOlderThan",
            ));
        }
        _ => request.flag("sendInitialEvents"),
    };
    let timeout = request.number("timeoutSeconds")?;
    let watching = Watching {
        resource: target.resource.id,
        kind: target.resource.kind,
        api_version: target.resource.api_version(),
        namespace: target.namespace.clone(),
        selector,
        bookmarks: request.flag("allowWatchBookmarks"),
    };
    let initial = streaming || matches!(asked, None | Some(0));
    Ok(bodies::stream(
        "application/json",
        follow(Arc::clone(server), watching, asked, initial, streaming, timeout),
    ))
}

fn follow(
    server: Shared,
    watching: Watching,
    asked: Option<u64>,
    initial: bool,
    streaming: bool,
    timeout: Option<u64>,
) -> impl futures::Stream<Item = Bytes> + Send + 'static {
    async_stream::stream! {
        let mut changes = server.store.subscribe();
        // Half an hour to an hour on a real server; clients have to live with an end at any time.
        let limit = Duration::from_secs(timeout.unwrap_or(45 * 60).min(24 * 3600));
        let end = tokio::time::sleep(limit);
        tokio::pin!(end);
        let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + BOOKMARK, BOOKMARK);
        let mut cursor = asked.unwrap_or_default();
        if initial {
            let (items, version) = server.store.list(watching.resource, watching.namespace.as_deref());
            cursor = version;
            let mut chunk = BytesMut::new();
            for (key, stored) in items {
                if watching.selector.admits(&key) && watching.selector.matches(&stored.object) {
                    line("ADDED", &stored.object, &mut chunk);
                }
                if chunk.len() > 64 << 10 {
                    yield chunk.split().freeze();
                }
            }
            if streaming && watching.bookmarks {
                bookmark(&watching, version, true, &mut chunk);
            }
            if !chunk.is_empty() {
                yield chunk.freeze();
            }
        }
        loop {
            // Marked as seen before reading: what comes in between wakes the next wait.
            let newest = *changes.borrow_and_update();
            while cursor < newest {
                let (chunk, covered) = pull(&server, &watching, cursor);
                if !chunk.is_empty() {
                    yield chunk.freeze();
                }
                match covered {
                    Some(covered) => cursor = covered,
                    None => return,
                }
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                _ = tick.tick(), if watching.bookmarks => {
                    let mut chunk = BytesMut::new();
                    bookmark(&watching, cursor, false, &mut chunk);
                    yield chunk.freeze();
                }
                () = server.stopping.cancelled() => return,
                () = &mut end => return,
            }
        }
    }
}
