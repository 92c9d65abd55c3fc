//! Secrets and ConfigMaps: those that were named must be there with their keys, those that are made of values must not
//! clash with what is there.

use super::finding::Finding;
use crate::bindings::{content, manifest, object};
use crate::credentials::{FoundKeys, bind};
use crate::error::EngineError;
use crate::request::{CredentialSource, RunRequest};
use ilab_cluster::{Cluster, RUN_LABEL};
use ilab_core::contract::{Credential, ObjectRef};
use ilab_core::endpoint::endpoint_host;
use ilab_core::names::is_object_name;
use ilab_core::text::escaped;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const CHECK: &str = "credentials";

/// What the look found that the run goes on with.
#[derive(Debug, Default)]
pub(crate) struct Bound {
    /// The keys of the Secrets that were named.
    pub(crate) keys: FoundKeys,
    /// Objects that are to be made of values that were given.
    pub(crate) missing: Vec<Value>,
    /// Objects that another run has made of the same values: this one comes to own them too.
    pub(crate) shared: Vec<ObjectRef>,
}

/// Looks at every credential of the selected stages.
pub(super) async fn check(
    cluster: &Cluster,
    request: &RunRequest,
) -> Result<(Vec<Finding>, Bound), EngineError> {
    let selected = request.selected_offers();
    let mut wanted: BTreeMap<&str, Vec<&Credential>> = BTreeMap::new();
    for credential in selected.flat_map(|offer| &offer.descriptor.credentials) {
        wanted.entry(&credential.name).or_default().push(credential);
    }
    let mut bound = Bound::default();
    let mut findings = Vec::new();
    let asked = request.config_maps.iter().filter(|(credential, _)| wanted.contains_key(credential.as_str()));
    let mut certificates: BTreeSet<String> = asked.flat_map(|(_, keys)| keys.values().cloned()).collect();
    for (name, stages) in wanted {
        match request.credentials.get(name) {
            // That nothing was given was said when it was planned.
            None => {}
            Some(CredentialSource::Named { secret }) => {
                findings.extend(named(cluster, request, secret, name, &stages, &mut bound).await?);
            }
            Some(CredentialSource::Literal {
                secret_name,
                secret_keys,
                config_map_name,
                config_map_keys,
            }) => {
                let secret =
                    secret_keys.iter().map(|(k, v)| (k.clone(), v.expose().as_bytes().to_vec())).collect();
                findings.push(compare(cluster, "Secret", secret_name, &secret, &mut bound).await?);
                if let Some(config_map) = config_map_name {
                    let plain =
                        config_map_keys.iter().map(|(k, v)| (k.clone(), v.as_bytes().to_vec())).collect();
                    findings.push(compare(cluster, "ConfigMap", config_map, &plain, &mut bound).await?);
                }
            }
        }
    }
    certificates.extend(bound.keys.values().flat_map(|keys| keys.values().flatten().cloned()));
    for name in certificates {
        findings.push(config_map(cluster, &name).await?);
    }
    findings.dedup();
    Ok((findings, bound))
}

/// An object, or why it cannot be had. That one may not read it is an error here: its keys decide what is rendered.
async fn read(
    cluster: &Cluster,
    kind: &str,
    name: &str,
) -> Result<Result<Option<Value>, Finding>, EngineError> {
    match cluster.get(&object(kind, name)).await {
        Ok(found) => Ok(Ok(found)),
        Err(error) if error.code() == Some(403) => Ok(Err(Finding::error(
            CHECK,
            format!("you may not read the {kind} {name} in namespace {}", cluster.namespace()),
            "ask for the permission; `ilab-host rbac` prints a Role with all that a run needs",
        ))),
        Err(other) => Err(other.into()),
    }
}

/// A ConfigMap that an option or a Secret names, for a CA certificate.
async fn config_map(cluster: &Cluster, name: &str) -> Result<Finding, EngineError> {
    let at = escaped(name, 80);
    // What a Secret says may hold anything, a path among it.
    let found = if is_object_name(name) { read(cluster, "ConfigMap", name).await? } else { Ok(None) };
    Ok(match found {
        Ok(Some(_)) => Finding::ok(CHECK, format!("the ConfigMap {at} is there")),
        Ok(None) => Finding::error(
            CHECK,
            format!("there is no ConfigMap {at} in namespace {}", cluster.namespace()),
            format!("create the ConfigMap {at}; a credential names it for its CA certificate"),
        ),
        Err(denied) => denied,
    })
}

/// A Secret that exists: whether it is there and has the keys. Only their names, those of ConfigMaps where a stage says that
/// a key is one, and whether an endpoint is one, leave this function.
async fn named(
    cluster: &Cluster,
    request: &RunRequest,
    secret: &str,
    credential: &str,
    stages: &[&Credential],
    bound: &mut Bound,
) -> Result<Vec<Finding>, EngineError> {
    let found = match read(cluster, "Secret", secret).await? {
        Ok(Some(found)) => found,
        Ok(None) => {
            return Ok(vec![Finding::error(
                CHECK,
                format!("there is no Secret {secret} in namespace {}", request.namespace),
                format!("create the Secret {secret}, or give the values of the credential {credential}"),
            )]);
        }
        Err(denied) => return Ok(vec![denied]),
    };
    let data = found.get("data").map(|data| content(data, true)).unwrap_or_default();
    // A key without content is as good as none to a pod that wants to use it.
    let names_config_map = |key: &String| stages.iter().any(|c| c.config_map_keys.contains(key));
    let known = bound.keys.entry(secret.to_owned()).or_default();
    for (key, value) in data.iter().filter(|(_, value)| !value.is_empty()) {
        let name = names_config_map(key).then(|| String::from_utf8_lossy(value).trim().to_owned());
        let known = known.entry(key.clone()).or_default();
        *known = known.take().or(name.filter(|name| !name.is_empty()));
    }
    let mut findings: Vec<_> =
        stages.iter().filter_map(|c| bind(request, c, Some(&bound.keys)).err()).collect();
    let used: BTreeSet<&String> = stages.iter().flat_map(|c| c.keys()).collect();
    for key in used.into_iter().filter(|key| key.to_ascii_lowercase().ends_with("endpoint")) {
        let Some(bytes) = data.get(key).filter(|bytes| !bytes.is_empty()) else { continue };
        let problem = match std::str::from_utf8(bytes) {
            Ok(text) if text.trim() != text => Some("has blanks or a line's end around it"),
            Ok(text) => endpoint_host(text).err(),
            Err(_) => Some("is no text"),
        };
        if let Some(problem) = problem {
            findings.push(Finding::error(
                CHECK,
                format!("the key {key} of the Secret {secret} {problem}"),
                "put a URL with its scheme there, for example https://host:port, without a line's end (echo -n)",
            ));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok(
            CHECK,
            format!("the Secret {secret} has what the credential {credential} needs"),
        ));
    }
    Ok(findings)
}

/// An object that is made of values: whether it is there with the same, with others, or not at all.
async fn compare(
    cluster: &Cluster,
    kind: &str,
    name: &str,
    wanted: &BTreeMap<String, Vec<u8>>,
    bound: &mut Bound,
) -> Result<Finding, EngineError> {
    let found = match read(cluster, kind, name).await? {
        Ok(Some(found)) => found,
        Ok(None) => {
            bound.missing.push(manifest(kind, name, wanted));
            return Ok(Finding::ok(
                CHECK,
                format!("the {kind} {name} will be made of the values that were given"),
            ));
        }
        Err(denied) => return Ok(denied),
    };
    let is = found.get("data").map(|data| content(data, kind == "Secret")).unwrap_or_default();
    let mut differing: Vec<_> =
        wanted.iter().filter(|(key, value)| is.get(*key) != Some(value)).map(|(k, _)| k.as_str()).collect();
    // A key that is there and was not given would change what the pods do.
    differing.extend(is.keys().filter(|key| !wanted.contains_key(*key)).map(String::as_str));
    if differing.is_empty() {
        if found.pointer("/metadata/labels").is_some_and(|labels| labels.get(RUN_LABEL).is_some()) {
            bound.shared.push(object(kind, name));
        }
        return Ok(Finding::ok(CHECK, format!("the {kind} {name} has the values that were given")));
    }
    Ok(Finding::error(
        CHECK,
        format!("the {kind} {name} exists with other content: {}", differing.join(", ")),
        format!("name it instead of giving values, or delete the {kind} {name} first"),
    ))
}
