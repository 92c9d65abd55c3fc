//! Sets of fields, in the notation of `metadata.managedFields`.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// One step into an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// `f:name`
    Field(String),
    /// `k:{"name":"x"}`, an item of a list with keys, as canonical JSON.
    Key(String),
    /// `v:"x"`, an item of a set, as JSON.
    Value(String),
}

impl Step {
    fn write(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(key) => format!("k:{key}"),
            Self::Value(value) => format!("v:{value}"),
        }
    }

    fn read(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        match kind {
            "f" => Some(Self::Field(rest.to_owned())),
            "k" => {
                // Sorted, so that one item has one name.
                let keys: BTreeMap<String, Value> = serde_json::from_str(rest).ok()?;
                Some(Self::Key(serde_json::to_string(&keys).ok()?))
            }
            "v" => Some(Self::Value(serde_json::from_str::<Value>(rest).ok()?.to_string())),
            _ => None,
        }
    }

    /// As a path in a message: `.name`, `[name="x"]`.
    fn show(&self, into: &mut String) {
        match self {
            Self::Field(name) => {
                into.push('.');
                into.push_str(name);
            }
            Self::Key(key) => {
                let keys: BTreeMap<String, Value> = serde_json::from_str(key).unwrap_or_default();
                let keys: Vec<_> = keys.iter().map(|(name, value)| format!("{name}={value}")).collect();
                into.push_str(&format!("[{}]", keys.join(",")));
            }
            Self::Value(value) => into.push_str(&format!("[={value}]")),
        }
    }
}

/// Whether a path is itself in the set, and what is below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) member: bool,
    pub(super) below: Set,
}

/// A set of paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Set {
    pub(super) steps: BTreeMap<Step, Node>,
}

impl Set {
    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The node of a step, made when it is missing.
    pub(super) fn node(&mut self, step: Step) -> &mut Node {
        self.steps.entry(step).or_default()
    }

    pub(super) fn insert(&mut self, step: Step) {
        self.node(step).member = true;
    }

    /// Adds a child set unless it is empty.
    pub(super) fn attach(&mut self, step: Step, member: bool, below: Set) {
        if member || !below.is_empty() {
            let node = self.node(step);
            node.member |= member;
            node.below.extend(&below);
        }
    }

    pub(super) fn extend(&mut self, other: &Self) {
        for (step, node) in &other.steps {
            let own = self.node(step.clone());
            own.member |= node.member;
            own.below.extend(&node.below);
        }
    }

    /// Takes the members of another set out, the paths themselves only.
    pub(super) fn subtract(&mut self, other: &Self) {
        self.steps.retain(|step, node| {
            if let Some(gone) = other.steps.get(step) {
                node.member &= !gone.member;
                node.below.subtract(&gone.below);
            }
            node.member || !node.below.is_empty()
        });
    }

    /// Takes out the members of another set and everything below them.
    pub(super) fn cut(&mut self, other: &Self) {
        self.steps.retain(|step, node| {
            match other.steps.get(step) {
                Some(gone) if gone.member => return false,
                Some(gone) => node.below.cut(&gone.below),
                None => {}
            }
            node.member || !node.below.is_empty()
        });
    }

    pub(super) fn intersection(&self, other: &Self) -> Self {
        let mut made = Self::default();
        for (step, node) in &self.steps {
            if let Some(same) = other.steps.get(step) {
                made.attach(step.clone(), node.member && same.member, node.below.intersection(&same.below));
            }
        }
        made
    }

    /// Removes the path of these fields.
    pub(super) fn forget(&mut self, path: &[&str]) {
        let [first, rest @ ..] = path else { return };
        let step = Step::Field((*first).to_owned());
        if rest.is_empty() {
            self.steps.remove(&step);
        } else if let Some(node) = self.steps.get_mut(&step) {
            node.below.forget(rest);
            if !node.member && node.below.is_empty() {
                self.steps.remove(&step);
            }
        }
    }

    /// Every member as a path in a message.
    pub(super) fn paths(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.walk(&mut String::new(), &mut found);
        found
    }

    fn walk(&self, at: &mut String, found: &mut Vec<String>) {
        for (step, node) in &self.steps {
            let length = at.len();
            step.show(at);
            if node.member {
                found.push(at.clone());
            }
            node.below.walk(at, found);
            at.truncate(length);
        }
    }

    /// As `fieldsV1`.
    pub(super) fn write(&self) -> Value {
        let mut fields = Map::new();
        for (step, node) in &self.steps {
            let mut below = node.below.write();
            if node.member
                && !node.below.is_empty()
                && let Value::Object(below) = &mut below
            {
                below.shift_insert(0, ".".to_owned(), Value::Object(Map::new()));
            }
            fields.insert(step.write(), below);
        }
        Value::Object(fields)
    }

    /// From `fieldsV1`; what cannot be read is left out.
    pub(super) fn read(fields: &Value) -> Self {
        let mut set = Self::default();
        for (name, below) in fields.as_object().into_iter().flatten() {
            let Some(step) = Step::read(name) else { continue };
            let member = below.as_object().is_none_or(|below| below.is_empty() || below.contains_key("."));
            set.attach(step, member, Self::read(below));
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_notation_is_that_of_managed_fields() {
        let fields = json!({
            "f:metadata": {"f:labels": {".": {}, "f:a": {}}, "f:finalizers": {"v:\"x/y\"": {}}},
            "f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:image": {}}}},
        });
        let set = Set::read(&fields);
        assert_eq!(set.write(), fields);
        assert_eq!(
            set.paths(),
            [
                ".metadata.finalizers[=\"x/y\"]",
                ".metadata.labels",
                ".metadata.labels.a",
                ".spec.containers[name=\"c\"]",
                ".spec.containers[name=\"c\"].image",
            ]
        );
    }

    #[test]
    fn sets_are_added_and_taken_away() {
        let all = Set::read(&json!({"f:a": {".": {}, "f:b": {}, "f:c": {}}, "f:d": {}}));
        let part = Set::read(&json!({"f:a": {"f:b": {}}, "f:d": {}, "f:e": {}}));
        let mut rest = all.clone();
        rest.subtract(&part);
        assert_eq!(rest.write(), json!({"f:a": {".": {}, "f:c": {}}}));
        assert_eq!(all.intersection(&part).write(), json!({"f:a": {"f:b": {}}, "f:d": {}}));
        rest.extend(&part);
        assert_eq!(rest.write(), json!({"f:a": {".": {}, "f:b": {}, "f:c": {}}, "f:d": {}, "f:e": {}}));
        let mut cut = all;
        cut.cut(&Set::read(&json!({"f:a": {}})));
        assert_eq!(cut.write(), json!({"f:d": {}}));
    }
}
