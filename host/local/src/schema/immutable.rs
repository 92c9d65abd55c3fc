//! What may not change once an object is there: 422 on a real cluster, so 422 here.

use crate::server::resources::Resource;
use crate::server::status::Cause;
use serde_json::{Value, json};

const IMMUTABLE: &str = "field is immutable";

/// Every immutable field that differs.
pub(crate) fn immutable(resource: &Resource, live: &Value, wanted: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let at = |object: &Value, pointer: &str| object.pointer(pointer).cloned().unwrap_or_default();
    if !at(live, "/metadata/deletionTimestamp").is_null() {
        let before = at(live, "/metadata/finalizers").as_array().cloned().unwrap_or_default();
        let after = at(wanted, "/metadata/finalizers").as_array().cloned().unwrap_or_default();
        let more: Vec<Value> = after.into_iter().filter(|one| !before.contains(one)).collect();
        if !more.is_empty() {
            let found = Value::Array(more);
            let detail = "no new finalizers can be added if the object is being deleted";
            causes.push(Cause::forbidden(
                "metadata.finalizers",
                &format!("{detail}, found new finalizers {found}"),
            ));
        }
    }
    let mut fixed = |pointer: &str, detail: &str| {
        let (before, after) = (at(live, pointer), at(wanted, pointer));
        if before != after {
            causes.push(Cause::invalid(pointer[1..].replace('/', "."), &after, detail));
        }
    };
    match resource.kind {
        "Job" => {
            for field in [
                "selector",
                "completionMode",
                "podFailurePolicy",
                "backoffLimitPerIndex",
                "managedBy",
                "successPolicy",
            ] {
                fixed(&format!("/spec/{field}"), IMMUTABLE);
            }
            // An Indexed job may grow and shrink, completions and parallelism together.
            let elastic = at(wanted, "/spec/completionMode") == json!("Indexed")
                && at(wanted, "/spec/completions") == at(wanted, "/spec/parallelism");
            if !elastic {
                fixed("/spec/completions", IMMUTABLE);
            }
            // A suspended job that has not started may still be moved: what queues such as Kueue do.
            let movable = at(live, "/spec/suspend") == json!(true) && at(live, "/status/startTime").is_null();
            let (mut before, after) = (at(live, "/spec/template"), at(wanted, "/spec/template"));
            if movable {
                for part in [
                    "/metadata/labels",
                    "/metadata/annotations",
                    "/spec/nodeSelector",
                    "/spec/tolerations",
                    "/spec/affinity",
                    "/spec/schedulingGates",
                ] {
                    copy(&after, &mut before, part);
                }
            }
            if before != after {
                causes.push(Cause::invalid("spec.template", &after, IMMUTABLE));
            }
        }
        "Pod" => pod(live, wanted, &mut causes),
        "PersistentVolumeClaim" => {
            let (mut before, after) = (at(live, "/spec"), at(wanted, "/spec"));
            // Binding, and growing.
            if at(&before, "/volumeName").is_null() {
                copy(&after, &mut before, "/volumeName");
            }
            if at(live, "/status/phase") == json!("Bound") {
                copy(&after, &mut before, "/resources/requests");
            }
            copy(&after, &mut before, "/volumeAttributesClassName");
            if before != after {
                causes.push(Cause::forbidden(
                    "spec",
                    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
                ));
            }
            let size = |object: &Value| {
                let text = object.pointer("/spec/resources/requests/storage").and_then(Value::as_str);
                text.and_then(super::quantity::parse)
            };
            if let (Some(before), Some(after)) = (size(live), size(wanted))
                && after < before
            {
                causes.push(Cause::forbidden(
                    "spec.resources.requests.storage",
                    "field can not be less than status.capacity",
                ));
            }
        }
        "Secret" => {
            fixed("/type", IMMUTABLE);
            frozen(live, wanted, &["data", "type", "immutable"], &mut causes);
        }
        "ConfigMap" => frozen(live, wanted, &["data", "binaryData", "immutable"], &mut causes),
        "PyTorchJob" => {
            // The one rule that its CRD has.
            let queue = "/spec/runPolicy/schedulingPolicy/queue";
            let (before, after) = (at(live, queue), at(wanted, queue));
            if !before.is_null() && !after.is_null() && before != after {
                causes.push(Cause::invalid(
                    queue[1..].replace('/', "."),
                    &json!("string"),
                    "spec.runPolicy.schedulingPolicy.queue is immutable",
                ));
            }
        }
        "StorageClass" => {
            fixed("/provisioner", "updates to provisioner are forbidden.");
            fixed("/parameters", "updates to parameters are forbidden.");
            fixed("/reclaimPolicy", "updates to reclaimPolicy are forbidden.");
            fixed("/volumeBindingMode", IMMUTABLE);
        }
        _ => {}
    }
    causes
}

/// Makes `into` like `from` at a pointer, so that a comparison of the whole leaves it out.
fn copy(from: &Value, into: &mut Value, pointer: &str) {
    let Some((parent, name)) = pointer.rsplit_once('/') else { return };
    let value = from.pointer(pointer).cloned();
    if let Some(Value::Object(fields)) = into.pointer_mut(parent) {
        match value {
            Some(value) => fields.insert(name.to_owned(), value),
            None => fields.shift_remove(name),
        };
    }
}

/// A ConfigMap or Secret marked immutable.
fn frozen(live: &Value, wanted: &Value, names: &[&str], causes: &mut Vec<Cause>) {
    if live["immutable"] != json!(true) {
        return;
    }
    for name in names {
        if live.get(name) != wanted.get(name) {
            causes.push(Cause::forbidden(*name, "field is immutable when `immutable` is set"));
        }
    }
}

/// Of a pod's spec only images, the deadline (shorter), and tolerations (more) may change.
fn pod(live: &Value, wanted: &Value, causes: &mut Vec<Cause>) {
    let (mut before, after) = (live["spec"].clone(), wanted["spec"].clone());
    for list in ["containers", "initContainers"] {
        if let (Some(Value::Array(old)), Some(Value::Array(new))) = (before.get_mut(list), after.get(list)) {
            for (old, new) in old.iter_mut().zip(new) {
                copy(new, old, "/image");
            }
        }
    }
    let deadline = |spec: &Value| spec.get("activeDeadlineSeconds").and_then(Value::as_i64);
    match (deadline(&before), deadline(&after)) {
        (Some(old), Some(new)) if new <= old => copy(&after, &mut before, "/activeDeadlineSeconds"),
        (None, Some(_)) => copy(&after, &mut before, "/activeDeadlineSeconds"),
        _ => {}
    }
    let kept = |old: &Value, new: &Value| {
        let old = old.as_array().cloned().unwrap_or_default();
        let new = new.as_array().cloned().unwrap_or_default();
        old.iter().all(|toleration| new.contains(toleration))
    };
    if kept(&before["tolerations"], &after["tolerations"]) {
        copy(&after, &mut before, "/tolerations");
    }
    if before["nodeName"].is_null() {
        // What the binding subresource does on a real cluster; the scheduler here has no other way.
        copy(&after, &mut before, "/nodeName");
    }
    if before != after {
        causes.push(Cause::forbidden(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
        ));
    }
}
