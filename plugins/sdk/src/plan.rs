//! What a stage wants done.

use crate::contract::{Error, ExcerptSource, ObjectRef, Target};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::{Metadata, Resource};
use serde::Serialize;

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
        let json = serde_json::to_string(object)
            .map_err(|e| Error::other(format!("{} {} cannot be written: {e}", K::KIND, object_ref.name)))?;
        self.manifests.push(Manifest { object: object_ref, json });
        Ok(self)
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
