//! What differs between any two clusters, or any two runs, gives way to a name: UIDs, versions, times, random suffixes.

use serde_json::{Map, Value};
use std::collections::HashMap;

/// The names that one chapter's values have been given. They are given in the order in which values are seen, so that the
/// same talk gives the same names on every cluster.
#[derive(Debug, Default)]
pub(crate) struct Placeholders {
    words: Vec<(String, String)>,
    /// The versions of an object that were seen, by its UID.
    versions: HashMap<String, Vec<String>>,
    /// Whether `managedFields` are part of what is compared.
    pub(crate) ownership: bool,
}

impl Placeholders {
    /// From now on this text, wherever it stands, is called by this name.
    pub(crate) fn call(&mut self, text: &str, name: &str) {
        if !text.is_empty() && !self.words.iter().any(|(word, _)| word == text) {
            self.words.push((text.to_owned(), name.to_owned()));
            // The longest first: a name may be the beginning of another.
            self.words.sort_by_key(|(word, _)| std::cmp::Reverse(word.len()));
        }
    }

    /// A value with names in place of what is nobody's to compare.
    pub(crate) fn normal(&mut self, value: &Value) -> Value {
        self.learn(value);
        self.walk("", value)
    }

    /// A text of its own, such as a request's address.
    pub(crate) fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (word, name) in &self.words {
            text = text.replace(word, name);
        }
        without_uids(&text)
    }

    /// The objects in a value, in their order: their UIDs, generated names and versions.
    fn learn(&mut self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.learn(item)),
            Value::Object(fields) => {
                if let Some(metadata) = fields.get("metadata") {
                    self.learn_metadata(metadata);
                }
                fields
                    .iter()
                    .filter(|(name, _)| *name != "metadata")
                    .for_each(|(_, value)| self.learn(value));
            }
            _ => {}
        }
    }

    fn learn_metadata(&mut self, metadata: &Value) {
        let of = |name: &str| metadata[name].as_str().unwrap_or_default();
        let (name, uid, version) = (of("name"), of("uid"), of("resourceVersion"));
        let base = of("generateName");
        if !base.is_empty() && name.len() > base.len() && name.starts_with(base) {
            self.call(name, &format!("{base}<random>"));
        }
        if uid.is_empty() {
            return;
        }
        if !self.words.iter().any(|(word, _)| word == uid) {
            let wanted = format!("<uid of {}", self.text(name));
            let earlier = self.words.iter().filter(|(_, name)| name.starts_with(&wanted)).count();
            let number = if earlier == 0 { String::new() } else { format!(" {}", earlier + 1) };
            self.call(uid, &format!("{wanted}{number}>"));
        }
        let versions = self.versions.entry(uid.to_owned()).or_default();
        if !version.is_empty() && !versions.iter().any(|known| known == version) {
            versions.push(version.to_owned());
        }
    }

    fn walk(&self, key: &str, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.string(key, text)),
            Value::Array(items) => Value::Array(items.iter().map(|item| self.walk("", item)).collect()),
            Value::Object(fields) => Value::Object(self.fields(key, fields)),
            other => other.clone(),
        }
    }

    fn fields(&self, key: &str, fields: &Map<String, Value>) -> Map<String, Value> {
        if fields.get("kind").is_some_and(|kind| kind == "Status")
            && fields.get("status").is_some_and(|status| status == "Failure")
        {
            return self.refusal(fields);
        }
        let mut normal = Map::new();
        // To a client a field of null is one that is not there.
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
            let value = match (name.as_str(), value) {
                ("managedFields", Value::Array(entries)) if key == "metadata" => {
                    if !self.ownership {
                        continue;
                    }
                    // In the order of their times, which are too coarse to tell one from the next.
                    let mut entries: Vec<Value> = entries.iter().map(|entry| self.walk("", entry)).collect();
                    entries.sort_by_key(|entry| format!("{} {}", entry["manager"], entry));
                    Value::Array(entries)
                }
                ("resourceVersion", Value::String(version)) if key == "metadata" && !version.is_empty() => {
                    Value::String(self.version(fields.get("uid").and_then(Value::as_str), version))
                }
                _ => self.walk(name, value),
            };
            normal.insert(self.text(name), value);
        }
        normal
    }

    /// What clients tell refusals apart by: not the words, nor the order in which faults were found.
    fn refusal(&self, fields: &Map<String, Value>) -> Map<String, Value> {
        let mut normal = Map::new();
        for name in ["kind", "apiVersion", "status", "code", "reason"] {
            if let Some(value) = fields.get(name) {
                normal.insert(name.to_owned(), value.clone());
            }
        }
        let causes = fields.get("details").and_then(|details| details["causes"].as_array());
        let mut causes: Vec<String> = causes
            .into_iter()
            .flatten()
            .map(|cause| {
                let text = |name: &str| cause[name].as_str().unwrap_or_default();
                self.text(&format!("{}: {}", text("field"), text("reason")))
            })
            .collect();
        causes.sort();
        if !causes.is_empty() {
            normal.insert("causes".to_owned(), causes.into());
        }
        normal
    }

    /// Which of the object's versions it is, of those that were seen; of a list only that it has one.
    fn version(&self, uid: Option<&str>, version: &str) -> String {
        let place = uid.and_then(|uid| self.versions.get(uid)?.iter().position(|known| known == version));
        place.map_or_else(|| "<version>".to_owned(), |place| format!("<version {}>", place + 1))
    }

    fn string(&self, key: &str, text: &str) -> String {
        if text.parse::<jiff::Timestamp>().is_ok() {
            return if text.contains('.') { "<time with fraction>".to_owned() } else { "<time>".to_owned() };
        }
        let text = self.text(text);
        let of_versions =
            key == "message" && (text.contains("resource version") || text.contains("ResourceVersion"));
        if of_versions { without_numbers(&text) } else { text }
    }
}

/// UIDs of objects that were not seen.
fn without_uids(text: &str) -> String {
    const LENGTH: usize = 36;
    let is_uid = |piece: &[u8]| {
        piece.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
    };
    let mut normal = String::new();
    let mut rest = text;
    while let Some(at) =
        (0..rest.len().saturating_sub(LENGTH - 1)).find(|&at| is_uid(&rest.as_bytes()[at..at + LENGTH]))
    {
        normal.push_str(&rest[..at]);
        normal.push_str("<uid>");
        rest = &rest[at + LENGTH..];
    }
    normal + rest
}

fn without_numbers(text: &str) -> String {
    let mut normal = String::new();
    for c in text.chars() {
        match (c.is_ascii_digit(), normal.ends_with('#')) {
            (true, true) => {}
            (true, false) => normal.push('#'),
            (false, _) => normal.push(c),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ONE: &str = "11111111-2222-3333-4444-555555555555";
    const TWO: &str = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee";

    #[test]
    fn what_is_the_same_gets_the_same_name() {
        let mut names = Placeholders::default();
        let first = json!({"metadata": {"name": "a", "uid": ONE, "resourceVersion": "77", "creationTimestamp": "2026-01-01T00:00:00Z"}});
        let normal = names.normal(&first);
        assert_eq!(
            normal,
            json!({"metadata": {"name": "a", "uid": "<uid of a>", "resourceVersion": "<version 1>", "creationTimestamp": "<time>"}})
        );
        assert_eq!(names.normal(&first), normal);
        let later = json!({"metadata": {"name": "a", "uid": ONE, "resourceVersion": "80"}, "x": format!("for {ONE} not {TWO}")});
        assert_eq!(
            names.normal(&later),
            json!({"metadata": {"name": "a", "uid": "<uid of a>", "resourceVersion": "<version 2>"}, "x": "for <uid of a> not <uid>"})
        );
        // Another object of that name is another one.
        let again = json!({"metadata": {"name": "a", "uid": TWO, "resourceVersion": "80"}});
        assert_eq!(
            names.normal(&again),
            json!({"metadata": {"name": "a", "uid": "<uid of a 2>", "resourceVersion": "<version 1>"}})
        );
    }

    #[test]
    fn what_differs_by_more_than_chance_stays_different() {
        let mut names = Placeholders::default();
        let seen = [
            json!("2026-01-01T00:00:00Z"),
            json!("2026-01-01T00:00:00.000000Z"),
            json!(3),
            json!("3"),
            json!(null),
        ];
        let normal: Vec<Value> = seen.iter().map(|value| names.normal(value)).collect();
        assert_eq!(
            normal,
            [json!("<time>"), json!("<time with fraction>"), json!(3), json!("3"), json!(null)]
        );
    }

    #[test]
    fn generated_names_are_known_wherever_they_stand() {
        let mut names = Placeholders::default();
        names.normal(
            &json!({"items": [{"metadata": {"name": "job-x7k2p", "generateName": "job-", "uid": ONE}}]}),
        );
        let event = json!({"message": format!("Created pod: job-x7k2p"), "uid": ONE});
        assert_eq!(
            names.normal(&event),
            json!({"message": "Created pod: job-<random>", "uid": "<uid of job-<random>>"})
        );
    }

    #[test]
    fn owners_are_compared_where_it_is_said() {
        let entry = |manager: &str| json!({"manager": manager, "time": "2026-01-01T00:00:00Z"});
        let object = json!({"metadata": {"managedFields": [entry("b"), entry("a")]}});
        let mut names = Placeholders::default();
        assert_eq!(names.normal(&object), json!({"metadata": {}}));
        names.ownership = true;
        let entry = |manager: &str| json!({"manager": manager, "time": "<time>"});
        assert_eq!(names.normal(&object), json!({"metadata": {"managedFields": [entry("a"), entry("b")]}}));
    }

    #[test]
    fn refusals_are_compared_by_what_they_are() {
        let mut names = Placeholders::default();
        let cause = |field: &str, message: &str| json!({"field": field, "reason": "FieldValueInvalid", "message": message});
        let refusal = |causes: &Value, message: &str| {
            json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 422, "reason": "Invalid",
                "message": message, "details": {"name": "a", "causes": causes},
            })
        };
        let one = names.normal(&refusal(&json!([cause("b", "1"), cause("a", "2")]), "one"));
        assert_eq!(one["causes"], json!(["a: FieldValueInvalid", "b: FieldValueInvalid"]));
        assert_eq!(one, names.normal(&refusal(&json!([cause("a", "3"), cause("b", "4")]), "other words")));
        assert_ne!(one, names.normal(&refusal(&json!([cause("a", "3")]), "one")));
    }

    #[test]
    fn versions_in_messages_are_numbers_of_no_meaning() {
        let mut names = Placeholders::default();
        let message = json!({"message": "too old resource version: 1 (4711)"});
        assert_eq!(names.normal(&message), json!({"message": "too old resource version: # (#)"}));
    }
}
