//! Run records: a ConfigMap a run. Kubernetes is the database.
//!
//! This module keeps text; what the text says is [`ilab_core::record`]'s to know.

use crate::apply::RUN_LABEL;
use crate::error::ClusterError;
use crate::transport::{Call, Cluster};
use crate::watch::Selection;
use http::Method;
use ilab_core::contract::ObjectRef;
use ilab_core::names::{ObjectUid, RunId};
use serde_json::{Value, json};

/// A ConfigMap holds 1 MiB, keys and all.
pub const MAX_RECORD_BYTES: usize = 1024 * 1024 - 4096;

const KEY: &str = "record.json";
/// What tells run records from a run's other ConfigMaps.
const COMPONENT: &str = "ilab.dev/component=run-record";

/// A run record as the cluster has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// The run.
    pub run: RunId,
    /// The record's JSON text.
    pub text: String,
    /// The ConfigMap's identity: the owner of all that the run creates.
    pub uid: ObjectUid,
    /// The version that a save replaces.
    pub resource_version: String,
    /// Whether it is being deleted, and the run with it.
    pub going: bool,
}

impl StoredRecord {
    /// The ConfigMap as an owner.
    #[must_use]
    pub fn owner(&self) -> crate::Owner {
        crate::Owner { object: RecordStore::object(&self.run), uid: self.uid.clone() }
    }
}

/// The run records of a namespace.
#[derive(Debug, Clone)]
pub struct RecordStore {
    cluster: Cluster,
}

impl RecordStore {
    /// The records in the cluster's namespace.
    #[must_use]
    pub fn new(cluster: Cluster) -> Self {
        Self { cluster }
    }

    /// The ConfigMap of a run's record.
    #[must_use]
    pub fn object(run: &RunId) -> ObjectRef {
        ObjectRef {
            api_version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
            name: format!("ilab-run-{run}"),
        }
    }

    /// The record of a run; none when there is none.
    ///
    /// # Errors
    /// [`ClusterError::RecordUnreadable`] when the ConfigMap is no run record; else what the API server says.
    pub async fn load(&self, run: &RunId) -> Result<Option<StoredRecord>, ClusterError> {
        let found = self.cluster.get(&Self::object(run)).await?;
        found.map(|config_map| read(run.clone(), &config_map)).transpose()
    }

    /// Writes the first record of a run.
    ///
    /// # Errors
    /// [`ClusterError::RecordChanged`] when there is one already, [`ClusterError::RecordTooLarge`], or what the API
    /// server says.
    pub async fn create(&self, run: &RunId, text: &str) -> Result<StoredRecord, ClusterError> {
        fits(run, text)?;
        let object = Self::object(run);
        let path = self.cluster.collection(&object.api_version, &object.kind).await?;
        let call = Call::new(format!("create {object}"), Method::POST, path).json(&body(run, text, None));
        self.write(run, text, &call).await
    }

    /// Replaces a record that nobody has changed since it was read.
    ///
    /// # Errors
    /// [`ClusterError::RecordChanged`] when somebody has, or it was deleted; [`ClusterError::RecordTooLarge`]; else
    /// what the API server says.
    pub async fn save(&self, stored: &StoredRecord, text: &str) -> Result<StoredRecord, ClusterError> {
        fits(&stored.run, text)?;
        let object = Self::object(&stored.run);
        let path = self.cluster.path(&object).await?;
        let body = body(&stored.run, text, Some(stored));
        let call = Call::new(format!("save {object}"), Method::PUT, path).json(&body);
        self.write(&stored.run, text, &call).await
    }

    async fn write(&self, run: &RunId, text: &str, call: &Call) -> Result<StoredRecord, ClusterError> {
        match self.cluster.json(call).await {
            Ok((_, config_map)) => read(run.clone(), &config_map),
            Err(error) if error.is_conflict() || error.is_not_found() => {
                // The answer to an earlier attempt of our own may have been lost.
                match self.load(run).await? {
                    Some(found) if found.text == text => Ok(found),
                    _ => Err(ClusterError::RecordChanged { run: run.to_string() }),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// All run records of the namespace, by name. One that cannot be read is an error in its place, and hides no
    /// other.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn list(&self) -> Result<Vec<Result<StoredRecord, ClusterError>>, ClusterError> {
        let selection = Selection { field: None, label: Some(COMPONENT.to_owned()) };
        let items = self.cluster.list("list the run records", "v1", "ConfigMap", &selection).await?;
        let mut records: Vec<_> = items
            .iter()
            .filter_map(|config_map| {
                let name = config_map.pointer("/metadata/name")?.as_str()?;
                let run = RunId::new(name.strip_prefix("ilab-run-")?).ok()?;
                Some((run.clone(), read(run, config_map)))
            })
            .collect();
        records.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(records.into_iter().map(|(_, record)| record).collect())
    }
}

fn fits(run: &RunId, text: &str) -> Result<(), ClusterError> {
    if text.len() <= MAX_RECORD_BYTES {
        return Ok(());
    }
    Err(ClusterError::RecordTooLarge { run: run.to_string(), bytes: text.len(), limit: MAX_RECORD_BYTES })
}

fn body(run: &RunId, text: &str, stored: Option<&StoredRecord>) -> Value {
    let object = RecordStore::object(run);
    let (key, value) = COMPONENT.split_once('=').unwrap_or((COMPONENT, ""));
    let mut metadata = json!({"name": object.name, "labels": {RUN_LABEL: run.as_str(), key: value}});
    if let Some(stored) = stored {
        metadata["uid"] = stored.uid.0.as_str().into();
        metadata["resourceVersion"] = stored.resource_version.as_str().into();
    }
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {KEY: text}})
}

fn read(run: RunId, config_map: &Value) -> Result<StoredRecord, ClusterError> {
    let text = |pointer: &str| config_map.pointer(pointer).and_then(Value::as_str).map(ToOwned::to_owned);
    match (text("/data/record.json"), text("/metadata/uid"), text("/metadata/resourceVersion")) {
        (Some(text), Some(uid), Some(resource_version)) => {
            let going = config_map.pointer("/metadata/deletionTimestamp").is_some_and(|at| !at.is_null());
            Ok(StoredRecord { run, text, uid: ObjectUid(uid), resource_version, going })
        }
        (record, ..) => Err(ClusterError::RecordUnreadable {
            config_map: RecordStore::object(&run).name,
            run: run.to_string(),
            problem: if record.is_none() { "it has no key record.json" } else { "it has no uid" }.to_owned(),
        }),
    }
}
