//! Required fields, names and ranges: every cause at once, in upstream's words.

use super::names::{data_key, dns_label, dns_subdomain, label_value, qualified};
use super::pod::{Pods, pod_spec};
use crate::server::resources::Resource;
use crate::server::status::Cause;
use serde_json::{Value, json};

/// The largest sum of a ConfigMap's or Secret's values.
const MAX_DATA: usize = 1 << 20;
const MAX_ANNOTATIONS: usize = 256 << 10;

/// Collects causes.
pub(super) struct Causes(pub(super) Vec<Cause>);

impl Causes {
    /// A field that has to be there and not be empty. True when it is.
    pub(super) fn need(&mut self, object: &Value, name: &str, at: &str) -> bool {
        let there = match object.get(name) {
            None | Some(Value::Null) => false,
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Array(items)) => !items.is_empty(),
            Some(_) => true,
        };
        if !there {
            self.0.push(Cause::required(join(at, name), ""));
        }
        there
    }

    /// A field that is one of these words, when it is there.
    pub(super) fn one_of(&mut self, object: &Value, name: &str, at: &str, valid: &[&str]) {
        if let Some(value) = object.get(name).filter(|value| !value.is_null())
            && !value.as_str().is_some_and(|text| valid.contains(&text))
        {
            self.0.push(Cause::not_supported(join(at, name), value, valid));
        }
    }

    /// A number that is not below a bound, when it is there.
    pub(super) fn at_least(&mut self, object: &Value, name: &str, at: &str, least: i64) {
        if let Some(value) = object.get(name).filter(|value| !value.is_null())
            && value.as_i64().is_some_and(|number| number < least)
        {
            let detail = format!("must be greater than or equal to {least}");
            self.0.push(Cause::invalid(join(at, name), value, &detail));
        }
    }

    /// A text that a rule finds nothing wrong with, when it is there.
    pub(super) fn fits(
        &mut self,
        object: &Value,
        name: &str,
        at: &str,
        rule: fn(&str) -> Option<&'static str>,
    ) {
        if let Some(value) = object.get(name)
            && let Some(wrong) = value.as_str().and_then(rule)
        {
            self.0.push(Cause::invalid(join(at, name), value, wrong));
        }
    }
}

pub(super) fn join(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}

/// Everything that is wrong with an object. `live` is what it replaces.
pub(crate) fn require(resource: &Resource, object: &Value, live: Option<&Value>) -> Vec<Cause> {
    let mut causes = Causes(Vec::new());
    if live.is_none() {
        let rule = match resource.kind {
            "Namespace" | "Service" => dns_label,
            _ => dns_subdomain,
        };
        causes.fits(&object["metadata"], "name", "metadata", rule);
    }
    metadata(&object["metadata"], "metadata", &mut causes);
    let spec = &object["spec"];
    match resource.kind {
        "Pod" => pod_spec(spec, "spec", Pods::Alone, &mut causes),
        "Job" => job(object, live.is_none(), &mut causes),
        "PersistentVolumeClaim" => claim(spec, &mut causes),
        "ConfigMap" => data(object, &["data", "binaryData"], &mut causes),
        "Secret" => {
            data(object, &["data"], &mut causes);
            encoded(&object["data"], &mut causes);
        }
        "StorageClass" => {
            causes.need(object, "provisioner", "");
            causes.one_of(object, "reclaimPolicy", "", &["Delete", "Retain"]);
            causes.one_of(object, "volumeBindingMode", "", &["Immediate", "WaitForFirstConsumer"]);
        }
        "Lease" => lease(spec, &mut causes),
        "Event" => event(object, &mut causes),
        "Service" if spec["type"] != "ExternalName" && spec["clusterIP"] != "None" => {
            causes.need(spec, "ports", "spec");
        }
        _ => {}
    }
    causes.0
}

/// Labels and annotations of an object or a template.
pub(super) fn metadata(metadata: &Value, at: &str, causes: &mut Causes) {
    for (key, value) in metadata["labels"].as_object().into_iter().flatten() {
        let field = join(at, "labels");
        if let Some(wrong) = qualified(key) {
            causes.0.push(Cause::invalid(&field, &json!(key), wrong));
        }
        if let Some(wrong) = value.as_str().and_then(label_value) {
            causes.0.push(Cause::invalid(&field, value, wrong));
        }
    }
    let mut size = 0;
    for (key, value) in metadata["annotations"].as_object().into_iter().flatten() {
        size += key.len() + value.as_str().map_or(0, str::len);
        if let Some(wrong) = qualified(&key.to_ascii_lowercase()) {
            causes.0.push(Cause::invalid(join(at, "annotations"), &json!(key), wrong));
        }
    }
    if size > MAX_ANNOTATIONS {
        causes.0.push(Cause {
            reason: "FieldValueTooLong",
            message: format!("Too long: may not be more than {MAX_ANNOTATIONS} bytes"),
            field: join(at, "annotations"),
        });
    }
    for (index, owner) in metadata["ownerReferences"].as_array().into_iter().flatten().enumerate() {
        let at = format!("{}[{index}]", join(at, "ownerReferences"));
        for field in ["apiVersion", "kind", "name", "uid"] {
            if owner[field].as_str().unwrap_or_default().is_empty() {
                causes.0.push(Cause::invalid(join(&at, field), &json!(""), "must not be empty"));
            }
        }
    }
    let owners = metadata["ownerReferences"].as_array().into_iter().flatten();
    if owners.filter(|owner| owner["controller"] == json!(true)).count() > 1 {
        causes.0.push(Cause::invalid(
            join(at, "ownerReferences"),
            &Value::Null,
            "Only one reference can have Controller set to true",
        ));
    }
    for (index, finalizer) in metadata["finalizers"].as_array().into_iter().flatten().enumerate() {
        let text = finalizer.as_str().unwrap_or_default();
        let at = join(at, "finalizers");
        if let Some(wrong) = qualified(text) {
            causes.0.push(Cause::invalid(at, finalizer, wrong));
        } else if !text.contains('/') && !matches!(text, "kubernetes" | "orphan" | "foregroundDeletion") {
            let wrong = "name is neither a standard finalizer name nor is it fully qualified";
            causes.0.push(Cause::invalid(format!("{at}[{index}]"), finalizer, wrong));
        }
    }
}

fn job(object: &Value, fresh: bool, causes: &mut Causes) {
    let spec = &object["spec"];
    if !spec.is_object() {
        causes.0.push(Cause::required("spec.template.spec.containers", ""));
        return;
    }
    for field in [
        "parallelism",
        "completions",
        "backoffLimit",
        "activeDeadlineSeconds",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        causes.at_least(spec, field, "spec", 0);
    }
    causes.one_of(spec, "completionMode", "spec", &["NonIndexed", "Indexed"]);
    causes.one_of(spec, "podReplacementPolicy", "spec", &["Failed", "TerminatingOrFailed"]);
    if spec["completionMode"] == "Indexed" && spec["completions"].is_null() {
        causes.0.push(Cause::required("spec.completions", "when completion mode is Indexed"));
    }
    // A pod's name carries the job's.
    if fresh && object["metadata"]["name"].as_str().is_some_and(|name| name.len() > 63) {
        causes.0.push(Cause::invalid(
            "spec.template.labels",
            &object["metadata"]["name"],
            "must be no more than 63 bytes",
        ));
    }
    failure_policy(&spec["podFailurePolicy"], causes);
    let template = &spec["template"];
    metadata(&template["metadata"], "spec.template.metadata", causes);
    if !fresh {
        return;
    }
    let wanted = spec["selector"]["matchLabels"].as_object();
    let labels = &template["metadata"]["labels"];
    match wanted {
        None if spec["selector"].is_null() => causes.0.push(Cause::required("spec.selector", "")),
        Some(wanted) if !wanted.iter().all(|(key, value)| labels.get(key) == Some(value)) => {
            causes.0.push(Cause::invalid(
                "spec.template.metadata.labels",
                labels,
                "`selector` does not match template `labels`",
            ));
        }
        _ => {}
    }
    let user_made =
        spec["selector"]["matchLabels"]["batch.kubernetes.io/controller-uid"] != object["metadata"]["uid"];
    if spec["manualSelector"] != json!(true) && user_made {
        causes.0.push(Cause::invalid("spec.selector", &spec["selector"], "`selector` not auto-generated"));
    }
    pod_spec(&template["spec"], "spec.template.spec", Pods::OfJob, causes);
}

fn failure_policy(policy: &Value, causes: &mut Causes) {
    for (index, rule) in policy["rules"].as_array().into_iter().flatten().enumerate() {
        let at = format!("spec.podFailurePolicy.rules[{index}]");
        if causes.need(rule, "action", &at) {
            causes.one_of(rule, "action", &at, &["Count", "FailIndex", "FailJob", "Ignore"]);
        }
        let codes = &rule["onExitCodes"];
        let conditions = rule["onPodConditions"].as_array().is_some_and(|all| !all.is_empty());
        if codes.is_null() && !conditions {
            causes.0.push(Cause::invalid(
                &at,
                &Value::Null,
                "specifying one of OnExitCodes and OnPodConditions is required",
            ));
        }
        if codes.is_object() && conditions {
            causes.0.push(Cause::invalid(
                &at,
                &Value::Null,
                "specifying both OnExitCodes and OnPodConditions is not supported",
            ));
        }
        if codes.is_object() {
            let at = join(&at, "onExitCodes");
            if causes.need(codes, "operator", &at) {
                causes.one_of(codes, "operator", &at, &["In", "NotIn"]);
            }
            if codes["values"].as_array().is_none_or(Vec::is_empty) {
                causes.0.push(Cause::invalid(
                    join(&at, "values"),
                    &codes["values"],
                    "at least one value is required",
                ));
            }
        }
    }
}

fn claim(spec: &Value, causes: &mut Causes) {
    const MODES: &[&str] = &["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"];
    if spec["accessModes"].as_array().is_none_or(Vec::is_empty) {
        causes.0.push(Cause::required("spec.accessModes", "at least 1 access mode is required"));
    }
    for (index, mode) in spec["accessModes"].as_array().into_iter().flatten().enumerate() {
        if !mode.as_str().is_some_and(|mode| MODES.contains(&mode)) {
            causes.0.push(Cause::not_supported(format!("spec.accessModes[{index}]"), mode, MODES));
        }
    }
    causes.one_of(spec, "volumeMode", "spec", &["Block", "Filesystem"]);
    match spec["resources"]["requests"]["storage"].as_str() {
        None => causes.0.push(Cause::required("spec.resources[storage]", "")),
        Some(text) if super::quantity::parse(text).is_none_or(|size| size <= 0.0) => {
            causes.0.push(Cause::invalid(
                "spec.resources[storage]",
                &json!(text),
                "must be greater than zero",
            ));
        }
        Some(_) => {}
    }
    causes.fits(
        spec,
        "storageClassName",
        "spec",
        |name| {
            if name.is_empty() { None } else { dns_subdomain(name) }
        },
    );
}

fn data(object: &Value, fields: &[&str], causes: &mut Causes) {
    let mut size = 0;
    for field in fields {
        for (key, value) in object[*field].as_object().into_iter().flatten() {
            size += value.as_str().map_or(0, str::len);
            if let Some(wrong) = data_key(key) {
                causes.0.push(Cause::invalid(format!("{field}[{key}]"), &json!(key), wrong));
            }
            if *field != "data" && object["data"].get(key).is_some() {
                let detail = "duplicate of key present in binaryData";
                causes.0.push(Cause::invalid(format!("data[{key}]"), &json!(key), detail));
            }
        }
    }
    if size > MAX_DATA {
        causes.0.push(Cause {
            reason: "FieldValueTooLong",
            message: format!("Too long: may not be more than {MAX_DATA} bytes"),
            field: String::new(),
        });
    }
}

fn encoded(data: &Value, causes: &mut Causes) {
    for (key, value) in data.as_object().into_iter().flatten() {
        if serde_json::from_value::<k8s_openapi::ByteString>(value.clone()).is_err() {
            causes.0.push(Cause {
                reason: "FieldValueInvalid",
                // The value itself may be secret.
                message: "Invalid value: \"<redacted>\": must be base64".to_owned(),
                field: format!("data[{key}]"),
            });
        }
    }
}

fn lease(spec: &Value, causes: &mut Causes) {
    let seconds = &spec["leaseDurationSeconds"];
    if seconds.as_i64().is_some_and(|seconds| seconds <= 0) {
        causes.0.push(Cause::invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"));
    }
    causes.at_least(spec, "leaseTransitions", "spec", 0);
}

fn event(object: &Value, causes: &mut Causes) {
    let namespace = &object["metadata"]["namespace"];
    let involved = object["involvedObject"]["namespace"].as_str().unwrap_or_default();
    let fits = if involved.is_empty() { namespace == "default" } else { namespace == involved };
    if !fits {
        causes.0.push(Cause::invalid(
            "involvedObject.namespace",
            &json!(involved),
            "does not match event.namespace",
        ));
    }
}
