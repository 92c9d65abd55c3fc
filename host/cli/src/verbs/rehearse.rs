//! `run --dry-run=server`: what would change, as a diff.

use crate::args::OutputFormat;
use crate::report::{print_data, to_yaml, write_out};
use crate::{CliError, exit};
use ilab_engine::Rehearsed;
use ilab_wasm::escape::escape;
use serde_json::{Value, json};
use similar::TextDiff;

/// Fields that are the server's own and change by themselves.
const NOISE: [&str; 6] =
    ["managedFields", "uid", "resourceVersion", "creationTimestamp", "generation", "selfLink"];

/// Prints what would change.
///
/// # Errors
/// With the code for clusters, everything that the server would not accept.
pub fn show(rehearsed: &[Rehearsed], format: Option<OutputFormat>) -> Result<(), CliError> {
    let mut refused = Vec::new();
    let mut items = Vec::new();
    let mut text = String::new();
    for one in rehearsed {
        let whose = one.stage.as_ref().map_or_else(|| "the run".to_owned(), |s| format!("stage {s}"));
        let after = match &one.after {
            Ok(after) => quiet(after),
            Err(error) => {
                let mut line = crate::error::Line::from(format!("{whose}: {}", error.chain()));
                line.hint = error.hint();
                refused.push(line);
                continue;
            }
        };
        let before = one.before.as_ref().map(quiet);
        let old = before.as_ref().map(to_yaml).transpose()?.unwrap_or_default();
        let new = to_yaml(&after)?;
        let name = format!("{} ({whose})", one.object);
        let from = if before.is_some() { name.clone() } else { "/dev/null".to_owned() };
        let diff = TextDiff::from_lines(&old, &new).unified_diff().header(&from, &name).to_string();
        if format.is_some() {
            items.push(json!({"stage": one.stage, "object": one.object, "exists": before.is_some(),
                "changes": old != new, "before": before, "after": after}));
        } else if old != new {
            // Line by line, for what the server sends may hold anything.
            for line in diff.lines() {
                text.push_str(&escape(line));
                text.push('\n');
            }
        }
    }
    match format {
        Some(_) => print_data(&items, format)?,
        None => write_out(&text)?,
    }
    if refused.is_empty() {
        return Ok(());
    }
    Err(CliError { lines: refused, hint: None, code: exit::CLUSTER })
}

/// Without what says nothing about the change.
fn quiet(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
        if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|key, _| !NOISE.contains(&key.as_str()));
        }
    }
    without_controller_uids(&mut object);
    object
}

/// A Job's selector and the labels of its pods repeat its uid, which is another in every dry run.
fn without_controller_uids(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|key, _| key != "controller-uid" && key != "batch.kubernetes.io/controller-uid");
            fields.values_mut().for_each(without_controller_uids);
        }
        Value::Array(items) => items.iter_mut().for_each(without_controller_uids),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_changes_by_itself_is_no_difference() {
        let object = json!({"metadata": {"name": "x", "uid": "1", "generation": 2, "labels": {"uid": "mine"}},
            "spec": {"uid": "kept", "selector": {"batch.kubernetes.io/controller-uid": "1"}}, "status": {"phase": "Bound"}});
        assert_eq!(
            quiet(&object),
            json!({"metadata": {"name": "x", "labels": {"uid": "mine"}}, "spec": {"uid": "kept", "selector": {}}})
        );
    }
}
