//! Which object holds which key of a credential. Names only.

use crate::preflight::Finding;
use crate::request::{CredentialSource, RunRequest};
use ilab_core::contract::{BoundCredential, BoundKey, Credential, KeyHolder};
use std::collections::BTreeMap;

/// The keys that the cluster's Secrets were found to have, by Secret. Of a key that a stage declares to name a ConfigMap,
/// that name.
pub(crate) type FoundKeys = BTreeMap<String, BTreeMap<String, Option<String>>>;

/// Binds one credential. Without `found` (a dry run) a named Secret counts as having every key that the stage knows.
pub(crate) fn bind(
    request: &RunRequest,
    credential: &Credential,
    found: Option<&FoundKeys>,
) -> Result<BoundCredential, Finding> {
    let wanted = credential.required_keys.iter().chain(&credential.optional_keys);
    let holder_of = |key: &String| -> Option<KeyHolder> {
        match request.credentials.get(&credential.name)? {
            CredentialSource::Named { secret } => {
                let there = match found {
                    None => true,
                    Some(found) => found.get(secret).is_some_and(|keys| keys.contains_key(key)),
                };
                there.then(|| KeyHolder::Secret(secret.clone()))
            }
            CredentialSource::Literal { secret_name, secret_keys, config_map_name, config_map_keys } => {
                if secret_keys.contains_key(key) {
                    return Some(KeyHolder::Secret(secret_name.clone()));
                }
                let name = config_map_name.as_ref()?;
                config_map_keys.contains_key(key).then(|| KeyHolder::ConfigMap(name.clone()))
            }
        }
    };
    let mut keys = Vec::new();
    for key in wanted {
        if let Some(holder) = holder_of(key) {
            keys.push(BoundKey { key: key.clone(), holder });
        }
    }
    for key in &credential.config_map_keys {
        if let Some(name) = config_map_of(request, &credential.name, key, found)? {
            keys.push(BoundKey { key: key.clone(), holder: KeyHolder::ConfigMap(name) });
        }
    }
    let missing: Vec<_> =
        credential.required_keys.iter().filter(|key| !keys.iter().any(|k| k.key == **key)).cloned().collect();
    if missing.is_empty() {
        return Ok(BoundCredential { name: credential.name.clone(), keys });
    }
    let (name, missing) = (&credential.name, missing.join(", "));
    let (what, hint) = match request.credentials.get(name) {
        None => (format!("no credential {name} was given"), format!("name a Secret that has {missing}")),
        Some(CredentialSource::Named { secret }) => (
            format!("the Secret {secret} lacks {missing}, which the credential {name} needs"),
            format!("add {missing} to the Secret {secret}"),
        ),
        Some(CredentialSource::Literal { .. }) => {
            (format!("the credential {name} lacks {missing}"), format!("give {missing} too"))
        }
    };
    Err(Finding::error("credentials", what, hint))
}

/// The ConfigMap that a key stands for: as it was asked for, or as the named Secret says.
fn config_map_of(
    request: &RunRequest,
    credential: &str,
    key: &str,
    found: Option<&FoundKeys>,
) -> Result<Option<String>, Finding> {
    let asked = request.config_maps.get(credential).and_then(|keys| keys.get(key));
    let Some(CredentialSource::Named { secret }) = request.credentials.get(credential) else {
        return Ok(asked.cloned());
    };
    let said = found.and_then(|found| found.get(secret)?.get(key)?.as_ref());
    match (asked, said) {
        (Some(asked), Some(said)) if asked != said => Err(Finding::error(
            "credentials",
            format!("the Secret {secret} has {key} = {said}, and {asked} was asked for instead"),
            format!("leave the option out, or take {key} out of the Secret {secret}"),
        )),
        (asked, said) => Ok(asked.or(said).cloned()),
    }
}
