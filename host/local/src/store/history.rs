//! The bounded window of changes that watches read from.

use super::Key;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;

/// What became of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Added,
    Modified,
    Deleted,
}

/// One change.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) version: u64,
    pub(crate) change: Change,
    pub(crate) key: Arc<Key>,
    /// The object after the change; its last state when it was deleted.
    pub(crate) object: Bytes,
    /// The object before: a watch with a selector has to know what left its view.
    pub(crate) previous: Option<Bytes>,
}

impl Event {
    pub(super) fn new(version: u64, key: Arc<Key>, object: Option<Bytes>, previous: Option<Bytes>) -> Self {
        let change = match (&object, &previous) {
            (None, _) => Change::Deleted,
            (Some(_), None) => Change::Added,
            (Some(_), Some(_)) => Change::Modified,
        };
        let object = object.or_else(|| previous.clone()).unwrap_or_default();
        Self { version, change, key, object, previous }
    }

    fn weight(&self) -> usize {
        // The state before is the state after of an older event, or of none: count it once, here.
        self.object.len() + 128
    }
}

/// The version asked for is older than the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too old resource version: {asked} ({oldest})")]
pub(crate) struct Expired {
    pub(crate) asked: u64,
    pub(crate) oldest: u64,
}

/// At most this many changes are remembered,
const MAX_EVENTS: usize = 4096;
/// and at most about this many bytes of them.
const MAX_BYTES: usize = 4 << 20;

#[derive(Default)]
pub(super) struct History {
    events: VecDeque<Event>,
    bytes: usize,
    /// Everything after this version is in the window.
    start: u64,
}

impl History {
    /// The window begins here: nothing before is known.
    pub(super) fn begin(&mut self, version: u64) {
        self.start = version;
    }

    pub(super) fn push(&mut self, event: Event) {
        self.bytes += event.weight();
        self.events.push_back(event);
        while self.events.len() > MAX_EVENTS || (self.bytes > MAX_BYTES && self.events.len() > 1) {
            if let Some(oldest) = self.events.pop_front() {
                self.bytes -= oldest.weight();
                self.start = oldest.version;
            }
        }
    }

    pub(super) fn since(
        &self,
        version: u64,
        latest: u64,
        limit: usize,
        matches: impl Fn(&Key) -> bool,
    ) -> Result<(Vec<Event>, u64), Expired> {
        if version < self.start {
            return Err(Expired { asked: version, oldest: self.start });
        }
        let first = self.events.partition_point(|event| event.version <= version);
        let mut found = Vec::new();
        for event in self.events.range(first..) {
            if !matches(&event.key) {
                continue;
            }
            if found.len() == limit {
                let covered = found.last().map_or(version, |event: &Event| event.version);
                return Ok((found, covered));
            }
            found.push(event.clone());
        }
        Ok((found, latest.max(version)))
    }
}
