//! JSON Schema fragments of parameters and outputs, compiled within bounds.
//!
//! Fragments come from guests. They may not refer to anything (no `$ref`, so nothing is fetched and nothing recurses),
//! patterns run in linear time, and size and depth are bounded.

use crate::text;
use serde_json::Value;

/// The longest fragment, in bytes of JSON.
pub const MAX_SCHEMA_BYTES: usize = 16 * 1024;
/// The deepest fragment.
pub const MAX_SCHEMA_DEPTH: usize = 16;

/// A fragment that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// Longer than [`MAX_SCHEMA_BYTES`].
    #[error("the schema has {bytes} bytes, more than {MAX_SCHEMA_BYTES}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Deeper than [`MAX_SCHEMA_DEPTH`].
    #[error("the schema is nested more than {MAX_SCHEMA_DEPTH} deep")]
    TooDeep,
    /// It refers to another schema.
    #[error("the schema uses {keyword}: a fragment stands alone and refers to nothing")]
    Reference {
        /// The keyword, for example `$ref`.
        keyword: String,
    },
    /// It is no JSON Schema.
    #[error("not a JSON Schema: {problem}")]
    Invalid {
        /// What is wrong with it.
        problem: String,
    },
}

/// A compiled fragment.
#[derive(Debug, Clone)]
pub struct Schema {
    validator: jsonschema::Validator,
}

impl Schema {
    /// Checks and compiles a fragment.
    ///
    /// # Errors
    /// [`SchemaError`] when it is too big, refers elsewhere, or is no schema.
    ///
    /// ```
    /// use ilab_core::schema::Schema;
    /// let schema = Schema::compile(&serde_json::json!({"type": "integer", "minimum": 1}))?;
    /// assert!(schema.problems(&3.into()).is_empty());
    /// assert_eq!(schema.problems(&0.into()), ["0 is less than the minimum of 1"]);
    /// # Ok::<(), ilab_core::schema::SchemaError>(())
    /// ```
    pub fn compile(fragment: &Value) -> Result<Self, SchemaError> {
        let bytes = fragment.to_string().len();
        if bytes > MAX_SCHEMA_BYTES {
            return Err(SchemaError::TooLong { bytes });
        }
        check_shape(fragment, 0)?;
        if !fragment.is_object() && !fragment.is_boolean() {
            return Err(SchemaError::Invalid { problem: "it must be an object".into() });
        }
        let validator = jsonschema::options()
            .with_draft(jsonschema::Draft::Draft202012)
            .offline()
            .with_pattern_options(jsonschema::PatternOptions::regex())
            .build(fragment)
            .map_err(|error| SchemaError::Invalid { problem: text::escaped(&error.to_string(), 200) })?;
        Ok(Self { validator })
    }

    /// What is wrong with the value, one fragment each; empty when nothing is. At most ten are told.
    #[must_use]
    pub fn problems(&self, value: &Value) -> Vec<String> {
        if self.validator.is_valid(value) {
            return Vec::new();
        }
        self.validator
            .iter_errors(value)
            .take(10)
            .map(|error| {
                let at = error.instance_path().to_string();
                let problem = text::escaped(&error.to_string(), 300);
                if at.is_empty() { problem } else { format!("at {}: {problem}", text::escaped(&at, 100)) }
            })
            .collect()
    }
}

fn check_shape(fragment: &Value, depth: usize) -> Result<(), SchemaError> {
    if depth > MAX_SCHEMA_DEPTH {
        return Err(SchemaError::TooDeep);
    }
    match fragment {
        Value::Object(map) => map.iter().try_for_each(|(key, value)| {
            // Also as the name of a property: telling the two apart is not worth a hole.
            if matches!(
                key.as_str(),
                "$ref"
                    | "$dynamicRef"
                    | "$recursiveRef"
                    | "$schema"
                    | "$id"
                    | "$anchor"
                    | "$dynamicAnchor"
                    | "$vocabulary"
            ) {
                return Err(SchemaError::Reference { keyword: key.clone() });
            }
            check_shape(value, depth + 1)
        }),
        Value::Array(items) => items.iter().try_for_each(|item| check_shape(item, depth + 1)),
        _ => Ok(()),
    }
}

/// The JSON types that a fragment allows at its top, in the order in which text is tried as them; empty when it does
/// not say.
pub(crate) fn types(fragment: &Value) -> Vec<JsonType> {
    let mut found = Vec::new();
    collect_types(fragment, &mut found, 0);
    let order = [
        JsonType::Integer,
        JsonType::Number,
        JsonType::Boolean,
        JsonType::Array,
        JsonType::Object,
        JsonType::String,
        JsonType::Null,
    ];
    order.into_iter().filter(|kind| found.contains(kind)).collect()
}

/// A type of JSON Schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JsonType {
    Integer,
    Number,
    Boolean,
    Array,
    Object,
    String,
    Null,
}

impl JsonType {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            "array" => Self::Array,
            "object" => Self::Object,
            "string" => Self::String,
            "null" => Self::Null,
            _ => return None,
        })
    }

    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Boolean,
            Value::Number(number) if number.is_f64() => Self::Number,
            Value::Number(_) => Self::Integer,
            Value::String(_) => Self::String,
            Value::Array(_) => Self::Array,
            Value::Object(_) => Self::Object,
        }
    }
}

fn collect_types(fragment: &Value, found: &mut Vec<JsonType>, depth: usize) {
    if depth > MAX_SCHEMA_DEPTH {
        return;
    }
    match fragment.get("type") {
        Some(Value::String(name)) => found.extend(JsonType::named(name)),
        Some(Value::Array(names)) => {
            found.extend(names.iter().filter_map(Value::as_str).filter_map(JsonType::named))
        }
        _ => {
            if let Some(values) = fragment.get("enum").and_then(Value::as_array) {
                found.extend(values.iter().map(JsonType::of));
            }
            found.extend(fragment.get("const").map(JsonType::of));
            for keyword in ["anyOf", "oneOf", "allOf"] {
                for branch in fragment.get(keyword).and_then(Value::as_array).into_iter().flatten() {
                    collect_types(branch, found, depth + 1);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn hostile_fragments_are_refused() {
        let mut deep = json!({});
        for _ in 0..50 {
            deep = json!({"not": deep});
        }
        assert_eq!(Schema::compile(&deep).unwrap_err(), SchemaError::TooDeep);
        let long = json!({"enum": vec!["x".repeat(100); 1000]});
        assert!(matches!(Schema::compile(&long), Err(SchemaError::TooLong { .. })));
        for reference in [
            json!({"$ref": "#"}),
            json!({"allOf": [{"$ref": "http://example.com/x"}]}),
            json!({"$id": "file:///etc/passwd"}),
        ] {
            assert!(matches!(Schema::compile(&reference), Err(SchemaError::Reference { .. })), "{reference}");
        }
        for nonsense in [
            json!({"type": "whole"}),
            json!({"minimum": "1"}),
            json!(3),
            json!(null),
            json!({"pattern": "("}),
        ] {
            assert!(matches!(Schema::compile(&nonsense), Err(SchemaError::Invalid { .. })), "{nonsense}");
        }
    }

    #[test]
    fn patterns_take_linear_time() {
        let schema = Schema::compile(&json!({"type": "string", "pattern": "^(a+)+$"})).unwrap();
        assert!(!schema.problems(&json!(format!("{}!", "a".repeat(50_000)))).is_empty());
        assert!(Schema::compile(&json!({"pattern": "(a)\\1"})).is_err(), "back references need backtracking");
    }

    #[test]
    fn types_come_from_wherever_the_fragment_says_them() {
        assert_eq!(types(&json!({"type": ["string", "integer"]})), [JsonType::Integer, JsonType::String]);
        assert_eq!(types(&json!({"enum": [1, 2]})), [JsonType::Integer]);
        assert_eq!(
            types(&json!({"oneOf": [{"type": "boolean"}, {"const": "auto"}]})),
            [JsonType::Boolean, JsonType::String]
        );
        assert_eq!(types(&json!({"minLength": 1})), []);
    }
}
