//! Between the generated bindings and the contract's own types. Text that should be JSON is parsed here, and what a
//! component returns is refused here when it does not have the shape that the contract promises.

use crate::bindings::types as wit;
use crate::error::CallProblem;
use ilab_core::contract as own;
use ilab_core::names::{GroupName, StageName};
use serde_json::{Map, Value};

/// Parses a JSON text of a component. The parser's own limit on nesting (128) holds.
pub(crate) fn json(path: impl Fn() -> String, text: &str) -> Result<Value, CallProblem> {
    serde_json::from_str(text).map_err(|error| CallProblem::Json { path: path(), detail: error.to_string() })
}

/// Parses a JSON text that has to be an object.
pub(crate) fn object(path: impl Fn() -> String, text: &str) -> Result<Value, CallProblem> {
    let value = json(&path, text)?;
    let found = match &value {
        Value::Object(_) => return Ok(value),
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
    };
    Err(CallProblem::NotAnObject { path: path(), found })
}

/// The descriptors of one component.
pub(crate) fn descriptors(descriptors: Vec<wit::Descriptor>) -> Result<Vec<own::Descriptor>, CallProblem> {
    if descriptors.is_empty() {
        return Err(CallProblem::NoStages);
    }
    let mut all: Vec<own::Descriptor> = Vec::with_capacity(descriptors.len());
    for (index, one) in descriptors.into_iter().enumerate() {
        let one = descriptor(index, one)?;
        if all.iter().any(|other| other.name == one.name) {
            return Err(CallProblem::TwoStages { name: one.name });
        }
        all.push(one);
    }
    Ok(all)
}

fn descriptor(index: usize, d: wit::Descriptor) -> Result<own::Descriptor, CallProblem> {
    let at = |field: &str| format!("stages[{index}].{field}");
    let parameters = d.parameters.into_iter().enumerate().map(|(i, p)| {
        Ok(own::Parameter {
            schema: json(|| at(&format!("parameters[{i}].schema")), &p.schema)?,
            default: p
                .default
                .map(|text| json(|| at(&format!("parameters[{i}].default")), &text))
                .transpose()?,
            name: p.name,
            help: p.help,
            flag: p.flag,
            env: p.env,
        })
    });
    let outputs = d.outputs.into_iter().enumerate().map(|(i, o)| {
        Ok(own::Output {
            schema: json(|| at(&format!("outputs[{i}].schema")), &o.schema)?,
            sample: json(|| at(&format!("outputs[{i}].sample")), &o.sample)?,
            name: o.name,
            help: o.help,
            sample_parameter: o.sample_parameter,
        })
    });
    Ok(own::Descriptor {
        name: StageName::new(d.name).map_err(|source| CallProblem::Name { path: at("name"), source })?,
        summary: d.summary,
        group: GroupName::new(d.group).map_err(|source| CallProblem::Name { path: at("group"), source })?,
        selected_by: d.selected_by.map(|s| own::Selector { flag: s.flag, value: s.value }),
        after: d.after,
        parameters: parameters.collect::<Result<_, CallProblem>>()?,
        credentials: d
            .credentials
            .into_iter()
            .map(|c| own::Credential {
                name: c.name,
                required_keys: c.required_keys,
                optional_keys: c.optional_keys,
                config_map_keys: c.config_map_keys,
            })
            .collect(),
        volumes: d
            .volumes
            .into_iter()
            .map(|v| own::Volume { name: v.name, size: v.size, read_only: v.read_only })
            .collect(),
        inputs: d.inputs,
        outputs: outputs.collect::<Result<_, CallProblem>>()?,
        creates: d
            .creates
            .into_iter()
            .map(|k| own::Kind { api_version: k.api_version, kind: k.kind })
            .collect(),
        licence: d.licence,
        homepage: d.homepage,
    })
}

/// What a stage is rendered for, as the component gets it.
pub(crate) fn context(context: &own::Context) -> wit::Context {
    let text = |map: &Map<String, Value>| Value::Object(map.clone()).to_string();
    wit::Context {
        run: context.run.clone(),
        namespace: context.namespace.clone(),
        prefix: context.prefix.clone(),
        parameters: text(&context.parameters),
        inputs: text(&context.inputs),
        credentials: context
            .credentials
            .iter()
            .map(|c| wit::BoundCredential {
                name: c.name.clone(),
                keys: c
                    .keys
                    .iter()
                    .map(|k| wit::BoundKey {
                        key: k.key.clone(),
                        holder: match &k.holder {
                            own::KeyHolder::Secret(name) => wit::KeyHolder::Secret(name.clone()),
                            own::KeyHolder::ConfigMap(name) => wit::KeyHolder::ConfigMap(name.clone()),
                        },
                    })
                    .collect(),
            })
            .collect(),
        volumes: context
            .volumes
            .iter()
            .map(|v| wit::BoundVolume { name: v.name.clone(), claim: v.claim.clone() })
            .collect(),
    }
}

/// Gathered texts, as the component gets them.
pub(crate) fn excerpts(excerpts: &[own::Excerpt]) -> Vec<wit::Excerpt> {
    excerpts
        .iter()
        .map(|e| wit::Excerpt {
            source: wit::ObjectRef {
                api_version: e.source.api_version.clone(),
                kind: e.source.kind.clone(),
                name: e.source.name.clone(),
            },
            container: e.container.clone(),
            text: e.text.clone(),
        })
        .collect()
}

/// A plan, with every manifest parsed.
pub(crate) fn plan(plan: wit::Plan) -> Result<own::Plan, CallProblem> {
    let manifests =
        plan.manifests.iter().enumerate().map(|(i, text)| object(|| format!("manifests[{i}]"), text));
    Ok(own::Plan {
        manifests: manifests.collect::<Result<_, CallProblem>>()?,
        targets: plan
            .targets
            .into_iter()
            .map(|t| own::Target {
                object: object_ref(t.object),
                succeeded: t.succeeded,
                failed: t.failed,
                reason: t.reason,
                timeout_seconds: t.timeout_seconds,
            })
            .collect(),
        excerpts: plan
            .excerpts
            .into_iter()
            .map(|e| own::ExcerptSource {
                object: object_ref(e.object),
                container: e.container,
                max_bytes: e.max_bytes,
            })
            .collect(),
    })
}

fn object_ref(r: wit::ObjectRef) -> own::ObjectRef {
    own::ObjectRef { api_version: r.api_version, kind: r.kind, name: r.name }
}

/// What the stage itself says is wrong.
pub(crate) fn stage_error(error: wit::Error) -> CallProblem {
    CallProblem::Stage(match error {
        wit::Error::InvalidParameter((name, message)) => own::StageError::InvalidParameter { name, message },
        wit::Error::Other(message) => own::StageError::Other { message },
    })
}
