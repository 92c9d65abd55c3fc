//! What a pod may know about itself: the downward API.

use k8s_openapi::api::core::v1::{Pod, ResourceFieldSelector};

use crate::node::quantity;

/// The address of everything: pods share the machine's network.
pub(crate) const ADDRESS: &str = "127.0.0.1";

/// The name that a pod's containers have.
pub(super) fn hostname(pod: &Pod) -> String {
    let given = pod.spec.as_ref().and_then(|spec| spec.hostname.clone());
    let name = given.unwrap_or_else(|| pod.metadata.name.clone().unwrap_or_default());
    // Linux allows 64, Kubernetes cuts at 63.
    let cut: String =
        name.chars().filter(|c| c.is_ascii_alphanumeric() || "-.".contains(*c)).take(63).collect();
    cut.trim_end_matches(['-', '.']).to_owned()
}

/// The value of a `fieldPath`.
pub(super) fn field(pod: &Pod, path: &str) -> Result<String, String> {
    let (meta, spec) = (&pod.metadata, pod.spec.as_ref());
    let entry = |map: &Option<std::collections::BTreeMap<String, String>>, key: &str| {
        map.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default()
    };
    let all = |map: &Option<std::collections::BTreeMap<String, String>>| {
        let lines = map.iter().flatten().map(|(key, value)| format!("{key}={value:?}"));
        lines.collect::<Vec<_>>().join("\n")
    };
    let key = |start: &str| path.strip_prefix(start)?.strip_prefix("['")?.strip_suffix("']");
    if let Some(key) = key("metadata.labels") {
        return Ok(entry(&meta.labels, key));
    }
    if let Some(key) = key("metadata.annotations") {
        return Ok(entry(&meta.annotations, key));
    }
    let text = |value: Option<&String>| value.cloned().unwrap_or_default();
    Ok(match path {
        "metadata.name" => text(meta.name.as_ref()),
        "metadata.namespace" => text(meta.namespace.as_ref()),
        "metadata.uid" => text(meta.uid.as_ref()),
        "metadata.labels" => all(&meta.labels),
        "metadata.annotations" => all(&meta.annotations),
        "spec.nodeName" => text(spec.and_then(|spec| spec.node_name.as_ref())),
        "spec.serviceAccountName" => {
            spec.and_then(|spec| spec.service_account_name.clone()).unwrap_or_else(|| "default".to_owned())
        }
        "status.podIP" | "status.podIPs" | "status.hostIP" | "status.hostIPs" => ADDRESS.to_owned(),
        _ => return Err(format!("unsupported fieldPath: {path}")),
    })
}

/// The value of a `resourceFieldRef`: what a container asks for or may use, by default all there is.
pub(super) fn resource(
    pod: &Pod,
    container: &str,
    selector: &ResourceFieldSelector,
) -> Result<String, String> {
    let name = selector.container_name.as_deref().unwrap_or(container);
    let spec = pod.spec.as_ref().ok_or("the pod has no spec")?;
    let container = spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().flatten())
        .find(|known| known.name == name)
        .ok_or_else(|| format!("container {name} not found"))?;
    let unsupported = || format!("unsupported resource: {}", selector.resource);
    let (list, resource) = selector.resource.split_once('.').ok_or_else(unsupported)?;
    let resources = container.resources.as_ref();
    let listed = match list {
        "limits" => resources.and_then(|all| all.limits.as_ref()),
        "requests" => resources.and_then(|all| all.requests.as_ref()),
        _ => return Err(unsupported()),
    };
    let milli = match listed.and_then(|all| all.get(resource)) {
        Some(quantity) => quantity::milli(&quantity.0).ok_or_else(unsupported)?,
        None if list == "limits" => u128::from(machine(resource).ok_or_else(unsupported)?) * 1000,
        None => 0,
    };
    let divisor = match selector.divisor.as_ref().map(|divisor| divisor.0.as_str()) {
        None | Some("" | "0") => 1000,
        Some(divisor) => {
            quantity::milli(divisor).filter(|&divisor| divisor > 0).ok_or("the divisor is no quantity")?
        }
    };
    Ok(milli.div_ceil(divisor).to_string())
}

/// What the whole machine has of a resource.
pub(crate) fn machine(resource: &str) -> Option<u64> {
    match resource {
        "cpu" => std::thread::available_parallelism().ok().map(|cpus| cpus.get() as u64),
        "memory" => {
            let text = std::fs::read_to_string("/proc/meminfo").ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
            line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok().map(|kib| kib * 1024)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_knows_itself() {
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"a/b": "c", "x": "q\"q"}},
            "spec": {"hostname": "h", "containers": [{"name": "c", "resources": {"limits": {"cpu": "1500m", "memory": "1Gi"}}}]},
        }))
        .unwrap();
        for (path, value) in [
            ("metadata.name", "p"),
            ("metadata.uid", "u"),
            ("metadata.labels['a/b']", "c"),
            ("metadata.labels['none']", ""),
            ("metadata.labels", "a/b=\"c\"\nx=\"q\\\"q\""),
            ("status.podIP", "127.0.0.1"),
            ("spec.serviceAccountName", "default"),
        ] {
            assert_eq!(field(&pod, path).as_deref(), Ok(value), "{path}");
        }
        assert!(field(&pod, "spec.containers").is_err());
        assert_eq!(hostname(&pod), "h");
        let selector = |resource: &str, divisor: Option<&str>| ResourceFieldSelector {
            resource: resource.to_owned(),
            divisor: divisor
                .map(|text| k8s_openapi::apimachinery::pkg::api::resource::Quantity(text.to_owned())),
            container_name: None,
        };
        let value = |resource: &str, divisor| super::resource(&pod, "c", &selector(resource, divisor));
        assert_eq!(value("limits.cpu", None).as_deref(), Ok("2"));
        assert_eq!(value("limits.cpu", Some("1m")).as_deref(), Ok("1500"));
        assert_eq!(value("limits.memory", Some("1Mi")).as_deref(), Ok("1024"));
        assert_eq!(value("requests.memory", None).as_deref(), Ok("0"));
        assert!(value("limits.bananas", None).is_err());
    }
}
