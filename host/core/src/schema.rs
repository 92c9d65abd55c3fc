//! JSON Schema fragments of parameters and outputs, compiled within bounds.
//!
//! Fragments come from guests. They may not refer to anything (no `$ref`, so nothing is fetched and nothing recurses),
//! patterns run in linear time, and size and depth are bounded.

use crate::nearest::{hint, nearest};
use crate::text;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

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
    /// A keyword that fragments may not use: a misspelt one, or one that refers to another schema.
    #[error("the schema uses {}, which is not a keyword that a fragment may use{}", text::quoted(.keyword, 40), hint(.nearest.as_deref(), &[]))]
    UnknownKeyword {
        /// The keyword, for example `$ref`.
        keyword: String,
        /// The keyword that is nearest.
        nearest: Option<String>,
    },
    /// It is no JSON Schema.
    #[error("not a JSON Schema: {problem}")]
    Invalid {
        /// What is wrong with it.
        problem: String,
    },
}

/// So many compiled fragments are remembered.
const MAX_KNOWN: usize = 256;

/// Compiled fragments by their text. Stages share most of them (six stages: 177, of which 41 differ), and to compile them
/// each time was half of what a dry run cost.
static KNOWN: Mutex<BTreeMap<String, Schema>> = Mutex::new(BTreeMap::new());

/// A compiled fragment.
#[derive(Debug, Clone)]
pub struct Schema {
    validator: Arc<jsonschema::Validator>,
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
        let text = fragment.to_string();
        let bytes = text.len();
        if bytes > MAX_SCHEMA_BYTES {
            return Err(SchemaError::TooLong { bytes });
        }
        let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(schema) = known().get(&text) {
            return Ok(schema.clone());
        }
        check_shape(fragment, 0)?;
        check_keywords(fragment)?;
        if !fragment.is_object() && !fragment.is_boolean() {
            return Err(SchemaError::Invalid { problem: "it must be an object".into() });
        }
        let validator = jsonschema::options()
            // For these keywords all drafts are the same, and this one's own schema is the quickest to prepare.
            .with_draft(jsonschema::Draft::Draft7)
            .offline()
            .with_pattern_options(jsonschema::PatternOptions::regex())
            .build(fragment)
            .map_err(|error| SchemaError::Invalid { problem: text::escaped(&error.to_string(), 200) })?;
        let schema = Self { validator: Arc::new(validator) };
        let mut known = known();
        if known.len() < MAX_KNOWN {
            known.insert(text, schema.clone());
        }
        Ok(schema)
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

/// What stands under a keyword.
#[derive(Debug, Clone, Copy)]
enum Holds {
    Value,
    Schema,
    Schemas,
}

/// The keywords that fragments may use, and what stands under each. All drafts since 6 agree on what they mean. Others
/// are refused, because a misspelt keyword would otherwise allow everything.
const KEYWORDS: [(&str, Holds); 36] = [
    ("type", Holds::Value),
    ("enum", Holds::Value),
    ("const", Holds::Value),
    ("title", Holds::Value),
    ("description", Holds::Value),
    ("default", Holds::Value),
    ("examples", Holds::Value),
    ("$comment", Holds::Value),
    ("format", Holds::Value),
    ("pattern", Holds::Value),
    ("minimum", Holds::Value),
    ("maximum", Holds::Value),
    ("exclusiveMinimum", Holds::Value),
    ("exclusiveMaximum", Holds::Value),
    ("multipleOf", Holds::Value),
    ("minLength", Holds::Value),
    ("maxLength", Holds::Value),
    ("minItems", Holds::Value),
    ("maxItems", Holds::Value),
    ("uniqueItems", Holds::Value),
    ("required", Holds::Value),
    ("minProperties", Holds::Value),
    ("maxProperties", Holds::Value),
    ("additionalProperties", Holds::Schema),
    ("propertyNames", Holds::Schema),
    ("items", Holds::Schema),
    ("contains", Holds::Schema),
    ("not", Holds::Schema),
    ("if", Holds::Schema),
    ("then", Holds::Schema),
    ("else", Holds::Schema),
    ("allOf", Holds::Schemas),
    ("anyOf", Holds::Schemas),
    ("oneOf", Holds::Schemas),
    ("properties", Holds::Schemas),
    ("patternProperties", Holds::Schemas),
];

fn check_shape(fragment: &Value, depth: usize) -> Result<(), SchemaError> {
    if depth > MAX_SCHEMA_DEPTH {
        return Err(SchemaError::TooDeep);
    }
    match fragment {
        Value::Object(map) => map.values().try_for_each(|value| check_shape(value, depth + 1)),
        Value::Array(items) => items.iter().try_for_each(|item| check_shape(item, depth + 1)),
        _ => Ok(()),
    }
}

fn check_keywords(fragment: &Value) -> Result<(), SchemaError> {
    for (keyword, value) in fragment.as_object().into_iter().flatten() {
        let many = || {
            value
                .as_array()
                .into_iter()
                .flatten()
                .chain(value.as_object().into_iter().flat_map(serde_json::Map::values))
        };
        match KEYWORDS.iter().find(|(known, _)| known == keyword).map(|(_, holds)| holds) {
            Some(Holds::Value) => {}
            // `items` may also be a list of schemas.
            Some(Holds::Schema) if value.is_array() => many().try_for_each(check_keywords)?,
            Some(Holds::Schema) => check_keywords(value)?,
            Some(Holds::Schemas) => many().try_for_each(check_keywords)?,
            None => {
                return Err(SchemaError::UnknownKeyword {
                    nearest: nearest(keyword, KEYWORDS.map(|(known, _)| known)),
                    keyword: keyword.clone(),
                });
            }
        }
    }
    Ok(())
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
            assert!(
                matches!(Schema::compile(&reference), Err(SchemaError::UnknownKeyword { .. })),
                "{reference}"
            );
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
    fn misspelt_keywords_are_refused_wherever_they_are() {
        let message = |fragment: Value| Schema::compile(&fragment).unwrap_err().to_string();
        assert_eq!(
            message(json!({"minimun": 1})),
            "the schema uses \"minimun\", which is not a keyword that a fragment may use; did you mean minimum?"
        );
        for fragment in [
            json!({"items": {"typ": "string"}}),
            json!({"items": [{"typ": "string"}]}),
            json!({"properties": {"a": {"typ": "string"}}}),
            json!({"anyOf": [{"typ": "string"}]}),
            json!({"additionalProperties": {"typ": "string"}}),
            json!({"prefixItems": []}),
        ] {
            assert!(
                matches!(Schema::compile(&fragment), Err(SchemaError::UnknownKeyword { .. })),
                "{fragment}"
            );
        }
        // Names of properties and values are no keywords.
        for fragment in [
            json!({"properties": {"typ": {"type": "string"}}}),
            json!({"const": {"typ": 1}}),
            json!({"default": {"$ref": "x"}}),
            json!({"additionalProperties": false}),
        ] {
            assert!(Schema::compile(&fragment).is_ok(), "{fragment}");
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
