//! Types and unknown fields of a body, against its kind's shape.

use super::{Fields, Shape, quantity};
use crate::server::status::Cause;
use serde_json::{Map, Value};

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
/// So are empty lists and maps, unless it is a custom resource, whose are kept: built-in kinds are Go structures.
pub(crate) fn check(shape: &Shape, object: &mut Value, custom: bool) -> Vec<Finding> {
    let mut walk = Walk { custom, path: String::new(), findings: Vec::new() };
    walk.walk(shape, object);
    walk.findings
}

fn empty(value: &Value, shape: &Shape) -> bool {
    match (value, shape.resolve()) {
        (Value::Array(items), Shape::List(..)) => items.is_empty(),
        (Value::Object(fields), Shape::Map { .. }) => fields.is_empty(),
        _ => false,
    }
}

/// No more than this many findings are told.
const MAX_FINDINGS: usize = 64;

struct Walk {
    custom: bool,
    path: String,
    findings: Vec<Finding>,
}

impl Walk {
    fn push(&mut self, kind: FindingKind) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding { path: self.path.clone(), kind });
        }
    }

    fn wrong(&mut self, wanted: &'static str, value: &Value) {
        let got = match value {
            // Only the type is told of what is large.
            Value::Object(_) => Value::Object(serde_json::Map::new()),
            Value::Array(_) => Value::Array(Vec::new()),
            other => other.clone(),
        };
        self.push(FindingKind::Type { wanted, got });
    }

    /// Does something at a field of the present path.
    fn at<T>(&mut self, name: &str, inner: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        let made = inner(self);
        self.path.truncate(length);
        made
    }

    fn scalar(&mut self, fits: bool, wanted: &'static str, value: &Value) {
        if !fits {
            self.wrong(wanted, value);
        }
    }

    fn walk(&mut self, shape: &Shape, value: &mut Value) {
        if value.is_null() {
            return;
        }
        let whole = value.is_i64() || value.is_u64();
        match (shape.resolve(), value) {
            (Shape::Any | Shape::Named(_), _) => {}
            (Shape::String, value) => self.scalar(value.is_string(), "string", value),
            (Shape::Boolean, value) => self.scalar(value.is_boolean(), "boolean", value),
            (Shape::Integer, value) => self.scalar(whole, "integer", value),
            (Shape::IntOrString, value) => self.scalar(whole || value.is_string(), "integer,string", value),
            (Shape::Quantity, value) => self.quantity(value),
            (Shape::Time, Value::String(text)) => {
                if text.parse::<jiff::Timestamp>().is_err() {
                    let got = Value::String(text.clone());
                    self.push(FindingKind::Format { wanted: "of type date-time", got });
                }
            }
            (Shape::Time, value) => self.wrong("string", value),
            (Shape::List(item, _), Value::Array(items)) => {
                let length = self.path.len();
                for (index, value) in items.iter_mut().enumerate() {
                    self.path.push_str(&format!("[{index}]"));
                    self.walk(item, value);
                    self.path.truncate(length);
                }
            }
            (Shape::List(..), value) => self.wrong("array", value),
            (Shape::Map { value: inner, .. }, Value::Object(fields)) => {
                for (name, value) in fields.iter_mut() {
                    self.at(name, |walk| walk.walk(inner, value));
                }
            }
            (Shape::Struct(known), Value::Object(fields)) => self.fields(known, fields),
            (Shape::Map { .. } | Shape::Struct(_), value) => self.wrong("object", value),
        }
    }

    fn quantity(&mut self, value: &mut Value) {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return self.wrong("string", value),
        };
        if quantity::parse(&text).is_none() {
            let got = value.clone();
            self.push(FindingKind::Format { wanted: "a quantity like 500m, 2 or 16Gi", got });
        } else if value.is_number() {
            *value = Value::String(text);
        }
    }

    fn fields(&mut self, known: &Fields, fields: &mut Map<String, Value>) {
        let custom = self.custom;
        fields.retain(|name, value| match known.fields.get(name) {
            // `creationTimestamp: null` and the like.
            Some(shape) => !value.is_null() && (custom || !empty(value, shape)),
            None => {
                self.at(name, |walk| walk.push(FindingKind::Unknown));
                false
            }
        });
        for (name, value) in fields.iter_mut() {
            if let Some(inner) = known.fields.get(name) {
                self.at(name, |walk| walk.walk(inner, value));
            }
        }
        for (name, default) in &known.defaults {
            if !fields.contains_key(name) {
                fields.insert(name.clone(), default.clone());
            }
        }
        for name in known.required.iter().filter(|name| !fields.contains_key(*name)) {
            self.at(name, |walk| walk.push(FindingKind::Missing));
        }
    }
}
