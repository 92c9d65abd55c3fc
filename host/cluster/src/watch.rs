//! Watching: one list, then changes from its version on; never a poll.

use crate::backoff::Backoff;
use crate::error::{Class, ClusterError};
use crate::lines::{Lines, Overlong};
use crate::transport::{Call, Cluster, cut, encode, status_error};
use futures::Stream;
use ilab_core::contract::ObjectRef;
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// An object in a watch may have this many bytes: etcd keeps 1.5 MiB, as JSON it may grow.
const MAX_EVENT: usize = 16 * 1024 * 1024;
/// The server ends a watch after this long; the next goes on from the last version.
const WATCH_SECONDS: u64 = 290;
/// A connection that says nothing for longer than the server would keep it is dead.
const SILENCE: Duration = Duration::from_secs(WATCH_SECONDS + 30);

/// A change of a set of objects.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// All there are now: at the beginning, and again whenever the server no longer knows the version before.
    Snapshot(Vec<Value>),
    /// One is new or different.
    Put(Value),
    /// One is gone; this is what it was last.
    Removed(Value),
}

/// One object, as last seen.
#[derive(Debug, Clone, PartialEq)]
pub enum Observed {
    /// It is there.
    Present(Value),
    /// It is not, or not any more; then with its last state, where a watch saw it go.
    Absent {
        /// Its last state.
        last: Option<Value>,
    },
}

impl Observed {
    /// The object, when it is there.
    #[must_use]
    pub fn present(&self) -> Option<&Value> {
        match self {
            Self::Present(value) => Some(value),
            Self::Absent { .. } => None,
        }
    }
}

/// Which objects of a kind.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    pub(crate) field: Option<String>,
    pub(crate) label: Option<String>,
}

impl Selection {
    fn add(&self, mut call: Call) -> Call {
        if let Some(field) = &self.field {
            call = call.query("fieldSelector", field.clone());
        }
        if let Some(label) = &self.label {
            call = call.query("labelSelector", label.clone());
        }
        call
    }
}

impl Cluster {
    /// Watches one object, wherever it comes and goes. The first item says how it is now, unless `from` is given: the
    /// resourceVersion of an answer about this object. The watch then begins there, without a list, and yields only what
    /// is different from that answer.
    ///
    /// Passing errors are told to the observer and tried again without end; a permanent one is the last item.
    pub fn watch(
        &self,
        object: &ObjectRef,
        from: Option<String>,
    ) -> impl Stream<Item = Result<Observed, ClusterError>> + Send + use<> {
        let (cluster, object) = (self.clone(), object.clone());
        async_stream::stream! {
            let selection =
                Selection { field: Some(format!("metadata.name={}", object.name)), label: None };
            let what = format!("watch {object}");
            let changes = cluster.changes(what, object.api_version.clone(), object.kind.clone(), selection, from);
            futures::pin_mut!(changes);
            while let Some(change) = futures::StreamExt::next(&mut changes).await {
                match change {
                    Err(error) => yield Err(error),
                    Ok(Change::Snapshot(items)) => {
                        let found = items.into_iter().find(|item| name_of(item) == Some(&object.name));
                        yield Ok(found.map_or(Observed::Absent { last: None }, Observed::Present));
                    }
                    Ok(Change::Put(item)) if name_of(&item) == Some(&object.name) => yield Ok(Observed::Present(item)),
                    Ok(Change::Removed(item)) if name_of(&item) == Some(&object.name) => {
                        yield Ok(Observed::Absent { last: Some(item) });
                    }
                    // A server that ignores field selectors.
                    Ok(_) => {}
                }
            }
        }
    }

    /// Watches the objects of a kind that a selection picks.
    pub(crate) fn changes(
        &self,
        what: String,
        api_version: String,
        kind: String,
        selection: Selection,
        from: Option<String>,
    ) -> impl Stream<Item = Result<Change, ClusterError>> + Send + use<> {
        let cluster = self.clone();
        async_stream::stream! {
            let mut backoff = Backoff::default();
            let mut version = from;
            'watch: loop {
                let error = 'attempt: {
                    let path = match cluster.collection(&api_version, &kind).await {
                        Ok(path) => path,
                        Err(error) => break 'attempt error,
                    };
                    let start = match version.take() {
                        Some(version) => version,
                        None => match cluster.list_once(&what, &path, &selection).await {
                            Ok((items, version)) => {
                                yield Ok(Change::Snapshot(items));
                                version
                            }
                            Err(error) => break 'attempt error,
                        },
                    };
                    let call = selection.add(
                        Call::get(what.clone(), path)
                            .query("watch", "true")
                            .query("allowWatchBookmarks", "true")
                            .query("timeoutSeconds", WATCH_SECONDS.to_string())
                            .query("resourceVersion", start.clone()),
                    );
                    version = Some(start);
                    let opened = Instant::now();
                    let mut lines = match cluster.once(&call).await {
                        Ok(answer) => Lines::new(answer.into_body(), MAX_EVENT, Overlong::Refuse),
                        Err(error) => break 'attempt error,
                    };
                    loop {
                        let line = match timeout(SILENCE, lines.next()).await {
                            Ok(Ok(Some(line))) => line.bytes,
                            Ok(Err(source)) => break 'attempt cut(&what, source),
                            // Silence and a clean end alike: the watch goes on from the last version.
                            Ok(Ok(None)) | Err(_) => break,
                        };
                        match parse(&what, &line) {
                            // The rest of a line whose connection was cut.
                            None => break,
                            Some(Err(error)) => break 'attempt error,
                            Some(Ok((change, at))) => {
                                backoff.reset();
                                if let Some(at) = at {
                                    version = Some(at);
                                }
                                if let Some(change) = change {
                                    yield Ok(change);
                                }
                            }
                        }
                    }
                    // A server that ends every watch at once must not be asked in a tight loop.
                    if opened.elapsed() < Duration::from_secs(1) {
                        tokio::time::sleep(backoff.wait(None)).await;
                    }
                    continue 'watch;
                };
                match error.code() {
                    // The version is too old, or of another server's history: all over again, at once but not in a loop.
                    Some(410) => {
                        let wait = backoff.wait(error.retry_after());
                        version = None;
                        cluster.tell(&what, &error, wait);
                        tokio::time::sleep(wait).await;
                    }
                    _ if error.class() == Class::Passing => {
                        let wait = backoff.wait(error.retry_after());
                        cluster.tell(&what, &error, wait);
                        tokio::time::sleep(wait).await;
                    }
                    _ => {
                        yield Err(error);
                        return;
                    }
                }
            }
        }
    }

    async fn list_once(
        &self,
        what: &str,
        path: &str,
        selection: &Selection,
    ) -> Result<(Vec<Value>, String), ClusterError> {
        let call = selection.add(Call::get(what, path));
        let answer = self.once(&call).await?;
        let bytes = crate::transport::read(what, answer, 64 * 1024 * 1024).await?;
        let bad = |problem: &str| ClusterError::Answer { what: what.to_owned(), problem: problem.to_owned() };
        let mut list: Value = serde_json::from_slice(&bytes).map_err(|_| bad("is not JSON"))?;
        let version =
            list.pointer("/metadata/resourceVersion").and_then(Value::as_str).map(ToOwned::to_owned);
        let version =
            version.filter(|v| !v.is_empty()).ok_or_else(|| bad("is a list without a resourceVersion"))?;
        let items = match list.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => items,
            Some(Value::Null) | None => Vec::new(),
            Some(_) => return Err(bad("is a list whose items are none")),
        };
        Ok((items, version))
    }

    /// The objects of a kind that a selection picks, now.
    pub(crate) async fn list(
        &self,
        what: &str,
        api_version: &str,
        kind: &str,
        selection: &Selection,
    ) -> Result<Vec<Value>, ClusterError> {
        let path = self.collection(api_version, kind).await?;
        let (_, mut list) = self.json(&selection.add(Call::get(what, path))).await?;
        Ok(match list.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        })
    }

    /// All objects of a kind that belong to a run, by label.
    ///
    /// # Errors
    /// When the API server refuses, does not answer, or does not know the kind.
    pub async fn of_run(&self, api_version: &str, kind: &str, run: &str) -> Result<Vec<Value>, ClusterError> {
        let label = Some(format!("{}={run}", crate::apply::RUN_LABEL));
        let what = format!("list the {kind} objects of run {}", encode(run));
        self.list(&what, api_version, kind, &Selection { field: None, label }).await
    }
}

pub(crate) fn name_of(object: &Value) -> Option<&String> {
    match object.pointer("/metadata/name") {
        Some(Value::String(name)) => Some(name),
        _ => None,
    }
}

type Parsed = Result<(Option<Change>, Option<String>), ClusterError>;

/// One line of a watch: a change and the version it brings. None for a line that is not whole.
fn parse(what: &str, line: &[u8]) -> Option<Parsed> {
    let mut event: Value = match serde_json::from_slice(line) {
        Ok(event) => event,
        Err(error) if error.is_eof() => return None,
        Err(error) => {
            let problem = format!("has a watch event that is not JSON: {error}");
            return Some(Err(ClusterError::Answer { what: what.to_owned(), problem }));
        }
    };
    let object = event.get_mut("object").map(Value::take).unwrap_or_default();
    let version = object.pointer("/metadata/resourceVersion").and_then(Value::as_str).map(ToOwned::to_owned);
    let change = match event.get("type").and_then(Value::as_str) {
        Some("ADDED" | "MODIFIED") => Some(Change::Put(object)),
        Some("DELETED") => Some(Change::Removed(object)),
        Some("BOOKMARK") => None,
        Some("ERROR") => {
            let code =
                object.get("code").and_then(Value::as_u64).and_then(|c| u16::try_from(c).ok()).unwrap_or(500);
            return Some(Err(status_error(what, code, "error", Some(&object), "", None)));
        }
        // A word of the future: the version still counts.
        _ => None,
    };
    Some(Ok((change, version)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b12_a_deletion_is_seen_with_the_last_state() {
        let line = br#"{"type":"DELETED","object":{"metadata":{"name":"x","resourceVersion":"9"}}}"#;
        let Some(Ok((Some(Change::Removed(object)), Some(version)))) = parse("w", line) else { panic!() };
        assert_eq!((name_of(&object).unwrap().as_str(), version.as_str()), ("x", "9"));
    }

    #[test]
    fn bookmarks_bring_only_a_version_and_errors_an_error() {
        let mark = br#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"12"}}}"#;
        assert!(matches!(parse("w", mark), Some(Ok((None, Some(v)))) if v == "12"));
        let gone = br#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}"#;
        assert!(matches!(parse("w", gone), Some(Err(e)) if e.code() == Some(410)));
        assert!(parse("w", br#"{"type":"ADDED","obj"#).is_none());
        assert!(matches!(parse("w", b"<html>"), Some(Err(ClusterError::Answer { .. }))));
    }
}
