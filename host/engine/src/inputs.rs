//! What a stage is handed by those before it.

use crate::error::EngineError;
use crate::request::RunRequest;
use ilab_core::contract::Descriptor;
use ilab_core::names::StageName;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The outputs of finished stages.
pub(crate) type Outputs = BTreeMap<StageName, Map<String, Value>>;

/// `stage.output`, and whether the stage can do without.
fn split(input: &str) -> (&str, &str, bool) {
    let (bare, optional) = input.strip_prefix('?').map_or((input, false), |bare| (bare, true));
    let (stage, output) = bare.split_once('.').unwrap_or((bare, ""));
    (stage, output, optional)
}

/// For what has run, its outputs; for everything else the samples that stand in.
pub(crate) fn sampled(request: &RunRequest, descriptor: &Descriptor, done: &Outputs) -> Map<String, Value> {
    let mut inputs = Map::new();
    for input in &descriptor.inputs {
        let (stage, output, _) = split(input);
        let real = done.get(stage).and_then(|outputs| outputs.get(output)).cloned();
        let sample = || {
            let producer = request.pipeline.get(stage)?;
            let declared = producer.descriptor.outputs.iter().find(|o| o.name == output)?;
            let given = || {
                let parameters = &request.parameters.get(producer.name())?.values;
                let value = parameters.get(declared.sample_parameter.as_deref()?)?;
                (value.as_str() != Some("")).then(|| value.clone())
            };
            Some(given().unwrap_or_else(|| declared.sample.clone()))
        };
        if let Some(value) = real.or_else(sample) {
            inputs.insert(format!("{stage}.{output}"), value);
        }
    }
    inputs
}

/// Only what has run.
pub(crate) fn real(
    request: &RunRequest,
    descriptor: &Descriptor,
    done: &Outputs,
) -> Result<Map<String, Value>, EngineError> {
    let mut inputs = Map::new();
    for input in &descriptor.inputs {
        let (stage, output, optional) = split(input);
        match done.get(stage).and_then(|outputs| outputs.get(output)) {
            Some(value) => {
                inputs.insert(format!("{stage}.{output}"), value.clone());
            }
            None if optional => {}
            None => return Err(missing(request, descriptor, stage, output)),
        }
    }
    Ok(inputs)
}

fn missing(request: &RunRequest, descriptor: &Descriptor, stage: &str, output: &str) -> EngineError {
    match StageName::new(stage) {
        Ok(producer) => EngineError::MissingInput {
            run: request.run.clone(),
            stage: descriptor.name.clone(),
            input: format!("{stage}.{output}"),
            producer,
        },
        // The graph lets no such input through.
        Err(_) => EngineError::UnknownStage { stage: descriptor.name.clone() },
    }
}

/// Whether every input that a stage cannot do without comes from a stage that has run or is selected.
pub(crate) fn check_reachable(
    request: &RunRequest,
    descriptor: &Descriptor,
    done: &Outputs,
) -> Result<(), EngineError> {
    for input in &descriptor.inputs {
        let (stage, output, optional) = split(input);
        if !optional && !done.contains_key(stage) && !request.selected.iter().any(|s| s.as_str() == stage) {
            return Err(missing(request, descriptor, stage, output));
        }
    }
    Ok(())
}
