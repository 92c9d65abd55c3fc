//! The validation of pod specs.

use super::names::{dns_label, dns_subdomain, label_value, qualified};
use super::require::{Causes, join};
use crate::server::status::Cause;
use serde_json::{Value, json};
use std::collections::HashSet;

/// Whose pods they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pods {
    Alone,
    /// Of a Job, which does not restart for ever.
    OfJob,
}

pub(super) fn pod_spec(spec: &Value, at: &str, pods: Pods, causes: &mut Causes) {
    let mut volumes = HashSet::new();
    for (index, volume) in list(spec, "volumes").enumerate() {
        let at = format!("{}[{index}]", join(at, "volumes"));
        self::volume(volume, &at, causes);
        let name = volume["name"].as_str().unwrap_or_default();
        if !name.is_empty() && !volumes.insert(name.to_owned()) {
            causes.0.push(Cause::duplicate(join(&at, "name"), &volume["name"]));
        }
    }
    if spec["containers"].as_array().is_none_or(Vec::is_empty) {
        causes.0.push(Cause::required(join(at, "containers"), ""));
    }
    let mut names = HashSet::new();
    for field in ["containers", "initContainers"] {
        for (index, container) in list(spec, field).enumerate() {
            let at = format!("{}[{index}]", join(at, field));
            self::container(container, &at, &volumes, causes);
            let name = container["name"].as_str().unwrap_or_default();
            if !name.is_empty() && !names.insert(name.to_owned()) {
                causes.0.push(Cause::duplicate(join(&at, "name"), &container["name"]));
            }
        }
    }
    match pods {
        Pods::OfJob if spec["restartPolicy"] == "Always" => {
            // Also what comes of saying nothing.
            causes.0.push(Cause {
                reason: "FieldValueNotSupported",
                message: "Unsupported value: \"Always\": supported values: \"OnFailure\", \"Never\""
                    .to_owned(),
                field: join(at, "restartPolicy"),
            });
        }
        _ => causes.one_of(spec, "restartPolicy", at, &["Always", "OnFailure", "Never"]),
    }
    causes.one_of(spec, "dnsPolicy", at, &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]);
    causes.at_least(spec, "activeDeadlineSeconds", at, 1);
    for (key, value) in spec["nodeSelector"].as_object().into_iter().flatten() {
        let field = join(at, "nodeSelector");
        if let Some(wrong) = qualified(key) {
            causes.0.push(Cause::invalid(&field, &json!(key), wrong));
        }
        if let Some(wrong) = value.as_str().and_then(label_value) {
            causes.0.push(Cause::invalid(&field, value, wrong));
        }
    }
    for (index, toleration) in list(spec, "tolerations").enumerate() {
        let at = format!("{}[{index}]", join(at, "tolerations"));
        causes.one_of(toleration, "operator", &at, &["Equal", "Exists"]);
        causes.one_of(toleration, "effect", &at, &["NoSchedule", "PreferNoSchedule", "NoExecute"]);
    }
    for (field, rule) in [
        ("hostname", dns_label as fn(&str) -> Option<&'static str>),
        ("subdomain", dns_label),
        ("serviceAccountName", dns_subdomain),
        ("nodeName", dns_subdomain),
        ("priorityClassName", dns_subdomain),
    ] {
        if spec[field].as_str().is_some_and(|text| !text.is_empty()) {
            causes.fits(spec, field, at, rule);
        }
    }
}

fn list<'a>(object: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    object.get(field).and_then(Value::as_array).into_iter().flatten()
}

fn volume(volume: &Value, at: &str, causes: &mut Causes) {
    if causes.need(volume, "name", at) {
        causes.fits(volume, "name", at, dns_label);
    }
    let sources: Vec<&String> = volume
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name)
        .filter(|name| *name != "name")
        .collect();
    match sources.as_slice() {
        [] => causes.0.push(Cause::required(at, "must specify a volume type")),
        [_] => {}
        [_, rest @ ..] => {
            for source in rest {
                let detail = "may not specify more than 1 volume type";
                causes.0.push(Cause::forbidden(join(at, source), detail));
            }
        }
    }
    if volume["persistentVolumeClaim"].is_object() {
        causes.need(&volume["persistentVolumeClaim"], "claimName", &join(at, "persistentVolumeClaim"));
    }
    if volume["secret"].is_object() {
        causes.need(&volume["secret"], "secretName", &join(at, "secret"));
    }
    if volume["configMap"].is_object() {
        causes.need(&volume["configMap"], "name", &join(at, "configMap"));
    }
    for source in ["secret", "configMap", "downwardAPI"] {
        let at = join(at, source);
        for (index, item) in list(&volume[source], "items").enumerate() {
            let at = format!("{at}.items[{index}]");
            if source != "downwardAPI" {
                causes.need(item, "key", &at);
            }
            if causes.need(item, "path", &at) {
                relative(item, "path", &at, causes);
            }
        }
    }
}

/// A path that stays where it is mounted.
fn relative(object: &Value, field: &str, at: &str, causes: &mut Causes) {
    let text = object[field].as_str().unwrap_or_default();
    if text.starts_with('/') {
        causes.0.push(Cause::invalid(join(at, field), &object[field], "must be a relative path"));
    }
    if text.split('/').any(|part| part == "..") {
        causes.0.push(Cause::invalid(join(at, field), &object[field], "must not contain '..'"));
    }
}

fn container(container: &Value, at: &str, volumes: &HashSet<String>, causes: &mut Causes) {
    if causes.need(container, "name", at) {
        causes.fits(container, "name", at, dns_label);
    }
    if causes.need(container, "image", at) {
        let image = container["image"].as_str().unwrap_or_default();
        if image.trim() != image {
            let detail = "must not have leading or trailing whitespace";
            causes.0.push(Cause::invalid(join(at, "image"), &container["image"], detail));
        }
    }
    causes.one_of(container, "imagePullPolicy", at, &["Always", "IfNotPresent", "Never"]);
    causes.one_of(container, "terminationMessagePolicy", at, &["FallbackToLogsOnError", "File"]);
    for (index, variable) in list(container, "env").enumerate() {
        env(variable, &format!("{at}.env[{index}]"), causes);
    }
    for (index, from) in list(container, "envFrom").enumerate() {
        let at = format!("{at}.envFrom[{index}]");
        match (from["configMapRef"].is_object(), from["secretRef"].is_object()) {
            (true, true) => causes.0.push(Cause::invalid(
                &at,
                &json!(""),
                "may not have more than one field specified at a time",
            )),
            (false, false) => causes.0.push(Cause::invalid(
                &at,
                &json!(""),
                "must specify one of: `configMapRef` or `secretRef`",
            )),
            (true, false) => {
                causes.need(&from["configMapRef"], "name", &format!("{at}.configMapRef"));
            }
            (false, true) => {
                causes.need(&from["secretRef"], "name", &format!("{at}.secretRef"));
            }
        }
    }
    let mut paths = HashSet::new();
    for (index, mount) in list(container, "volumeMounts").enumerate() {
        let at = format!("{at}.volumeMounts[{index}]");
        if causes.need(mount, "name", &at) {
            let name = mount["name"].as_str().unwrap_or_default();
            if !volumes.contains(name) {
                causes.0.push(Cause::not_found(join(&at, "name"), &mount["name"]));
            }
        }
        if causes.need(mount, "mountPath", &at) {
            let path = mount["mountPath"].as_str().unwrap_or_default();
            if !paths.insert(path) {
                causes.0.push(Cause::invalid(join(&at, "mountPath"), &mount["mountPath"], "must be unique"));
            }
            if path.contains(':') {
                causes.0.push(Cause::invalid(
                    join(&at, "mountPath"),
                    &mount["mountPath"],
                    "must not contain ':'",
                ));
            }
        }
        relative(mount, "subPath", &at, causes);
    }
    for (index, port) in list(container, "ports").enumerate() {
        let at = format!("{at}.ports[{index}]");
        match port["containerPort"].as_i64() {
            None | Some(0) => causes.0.push(Cause::required(join(&at, "containerPort"), "")),
            Some(1..=65_535) => {}
            Some(_) => causes.0.push(Cause::invalid(
                join(&at, "containerPort"),
                &port["containerPort"],
                "must be between 1 and 65535, inclusive",
            )),
        }
        causes.one_of(port, "protocol", &at, &["SCTP", "TCP", "UDP"]);
    }
    resources(&container["resources"], &format!("{at}.resources"), causes);
}

fn env(variable: &Value, at: &str, causes: &mut Causes) {
    if causes.need(variable, "name", at) {
        let name = variable["name"].as_str().unwrap_or_default();
        if name.contains('=') || name.chars().any(|c| !(' '..='~').contains(&c)) {
            causes.0.push(Cause::invalid(
                join(at, "name"),
                &variable["name"],
                "a valid environment variable name must consist only of printable ASCII characters other than '='",
            ));
        }
    }
    let Some(from) = variable.get("valueFrom").and_then(Value::as_object) else { return };
    let at = join(at, "valueFrom");
    if from.len() != 1 {
        let detail = if from.is_empty() {
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        } else {
            "may not have more than one field specified at a time"
        };
        causes.0.push(Cause::invalid(&at, &json!(""), detail));
    }
    if variable["value"].as_str().is_some_and(|value| !value.is_empty()) {
        causes.0.push(Cause::invalid(&at, &json!(""), "may not be specified when `value` is not empty"));
    }
    for (source, fields) in [
        ("secretKeyRef", &["name", "key"][..]),
        ("configMapKeyRef", &["name", "key"]),
        ("fieldRef", &["fieldPath"]),
        ("resourceFieldRef", &["resource"]),
    ] {
        if let Some(reference) = from.get(source) {
            for field in fields {
                causes.need(reference, field, &join(&at, source));
            }
        }
    }
}

fn resources(resources: &Value, at: &str, causes: &mut Causes) {
    let read = |what: &str, name: &str| {
        resources[what].get(name).and_then(Value::as_str).and_then(super::quantity::parse)
    };
    for what in ["limits", "requests"] {
        for (name, amount) in resources[what].as_object().into_iter().flatten() {
            let field = format!("{at}.{what}[{name}]");
            let extended = name.contains('/');
            let known = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage")
                || name.starts_with("hugepages-");
            if !extended && !known {
                causes.0.push(Cause::invalid(
                    &field,
                    &json!(name),
                    "must be a standard resource for containers",
                ));
            }
            match read(what, name) {
                Some(number) if number < 0.0 => {
                    causes.0.push(Cause::invalid(&field, amount, "must be greater than or equal to 0"))
                }
                Some(number) if extended && number.fract() != 0.0 => {
                    causes.0.push(Cause::invalid(&field, amount, "must be an integer"));
                }
                _ => {}
            }
        }
    }
    for (name, amount) in resources["requests"].as_object().into_iter().flatten() {
        let Some(request) = read("requests", name) else { continue };
        let field = format!("{at}.requests");
        let limit = read("limits", name);
        if name.contains('/') && limit.is_none() {
            causes.0.push(Cause::required(
                format!("{at}.limits[{name}]"),
                "Limit must be set for non overcommitable resources",
            ));
        } else if name.contains('/') && limit != Some(request) {
            let detail = format!("must be equal to {name} limit");
            causes.0.push(Cause::invalid(field, amount, &detail));
        } else if limit.is_some_and(|limit| request > limit) {
            let detail = format!("must be less than or equal to {name} limit");
            causes.0.push(Cause::invalid(field, amount, &detail));
        }
    }
}
