//! Server-side apply and the other patches, with field ownership as structured-merge-diff keeps it.

mod managers;
mod patch;
mod set;
mod typed;

pub(crate) use managers::{Managers, Who};
pub(crate) use patch::{Patch, PatchError};

use crate::schema::Shape;
use serde_json::Value;

/// A field that another manager owns with another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conflict {
    who: Who,
    /// `.spec.parallelism`
    pub(crate) field: String,
}

impl Conflict {
    /// `"kubectl" using batch/v1`
    pub(crate) fn manager(&self) -> String {
        self.who.describe()
    }
}

/// Why an applied configuration was not taken.
#[derive(Debug)]
pub(crate) enum ApplyError {
    /// Others own fields that it changes.
    Conflicts(Vec<Conflict>),
    /// A list's items cannot be told apart.
    Typed(String),
}

/// As the real server words it: grouped by manager where there are several fields.
pub(crate) fn conflict_message(conflicts: &[Conflict]) -> String {
    let noun = if conflicts.len() == 1 { "conflict" } else { "conflicts" };
    let mut text = format!("Apply failed with {} {noun}: ", conflicts.len());
    let mut last = None;
    for conflict in conflicts {
        let manager = conflict.manager();
        if let [only] = conflicts {
            text.push_str(&format!("conflict with {manager}: {}", only.field));
            break;
        }
        if last.as_ref() != Some(&manager) {
            if last.is_some() {
                text.push('\n');
            }
            text.push_str(&format!("conflicts with {manager}:"));
        }
        text.push_str(&format!("\n- {}", conflict.field));
        last = Some(manager);
    }
    text
}

/// Applies a configuration to an object: the merged object, without what this manager applied before and applies no
/// longer, and who owns what then.
pub(crate) fn apply(
    shape: &Shape,
    live: &Value,
    config: &Value,
    who: &Who,
    force: bool,
    now: &str,
) -> Result<(Value, Managers), ApplyError> {
    typed::check_items(shape, config, "").map_err(ApplyError::Typed)?;
    let mut managers = Managers::read(live);
    // With its identity, which nobody owns: an object keeps its name when its last label goes.
    let said = typed::fields(shape, config);
    let mut applied = said.clone();
    managers::strip(&mut applied);
    let mut merged = typed::merge(shape, live, config);
    let mut changed = typed::difference(shape, live, &merged).changed;
    managers::strip(&mut changed);
    let mut conflicts = Vec::new();
    for (other, set) in managers.others(who) {
        let contested = set.intersection(&changed);
        conflicts.extend(contested.paths().into_iter().map(|field| Conflict { who: other.clone(), field }));
    }
    if !conflicts.is_empty() && !force {
        return Err(ApplyError::Conflicts(conflicts));
    }
    let last = managers.fields_of(who);
    {
        let others: Vec<_> = managers.others(who).map(|(_, set)| set).collect();
        let keep: Vec<_> = others.iter().copied().chain([&said]).collect();
        typed::prune(shape, &mut merged, &last, &keep);
    }
    if let Some(metadata) = merged.get_mut("metadata").and_then(Value::as_object_mut) {
        typed::tidy(metadata, &["labels", "annotations", "finalizers", "ownerReferences"]);
    }
    // By force, the contested fields change hands; what is gone belongs to nobody.
    let removed = typed::difference(shape, live, &merged).removed;
    managers.lose(who, &changed, &removed);
    managers.set(who, applied, now);
    Ok((merged, managers))
}

/// After any write but an apply: the writer owns what it changed.
pub(crate) fn record_update(shape: &Shape, live: &Value, wanted: &mut Value, who: &Who, now: &str) {
    let mut managers = Managers::read(live);
    let mut difference = typed::difference(shape, live, wanted);
    managers::strip(&mut difference.changed);
    managers::strip(&mut difference.removed);
    if !difference.changed.is_empty() || !difference.removed.is_empty() {
        managers.lose(who, &difference.changed, &difference.removed);
        managers.gain(who, &difference.changed, &difference.removed, now);
    }
    managers.write(wanted);
}

/// Whether two states are the same but for the times in the bookkeeping: nothing is written then.
pub(crate) fn same(one: &Value, other: &Value) -> bool {
    let (Value::Object(one), Value::Object(other)) = (one, other) else { return one == other };
    let rest = |object: &serde_json::Map<String, Value>| {
        object.iter().filter(|(name, _)| *name != "metadata").count()
    };
    let metadata = |object: &serde_json::Map<String, Value>| {
        let mut metadata = object.get("metadata").cloned().unwrap_or_default();
        let managers = metadata.as_object_mut().and_then(|fields| fields.shift_remove("managedFields"));
        (metadata, managers.map(|fields| Managers::parse(&fields)))
    };
    rest(one) == rest(other)
        && one.iter().all(|(name, value)| name == "metadata" || other.get(name) == Some(value))
        && metadata(one).eq(&metadata(other))
}

#[cfg(test)]
mod tests;
