//! What a stage returned, checked before anything of it is used.

use crate::contract::{Context, Descriptor, ExcerptSource, ObjectRef, Plan};
use crate::nearest::hint;
use crate::schema::{Schema, SchemaError};
use crate::text::{escaped, quoted};
use crate::verdict::{PredicateError, Predicates};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The most manifests of a plan.
pub const MAX_MANIFESTS: usize = 100;
/// The most targets, and the most excerpts, of a plan.
pub const MAX_TARGETS: usize = 100;
/// The most outputs' JSON of one stage, in bytes: they are kept in the run record.
pub const MAX_OUTPUT_BYTES: usize = 128 * 1024;
/// The most text that the host gathers from one container.
pub const MAX_EXCERPT_BYTES: u32 = 1024 * 1024;

/// Kinds whose containers' text can be gathered.
const EXCERPT_KINDS: [&str; 3] = ["Job", "PyTorchJob", "Pod"];

/// What is wrong with a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// More than the host takes.
    #[error("the plan has {count} {what}, more than {most}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// A manifest that is no Kubernetes object.
    #[error("manifest {index} has no {field}")]
    NoObject {
        /// Which, counted from 0.
        index: usize,
        /// What it lacks.
        field: &'static str,
    },
    /// Two manifests of one object, two targets of one, or one excerpt twice.
    #[error("{what} {} is there twice", escaped(.object, 120))]
    Duplicate {
        /// Manifest, target or excerpt.
        what: &'static str,
        /// The object.
        object: String,
    },
    /// Nothing says when the stage is done.
    #[error("the plan has no target: nothing says when the stage is done")]
    NoTarget,
    /// A target or an excerpt of an object that is not among the manifests.
    #[error("{what} {} is not among the manifests{}", escaped(.object, 120), hint(None, .valid))]
    NotPlanned {
        /// Target or excerpt.
        what: &'static str,
        /// The object.
        object: String,
        /// The planned objects.
        valid: Vec<String>,
    },
    /// An excerpt of an object that has no containers the host knows how to find.
    #[error("excerpt of {}: text can be gathered from a Job, a PyTorchJob or a Pod", escaped(.object, 120))]
    ExcerptKind {
        /// The object.
        object: String,
    },
    /// An excerpt of a container that the object does not have.
    #[error("excerpt of {}: it has no container {}{}", escaped(.object, 120), quoted(.container, 80), hint(None, .valid))]
    ExcerptContainer {
        /// The object.
        object: String,
        /// The container as named.
        container: String,
        /// The containers it has.
        valid: Vec<String>,
    },
    /// A target that is given no time at all.
    #[error("target {}: a timeout of 0 seconds", escaped(.object, 120))]
    ZeroTimeout {
        /// The object.
        object: String,
    },
    /// A predicate that cannot be used.
    #[error("target {0}")]
    Predicate(#[from] PredicateError),
}

/// Checks a plan and compiles the predicates of its targets, in their order.
///
/// What the manifests ask of the cluster is not judged here: the [guard](crate::guard) does.
///
/// # Errors
/// The first [`PlanError`].
pub fn check_plan(plan: &Plan, ctx: &Context, descriptor: &Descriptor) -> Result<Vec<Predicates>, PlanError> {
    debug_assert!(ctx.prefix.len() <= 50, "{} for {}", ctx.prefix, descriptor.name);
    for (what, count, most) in [
        ("manifests", plan.manifests.len(), MAX_MANIFESTS),
        ("targets", plan.targets.len(), MAX_TARGETS),
        ("excerpts", plan.excerpts.len(), MAX_TARGETS),
    ] {
        if count > most {
            return Err(PlanError::TooMany { what, count, most });
        }
    }
    let planned = planned(&plan.manifests)?;
    if plan.targets.is_empty() {
        return Err(PlanError::NoTarget);
    }
    let find = |what: &'static str, object: &ObjectRef| {
        planned.iter().find(|(known, _)| known == object).map(|(_, manifest)| *manifest).ok_or_else(|| {
            PlanError::NotPlanned {
                what,
                object: object.to_string(),
                valid: planned.iter().map(|(known, _)| escaped(&known.to_string(), 120)).collect(),
            }
        })
    };
    let mut seen = BTreeSet::new();
    let mut predicates = Vec::with_capacity(plan.targets.len());
    for target in &plan.targets {
        find("target", &target.object)?;
        if !seen.insert(&target.object) {
            return Err(PlanError::Duplicate { what: "target", object: target.object.to_string() });
        }
        if target.timeout_seconds == Some(0) {
            return Err(PlanError::ZeroTimeout { object: target.object.to_string() });
        }
        predicates.push(Predicates::compile(target)?);
    }
    let mut seen = BTreeSet::new();
    for excerpt in &plan.excerpts {
        check_excerpt(excerpt, find("excerpt", &excerpt.object)?)?;
        if !seen.insert((&excerpt.object, &excerpt.container)) {
            return Err(PlanError::Duplicate {
                what: "excerpt",
                object: format!("{} {}", excerpt.object, excerpt.container),
            });
        }
    }
    Ok(predicates)
}

fn planned(manifests: &[Value]) -> Result<Vec<(ObjectRef, &Value)>, PlanError> {
    let mut planned: Vec<(ObjectRef, &Value)> = Vec::with_capacity(manifests.len());
    let mut identities = BTreeSet::new();
    for (index, manifest) in manifests.iter().enumerate() {
        let object = ObjectRef::of(manifest).ok_or_else(|| {
            let missing = ["/apiVersion", "/kind"]
                .into_iter()
                .find(|path| !manifest.pointer(path).is_some_and(Value::is_string));
            PlanError::NoObject { index, field: missing.map_or("metadata.name", |path| &path[1..]) }
        })?;
        // Two versions of one group are two views of one object.
        let group = object.api_version.rsplit_once('/').map_or("", |(group, _)| group).to_owned();
        if !identities.insert((group, object.kind.clone(), object.name.clone())) {
            return Err(PlanError::Duplicate { what: "manifest", object: object.to_string() });
        }
        planned.push((object, manifest));
    }
    Ok(planned)
}

fn check_excerpt(excerpt: &ExcerptSource, manifest: &Value) -> Result<(), PlanError> {
    if !EXCERPT_KINDS.contains(&excerpt.object.kind.as_str()) {
        return Err(PlanError::ExcerptKind { object: excerpt.object.to_string() });
    }
    let mut valid = BTreeSet::new();
    containers(manifest, 0, &mut valid);
    if !valid.contains(&excerpt.container) {
        return Err(PlanError::ExcerptContainer {
            object: excerpt.object.to_string(),
            container: excerpt.container.clone(),
            valid: valid.into_iter().take(20).map(|name| escaped(&name, 80)).collect(),
        });
    }
    Ok(())
}

/// The names of all containers, wherever the pod templates are.
fn containers(value: &Value, depth: usize, found: &mut BTreeSet<String>) {
    if depth > 64 {
        return;
    }
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if matches!(key.as_str(), "containers" | "initContainers") {
                    found.extend(
                        value
                            .as_array()
                            .into_iter()
                            .flatten()
                            .filter_map(|container| container.get("name")?.as_str().map(str::to_owned)),
                    );
                }
                containers(value, depth + 1, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| containers(item, depth + 1, found)),
        _ => {}
    }
}

/// What is wrong with the outputs that a stage collected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutputError {
    /// Not an object.
    #[error("the outputs must be a JSON object with a value for every output")]
    NotAnObject,
    /// Too long to be kept.
    #[error("the outputs have {bytes} bytes, more than {MAX_OUTPUT_BYTES}")]
    TooLong {
        /// Their length.
        bytes: usize,
    },
    /// A declared output without a value.
    #[error("output {name} is missing")]
    Missing {
        /// The output.
        name: String,
    },
    /// A value that was not declared.
    #[error("output {} was not declared{}", quoted(.name, 80), hint(None, .valid))]
    Unknown {
        /// The name.
        name: String,
        /// The declared outputs.
        valid: Vec<String>,
    },
    /// A value that its schema refuses.
    #[error("output {name}: {}", .problems.join("; "))]
    Invalid {
        /// The output.
        name: String,
        /// What the schema says.
        problems: Vec<String>,
    },
    /// The descriptor's schema is unusable; [`validate_descriptor`](crate::descriptor::validate_descriptor) tells this earlier.
    #[error("output {name}: {source}")]
    Schema {
        /// The output.
        name: String,
        /// What is wrong with the schema.
        source: SchemaError,
    },
}

/// Checks what a stage collected against what it declared.
///
/// # Errors
/// The first [`OutputError`].
pub fn check_outputs(descriptor: &Descriptor, outputs: &Value) -> Result<Map<String, Value>, OutputError> {
    let map = outputs.as_object().ok_or(OutputError::NotAnObject)?;
    let bytes = outputs.to_string().len();
    if bytes > MAX_OUTPUT_BYTES {
        return Err(OutputError::TooLong { bytes });
    }
    if let Some(name) = map.keys().find(|name| !descriptor.outputs.iter().any(|output| output.name == **name))
    {
        let valid = descriptor.outputs.iter().map(|output| output.name.clone()).collect();
        return Err(OutputError::Unknown { name: name.clone(), valid });
    }
    for output in &descriptor.outputs {
        let name = || output.name.clone();
        let value = map.get(&output.name).ok_or_else(|| OutputError::Missing { name: name() })?;
        let schema =
            Schema::compile(&output.schema).map_err(|source| OutputError::Schema { name: name(), source })?;
        let problems = schema.problems(value);
        if !problems.is_empty() {
            return Err(OutputError::Invalid { name: name(), problems });
        }
    }
    Ok(map.clone())
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
