//! The run record: what a run was made of and what became of it. Kubernetes keeps it; nothing is lost with the host.
//!
//! Format 1. Within it, fields may be added: an older host ignores what it does not know, a newer one has a default for
//! what is missing. A change that an older host would misread gets a new number, which it refuses.

use crate::contract::ObjectRef;
use crate::names::{ObjectUid, PluginDigest, RunId, StageName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The format that this host writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// Everything about one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRecord {
    /// [`FORMAT`].
    pub format: u32,
    /// The run.
    pub run: RunId,
    /// When it was created.
    pub created: Timestamp,
    /// The version of the host that created it.
    pub host_version: String,
    /// Which component offers each stage.
    pub pipeline: BTreeMap<StageName, Origin>,
    /// What became of each stage that was selected.
    #[serde(default)]
    pub stages: BTreeMap<StageName, StageRecord>,
    /// The claim that stands for each volume.
    #[serde(default)]
    pub claims: BTreeMap<String, String>,
    /// The object that holds each key of each credential: names, never values.
    #[serde(default)]
    pub credentials: BTreeMap<String, BTreeMap<String, Holder>>,
    /// The run whose finished stages this one reuses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<RunId>,
}

/// Where a stage comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// The component's file, for people.
    pub file: String,
    /// The component's digest: what counts.
    pub digest: PluginDigest,
}

/// What holds a credential's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Holder {
    /// A Secret of this name.
    Secret(String),
    /// A ConfigMap of this name.
    ConfigMap(String),
}

/// How far a stage is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StageState {
    /// Not begun.
    #[default]
    Waiting,
    /// Its objects are being created.
    Applying,
    /// Its objects exist and are waited for.
    Running,
    /// Done, its outputs are known.
    Succeeded,
    /// It will not be done.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

impl StageState {
    /// Whether it will not change any more by itself.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// One stage of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StageRecord {
    /// How far it is.
    pub state: StageState,
    /// Every parameter with its value.
    pub parameters: Map<String, Value>,
    /// `stage.output` to value, as it was rendered with.
    pub inputs: Map<String, Value>,
    /// The hash of each manifest, by `Kind/name`.
    pub manifest_hashes: BTreeMap<String, String>,
    /// What was created, in order.
    pub objects: Vec<CreatedObject>,
    /// Why the verdict is what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it hands on.
    pub outputs: Map<String, Value>,
    /// When its first object was applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When its verdict fell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished: Option<Timestamp>,
    /// Counted from 1 once it has begun.
    pub attempt: u32,
}

/// An object that the host created for a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreatedObject {
    /// What it is called.
    #[serde(rename = "ref")]
    pub object: ObjectRef,
    /// What it is.
    pub uid: ObjectUid,
}

/// A record that this host cannot read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A newer host wrote it, in a format that this one would misread.
    #[error(
        "the run record has format {found}, this host reads formats up to {FORMAT}: use the ilab-host that wrote it ({host_version}) or a newer one"
    )]
    Format {
        /// Its format.
        found: u64,
        /// The version of the host that wrote it, as far as it says.
        host_version: String,
    },
    /// It is damaged, or no run record.
    #[error("the run record cannot be read")]
    Malformed(#[source] serde_json::Error),
}

impl RunRecord {
    /// A new record with every stage of the pipeline known and none begun.
    #[must_use]
    pub fn new(
        run: RunId,
        created: Timestamp,
        host_version: impl Into<String>,
        pipeline: BTreeMap<StageName, Origin>,
    ) -> Self {
        Self {
            format: FORMAT,
            run,
            created,
            host_version: host_version.into(),
            pipeline,
            stages: BTreeMap::new(),
            claims: BTreeMap::new(),
            credentials: BTreeMap::new(),
            origin: None,
        }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`RecordError::Format`] for a format that is newer than this host, [`RecordError::Malformed`] for anything else.
    pub fn from_json(text: &str) -> Result<Self, RecordError> {
        let value: Value = serde_json::from_str(text).map_err(RecordError::Malformed)?;
        // Before anything else: a newer format may have changed everything but this.
        if let Some(found) =
            value.get("format").and_then(Value::as_u64).filter(|found| *found > u64::from(FORMAT))
        {
            let host_version = value.get("hostVersion").and_then(Value::as_str).unwrap_or("unknown");
            return Err(RecordError::Format { found, host_version: crate::text::escaped(host_version, 40) });
        }
        serde_json::from_value(value).map_err(RecordError::Malformed)
    }

    /// The record as JSON.
    ///
    /// # Errors
    /// [`RecordError::Malformed`] never happens for a record of this type; it is passed on, not hidden.
    pub fn to_json(&self) -> Result<String, RecordError> {
        serde_json::to_string(self).map_err(RecordError::Malformed)
    }
}

/// The SHA-256 of a manifest, as `sha256:` and 64 hex digits; the order of keys does not count.
///
/// ```
/// use ilab_core::record::manifest_hash;
/// use serde_json::json;
/// assert_eq!(manifest_hash(&json!({"a": 1, "b": 2})), manifest_hash(&json!({"b": 2, "a": 1})));
/// assert_ne!(manifest_hash(&json!([1, 2])), manifest_hash(&json!([2, 1])));
/// ```
#[must_use]
pub fn manifest_hash(manifest: &Value) -> String {
    let mut hasher = Sha256::new();
    feed(&mut hasher, manifest);
    format!("sha256:{}", hex::encode(hasher.finalize()))
}

/// Canonical JSON: keys sorted by their bytes, no white space.
fn feed(hasher: &mut Sha256, value: &Value) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            hasher.update(b"{");
            for (index, (key, value)) in entries.into_iter().enumerate() {
                if index > 0 {
                    hasher.update(b",");
                }
                hasher.update(Value::from(key.as_str()).to_string());
                hasher.update(b":");
                feed(hasher, value);
            }
            hasher.update(b"}");
        }
        Value::Array(items) => {
            hasher.update(b"[");
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    hasher.update(b",");
                }
                feed(hasher, item);
            }
            hasher.update(b"]");
        }
        scalar => hasher.update(scalar.to_string()),
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
