//! The shapes of the served kinds, extracted from upstream's own schemas (see `extract.py`): what is checked, how lists
//! are merged, and which fields exist.

mod check;
mod defaults;
mod immutable;
mod names;
mod pod;
mod quantity;
mod require;
mod training;

pub(crate) use check::{Finding, FindingKind, check};
pub(crate) use defaults::{default_object, prepare_create};
pub(crate) use immutable::immutable;
pub(crate) use names::{label_value, qualified};
pub(crate) use require::require;
pub(crate) use training::refused;

use crate::server::resources::RESOURCES;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::LazyLock;

/// The shape of a value.
#[derive(Debug)]
pub(crate) enum Shape {
    String,
    Integer,
    Boolean,
    Quantity,
    IntOrString,
    Time,
    /// Anything, replaced as a whole.
    Any,
    List(Box<Shape>, ListKind),
    /// Free keys.
    Map {
        value: Box<Shape>,
        atomic: bool,
    },
    /// Fixed keys.
    Struct(Fields),
    /// Another shape by name.
    Named(String),
}

/// How lists are merged by server-side apply.
#[derive(Debug)]
pub(crate) enum ListKind {
    Atomic,
    Set,
    /// Items are told apart by these fields.
    Keyed(Vec<String>),
}

/// A structure.
#[derive(Debug)]
pub(crate) struct Fields {
    pub(crate) fields: HashMap<String, Shape>,
    pub(crate) required: Vec<String>,
    pub(crate) defaults: Vec<(String, Value)>,
    pub(crate) atomic: bool,
}

static SHAPES: LazyLock<HashMap<String, Shape>> = LazyLock::new(|| {
    [include_str!("kubernetes.json"), include_str!("pytorchjob.json"), include_str!("trainjob.json")]
        .into_iter()
        .filter_map(|text| serde_json::from_str::<Value>(text).ok())
        .flat_map(|file| file["types"].as_object().cloned().unwrap_or_default())
        .map(|(name, shape)| (name, parse(&shape)))
        .collect()
});

fn parse(shape: &Value) -> Shape {
    let flag = |name: &str| shape[name].as_bool().unwrap_or(false);
    let strings = |value: &Value| {
        value
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    if let Some(name) = shape.as_str() {
        return match name {
            "string" => Shape::String,
            "integer" => Shape::Integer,
            "boolean" => Shape::Boolean,
            "quantity" => Shape::Quantity,
            "int-or-string" => Shape::IntOrString,
            "time" => Shape::Time,
            _ => name.strip_prefix('#').map_or(Shape::Any, |name| Shape::Named(name.to_owned())),
        };
    }
    if let Some(item) = shape.get("list") {
        let kind = match shape.get("keys") {
            Some(keys) => ListKind::Keyed(strings(keys)),
            None if flag("set") => ListKind::Set,
            None => ListKind::Atomic,
        };
        return Shape::List(Box::new(parse(item)), kind);
    }
    if let Some(value) = shape.get("map") {
        return Shape::Map { value: Box::new(parse(value)), atomic: flag("atomic") };
    }
    if let Some(scalar) = shape.get("scalar") {
        return parse(scalar);
    }
    let fields = shape["fields"].as_object().cloned().unwrap_or_default();
    Shape::Struct(Fields {
        defaults: fields
            .iter()
            .filter_map(|(name, field)| Some((name.clone(), field.get("default")?.clone())))
            .collect(),
        fields: fields.iter().map(|(name, field)| (name.clone(), parse(field))).collect(),
        required: strings(&shape["required"]),
        atomic: flag("atomic"),
    })
}

/// What is wrong with a manifest by the schema of its kind, a line each; none for a kind that is not known here. Only what
/// needs no cluster is looked at: fields, types, formats, what is required and what values are allowed.
///
/// ```
/// let job = serde_json::json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, "spec": {
///     "template": {"spec": {"containers": [{"name": "c", "image": "i", "comand": ["x"]}], "restartPolicy": "Never"}}}});
/// let problems = ilab_local::schema_problems(&job).unwrap();
/// assert_eq!(problems, ["unknown field \"spec.template.spec.containers[0].comand\""]);
/// ```
#[must_use]
pub fn schema_problems(manifest: &Value) -> Option<Vec<String>> {
    let is = |field: &str, wanted: &str| manifest[field].as_str() == Some(wanted);
    if is("kind", "TrainJob") && is("apiVersion", "trainer.kubeflow.org/v1alpha1") {
        // Known, though it is not served: its trainer runs on a cluster only.
        let found = check(shape("TrainJob"), &mut manifest.clone(), true);
        return Some(found.iter().map(|finding| finding.go_message("TrainJob")).collect());
    }
    let resource = RESOURCES.iter().find(|r| is("kind", r.kind) && is("apiVersion", &r.api_version()))?;
    let mut object = manifest.clone();
    let found = check(shape(resource.shape), &mut object, resource.custom());
    let mut problems: Vec<String> = found.iter().map(|finding| finding.go_message(resource.kind)).collect();
    if problems.is_empty() {
        // A selector is made of it.
        object["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000".into();
        default_object(resource, &mut object);
        prepare_create(resource, &mut object);
        problems.extend(
            require(resource, &object, None)
                .into_iter()
                .map(|cause| format!("{}: {}", cause.field, cause.message)),
        );
        problems.extend(refused(resource, &object));
    }
    Some(problems)
}

/// A shape by name; `Any` for one that is not there, which the tests rule out.
pub(crate) fn shape(name: &str) -> &'static Shape {
    SHAPES.get(name).map_or(&Shape::Any, Shape::resolve)
}

impl Shape {
    /// Follows names.
    pub(crate) fn resolve(&self) -> &Shape {
        match self {
            Self::Named(name) => shape(name),
            other => other,
        }
    }

    /// The shape of a field or of a map's values.
    pub(crate) fn field(&self, name: &str) -> Option<&Shape> {
        match self.resolve() {
            Self::Struct(fields) => fields.fields.get(name).map(Shape::resolve),
            Self::Map { value, .. } => Some(value.resolve()),
            Self::Any => Some(&Shape::Any),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_resolve(shape: &Shape) {
        match shape {
            Shape::Named(name) => assert!(SHAPES.contains_key(name), "{name}"),
            Shape::List(item, _) => names_resolve(item),
            Shape::Map { value, .. } => names_resolve(value),
            Shape::Struct(fields) => fields.fields.values().for_each(names_resolve),
            _ => {}
        }
    }

    #[test]
    fn every_named_shape_is_there() {
        assert!(SHAPES.len() > 200, "{}", SHAPES.len());
        SHAPES.values().for_each(names_resolve);
        for resource in crate::server::resources::RESOURCES {
            assert!(matches!(shape(resource.shape), Shape::Struct(_)), "{}", resource.kind);
        }
    }
}
