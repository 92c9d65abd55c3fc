//! `metadata.managedFields`: who owns which fields.

use super::set::Set;
use serde_json::{Value, json};

/// A manager, in one way of writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Who {
    manager: String,
    apply: bool,
    api_version: String,
    subresource: String,
}

impl Who {
    /// By server-side apply.
    pub(crate) fn apply(manager: String, api_version: String, subresource: &str) -> Self {
        Self { manager, apply: true, api_version, subresource: subresource.to_owned() }
    }

    /// By anything else.
    pub(crate) fn update(manager: String, api_version: String, subresource: &str) -> Self {
        Self { manager, apply: false, api_version, subresource: subresource.to_owned() }
    }

    pub(super) fn describe(&self) -> String {
        let subresource = if self.subresource.is_empty() {
            String::new()
        } else {
            format!(" with subresource {:?}", self.subresource)
        };
        format!("{:?}{subresource} using {}", self.manager, self.api_version)
    }
}

#[derive(Debug, Clone)]
struct Entry {
    who: Who,
    time: String,
    set: Set,
}

/// All managers of an object. Equal when they own the same, whenever they came to it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Managers {
    entries: Vec<Entry>,
}

impl PartialEq for Managers {
    fn eq(&self, other: &Self) -> bool {
        self.entries.len() == other.entries.len()
            && self
                .entries
                .iter()
                .all(|entry| other.entries.iter().any(|same| same.who == entry.who && same.set == entry.set))
    }
}

/// At most this many different managers by update are kept apart, as upstream; the oldest are then one.
const MAX_UPDATERS: usize = 10;

/// Takes out what nobody owns: identity, and what the server writes.
pub(super) fn strip(set: &mut Set) {
    set.forget(&["apiVersion"]);
    set.forget(&["kind"]);
    for own in [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generateName",
    ] {
        set.forget(&["metadata", own]);
    }
    // The bare containers of a whole object.
    for container in ["metadata", "spec", "status"] {
        let step = super::set::Step::Field(container.to_owned());
        if let Some(node) = set.steps.get_mut(&step) {
            node.member &= container != "metadata" && node.below.is_empty();
            if !node.member && node.below.is_empty() {
                set.steps.remove(&step);
            }
        }
    }
}

impl Managers {
    pub(super) fn read(object: &Value) -> Self {
        object.pointer("/metadata/managedFields").map(Self::parse).unwrap_or_default()
    }

    pub(super) fn parse(fields: &Value) -> Self {
        let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        let entries = fields
            .as_array()
            .into_iter()
            .flatten()
            .map(|entry| Entry {
                who: Who {
                    manager: text(entry, "manager"),
                    apply: entry["operation"] == "Apply",
                    api_version: text(entry, "apiVersion"),
                    subresource: text(entry, "subresource"),
                },
                time: text(entry, "time"),
                set: Set::read(&entry["fieldsV1"]),
            })
            .collect();
        Self { entries }
    }

    /// Writes them into an object.
    pub(crate) fn write(&self, object: &mut Value) {
        let fields: Vec<Value> = self
            .entries
            .iter()
            .map(|entry| {
                let mut made = json!({
                    "manager": entry.who.manager,
                    "operation": if entry.who.apply { "Apply" } else { "Update" },
                    "apiVersion": entry.who.api_version,
                    "time": entry.time,
                    "fieldsType": "FieldsV1",
                    "fieldsV1": entry.set.write(),
                });
                if !entry.who.subresource.is_empty() {
                    made["subresource"] = json!(entry.who.subresource);
                }
                made
            })
            .collect();
        let metadata = crate::server::object::metadata(object);
        if fields.is_empty() {
            metadata.shift_remove("managedFields");
        } else {
            metadata.insert("managedFields".into(), Value::Array(fields));
        }
    }

    pub(super) fn others(&self, who: &Who) -> impl Iterator<Item = (&Who, &Set)> {
        self.entries.iter().filter(move |entry| entry.who != *who).map(|entry| (&entry.who, &entry.set))
    }

    pub(super) fn fields_of(&self, who: &Who) -> Set {
        self.entries.iter().find(|entry| entry.who == *who).map(|entry| entry.set.clone()).unwrap_or_default()
    }

    /// Everybody but `who` loses what it changed and what is gone.
    pub(super) fn lose(&mut self, who: &Who, changed: &Set, removed: &Set) {
        for entry in self.entries.iter_mut().filter(|entry| entry.who != *who) {
            entry.set.subtract(changed);
            entry.set.cut(removed);
        }
        self.entries.retain(|entry| entry.who == *who || !entry.set.is_empty());
    }

    /// What `who` owns from now on.
    pub(super) fn set(&mut self, who: &Who, set: Set, now: &str) {
        match self.entries.iter_mut().find(|entry| entry.who == *who) {
            Some(entry) if entry.set == set => {}
            Some(entry) => {
                entry.set = set;
                now.clone_into(&mut entry.time);
            }
            None => self.entries.push(Entry { who: who.clone(), time: now.to_owned(), set }),
        }
        self.entries.retain(|entry| !entry.set.is_empty());
        self.cap();
    }

    /// What `who` owns more and less.
    pub(super) fn gain(&mut self, who: &Who, changed: &Set, removed: &Set, now: &str) {
        let mut set = self.fields_of(who);
        set.cut(removed);
        set.extend(changed);
        self.set(who, set, now);
    }

    fn cap(&mut self) {
        while self.entries.iter().filter(|entry| !entry.who.apply).count() > MAX_UPDATERS {
            let mut updaters =
                self.entries.iter().enumerate().filter(|(_, e)| !e.who.apply).map(|(at, _)| at);
            let (Some(first), Some(second)) = (updaters.next(), updaters.next()) else { return };
            let oldest = self.entries.remove(first);
            let next = &mut self.entries[second - 1];
            next.set.extend(&oldest.set);
            next.who.manager = "ancient-changes".to_owned();
        }
    }
}
