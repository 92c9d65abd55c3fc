//! Objects as bytes, a bounded window of their history, and a log on disk that loses nothing acknowledged.
//!
//! One lock, held for microseconds: a write serialises the object once, appends it to the log, and only then becomes
//! visible. Watchers keep a version as their cursor and read the window from there, so none can miss or reorder an
//! event, and a slow one costs no memory: it learns that its version has expired, as with a real API server.

mod history;
mod log;

pub(crate) use history::{Change, Event, Expired};
pub use log::LogError;

use bytes::Bytes;
use history::History;
use log::{Log, Record};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// What an object is called, uniquely.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    /// `group/plural`, a constant of the resource table.
    pub(crate) resource: &'static str,
    /// Empty for resources of the cluster.
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// One object as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    /// JSON, complete with its resourceVersion.
    pub(crate) object: Bytes,
    /// The version it was written at.
    pub(crate) version: u64,
}

/// Why a write was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommitError {
    /// Somebody else wrote the object first: read it again.
    #[error("the object changed meanwhile")]
    Raced,
    /// The cluster has been shut down; its folder may be another's by now.
    #[error("the local cluster has been shut down")]
    Closed,
    /// The object could not be written as JSON.
    #[error("the object could not be written as JSON")]
    Serialise(#[source] serde_json::Error),
    /// The disk refused.
    #[error(transparent)]
    Log(#[from] LogError),
}

struct Inner {
    objects: BTreeMap<Arc<Key>, Stored>,
    history: History,
    version: u64,
    log: Log,
    live_bytes: u64,
    closed: bool,
}

/// The objects of the cluster.
pub(crate) struct Store {
    inner: Mutex<Inner>,
    changed: watch::Sender<u64>,
}

/// An object as JSON, in no more memory than it needs.
fn exact(object: &Value) -> Result<Bytes, CommitError> {
    let bytes = serde_json::to_vec(object).map_err(CommitError::Serialise)?;
    Ok(Bytes::from(bytes.into_boxed_slice()))
}

impl Store {
    /// Reads the log in this folder, or starts one. `resource` turns a stored resource name into its constant.
    pub(crate) fn open(
        folder: &Path,
        resource: impl Fn(&str) -> Option<&'static str>,
    ) -> Result<Self, LogError> {
        let mut objects: BTreeMap<Arc<Key>, Stored> = BTreeMap::new();
        let mut history = History::default();
        let mut version = 0;
        let mut live_bytes = 0_u64;
        let log = Log::open(folder, resource, |record, snapshot| {
            version = record.version.max(version);
            if snapshot {
                history.begin(version);
            }
            let Some(key) = record.key else { return };
            let key = Arc::new(key);
            let previous = match &record.object {
                Some(object) => {
                    live_bytes += object.len() as u64;
                    let stored = Stored { object: object.clone(), version: record.object_version };
                    objects.insert(Arc::clone(&key), stored)
                }
                None => objects.remove(&key),
            };
            let previous = previous.map(|stored| stored.object);
            live_bytes -= previous.as_ref().map_or(0, |bytes| bytes.len() as u64);
            if !snapshot {
                history.push(Event::new(record.version, key, record.object, previous));
            }
        })?;
        let (changed, _) = watch::channel(version);
        Ok(Self {
            inner: Mutex::new(Inner { objects, history, version, log, live_bytes, closed: false }),
            changed,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere cannot leave the maps half written: every change to them is a single insert or remove.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writable(&self) -> Result<MutexGuard<'_, Inner>, CommitError> {
        let inner = self.lock();
        if inner.closed { Err(CommitError::Closed) } else { Ok(inner) }
    }

    /// Refuses every later write.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
    }

    /// The version of the last write.
    pub(crate) fn version(&self) -> u64 {
        self.lock().version
    }

    /// One object.
    pub(crate) fn get(&self, key: &Key) -> Option<Stored> {
        self.lock().objects.get(key).cloned()
    }

    /// All objects of a resource, of one namespace or of all, ordered by namespace and name, and the version of the
    /// whole at that moment.
    pub(crate) fn list(
        &self,
        resource: &'static str,
        namespace: Option<&str>,
    ) -> (Vec<(Arc<Key>, Stored)>, u64) {
        let inner = self.lock();
        let from = Key { resource, namespace: namespace.unwrap_or_default().to_owned(), name: String::new() };
        let items = inner
            .objects
            .range::<Key, _>((Bound::Included(&from), Bound::Unbounded))
            .take_while(|(key, _)| {
                key.resource == resource && namespace.is_none_or(|namespace| key.namespace == namespace)
            })
            .map(|(key, stored)| (Arc::clone(key), stored.clone()))
            .collect();
        (items, inner.version)
    }

    /// Writes an object. `expected` is the version that the new one was made from; none: it must not exist yet.
    pub(crate) fn put(
        &self,
        key: Key,
        expected: Option<u64>,
        object: &mut Value,
    ) -> Result<Stored, CommitError> {
        let mut inner = self.writable()?;
        let current = inner.objects.get(&key).map(|stored| stored.version);
        if current != expected {
            return Err(CommitError::Raced);
        }
        let version = inner.version + 1;
        object["metadata"]["resourceVersion"] = Value::String(version.to_string());
        let object = exact(object)?;
        inner.log.append(&Record {
            version,
            object_version: version,
            key: Some(key.clone()),
            object: Some(object.clone()),
        })?;
        let key = Arc::new(key);
        let stored = Stored { object: object.clone(), version };
        let previous = inner.objects.insert(Arc::clone(&key), stored.clone()).map(|stored| stored.object);
        inner.live_bytes += object.len() as u64;
        self.finish(inner, version, key, Some(object), previous);
        Ok(stored)
    }

    /// Removes an object that is at this version. `object` is its last state, which watchers are told.
    pub(crate) fn remove(&self, key: &Key, expected: u64, object: &mut Value) -> Result<Bytes, CommitError> {
        let mut inner = self.writable()?;
        if inner.objects.get(key).map(|stored| stored.version) != Some(expected) {
            return Err(CommitError::Raced);
        }
        let version = inner.version + 1;
        object["metadata"]["resourceVersion"] = Value::String(version.to_string());
        let last = exact(object)?;
        inner.log.append(&Record {
            version,
            object_version: version,
            key: Some(key.clone()),
            object: None,
        })?;
        let previous = inner.objects.remove(key).map(|stored| stored.object);
        let event = Event {
            version,
            change: Change::Deleted,
            key: Arc::new(key.clone()),
            object: last.clone(),
            previous: previous.clone(),
        };
        self.settle(inner, version, event, previous);
        Ok(last)
    }

    fn finish(
        &self,
        inner: MutexGuard<'_, Inner>,
        version: u64,
        key: Arc<Key>,
        object: Option<Bytes>,
        previous: Option<Bytes>,
    ) {
        let event = Event::new(version, key, object, previous.clone());
        self.settle(inner, version, event, previous);
    }

    fn settle(&self, mut inner: MutexGuard<'_, Inner>, version: u64, event: Event, previous: Option<Bytes>) {
        inner.live_bytes -= previous.map_or(0, |bytes| bytes.len() as u64);
        inner.history.push(event);
        inner.version = version;
        if inner.log.wants_compaction(inner.live_bytes) {
            let Inner { log, objects, .. } = &mut *inner;
            // The write itself is safe in the old log; a failed compaction is tried again by a later write.
            if let Err(error) = log.compact(version, objects) {
                tracing::warn!(error = %error, "the log of the local cluster could not be compacted");
            }
        }
        // Under the lock, so that the channel never goes backwards.
        self.changed.send_replace(version);
    }

    /// Tells when there is something newer than what was read.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// What happened to a resource after `version`, at most `limit` events, and the version that this covers.
    pub(crate) fn since(
        &self,
        version: u64,
        resource: &'static str,
        namespace: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<Event>, u64), Expired> {
        let inner = self.lock();
        inner.history.since(version, inner.version, limit, |key| {
            key.resource == resource && namespace.is_none_or(|namespace| key.namespace == namespace)
        })
    }

    /// Brings everything to the disk itself.
    pub(crate) fn sync(&self) -> Result<(), LogError> {
        self.lock().log.sync()
    }
}

#[cfg(test)]
mod tests;
