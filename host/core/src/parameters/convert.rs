//! Text of a flag, an environment variable or `--set`, read as the type that the schema wants.

use crate::schema::{JsonType, types};
use serde_json::Value;

/// Reads text as the first type of the schema that it fits.
///
/// On failure: what was wanted, as a fragment.
pub(super) fn convert(text: &str, schema: &Value) -> Result<Value, String> {
    let wanted = types(schema);
    if let Some(choice) = enum_choice(text, schema) {
        return Ok(choice);
    }
    if wanted.is_empty() {
        return Ok(Value::String(text.to_owned()));
    }
    wanted
        .iter()
        .find_map(|kind| as_type(text, *kind))
        .ok_or_else(|| wanted.iter().map(|kind| name(*kind)).collect::<Vec<_>>().join(" or "))
}

/// An enumeration's value is meant when the text is how it is written.
fn enum_choice(text: &str, schema: &Value) -> Option<Value> {
    let choices = schema.get("enum")?.as_array()?;
    choices
        .iter()
        .find(|choice| match choice {
            Value::String(choice) => choice == text,
            other => serde_json::from_str::<Value>(text).is_ok_and(|given| given == **other),
        })
        .cloned()
}

fn as_type(text: &str, kind: JsonType) -> Option<Value> {
    let trimmed = text.trim();
    match kind {
        JsonType::Integer => trimmed.parse::<i64>().ok().map(Value::from),
        // Integers stay integers, so that 7 is not rendered as 7.0.
        JsonType::Number => trimmed.parse::<i64>().ok().map(Value::from).or_else(|| {
            trimmed.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map(Value::Number)
        }),
        JsonType::Boolean => match trimmed.to_ascii_lowercase().as_str() {
            "true" | "1" | "t" | "yes" | "y" | "on" => Some(Value::Bool(true)),
            "false" | "0" | "f" | "no" | "n" | "off" => Some(Value::Bool(false)),
            _ => None,
        },
        JsonType::Array => serde_json::from_str(text).ok().filter(Value::is_array),
        JsonType::Object => serde_json::from_str(text).ok().filter(Value::is_object),
        JsonType::String => Some(Value::String(text.to_owned())),
        JsonType::Null => (trimmed == "null").then_some(Value::Null),
    }
}

fn name(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Integer => "an integer",
        JsonType::Number => "a number",
        JsonType::Boolean => "a boolean (true/false, 1/0, t/f, yes/no, y/n, on/off)",
        JsonType::Array => "a JSON array",
        JsonType::Object => "a JSON object",
        JsonType::String => "a text",
        JsonType::Null => "null",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_becomes_what_the_schema_wants() {
        let integer = json!({"type": "integer"});
        let number = json!({"type": "number"});
        let boolean = json!({"type": "boolean"});
        let list = json!({"type": "array"});
        for (schema, text, expected) in [
            (&integer, "7", json!(7)),
            (&integer, " -3 ", json!(-3)),
            (&number, "2e-5", json!(2e-5)),
            (&number, "1", json!(1)),
            (&boolean, "On", json!(true)),
            (&boolean, "n", json!(false)),
            (&list, "[1, \"a\"]", json!([1, "a"])),
            (&json!({"type": "string"}), "7", json!("7")),
            (&json!({"type": "string"}), "", json!("")),
            (&json!({}), "true", json!("true")),
            (&json!({"type": ["integer", "string"]}), "auto", json!("auto")),
            (&json!({"type": ["integer", "string"]}), "3", json!(3)),
            (&json!({"type": ["integer", "null"]}), "null", json!(null)),
            (&json!({"type": ["string", "null"]}), "null", json!("null")),
            (&json!({"enum": ["1", "2"]}), "1", json!("1")),
            (&json!({"enum": [1, 2]}), "1", json!(1)),
        ] {
            assert_eq!(convert(text, schema), Ok(expected), "{text} by {schema}");
        }
        for (schema, text) in [
            (&integer, "7.0"),
            (&integer, "1e3"),
            (&integer, ""),
            (&integer, "99999999999999999999"),
            (&number, "NaN"),
            (&number, "inf"),
            (&boolean, "ja"),
            (&list, "1,2"),
            (&list, "{}"),
        ] {
            assert!(convert(text, schema).is_err(), "{text} by {schema}");
        }
    }
}
