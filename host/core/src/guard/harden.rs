//! What the host sets in every pod, so that an honest manifest need not say it.

use super::pods::is_complete_pod_spec;
use super::walk::MAX_DEPTH;
use serde_json::Value;

/// Sets `automountServiceAccountToken: false` in every pod template, at any depth, that does not say anything about it.
///
/// One that says `true` keeps it, and the guard refuses it.
///
/// ```
/// let mut pod = serde_json::json!({"kind": "Pod", "spec": {"containers": [{"name": "a", "image": "b"}]}});
/// ilab_core::guard::harden(&mut pod);
/// assert_eq!(pod["spec"]["automountServiceAccountToken"], false);
/// ```
pub fn harden(manifest: &mut Value) {
    let is_config_map = manifest.get("kind").and_then(Value::as_str) == Some("ConfigMap");
    if !is_config_map {
        visit(manifest, 0);
    }
}

fn visit(value: &mut Value, depth: usize) {
    // The guard refuses what is deeper.
    if depth > MAX_DEPTH {
        return;
    }
    match value {
        Value::Object(map) => {
            if is_complete_pod_spec(map)
                && !map.keys().any(|key| key.eq_ignore_ascii_case("automountServiceAccountToken"))
            {
                map.insert("automountServiceAccountToken".to_owned(), Value::Bool(false));
            }
            map.values_mut().for_each(|value| visit(value, depth + 1));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| visit(item, depth + 1)),
        _ => {}
    }
}
