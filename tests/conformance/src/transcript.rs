//! What was said, and where two of them differ.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;

/// One exchange: what was asked for, and the answer without what is nobody's to compare.
#[derive(Debug, Clone, PartialEq)]
pub struct Exchange {
    /// `chapter/what it is about`.
    pub name: String,
    /// The answer, or what a wait has led to.
    pub answer: Value,
}

/// All exchanges, in the order of the script.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Transcript {
    /// The exchanges.
    pub exchanges: Vec<Exchange>,
}

/// One place where the answers are not the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The exchange's name.
    pub exchange: String,
    /// Where in the answer, such as `body.metadata.labels["a/b"]`.
    pub path: String,
    /// What a real cluster answers there; [`NOTHING`] when it has no such field.
    pub kubernetes: String,
    /// What the embedded one does.
    pub embedded: String,
}

/// A field that is not there.
pub const NOTHING: &str = "nothing";

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { exchange, path, kubernetes, embedded } = self;
        write!(f, "{exchange}: {path}\n  kubernetes: {kubernetes}\n  embedded:   {embedded}")
    }
}

impl Transcript {
    /// For people, and for `diff`: a JSON document.
    #[must_use]
    pub fn shown(&self) -> String {
        let all: serde_json::Map<String, Value> =
            self.exchanges.iter().map(|one| (one.name.clone(), sorted(&one.answer))).collect();
        format!("{:#}", Value::Object(all))
    }

    /// Where the embedded cluster's transcript is not the real one's.
    ///
    /// # Panics
    /// When the two are not of one script: that is a mistake of the script, which may not go by what it is answered.
    #[must_use]
    pub fn differences(kubernetes: &Self, embedded: &Self) -> Vec<Difference> {
        let names = |of: &Self| of.exchanges.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(kubernetes), names(embedded), "the script is not one for both");
        let mut found = Vec::new();
        for (real, own) in kubernetes.exchanges.iter().zip(&embedded.exchanges) {
            compare(&real.name, "", Some(&real.answer), Some(&own.answer), &mut found);
        }
        found
    }
}

fn compare(
    exchange: &str,
    path: &str,
    kubernetes: Option<&Value>,
    embedded: Option<&Value>,
    found: &mut Vec<Difference>,
) {
    match (kubernetes, embedded) {
        (Some(real), Some(own)) if real == own => {}
        // An answer of another code is another answer: what is in it need not be compared.
        (Some(real), Some(own))
            if path.is_empty() && real.get("code").is_some() && real.get("code") != own.get("code") =>
        {
            compare(exchange, "code", real.get("code"), own.get("code"), found);
        }
        (Some(Value::Object(real)), Some(Value::Object(own))) => {
            let keys: BTreeMap<&String, ()> = real.keys().chain(own.keys()).map(|key| (key, ())).collect();
            for key in keys.into_keys() {
                compare(exchange, &below(path, key), real.get(key), own.get(key), found);
            }
        }
        (Some(Value::Array(real)), Some(Value::Array(own))) => {
            for at in 0..real.len().max(own.len()) {
                compare(exchange, &format!("{path}[{at}]"), real.get(at), own.get(at), found);
            }
        }
        (real, own) => found.push(Difference {
            exchange: exchange.to_owned(),
            path: path.to_owned(),
            kubernetes: short(real),
            embedded: short(own),
        }),
    }
}

fn below(path: &str, key: &str) -> String {
    let plain = key.chars().all(|c| c.is_ascii_alphanumeric());
    match (path.is_empty(), plain) {
        (true, true) => key.to_owned(),
        (false, true) => format!("{path}.{key}"),
        (_, false) => format!("{path}[{}]", json!(key)),
    }
}

fn short(value: Option<&Value>) -> String {
    value.map_or_else(|| NOTHING.to_owned(), |value| sorted(value).to_string())
}

/// With the fields of objects in the order of their names.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Object(fields) => {
            let fields: BTreeMap<_, _> =
                fields.iter().map(|(name, value)| (name.clone(), sorted(value))).collect();
            Value::Object(fields.into_iter().collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(answer: Value) -> Transcript {
        Transcript { exchanges: vec![Exchange { name: "a/b".to_owned(), answer }] }
    }

    fn differences(kubernetes: Value, embedded: Value) -> Vec<String> {
        let found = Transcript::differences(&told(kubernetes), &told(embedded));
        found.into_iter().map(|one| format!("{} {} {}", one.path, one.kubernetes, one.embedded)).collect()
    }

    #[test]
    fn every_difference_is_found_where_it_is() {
        assert_eq!(differences(json!({"a": [1, {"b": 2}]}), json!({"a": [1, {"b": 2}]})), [""; 0]);
        assert_eq!(
            differences(
                json!({"a": [1, {"b": 2}], "x/y": null, "only": {"n": 1, "m": 2}}),
                json!({"a": [1, {"b": "2"}, 3], "x/y": 1}),
            ),
            ["a[1].b 2 \"2\"", "a[2] nothing 3", "only {\"m\":2,\"n\":1} nothing", "[\"x/y\"] null 1",]
        );
        assert_eq!(
            differences(json!({"code": 200, "body": 1}), json!({"code": 404, "body": 2})),
            ["code 200 404"]
        );
        // The order of fields means nothing, that of a list does.
        assert_eq!(differences(json!({"a": 1, "b": 2}), json!({"b": 2, "a": 1})), [""; 0]);
        assert_eq!(differences(json!([1, 2]), json!([2, 1])).len(), 2);
    }

    #[test]
    #[should_panic(expected = "not one for both")]
    fn a_script_that_goes_another_way_is_no_comparison() {
        let _ = Transcript::differences(&told(json!(1)), &Transcript::default());
    }
}
