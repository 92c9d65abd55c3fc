//! A context made from a descriptor.

use crate::{CliError, exit};
use ilab_core::contract::{BoundCredential, BoundKey, BoundVolume, Context, Descriptor, KeyHolder};
use ilab_core::names::RunId;
use ilab_core::parameters::{Given, resolve};
use serde_json::{Map, Value};

/// What a stage is rendered for when nobody says: its defaults, samples in place of inputs' values, and a Secret or
/// claim of the logical name for each credential and volume.
pub fn sample_context(descriptor: &Descriptor, set: &[String]) -> Result<Context, CliError> {
    let sets = set.iter().map(|s| format!("{}.{s}", descriptor.name)).collect();
    let resolved = resolve(&[descriptor], &Given { sets, ..Given::default() })
        .map_err(|e| CliError::all(exit::USAGE, e))?;
    let parameters = resolved.into_values().next().map(|r| r.values).unwrap_or_default();
    let run = RunId::new("ilab").map_err(|e| CliError::from_error(exit::FAILURE, &e))?;
    let inputs: Map<String, Value> = descriptor
        .inputs
        .iter()
        .map(|name| name.trim_start_matches('?'))
        .map(|name| (name.to_owned(), Value::String(format!("sample of {name}"))))
        .collect();
    Ok(Context {
        run: run.to_string(),
        namespace: "default".into(),
        prefix: run.prefix(&descriptor.name),
        parameters,
        inputs,
        credentials: descriptor
            .credentials
            .iter()
            .map(|c| BoundCredential {
                name: c.name.clone(),
                keys: c
                    .required_keys
                    .iter()
                    .map(|key| BoundKey { key: key.clone(), holder: KeyHolder::Secret(c.name.clone()) })
                    .collect(),
            })
            .collect(),
        volumes: descriptor
            .volumes
            .iter()
            .map(|v| BoundVolume { name: v.name.clone(), claim: format!("{run}-{}", v.name) })
            .collect(),
    })
}
