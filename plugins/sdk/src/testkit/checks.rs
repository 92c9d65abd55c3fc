//! The host's own checks, so that a test finds what a run would.

use super::golden::golden;
use super::sample::Sample;
use crate::Stage;
use ilab_core::contract::{self, KeyHolder};
use ilab_core::descriptor::validate_descriptor;
use ilab_core::guard::{Bounds, Grant, Level, Policy};
use ilab_core::names::PluginDigest;
use ilab_core::parameters::{Given, resolve};
use ilab_core::plan::check_plan;
use ilab_core::verdict::Predicates;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::path::Path;

fn convert<T: DeserializeOwned>(what: &str, value: Value) -> T {
    serde_json::from_value(value).unwrap_or_else(|e| panic!("{what} is not the host's: {e}"))
}

fn descriptor(stage: &dyn Stage) -> contract::Descriptor {
    let value = serde_json::to_value(stage.descriptor()).unwrap_or_else(|e| panic!("{e}"));
    convert("the descriptor", value)
}

/// The stage's descriptor as the host has it, checked by the host.
///
/// # Panics
/// When the host would refuse it, with everything that is wrong.
pub fn check_descriptor(stage: &dyn Stage) -> contract::Descriptor {
    let descriptor = descriptor(stage);
    assert_eq!(stage.name(), descriptor.name.as_str(), "the stage's two names differ");
    let errors: Vec<String> = validate_descriptor(&descriptor).iter().map(ToString::to_string).collect();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
    descriptor
}

/// The plan's predicates, when the host accepts the plan: its parameters are valid by their schemas, its predicates
/// compile, and the guard lets every manifest through at its strictest level.
///
/// # Panics
/// When it refuses, with everything that is wrong.
pub fn accepted(stage: &dyn Stage, sample: &Sample<'_>) -> Vec<Predicates> {
    let descriptor = check_descriptor(stage);
    let context: contract::Context = convert("the context", sample.context());
    for parameter in &descriptor.parameters {
        let schema = ilab_core::schema::Schema::compile(&parameter.schema).unwrap_or_else(|e| panic!("{e}"));
        let value = context.parameters.get(&parameter.name);
        let problems = value.map_or_else(|| vec!["is missing".into()], |value| schema.problems(value));
        assert!(problems.is_empty(), "parameter {}: {}", parameter.name, problems.join("; "));
    }
    let plan: contract::Plan = convert("the plan", sample.render().to_value());
    let predicates = check_plan(&plan, &context, &descriptor).unwrap_or_else(|e| panic!("{e}"));
    let grant = grant(&descriptor, &context);
    let policy = Policy { level: Level::Restricted, ..Policy::default() };
    let violations: Vec<String> = plan
        .manifests
        .iter()
        .flat_map(|manifest| policy.check(manifest, &grant))
        .map(|violation| format!("{} {}: {}", violation.path, violation.rule, violation.message))
        .collect();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
    predicates
}

fn grant(descriptor: &contract::Descriptor, context: &contract::Context) -> Grant {
    let holders =
        || context.credentials.iter().flat_map(|credential| &credential.keys).map(|key| &key.holder);
    Grant {
        stage: descriptor.name.clone(),
        digest: PluginDigest::of(b"under test"),
        namespace: context.namespace.clone(),
        prefix: context.prefix.clone(),
        creates: descriptor.creates.clone(),
        secrets: holders()
            .filter_map(|holder| if let KeyHolder::Secret(name) = holder { Some(name.clone()) } else { None })
            .collect(),
        config_maps: holders()
            .filter_map(
                |holder| if let KeyHolder::ConfigMap(name) = holder { Some(name.clone()) } else { None },
            )
            .collect(),
        claims: context.volumes.iter().map(|volume| volume.claim.clone()).collect(),
        bounds: Bounds::default(),
    }
}

/// Checks a folder of bad inputs: each `x.yaml` has `set` (parameters, as `--set` would give them) and `inputs`, and
/// `x.err` the error that a user gets. With `BLESS=1` the errors are written.
///
/// # Panics
/// When an input is not refused, or refused with another error.
pub fn bad_inputs(folder: &str, stage: &dyn Stage, sample: &Sample<'_>) {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap_or_else(|e| panic!("{folder}: {e}"))
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{folder} has no *.yaml");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let case: Map<String, Value> =
            serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let error = refusal(stage, sample, &case)
            .unwrap_or_else(|| panic!("{} is bad input, and was accepted", file.display()));
        golden(&Path::with_extension(&file, "err").display().to_string(), &format!("{error}\n"));
    }
}

fn refusal(stage: &dyn Stage, sample: &Sample<'_>, case: &Map<String, Value>) -> Option<String> {
    let descriptor = check_descriptor(stage);
    let entries = |name: &str| case.get(name).and_then(Value::as_object).into_iter().flatten();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let given = Given {
        sets: entries("set")
            .map(|(name, value)| format!("{}.{name}={}", descriptor.name, text(value)))
            .collect(),
        ..Given::default()
    };
    let resolved = match resolve(&[&descriptor], &given) {
        Ok(resolved) => resolved,
        Err(errors) => {
            return Some(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
        }
    };
    let mut sample = sample.clone();
    for (name, value) in resolved.into_values().flat_map(|stage| stage.values) {
        sample = sample.set(&name, value);
    }
    for (name, value) in entries("inputs") {
        sample = sample.input(name, value.clone());
    }
    sample.try_render().err().map(|error| error.to_string())
}
