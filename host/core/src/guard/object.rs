//! Rules about the object itself: its kind, namespace, name and metadata.

use super::path::{Step, fields, is_blank};
use super::walk::Guard;
use crate::names::is_object_name;
use crate::text::quoted;
use serde_json::{Map, Value};

/// Groups that rule over others' objects, over the cluster, or over who may do what. Whatever a descriptor declares.
const REFUSED_GROUPS: [&str; 19] = [
    "rbac.authorization.k8s.io",
    "authorization.k8s.io",
    "authentication.k8s.io",
    "certificates.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "storage.k8s.io",
    "node.k8s.io",
    "scheduling.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "policy",
    "networking.k8s.io",
    "discovery.k8s.io",
    "coordination.k8s.io",
    "events.k8s.io",
    // They scale whatever they name, and what they scale is beyond any limit.
    "autoscaling",
    "autoscaling.k8s.io",
    "keda.sh",
];
/// Of the core group, all that a stage may create: the rest are Secrets, accounts, volumes, nodes, namespaces, quotas.
const CORE_KINDS: [&str; 4] = ["ConfigMap", "Pod", "Service", "PodTemplate"];
/// What only the API server, its controllers or the host set.
const REFUSED_METADATA: [&str; 9] = [
    "finalizers",
    "ownerReferences",
    "managedFields",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "selfLink",
];
/// Labels by which controllers, and the host's log reader, find a job's pods.
const JOB_LABELS: [&str; 5] = [
    "job-name",
    "batch.kubernetes.io/job-name",
    "training.kubeflow.org/job-name",
    "controller-uid",
    "batch.kubernetes.io/controller-uid",
];
/// The domain of the host's own labels and annotations.
const HOST_DOMAIN: &str = "ilab.dev";

/// Checks what stands at the top of a manifest.
pub(super) fn check<'a>(guard: &mut Guard<'a>, map: &'a Map<String, Value>) {
    check_kind(guard, map);
    match map.get("metadata") {
        Some(Value::Object(metadata)) => {
            guard.at(Step::Key("metadata"), |guard| check_metadata(guard, metadata))
        }
        _ => guard.refuse("object-shape", "it has no metadata"),
    }
    for (key, _) in fields(map, "status").filter(|(_, value)| !is_blank(value)) {
        guard.at(Step::Key(key), |guard| {
            guard.refuse("status", "a manifest says what is wanted, not what is")
        });
    }
    let group = map
        .get("apiVersion")
        .and_then(Value::as_str)
        .map_or("", |version| version.rsplit_once('/').map_or("", |(group, _)| group));
    if group.is_empty()
        && map.get("kind").and_then(Value::as_str) == Some("Service")
        && let Some(spec) = map.get("spec").and_then(Value::as_object)
    {
        guard.at(Step::Key("spec"), |guard| check_service(guard, spec));
    }
}

fn check_kind<'a>(guard: &mut Guard<'a>, map: &'a Map<String, Value>) {
    let (Some(version), Some(kind)) =
        (map.get("apiVersion").and_then(Value::as_str), map.get("kind").and_then(Value::as_str))
    else {
        return guard.refuse("object-shape", "it has no apiVersion and kind");
    };
    // A second spelling of these would be another object to whoever decodes it loosely.
    for name in ["apiVersion", "kind", "metadata"] {
        for (key, _) in fields(map, name).filter(|(key, _)| *key != name) {
            guard.at(Step::Key(key), |guard| guard.refuse("object-shape", format!("it is written {name}")));
        }
    }
    let group = version.rsplit_once('/').map_or("", |(group, _)| group).to_ascii_lowercase();
    let refused =
        if group.is_empty() { !CORE_KINDS.contains(&kind) } else { REFUSED_GROUPS.contains(&group.as_str()) };
    if refused || kind.ends_with("List") {
        guard.at(Step::Key("kind"), |guard| {
            guard.refuse(
                "kind-refused",
                format!("no stage may create {} of {}", quoted(kind, 63), quoted(version, 80)),
            )
        });
    } else if !guard.grant.creates.iter().any(|known| known.api_version == version && known.kind == kind) {
        let declared: Vec<String> = guard
            .grant
            .creates
            .iter()
            .map(|known| format!("{} of {}", known.kind, known.api_version))
            .collect();
        let message = format!(
            "{} of {} is not among what the stage may create: {}",
            quoted(kind, 63),
            quoted(version, 80),
            declared.join(", ")
        );
        guard.at(Step::Key("kind"), |guard| guard.refuse("kind-not-granted", message));
    }
}

fn check_metadata<'a>(guard: &mut Guard<'a>, metadata: &'a Map<String, Value>) {
    for (key, namespace) in fields(metadata, "namespace") {
        if !namespace.is_null() && namespace.as_str() != Some(guard.grant.namespace.as_str()) {
            let message =
                format!("only the run's namespace {} may be named", quoted(&guard.grant.namespace, 63));
            guard.at(Step::Key(key), |guard| guard.refuse("namespace", message));
        }
    }
    let name = metadata.get("name").and_then(Value::as_str);
    if !name.is_some_and(|name| guard.grant.owns(name) && is_object_name(name)) {
        let shown = name.map_or("nothing".to_owned(), |name| quoted(name, 80));
        let message = format!(
            "{shown} is not {prefix}, nor {prefix}- and more lower-case letters, digits and dashes",
            prefix = guard.grant.prefix
        );
        guard.at(Step::Key("name"), |guard| guard.refuse("name-prefix", message));
    }
    for (key, _) in fields(metadata, "name").filter(|(key, _)| *key != "name") {
        guard.at(Step::Key(key), |guard| guard.refuse("object-shape", "it is written name"));
    }
    for (key, _) in fields(metadata, "generateName").filter(|(_, value)| !is_blank(value)) {
        guard.at(Step::Key(key), |guard| {
            guard.refuse(
                "generate-name",
                "names are given, not generated: a resumed run must find its objects",
            )
        });
    }
    for refused in REFUSED_METADATA {
        for (key, _) in fields(metadata, refused).filter(|(_, value)| !is_blank(value)) {
            guard.at(Step::Key(key), |guard| {
                guard.refuse("metadata-field", format!("{refused} is not for a stage to set"))
            });
        }
    }
}

fn check_service<'a>(guard: &mut Guard<'a>, spec: &'a Map<String, Value>) {
    for (key, value) in spec {
        let refused = match key.to_ascii_lowercase().as_str() {
            "type" => !matches!(value.as_str(), None | Some("" | "ClusterIP")),
            "externalips" | "externalname" | "loadbalancerip" | "loadbalancerclass" => !is_blank(value),
            _ => false,
        };
        if refused {
            guard.at(Step::Key(key), |guard| {
                guard.refuse("service-exposure", "a stage's Service stays inside the cluster")
            });
        }
    }
}

/// Rules that hold at any depth: the metadata of pod templates and of other templates.
pub(super) fn check_field<'a>(guard: &mut Guard<'a>, key: &'a str, value: &'a Value) {
    match key.to_ascii_lowercase().as_str() {
        "labels" | "annotations" => check_labels(guard, value),
        "finalizers" | "ownerreferences" | "generatename" if !guard.is_top_metadata() && !is_blank(value) => {
            guard.refuse("metadata-field", format!("{key} is not for a stage to set"));
        }
        // A Job with its own selector takes pods that are not its own.
        "manualselector" if value != &Value::Bool(false) => {
            guard.refuse("manual-selector", "a Job finds its own pods")
        }
        "namespace"
            if value
                .as_str()
                .is_some_and(|namespace| !namespace.is_empty() && namespace != guard.grant.namespace)
                && !guard.is_top_metadata() =>
        {
            let message =
                format!("only the run's namespace {} may be named", quoted(&guard.grant.namespace, 63));
            guard.refuse("namespace", message);
        }
        _ => {}
    }
}

fn check_labels<'a>(guard: &mut Guard<'a>, value: &'a Value) {
    for (label, value) in value.as_object().into_iter().flatten() {
        let domain = label.split_once('/').map_or("", |(domain, _)| domain).to_ascii_lowercase();
        let of_host = domain == HOST_DOMAIN || domain.ends_with(&format!(".{HOST_DOMAIN}"));
        let of_other_job = JOB_LABELS.contains(&label.as_str())
            && !value.as_str().is_some_and(|value| guard.grant.owns(value));
        guard.at(Step::Key(label), |guard| {
            if of_host {
                guard.refuse(
                    "reserved-label",
                    format!("labels and annotations of {HOST_DOMAIN} are the host's"),
                );
            }
            if of_other_job {
                guard.refuse("job-label", "it would make the pod pass for one of another job");
            }
        });
    }
}

/// A ConfigMap's `data` and `binaryData`: texts, and nothing else.
pub(super) fn check_data<'a>(guard: &mut Guard<'a>, value: &'a Value) {
    let texts = value.is_null() || value.as_object().is_some_and(|map| map.values().all(Value::is_string));
    if !texts {
        guard.refuse("object-shape", "a ConfigMap holds texts");
    }
}
