//! Where in a manifest the guard is.

use crate::text::escaped;
use serde_json::{Map, Value};

/// A step into a value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// Renders a path as kubectl does: `spec.containers[0].image`.
pub(super) fn render(steps: &[Step<'_>]) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    for step in steps {
        // Writing to a String does not fail.
        let _ = match step {
            Step::Index(index) => write!(out, "[{index}]"),
            Step::Key(key) if key.is_empty() || key.contains(['.', '/', '[', ' ', '"']) => {
                write!(out, "[\"{}\"]", escaped(key, 80))
            }
            Step::Key(key) if out.is_empty() => write!(out, "{}", escaped(key, 80)),
            Step::Key(key) => write!(out, ".{}", escaped(key, 80)),
        };
    }
    out
}

/// All values of a field, whatever its letters' case: Go programs that decode a custom resource by `encoding/json` do
/// not mind the case either, so the guard must not.
pub(super) fn fields<'a>(
    map: &'a Map<String, Value>,
    name: &'a str,
) -> impl Iterator<Item = (&'a str, &'a Value)> {
    map.iter()
        .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(key, value)| (key.as_str(), value))
}

/// Null is how YAML writes nothing.
pub(super) fn is_set(value: &Value) -> bool {
    !value.is_null()
}

/// Null, an empty text, an empty list.
pub(super) fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}
