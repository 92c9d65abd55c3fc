//! A context made from a descriptor.

use ilab_core::contract::{BoundCredential, BoundKey, BoundVolume, Context, Descriptor, KeyHolder};
use ilab_core::names::RunId;
use ilab_core::parameters::{Given, ParameterError, resolve};
use serde_json::{Map, Value};
use thiserror::Error;

/// What is given does not fit the stage.
#[derive(Debug, Error)]
pub enum SampleError {
    /// Parameters that are missing, unknown or wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Parameters(Vec<ParameterError>),
    /// An input that the stage does not declare.
    #[error("the stage has no input {name}; it has {}", if valid.is_empty() { "none".to_owned() } else { valid.join(", ") })]
    Input {
        /// As it was given.
        name: String,
        /// Those that it has.
        valid: Vec<String>,
    },
    /// The sample's own name.
    #[error(transparent)]
    Name(#[from] ilab_core::names::InvalidName),
}

/// What a stage is rendered for when nobody says: its defaults, samples in place of inputs' values, and a Secret or
/// claim of the logical name for each credential and volume.
///
/// `sets` are parameters as `--set` has them, `name=value`. Inputs that are given replace the samples; null takes one away.
///
/// # Errors
/// [`SampleError`].
pub fn sample_context(
    descriptor: &Descriptor,
    sets: &[String],
    inputs: &Map<String, Value>,
) -> Result<Context, SampleError> {
    let sets = sets.iter().map(|s| format!("{}.{s}", descriptor.name)).collect();
    let resolved =
        resolve(&[descriptor], &Given { sets, ..Given::default() }).map_err(SampleError::Parameters)?;
    let parameters = resolved.into_values().next().map(|r| r.values).unwrap_or_default();
    let run = RunId::new("ilab")?;
    let mut known: Map<String, Value> = descriptor
        .inputs
        .iter()
        .map(|name| name.trim_start_matches('?'))
        .map(|name| (name.to_owned(), Value::String(sample_input(name))))
        .collect();
    for (name, value) in inputs {
        if !known.contains_key(name) {
            return Err(SampleError::Input { name: name.clone(), valid: known.keys().cloned().collect() });
        }
        known.insert(name.clone(), value.clone());
    }
    known.retain(|_, value| !value.is_null());
    Ok(Context {
        run: run.to_string(),
        namespace: "default".into(),
        prefix: run.prefix(&descriptor.name),
        parameters,
        inputs: known,
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

/// Nobody knows here what another stage hands on. What names a place is most often a path below the shared claim.
fn sample_input(name: &str) -> String {
    let output = name.rsplit('.').next().unwrap_or(name);
    let place = ["dir", "path", "checkpoint", "model", "folder", "file", "data"];
    if output.split('-').any(|word| place.contains(&word.trim_end_matches('s'))) {
        format!("/data/sample/{output}")
    } else {
        format!("sample of {name}")
    }
}
