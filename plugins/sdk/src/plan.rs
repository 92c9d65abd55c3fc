//! What a stage wants done.

use crate::contract::{Error, ExcerptSource, ObjectRef, Target};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::{Metadata, Resource};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// How much of a container's log the stage's `collect` gets, unless it asks for another amount.
pub const DEFAULT_EXCERPT_BYTES: u32 = 256 * 1024;

/// A rendered Kubernetes object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// What it is.
    pub object: ObjectRef,
    /// The whole object as JSON text.
    pub json: String,
}

/// Manifests, the targets to wait for, and the logs to read afterwards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Complete Kubernetes objects, in the order they are applied.
    pub manifests: Vec<Manifest>,
    /// What to wait for.
    pub targets: Vec<Target>,
    /// What to read when all targets have succeeded.
    pub excerpts: Vec<ExcerptSource>,
}

impl Plan {
    /// An empty plan.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an object, to be applied after those before it.
    ///
    /// # Errors
    /// When the object has no name or cannot be written as JSON.
    pub fn apply<K>(mut self, object: &K) -> Result<Self, Error>
    where
        K: Resource + Metadata<Ty = ObjectMeta> + Serialize,
    {
        let name = object.metadata().name.clone();
        let name = name.ok_or_else(|| Error::other(format!("a {} has no name", K::KIND)))?;
        let object_ref = ObjectRef { api_version: K::API_VERSION.into(), kind: K::KIND.into(), name };
        self.push(object_ref, object, 4096)?;
        Ok(self)
    }

    /// Adds a ConfigMap of files, for [`pod::config_map_volume`](crate::pod::config_map_volume).
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn files(mut self, name: &str, files: &[(&str, &str)]) -> Result<Self, Error> {
        let object = ObjectRef {
            api_version: ConfigMap::API_VERSION.into(),
            kind: ConfigMap::KIND.into(),
            name: name.into(),
        };
        // Scripts are most of what a stage renders: they are written from where they are, into a buffer that fits.
        let bytes: usize = files.iter().map(|(file, text)| file.len() + text.len() + text.len() / 16).sum();
        self.push(object, &Files { name, data: files.iter().copied().collect() }, bytes + 512)?;
        Ok(self)
    }

    fn push(&mut self, object: ObjectRef, value: &impl Serialize, bytes: usize) -> Result<(), Error> {
        let mut buffer = Vec::with_capacity(bytes);
        let written = serde_json::to_writer(&mut buffer, value).map_err(|e| e.to_string());
        let json = written.and_then(|()| String::from_utf8(buffer).map_err(|e| e.to_string()));
        let json = json
            .map_err(|e| Error::other(format!("{} {} cannot be written: {e}", object.kind, object.name)))?;
        self.manifests.push(Manifest { object, json });
        Ok(())
    }

    /// Adds something to wait for. See [`crate::targets`].
    #[must_use]
    pub fn wait(mut self, target: Target) -> Self {
        self.targets.push(target);
        self
    }

    /// Hands the end of a container's log to `collect`.
    #[must_use]
    pub fn read(mut self, object: ObjectRef, container: &str) -> Self {
        self.excerpts.push(ExcerptSource {
            object,
            container: container.into(),
            max_bytes: DEFAULT_EXCERPT_BYTES,
        });
        self
    }
}

/// A ConfigMap that borrows its files.
struct Files<'a> {
    name: &'a str,
    data: BTreeMap<&'a str, &'a str>,
}

impl Serialize for Files<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut state = serializer.serialize_struct(ConfigMap::KIND, 4)?;
        state.serialize_field("apiVersion", ConfigMap::API_VERSION)?;
        state.serialize_field("kind", ConfigMap::KIND)?;
        state.serialize_field("metadata", &BTreeMap::from([("name", self.name)]))?;
        state.serialize_field("data", &self.data)?;
        state.end()
    }
}
