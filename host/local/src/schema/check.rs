//! Types and unknown fields of a body, against its kind's shape.

use super::{Shape, quantity};
use crate::server::status::Cause;
use serde_json::Value;

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FindingKind {
    /// There is no such field.
    Unknown,
    /// It should have another type.
    Type { wanted: &'static str, got: Value },
    /// Its text cannot be read.
    Format { wanted: &'static str, got: Value },
    /// A field that the CRD requires is missing.
    Missing,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// `spec.template.spec.containers[0].image`
    pub(crate) path: String,
    pub(crate) kind: FindingKind,
}

fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

impl Finding {
    /// As the validation of a CRD says it.
    pub(crate) fn cause(&self) -> Cause {
        let path = self.path.as_str();
        match &self.kind {
            FindingKind::Unknown => Cause::forbidden(path, "unknown field"),
            FindingKind::Missing => Cause::required(path, ""),
            FindingKind::Type { wanted, got } => {
                let kind = json_type(got);
                Cause {
                    reason: "FieldValueTypeInvalid",
                    message: format!(
                        "Invalid value: \"{kind}\": {path} in body must be of type {wanted}: \"{kind}\""
                    ),
                    field: path.to_owned(),
                }
            }
            FindingKind::Format { wanted, got } => {
                Cause::invalid(path, got, &format!("{path} in body must be {wanted}"))
            }
        }
    }

    /// As Go's decoder says it for a built-in kind.
    pub(crate) fn go_message(&self, kind: &str) -> String {
        let path = &self.path;
        match &self.kind {
            FindingKind::Type { wanted, got } => {
                let got = match json_type(got) {
                    "boolean" => "bool",
                    "integer" => "number",
                    other => other,
                };
                let wanted = match *wanted {
                    "integer" => "int64",
                    "boolean" => "bool",
                    "array" => "[]",
                    "object" => "map",
                    other => other,
                };
                format!("cannot unmarshal {got} into Go struct field {kind}.{path} of type {wanted}")
            }
            FindingKind::Format { wanted, got } => format!("{path}: {got} must be {wanted}"),
            FindingKind::Unknown => format!("unknown field {path:?}"),
            FindingKind::Missing => format!("{path}: Required value"),
        }
    }

    /// As server-side apply says it.
    pub(crate) fn typed_message(&self) -> String {
        let path = &self.path;
        match &self.kind {
            FindingKind::Unknown => format!(".{path}: field not declared in schema"),
            FindingKind::Type { wanted, got } => {
                format!(".{path}: expected {wanted}, got {}", json_type(got))
            }
            FindingKind::Format { wanted, got } => format!(".{path}: {got} must be {wanted}"),
            FindingKind::Missing => format!(".{path}: Required value"),
        }
    }
}

/// Checks a body; fields that its shape does not have are taken out of it, and fields of null too, which mean nothing.
pub(crate) fn check(shape: &Shape, object: &mut Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    walk(shape, object, &mut String::new(), &mut findings);
    findings
}

/// No more than this many findings are told.
const MAX_FINDINGS: usize = 64;

fn push(findings: &mut Vec<Finding>, path: &str, kind: FindingKind) {
    if findings.len() < MAX_FINDINGS {
        findings.push(Finding { path: path.to_owned(), kind });
    }
}

fn at<T>(path: &mut String, step: std::fmt::Arguments<'_>, inner: impl FnOnce(&mut String) -> T) -> T {
    let length = path.len();
    // Writing to a string does not fail.
    let _ = std::fmt::Write::write_fmt(path, step);
    let made = inner(path);
    path.truncate(length);
    made
}

fn step(path: &str) -> &'static str {
    if path.is_empty() { "" } else { "." }
}

fn walk(shape: &Shape, value: &mut Value, path: &mut String, findings: &mut Vec<Finding>) {
    let shape = shape.resolve();
    if value.is_null() {
        return;
    }
    let wrong = |wanted, value: &Value, findings: &mut Vec<Finding>, path: &str| {
        let got = match value {
            // Only the type is told of what is large.
            Value::Object(_) => Value::Object(serde_json::Map::new()),
            Value::Array(_) => Value::Array(Vec::new()),
            other => other.clone(),
        };
        push(findings, path, FindingKind::Type { wanted, got });
    };
    match shape {
        Shape::Any => {}
        Shape::String => {
            if !value.is_string() {
                wrong("string", value, findings, path);
            }
        }
        Shape::Boolean => {
            if !value.is_boolean() {
                wrong("boolean", value, findings, path);
            }
        }
        Shape::Integer => {
            if !value.is_i64() && !value.is_u64() {
                wrong("integer", value, findings, path);
            }
        }
        Shape::IntOrString => {
            if !value.is_i64() && !value.is_u64() && !value.is_string() {
                wrong("integer,string", value, findings, path);
            }
        }
        Shape::Quantity => {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                _ => return wrong("string", value, findings, path),
            };
            if quantity::parse(&text).is_none() {
                let got = value.clone();
                push(findings, path, FindingKind::Format { wanted: "a quantity like 500m, 2 or 16Gi", got });
            } else if value.is_number() {
                *value = Value::String(text);
            }
        }
        Shape::Time => match value.as_str() {
            None => wrong("string", value, findings, path),
            Some(text) if text.parse::<jiff::Timestamp>().is_err() => {
                let got = value.clone();
                push(findings, path, FindingKind::Format { wanted: "of type date-time", got });
            }
            Some(_) => {}
        },
        Shape::List(item, _) => match value {
            Value::Array(items) => {
                for (index, value) in items.iter_mut().enumerate() {
                    at(path, format_args!("[{index}]"), |path| walk(item, value, path, findings));
                }
            }
            other => wrong("array", other, findings, path),
        },
        Shape::Map { value: inner, .. } => match value {
            Value::Object(fields) => {
                for (name, value) in fields.iter_mut() {
                    let dot = step(path);
                    at(path, format_args!("{dot}{name}"), |path| walk(inner, value, path, findings));
                }
            }
            other => wrong("object", other, findings, path),
        },
        Shape::Struct(known) => match value {
            Value::Object(fields) => {
                let dot = step(path);
                fields.retain(|name, value| match known.fields.get(name) {
                    // `creationTimestamp: null` and the like.
                    Some(_) => !value.is_null(),
                    None => {
                        at(path, format_args!("{dot}{name}"), |path| {
                            push(findings, path, FindingKind::Unknown);
                        });
                        false
                    }
                });
                for (name, value) in fields.iter_mut() {
                    if let Some(inner) = known.fields.get(name) {
                        at(path, format_args!("{dot}{name}"), |path| walk(inner, value, path, findings));
                    }
                }
                for (name, default) in &known.defaults {
                    if !fields.contains_key(name) {
                        fields.insert(name.clone(), default.clone());
                    }
                }
                for name in &known.required {
                    if !fields.contains_key(name) {
                        at(path, format_args!("{dot}{name}"), |path| {
                            push(findings, path, FindingKind::Missing)
                        });
                    }
                }
            }
            other => wrong("object", other, findings, path),
        },
        Shape::Named(_) => unreachable!("resolve follows names"),
    }
}
