//! What upstream fills in when a manifest does not say it.

use crate::server::resources::Resource;
use serde_json::{Map, Value, json};

fn set(fields: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
    if !fields.contains_key(name) {
        fields.insert(name.to_owned(), value.into());
    }
}

/// The object at a pointer.
fn fields<'a>(object: &'a mut Value, pointer: &str) -> Option<&'a mut Map<String, Value>> {
    object.pointer_mut(pointer)?.as_object_mut()
}

fn each<'a>(object: &'a mut Value, pointer: &str) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    object
        .pointer_mut(pointer)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
}

/// Fills in the defaults of a kind, on every write.
pub(crate) fn default_object(resource: &Resource, object: &mut Value) {
    match resource.kind {
        "Pod" => {
            pod_spec(object, "/spec");
            if let Some(spec) = fields(object, "/spec") {
                set(spec, "enableServiceLinks", true);
            }
            if object.get("status").is_none() {
                object["status"] = json!({"phase": "Pending"});
            }
        }
        "Job" => job(object),
        "ConfigMap" | "Lease" | "PyTorchJob" => {}
        "Event" => {
            if let Some(event) = object.as_object_mut() {
                set(event, "reportingComponent", "");
                set(event, "reportingInstance", "");
            }
        }
        "Secret" => secret(object),
        "PersistentVolumeClaim" => {
            if let Some(spec) = fields(object, "/spec") {
                set(spec, "volumeMode", "Filesystem");
            }
            if object.get("status").is_none() {
                object["status"] = json!({"phase": "Pending"});
            }
        }
        "Service" => service(object),
        "Namespace" => {
            if !object["spec"].is_object() {
                object["spec"] = json!({});
            }
            if let Some(spec) = fields(object, "/spec") {
                set(spec, "finalizers", json!(["kubernetes"]));
            }
            let name = object["metadata"]["name"].clone();
            if !object["metadata"]["labels"].is_object() {
                object["metadata"]["labels"] = json!({});
            }
            object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
            if object.get("status").is_none() {
                object["status"] = json!({"phase": "Active"});
            }
        }
        "StorageClass" => {
            if let Some(class) = object.as_object_mut() {
                set(class, "reclaimPolicy", "Delete");
                set(class, "volumeBindingMode", "Immediate");
            }
        }
        _ => {}
    }
}

fn secret(object: &mut Value) {
    let Some(secret) = object.as_object_mut() else { return };
    set(secret, "type", "Opaque");
    // Write-only: it moves into data and wins there.
    if let Some(Value::Object(texts)) = secret.shift_remove("stringData") {
        let mut data = secret.shift_remove("data").unwrap_or_else(|| json!({}));
        for (key, text) in texts {
            data[key] = json!(base64(text.as_str().unwrap_or_default().as_bytes()));
        }
        secret.insert("data".into(), data);
    }
}

fn base64(bytes: &[u8]) -> String {
    use k8s_openapi::ByteString;
    match serde_json::to_value(ByteString(bytes.to_vec())) {
        Ok(Value::String(text)) => text,
        _ => String::new(),
    }
}

fn service(object: &mut Value) {
    if let Some(spec) = fields(object, "/spec") {
        set(spec, "type", "ClusterIP");
        set(spec, "sessionAffinity", "None");
        set(spec, "internalTrafficPolicy", "Cluster");
    }
    for port in each(object, "/spec/ports") {
        set(port, "protocol", "TCP");
        if let Some(number) = port.get("port").cloned() {
            set(port, "targetPort", number);
        }
    }
}

fn job(object: &mut Value) {
    if !object["spec"].is_object() {
        return;
    }
    if object.get("status").is_none() {
        object["status"] = json!({});
    }
    pod_spec(object, "/spec/template/spec");
    let Some(spec) = fields(object, "/spec") else { return };
    // Neither given: one pod. Only parallelism given: a work queue, whose completions stay open.
    if !spec.contains_key("completions") && !spec.contains_key("parallelism") {
        set(spec, "completions", 1);
        set(spec, "parallelism", 1);
    }
    set(spec, "parallelism", 1);
    if !spec.contains_key("backoffLimit") {
        let per_index = spec.contains_key("backoffLimitPerIndex");
        set(spec, "backoffLimit", if per_index { i32::MAX } else { 6 });
    }
    set(spec, "completionMode", "NonIndexed");
    set(spec, "suspend", false);
    set(spec, "manualSelector", false);
    let replacement = if spec.contains_key("podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    set(spec, "podReplacementPolicy", replacement);
    if let Some(Value::Array(rules)) =
        spec.get_mut("podFailurePolicy").and_then(|policy| policy.get_mut("rules"))
    {
        for pattern in rules
            .iter_mut()
            .filter_map(|rule| rule.get_mut("onPodConditions")?.as_array_mut())
            .flatten()
            .filter_map(Value::as_object_mut)
        {
            set(pattern, "status", "True");
        }
    }
}

fn pod_spec(object: &mut Value, at: &str) {
    let Some(spec) = fields(object, at) else { return };
    set(spec, "dnsPolicy", "ClusterFirst");
    set(spec, "restartPolicy", "Always");
    set(spec, "terminationGracePeriodSeconds", 30);
    set(spec, "schedulerName", "default-scheduler");
    set(spec, "securityContext", json!({}));
    if let Some(account) = spec.get("serviceAccountName").cloned() {
        set(spec, "serviceAccount", account);
    }
    for list in ["initContainers", "containers"] {
        for container in each(object, &format!("{at}/{list}")) {
            container_defaults(container);
        }
    }
    for volume in each(object, &format!("{at}/volumes")) {
        volume_defaults(volume);
    }
}

fn container_defaults(container: &mut Map<String, Value>) {
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let last = image.rsplit('/').next().unwrap_or_default();
    let floating = !last.contains('@') && (!last.contains(':') || last.ends_with(":latest"));
    let policy = if floating { "Always" } else { "IfNotPresent" };
    set(container, "imagePullPolicy", policy);
    set(container, "terminationMessagePath", "/dev/termination-log");
    set(container, "terminationMessagePolicy", "File");
    set(container, "resources", json!({}));
    // Limits alone are also requests.
    if let Some(resources) = container.get_mut("resources").and_then(Value::as_object_mut)
        && let Some(Value::Object(limits)) = resources.get("limits").cloned()
        && !limits.is_empty()
    {
        let mut requests = resources.get("requests").and_then(Value::as_object).cloned().unwrap_or_default();
        for (name, amount) in limits {
            set(&mut requests, &name, amount);
        }
        resources.insert("requests".into(), Value::Object(requests));
    }
    let list = |container: &mut Map<String, Value>, name: &str, each: fn(&mut Map<String, Value>)| {
        container
            .get_mut(name)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
            .filter_map(Value::as_object_mut)
            .for_each(each);
    };
    list(container, "ports", |port| set(port, "protocol", "TCP"));
    list(container, "env", |variable| {
        if let Some(Value::Object(reference)) =
            variable.get_mut("valueFrom").and_then(|from| from.get_mut("fieldRef"))
        {
            set(reference, "apiVersion", "v1");
        }
    });
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(Value::Object(probe)) = container.get_mut(probe) {
            for (name, value) in [
                ("timeoutSeconds", 1),
                ("periodSeconds", 10),
                ("successThreshold", 1),
                ("failureThreshold", 3),
            ] {
                set(probe, name, value);
            }
        }
    }
}

fn volume_defaults(volume: &mut Map<String, Value>) {
    if volume.len() == 1 {
        set(volume, "emptyDir", json!({}));
    }
    for source in ["configMap", "secret", "downwardAPI", "projected"] {
        if let Some(Value::Object(source)) = volume.get_mut(source) {
            set(source, "defaultMode", 420);
        }
    }
    let items = volume.get_mut("downwardAPI").and_then(|source| source.get_mut("items"));
    for item in items.and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(Value::Object(reference)) = item.get_mut("fieldRef") {
            set(reference, "apiVersion", "v1");
        }
    }
    if let Some(Value::Object(path)) = volume.get_mut("hostPath") {
        set(path, "type", "");
    }
}

/// What a kind gets once, when it is made: it may depend on its UID.
pub(crate) fn prepare_create(resource: &Resource, object: &mut Value) {
    match resource.kind {
        "Job" if object["spec"]["manualSelector"] != json!(true) => job_selector(object),
        "Pod" => {
            pod_admission(object);
            object["status"]["qosClass"] = json!(quality(object));
        }
        "PersistentVolumeClaim" => {
            // The admission controller of the default class.
            if let Some(spec) = fields(object, "/spec") {
                set(spec, "storageClassName", "local");
            }
        }
        _ => {}
    }
}

fn job_selector(object: &mut Value) {
    let uid = object["metadata"]["uid"].clone();
    let name = object["metadata"]["name"].clone();
    let Some(template) = fields(object, "/spec/template") else { return };
    let metadata = template.entry("metadata").or_insert_with(|| json!({}));
    if !metadata["labels"].is_object() {
        metadata["labels"] = json!({});
    }
    if let Some(labels) = metadata["labels"].as_object_mut() {
        for (key, value) in [
            ("batch.kubernetes.io/controller-uid", &uid),
            ("batch.kubernetes.io/job-name", &name),
            ("controller-uid", &uid),
            ("job-name", &name),
        ] {
            labels.insert(key.to_owned(), value.clone());
        }
    }
    if let Some(spec) = fields(object, "/spec") {
        set(spec, "selector", json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}));
    }
}

/// What the admission controllers that are on by default do to a pod.
fn pod_admission(object: &mut Value) {
    let Some(spec) = fields(object, "/spec") else { return };
    set(spec, "serviceAccountName", "default");
    let account = spec.get("serviceAccountName").cloned().unwrap_or_default();
    set(spec, "serviceAccount", account);
    set(spec, "preemptionPolicy", "PreemptLowerPriority");
    set(spec, "priority", 0);
    let tolerations = spec.entry("tolerations").or_insert_with(|| json!([]));
    if let Some(tolerations) = tolerations.as_array_mut() {
        for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
            if !tolerations.iter().any(|toleration| toleration["key"] == key) {
                tolerations.push(json!({
                    "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300,
                }));
            }
        }
    }
}

/// The quality of service class, from requests and limits.
fn quality(object: &Value) -> &'static str {
    let containers: Vec<&Value> = ["initContainers", "containers"]
        .iter()
        .filter_map(|list| object["spec"][*list].as_array())
        .flatten()
        .collect();
    let get = |container: &Value, what: &str, name: &str| container["resources"][what].get(name).cloned();
    let any = containers.iter().any(|container| {
        ["requests", "limits"]
            .iter()
            .any(|what| ["cpu", "memory"].iter().any(|name| get(container, what, name).is_some()))
    });
    if !any {
        return "BestEffort";
    }
    let all = containers.iter().all(|container| {
        ["cpu", "memory"].iter().all(|name| {
            let limit = get(container, "limits", name);
            limit.is_some() && limit == get(container, "requests", name)
        })
    });
    if all { "Guaranteed" } else { "Burstable" }
}
