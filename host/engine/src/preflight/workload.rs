//! The pods that rendered manifests will become, and what they ask for.

use crate::planning::PlannedStage;
use ilab_core::names::StageName;
use ilab_core::quantity::milli;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Equal pods of one manifest.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pods {
    pub(crate) stage: StageName,
    /// The manifest, for example `Job/x`.
    pub(crate) object: String,
    /// How many at once.
    pub(crate) count: u64,
    /// The pod's spec.
    pub(crate) spec: Value,
}

fn number(value: Option<&Value>) -> u64 {
    value.and_then(Value::as_u64).unwrap_or(1)
}

/// The pods of kinds whose controllers are known. Other kinds have pods that nobody here can count.
pub(crate) fn pods_of(planned: &[&PlannedStage]) -> Vec<Pods> {
    let mut all = Vec::new();
    for stage in planned {
        for manifest in &stage.plan.manifests {
            let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).unwrap_or("");
            let mut add = |count: u64, spec: Option<&Value>| {
                let Some(spec) = spec.filter(|_| count > 0) else { return };
                all.push(Pods {
                    stage: stage.offer.name().clone(),
                    object: format!("{}/{}", text("/kind"), text("/metadata/name")),
                    count,
                    spec: spec.clone(),
                });
            };
            match (text("/apiVersion"), text("/kind")) {
                ("v1", "Pod") => add(1, manifest.get("spec")),
                ("batch/v1", "Job") => {
                    let parallel = number(manifest.pointer("/spec/parallelism"));
                    let whole = manifest.pointer("/spec/completions").and_then(Value::as_u64);
                    add(parallel.min(whole.unwrap_or(parallel)), manifest.pointer("/spec/template/spec"));
                }
                ("kubeflow.org/v1", "PyTorchJob") => {
                    let groups = manifest.pointer("/spec/pytorchReplicaSpecs").and_then(Value::as_object);
                    for group in groups.into_iter().flat_map(|groups| groups.values()) {
                        add(number(group.get("replicas")), group.pointer("/template/spec"));
                    }
                }
                _ => {}
            }
        }
    }
    all
}

/// `requests` or `limits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Requests,
    Limits,
}

impl Side {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Limits => "limits",
        }
    }
}

/// What one container asks of a resource, in thousandths. A request that is not said is as large as the limit.
pub(crate) fn of_container(container: &Value, side: Side, resource: &str) -> Option<u128> {
    let get = |word: &str| {
        let value = container.get("resources")?.get(word)?.get(resource)?;
        milli(&value.as_str().map_or_else(|| value.to_string(), str::to_owned)).ok()
    };
    match side {
        Side::Limits => get("limits"),
        Side::Requests => get("requests").or_else(|| get("limits")),
    }
}

fn containers<'a>(spec: &'a Value, list: &str) -> &'a [Value] {
    spec.get(list).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

impl Pods {
    /// What one pod asks of a resource, in thousandths, as the scheduler counts it: its containers together, or the
    /// largest of those that run before them.
    pub(crate) fn each(&self, side: Side, resource: &str) -> u128 {
        let of = |list: &str| {
            let all = containers(&self.spec, list).iter();
            all.filter_map(|c| of_container(c, side, resource)).collect::<Vec<_>>()
        };
        let together: u128 = of("containers").into_iter().sum();
        together.max(of("initContainers").into_iter().max().unwrap_or(0))
    }

    /// All containers of a pod, those too that run before the others.
    pub(crate) fn containers(&self) -> impl Iterator<Item = &Value> {
        ["containers", "initContainers"].into_iter().flat_map(|list| containers(&self.spec, list))
    }

    /// Whether every container says something about the resource.
    pub(crate) fn says(&self, side: Side, resource: &str) -> bool {
        self.containers().all(|c| of_container(c, side, resource).is_some())
    }

    /// The extended resources (GPUs and their like) that a pod asks for.
    pub(crate) fn devices(&self) -> BTreeSet<String> {
        self.containers()
            .filter_map(|c| c.pointer("/resources/limits").and_then(Value::as_object))
            .flat_map(|limits| limits.keys())
            .filter(|name| name.contains('/'))
            .cloned()
            .collect()
    }

    /// The labels that its node must have.
    pub(crate) fn node_selector(&self) -> BTreeMap<&str, &str> {
        let selector = self.spec.get("nodeSelector").and_then(Value::as_object);
        selector.into_iter().flatten().filter_map(|(k, v)| Some((k.as_str(), v.as_str()?))).collect()
    }
}

/// Thousandths as people write them: `3`, `500m`, `16Gi`.
pub(crate) fn shown(milli: u128) -> String {
    if !milli.is_multiple_of(1000) {
        return format!("{milli}m");
    }
    let whole = milli / 1000;
    for (unit, size) in [("Ti", 1_u128 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20)] {
        if whole >= size && whole.is_multiple_of(size) {
            return format!("{}{unit}", whole / size);
        }
    }
    whole.to_string()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;

    pub(crate) fn pods(count: u64, spec: Value) -> Pods {
        Pods { stage: StageName::new("train").unwrap(), object: "Job/x".into(), count, spec }
    }

    #[test]
    fn a_pod_asks_for_its_containers_together_or_for_its_largest_init_container() {
        let gpu = |n: &str| json!({"resources": {"limits": {"nvidia.com/gpu": n, "cpu": "500m"}}});
        let two = pods(1, json!({"containers": [gpu("1"), gpu("2")], "initContainers": [gpu("8")]}));
        assert_eq!(two.each(Side::Requests, "nvidia.com/gpu"), 8000);
        assert_eq!(two.each(Side::Limits, "cpu"), 1000);
        assert_eq!(two.devices(), ["nvidia.com/gpu".to_owned()].into());
        assert!(two.says(Side::Limits, "cpu") && !two.says(Side::Limits, "memory"));
    }

    #[test]
    fn amounts_are_shown_as_people_write_them() {
        assert_eq!([3000, 500, 1000 << 34].map(shown), ["3", "500m", "16Gi"]);
    }
}
