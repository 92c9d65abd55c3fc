//! What a run needs besides its stages: Secrets, ConfigMaps and claims.

use crate::error::EngineError;
use crate::planning::claim_name;
use crate::preflight::Finding;
use crate::request::RunRequest;
use ilab_cluster::{ApplyOptions, Owner};
use ilab_core::contract::ObjectRef;
use ilab_core::quantity;
use k8s_openapi::ByteString;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) fn object(kind: &str, name: &str) -> ObjectRef {
    ObjectRef { api_version: "v1".to_owned(), kind: kind.to_owned(), name: name.to_owned() }
}

pub(crate) fn content(data: &Value, secret: bool) -> BTreeMap<String, Vec<u8>> {
    let Some(data) = data.as_object() else { return BTreeMap::new() };
    data.iter()
        .map(|(key, value)| {
            let bytes = if secret {
                serde_json::from_value::<ByteString>(value.clone()).map(|b| b.0).unwrap_or_default()
            } else {
                value.as_str().unwrap_or("").as_bytes().to_vec()
            };
            (key.clone(), bytes)
        })
        .collect()
}

pub(crate) fn manifest(kind: &str, name: &str, keys: &BTreeMap<String, Vec<u8>>) -> Value {
    let data: Map<String, Value> = keys
        .iter()
        .map(|(key, value)| {
            let value = if kind == "Secret" {
                serde_json::to_value(ByteString(value.clone())).unwrap_or_default()
            } else {
                Value::from(String::from_utf8_lossy(value).into_owned())
            };
            (key.clone(), value)
        })
        .collect();
    let mut manifest = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "data": data});
    if kind == "Secret" {
        manifest["type"] = "Opaque".into();
    }
    manifest
}

/// The size of every volume: the largest that a stage of the pipeline asks for, so that parts of a run that are
/// called one after another agree; or what was asked for instead.
pub(crate) fn volumes(request: &RunRequest, selected: bool) -> Result<BTreeMap<String, String>, EngineError> {
    let mut sizes: BTreeMap<String, (u64, String)> = BTreeMap::new();
    let mut used = BTreeSet::new();
    for offer in request.pipeline.stages() {
        for volume in &offer.descriptor.volumes {
            if request.selected.contains(offer.name()) {
                used.insert(volume.name.clone());
            }
            let asked = request.claims.sizes.get(&volume.name).unwrap_or(&volume.size);
            let bytes = quantity::bytes(asked).map_err(|error| {
                EngineError::Unready(vec![Finding::error(
                    "storage",
                    format!("the size of the volume {}: {error}", volume.name),
                    "give a Kubernetes quantity, for example 200Gi",
                )])
            })?;
            let entry = sizes.entry(volume.name.clone()).or_default();
            if bytes > entry.0 {
                *entry = (bytes, asked.clone());
            }
        }
    }
    Ok(sizes
        .into_iter()
        .filter(|(name, _)| !selected || used.contains(name))
        .map(|(n, (_, size))| (n, size))
        .collect())
}

/// The manifest of a claim that the host makes.
pub(crate) fn claim(request: &RunRequest, volume: &str, size: &str) -> Value {
    let mut spec = json!({
        "accessModes": request.claims.access_modes,
        "resources": {"requests": {"storage": size}},
    });
    if let Some(class) = &request.claims.storage_class {
        spec["storageClassName"] = class.as_str().into();
    }
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": claim_name(&request.run, &BTreeMap::new(), volume), "labels": {"ilab.dev/volume": volume}},
        "spec": spec,
    })
}

/// How the objects that a whole run shares are applied.
pub(crate) fn shared(request: &RunRequest, owner: Option<Owner>) -> ApplyOptions {
    ApplyOptions {
        run: Some(request.run.clone()),
        owner,
        force: request.options.force_conflicts,
        ..ApplyOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_of_values_compares_equal_to_them() {
        let keys = BTreeMap::from([("a".to_owned(), b"one".to_vec()), ("b".to_owned(), vec![0, 255])]);
        let made = manifest("Secret", "s", &keys);
        assert_eq!(content(&made["data"], true), keys);
        let plain = BTreeMap::from([("a".to_owned(), b"one".to_vec())]);
        assert_eq!(content(&manifest("ConfigMap", "c", &plain)["data"], false), plain);
    }
}
