//! What a run needs besides its stages: Secrets, ConfigMaps and claims. Looked at before anything is created.

use crate::credentials::FoundKeys;
use crate::error::{EngineError, Finding};
use crate::planning::claim_name;
use crate::request::{CredentialSource, RunRequest};
use ilab_cluster::{ApplyOptions, Cluster, Owner, RUN_LABEL};
use ilab_core::contract::ObjectRef;
use ilab_core::graph::Pipeline;
use ilab_core::names::is_object_name;
use ilab_core::quantity;
use ilab_core::text::escaped;
use k8s_openapi::ByteString;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What the look found.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    /// The keys of the Secrets that were named.
    pub(crate) keys: FoundKeys,
    /// Objects that are to be made of values that were given.
    pub(crate) missing: Vec<Value>,
    /// Objects that another run has made of the same values: this one comes to own them too.
    pub(crate) shared: Vec<ObjectRef>,
}

fn object(kind: &str, name: &str) -> ObjectRef {
    ObjectRef { api_version: "v1".to_owned(), kind: kind.to_owned(), name: name.to_owned() }
}

/// The selected stages' credentials, by logical name, with their keys that name ConfigMaps.
fn wanted(request: &RunRequest, pipeline: &Pipeline) -> BTreeMap<String, BTreeSet<String>> {
    let selected = pipeline.stages().iter().filter(|offer| request.selected.contains(offer.name()));
    let mut wanted: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for credential in selected.flat_map(|offer| &offer.descriptor.credentials) {
        wanted.entry(credential.name.clone()).or_default().extend(credential.config_map_keys.iter().cloned());
    }
    wanted
}

/// Looks at Secrets, ConfigMaps and existing claims. Reads only; tells everything that is wrong at once.
pub(crate) async fn look(
    cluster: &Cluster,
    request: &RunRequest,
    pipeline: &Pipeline,
) -> Result<Looked, EngineError> {
    let mut looked = Looked::default();
    let mut findings = Vec::new();
    let mut config_maps: BTreeSet<_> =
        request.config_maps.values().flat_map(BTreeMap::values).cloned().collect();
    for (name, config_map_keys) in wanted(request, pipeline) {
        match request.credentials.get(&name) {
            None => {}
            Some(CredentialSource::Named { secret }) => match keys_of(cluster, secret, &config_map_keys)
                .await?
            {
                Some(keys) => {
                    config_maps.extend(keys.values().flatten().cloned());
                    let of_secret = looked.keys.entry(secret.clone()).or_default();
                    for (key, config_map) in keys {
                        let known = of_secret.entry(key).or_default();
                        *known = known.take().or(config_map);
                    }
                }
                None => findings.push(Finding {
                    what: format!("there is no Secret {secret} in namespace {}", request.namespace),
                    hint: format!("create the Secret {secret}, or give the values of the credential {name}"),
                }),
            },
            Some(CredentialSource::Literal {
                secret_name,
                secret_keys,
                config_map_name,
                config_map_keys,
            }) => {
                let secret =
                    secret_keys.iter().map(|(k, v)| (k.clone(), v.expose().as_bytes().to_vec())).collect();
                compare(cluster, "Secret", secret_name, &secret, &mut looked, &mut findings).await?;
                if let Some(config_map) = config_map_name {
                    let plain =
                        config_map_keys.iter().map(|(k, v)| (k.clone(), v.as_bytes().to_vec())).collect();
                    compare(cluster, "ConfigMap", config_map, &plain, &mut looked, &mut findings).await?;
                }
            }
        }
    }
    for name in config_maps {
        if !is_object_name(&name) || cluster.get(&object("ConfigMap", &name)).await?.is_none() {
            let at = escaped(&name, 80);
            findings.push(Finding {
                what: format!("there is no ConfigMap {at} in namespace {}", request.namespace),
                hint: format!("create the ConfigMap {at}; a credential names it for its CA certificate"),
            });
        }
    }
    let volumes: BTreeSet<_> = volumes(request, pipeline, true)?.into_keys().collect();
    for (volume, claim) in request.claims.existing.iter().filter(|(volume, _)| volumes.contains(*volume)) {
        if cluster.get(&object("PersistentVolumeClaim", claim)).await?.is_none() {
            findings.push(Finding {
                what: format!(
                    "there is no claim {claim} in namespace {} for the volume {volume}",
                    request.namespace
                ),
                hint: format!("create the claim {claim}, or let the host make one"),
            });
        }
    }
    if findings.is_empty() { Ok(looked) } else { Err(EngineError::Unready(findings)) }
}

/// Only the names of the keys leave this function, and the names of ConfigMaps where a stage says that a key is one.
async fn keys_of(
    cluster: &Cluster,
    secret: &str,
    config_map_keys: &BTreeSet<String>,
) -> Result<Option<BTreeMap<String, Option<String>>>, EngineError> {
    let Some(found) = cluster.get(&object("Secret", secret)).await? else { return Ok(None) };
    let data = found.get("data").map(|data| content(data, true)).unwrap_or_default();
    let name = |key: &String, value: Vec<u8>| {
        let named = config_map_keys.contains(key).then(|| String::from_utf8_lossy(&value).trim().to_owned());
        named.filter(|name| !name.is_empty())
    };
    Ok(Some(data.into_iter().map(|(key, value)| (key.clone(), name(&key, value))).collect()))
}

async fn compare(
    cluster: &Cluster,
    kind: &str,
    name: &str,
    wanted: &BTreeMap<String, Vec<u8>>,
    looked: &mut Looked,
    findings: &mut Vec<Finding>,
) -> Result<(), EngineError> {
    let secret = kind == "Secret";
    let Some(found) = cluster.get(&object(kind, name)).await? else {
        looked.missing.push(manifest(kind, name, wanted));
        return Ok(());
    };
    let is = found.get("data").map(|data| content(data, secret)).unwrap_or_default();
    let mut differing: Vec<_> =
        wanted.iter().filter(|(key, value)| is.get(*key) != Some(value)).map(|(k, _)| k.as_str()).collect();
    // A key that is there and was not given would change what the pods do.
    differing.extend(is.keys().filter(|key| !wanted.contains_key(*key)).map(String::as_str));
    if differing.is_empty() {
        if found.pointer("/metadata/labels").is_some_and(|labels| labels.get(RUN_LABEL).is_some()) {
            looked.shared.push(object(kind, name));
        }
        return Ok(());
    }
    findings.push(Finding {
        what: format!("the {kind} {name} exists with other content: {}", differing.join(", ")),
        hint: format!("name it instead of giving values, or delete the {kind} {name} first"),
    });
    Ok(())
}

fn content(data: &Value, secret: bool) -> BTreeMap<String, Vec<u8>> {
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

fn manifest(kind: &str, name: &str, keys: &BTreeMap<String, Vec<u8>>) -> Value {
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
pub(crate) fn volumes(
    request: &RunRequest,
    pipeline: &Pipeline,
    selected: bool,
) -> Result<BTreeMap<String, String>, EngineError> {
    let mut sizes: BTreeMap<String, (u64, String)> = BTreeMap::new();
    let mut used = BTreeSet::new();
    for offer in pipeline.stages() {
        for volume in &offer.descriptor.volumes {
            if request.selected.contains(offer.name()) {
                used.insert(volume.name.clone());
            }
            let asked = request.claims.sizes.get(&volume.name).unwrap_or(&volume.size);
            let bytes = quantity::bytes(asked).map_err(|error| {
                EngineError::Unready(vec![Finding {
                    what: format!("the size of the volume {}: {error}", volume.name),
                    hint: "give a Kubernetes quantity, for example 200Gi".to_owned(),
                }])
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
