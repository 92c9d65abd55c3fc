//! Server-side apply that never takes over what is not the run's.

use crate::error::ClusterError;
use crate::transport::{Call, Cluster};
use http::Method;
use ilab_core::contract::ObjectRef;
use ilab_core::names::{ObjectUid, RunId, StageName};
use serde_json::{Map, Value, json};

/// The field manager of everything that the host applies.
pub const FIELD_MANAGER: &str = "ilab-host";
/// The label with the run's name.
pub const RUN_LABEL: &str = "ilab.dev/run";
/// The label with the stage's name.
pub const STAGE_LABEL: &str = "ilab.dev/stage";
/// The annotation with the hash of the manifest that an object came from: it tells a host that comes back whether
/// what it finds is what it would have applied.
pub const MANIFEST_HASH: &str = "ilab.dev/manifest-hash";

/// The object that owns what is applied: when it goes, so do they.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The owner, in the same namespace.
    pub object: ObjectRef,
    /// Its identity.
    pub uid: ObjectUid,
}

/// Whether anything is to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DryRun {
    /// Apply.
    #[default]
    Off,
    /// Let the API server check everything and change nothing.
    Server,
}

/// How a manifest is applied.
#[derive(Debug, Clone, Default)]
pub struct ApplyOptions {
    /// The run that it belongs to. An object of that name which does not carry this run's label is not touched.
    pub run: Option<RunId>,
    /// The stage that it belongs to.
    pub stage: Option<StageName>,
    /// What owns it.
    pub owner: Option<Owner>,
    /// The hash of the manifest, kept as an annotation.
    pub manifest_hash: Option<String>,
    /// Whether anything is to happen.
    pub dry_run: DryRun,
    /// Take over fields that another manager owns.
    pub force: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The object's identity.
    pub uid: ObjectUid,
    /// Its version after this; a watch can begin here.
    pub resource_version: String,
    /// Whether it was not there before.
    pub created: bool,
    /// The object as the server has it now.
    pub object: Value,
}

impl Applied {
    /// The hash of the manifest that the object came from, where it says.
    #[must_use]
    pub fn manifest_hash(&self) -> Option<&str> {
        self.object
            .pointer("/metadata/annotations")
            .and_then(|a| a.get(MANIFEST_HASH))
            .and_then(Value::as_str)
    }
}

impl Cluster {
    /// Applies one manifest.
    ///
    /// An object of that name that exists is touched only when it is this run's (label and, where given, owner).
    ///
    /// # Errors
    /// [`ClusterError::Foreign`] when the object is somebody else's; else what the API server says.
    pub async fn apply(&self, manifest: &Value, options: &ApplyOptions) -> Result<Applied, ClusterError> {
        if let Some(object) = ObjectRef::of(manifest) {
            self.adopt(&object, options).await?;
        }
        self.apply_new(manifest, options).await
    }

    /// As [`Cluster::apply`], for who has just seen by [`Cluster::adopt`] that there is no such object: one request less.
    ///
    /// # Errors
    /// As [`Cluster::apply`].
    pub async fn apply_new(&self, manifest: &Value, options: &ApplyOptions) -> Result<Applied, ClusterError> {
        let (object, call) = self.prepare(manifest, options).await?;
        let (code, applied) = self.json(&call).await?;
        // Somebody may have been faster than the look before: the run does not take theirs for its own.
        if code != 201 {
            mine(&object, &applied, options)?;
        }
        if options.dry_run == DryRun::Server {
            // What was not kept has no version, and may have no identity either.
            let text =
                |pointer: &str| applied.pointer(pointer).and_then(Value::as_str).unwrap_or("").to_owned();
            return Ok(Applied {
                uid: ObjectUid(text("/metadata/uid")),
                resource_version: text("/metadata/resourceVersion"),
                created: code == 201,
                object: applied,
            });
        }
        answer(&call.what, code == 201, applied)
    }

    /// The object when it is there and this run's; none when it is not there. Applies nothing.
    ///
    /// # Errors
    /// [`ClusterError::Foreign`] when it is somebody else's.
    pub async fn adopt(
        &self,
        object: &ObjectRef,
        options: &ApplyOptions,
    ) -> Result<Option<Applied>, ClusterError> {
        let Some(existing) = self.get(object).await? else { return Ok(None) };
        mine(object, &existing, options)?;
        answer(&format!("adopt {object}"), false, existing).map(Some)
    }

    /// Adds an owner to an object that several runs share: it then goes with the last of them, not with the first.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn add_owner(
        &self,
        object: &ObjectRef,
        owner: &Owner,
        run: &RunId,
    ) -> Result<(), ClusterError> {
        let mut body = json!({
            "apiVersion": object.api_version,
            "kind": object.kind,
            "metadata": {"name": object.name, "namespace": self.namespace()},
        });
        body["metadata"]["ownerReferences"] = references(owner);
        let path = self.path(object).await?;
        // A manager of its own: what this one does not say stays whose it is, the other owners among it.
        let mut call = Call::new(format!("share {object}"), Method::PATCH, path)
            .query("fieldManager", format!("{FIELD_MANAGER}-{run}"))
            .query("force", "false")
            .json(&body);
        call.content_type = "application/apply-patch+yaml";
        self.json(&call).await.map(|_| ())
    }

    async fn prepare(
        &self,
        manifest: &Value,
        options: &ApplyOptions,
    ) -> Result<(ObjectRef, Call), ClusterError> {
        let object = ObjectRef::of(manifest).ok_or_else(|| ClusterError::Answer {
            what: "apply a manifest".to_owned(),
            problem: "cannot be asked for: it lacks apiVersion, kind or metadata.name".to_owned(),
        })?;
        let path = self.path(&object).await?;
        let mut call = Call::new(format!("apply {object}"), Method::PATCH, path)
            .query("fieldManager", FIELD_MANAGER)
            .query("force", options.force.to_string())
            .query("fieldValidation", "Strict")
            .json(&dressed(manifest, self.namespace(), options));
        call.content_type = "application/apply-patch+yaml";
        if options.dry_run == DryRun::Server {
            call = call.query("dryRun", "All");
        }
        Ok((object, call))
    }
}

/// As `metadata.ownerReferences`.
fn references(owner: &Owner) -> Value {
    json!([{
        "apiVersion": owner.object.api_version,
        "kind": owner.object.kind,
        "name": owner.object.name,
        "uid": owner.uid.0,
    }])
}

fn answer(what: &str, created: bool, object: Value) -> Result<Applied, ClusterError> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(ToOwned::to_owned);
    match (text("/metadata/uid"), text("/metadata/resourceVersion")) {
        (Some(uid), Some(resource_version)) => {
            Ok(Applied { uid: ObjectUid(uid), resource_version, created, object })
        }
        _ => Err(ClusterError::Answer {
            what: what.to_owned(),
            problem: "lacks metadata.uid or metadata.resourceVersion".to_owned(),
        }),
    }
}

/// The manifest with what is the host's to say.
fn dressed(manifest: &Value, namespace: &str, options: &ApplyOptions) -> Value {
    fn object_at<'a>(parent: &'a mut Map<String, Value>, key: &str) -> Option<&'a mut Map<String, Value>> {
        let slot = parent.entry(key).or_insert_with(|| json!({}));
        if slot.is_null() {
            *slot = json!({});
        }
        slot.as_object_mut()
    }
    let mut manifest = manifest.clone();
    let Some(metadata) = manifest.as_object_mut().and_then(|m| object_at(m, "metadata")) else {
        return manifest;
    };
    metadata.insert("namespace".to_owned(), namespace.into());
    if let Some(labels) = object_at(metadata, "labels") {
        if let Some(run) = &options.run {
            labels.insert(RUN_LABEL.to_owned(), run.as_str().into());
        }
        if let Some(stage) = &options.stage {
            labels.insert(STAGE_LABEL.to_owned(), stage.as_str().into());
        }
    }
    if let Some(hash) = &options.manifest_hash
        && let Some(annotations) = object_at(metadata, "annotations")
    {
        annotations.insert(MANIFEST_HASH.to_owned(), hash.as_str().into());
    }
    if let Some(owner) = &options.owner {
        metadata.insert("ownerReferences".to_owned(), references(owner));
    }
    manifest
}

/// Whether an object that exists is this run's.
fn mine(object: &ObjectRef, existing: &Value, options: &ApplyOptions) -> Result<(), ClusterError> {
    let foreign = |why: String| Err(ClusterError::Foreign { object: object.to_string(), why });
    let label = |key: &str| {
        existing.pointer("/metadata/labels").and_then(|labels| labels.get(key)).and_then(Value::as_str)
    };
    if let Some(run) = &options.run {
        match label(RUN_LABEL) {
            Some(found) if found == run.as_str() => {}
            Some(found) => return foreign(format!("belongs to the run {found}")),
            None => return foreign("was not made by ilab-host".to_owned()),
        }
    }
    if let Some(stage) = &options.stage
        && label(STAGE_LABEL) != Some(stage.as_str())
    {
        return foreign(format!("belongs to the stage {}", label(STAGE_LABEL).unwrap_or("of nobody")));
    }
    if let Some(owner) = &options.owner {
        let owned =
            existing.pointer("/metadata/ownerReferences").and_then(Value::as_array).is_some_and(|all| {
                all.iter().any(|o| o.get("uid").and_then(Value::as_str) == Some(&owner.uid.0))
            });
        if !owned {
            return foreign("belongs to an earlier run of the same name, whose record is gone".to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> ApplyOptions {
        ApplyOptions {
            run: Some(RunId::new("one").unwrap()),
            stage: Some(StageName::new("fetch").unwrap()),
            owner: Some(Owner {
                object: ObjectRef {
                    api_version: "v1".into(),
                    kind: "ConfigMap".into(),
                    name: "ilab-run-one".into(),
                },
                uid: ObjectUid("u1".into()),
            }),
            manifest_hash: Some("abc".into()),
            ..ApplyOptions::default()
        }
    }

    #[test]
    fn what_the_host_applies_is_the_hosts() {
        let manifest =
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x", "labels": null}});
        let dressed = dressed(&manifest, "ns", &options());
        let object = ObjectRef::of(&manifest).unwrap();
        mine(&object, &dressed, &options()).unwrap();
        assert_eq!(dressed["metadata"]["namespace"], "ns");
        assert_eq!(dressed["metadata"]["annotations"][MANIFEST_HASH], "abc");
    }

    #[test]
    fn b13_objects_of_others_are_never_taken_for_ones_own() {
        let object = ObjectRef { api_version: "batch/v1".into(), kind: "Job".into(), name: "x".into() };
        let with = |labels: Value, uid: &str| json!({"metadata": {"labels": labels, "ownerReferences": [{"uid": uid}]}});
        for (existing, word) in [
            (json!({}), "not made by"),
            (with(json!({RUN_LABEL: "two", STAGE_LABEL: "fetch"}), "u1"), "run two"),
            (with(json!({RUN_LABEL: "one", STAGE_LABEL: "train"}), "u1"), "stage train"),
            (with(json!({RUN_LABEL: "one", STAGE_LABEL: "fetch"}), "u0"), "earlier run"),
        ] {
            let error = mine(&object, &existing, &options()).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
