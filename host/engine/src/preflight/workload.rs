//! The pods that rendered manifests will become, and what they ask for.

use crate::planning::PlannedStage;
use ilab_core::contract::ObjectRef;
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
    /// Whether they stay when they have ended, as long as their object does.
    pub(crate) stay: bool,
    /// The pod's spec.
    pub(crate) spec: Value,
}

/// Kinds that make no pods, nor anything else: what they are is all there is.
const PLAIN: &[(&str, &str)] = &[
    ("v1", "ConfigMap"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "Secret"),
    ("v1", "Service"),
    ("v1", "ServiceAccount"),
    ("networking.k8s.io/v1", "Ingress"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("policy/v1", "PodDisruptionBudget"),
];

/// The objects of kinds whose pods nobody here can count, for example `TrainJob/x`.
pub(crate) fn uncounted(planned: &[&PlannedStage]) -> Vec<String> {
    let manifests = planned.iter().flat_map(|stage| &stage.plan.manifests);
    let objects = manifests.filter_map(ObjectRef::of).filter(|object| {
        let kind = (object.api_version.as_str(), object.kind.as_str());
        !COUNTED.contains(&kind) && !PLAIN.contains(&kind)
    });
    objects.map(|object| object.to_string()).collect()
}

const COUNTED: &[(&str, &str)] = &[("v1", "Pod"), ("batch/v1", "Job"), ("kubeflow.org/v1", "PyTorchJob")];

fn number(value: Option<&Value>) -> u64 {
    value.and_then(Value::as_u64).unwrap_or(1)
}

/// The pods of kinds whose controllers are known. Other kinds have pods that nobody here can count.
pub(crate) fn pods_of(planned: &[&PlannedStage]) -> Vec<Pods> {
    let mut all = Vec::new();
    for stage in planned {
        for manifest in &stage.plan.manifests {
            let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).unwrap_or("");
            let ttl = |pointer: &str| manifest.pointer(pointer).is_some_and(|ttl| !ttl.is_null());
            let mut add = |count: u64, stay: bool, spec: Option<&Value>| {
                let Some(spec) = spec.filter(|_| count > 0) else { return };
                all.push(Pods {
                    stage: stage.offer.name().clone(),
                    object: format!("{}/{}", text("/kind"), text("/metadata/name")),
                    count,
                    stay,
                    spec: spec.clone(),
                });
            };
            match (text("/apiVersion"), text("/kind")) {
                ("v1", "Pod") => add(1, true, manifest.get("spec")),
                ("batch/v1", "Job") => {
                    let parallel = number(manifest.pointer("/spec/parallelism"));
                    let whole = manifest.pointer("/spec/completions").and_then(Value::as_u64);
                    let at_once = parallel.min(whole.unwrap_or(parallel));
                    add(
                        at_once,
                        !ttl("/spec/ttlSecondsAfterFinished"),
                        manifest.pointer("/spec/template/spec"),
                    );
                }
                ("kubeflow.org/v1", "PyTorchJob") => {
                    let groups = manifest.pointer("/spec/pytorchReplicaSpecs").and_then(Value::as_object);
                    let kept = matches!(text("/spec/runPolicy/cleanPodPolicy"), "" | "None");
                    let stay = kept && !ttl("/spec/runPolicy/ttlSecondsAfterFinished");
                    for group in groups.into_iter().flat_map(|groups| groups.values()) {
                        add(number(group.get("replicas")), stay, group.pointer("/template/spec"));
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
    /// What one pod asks of a resource, in thousandths; nothing when it does not say.
    pub(crate) fn each(&self, side: Side, resource: &str) -> u128 {
        self.asked(side, resource).unwrap_or(0)
    }

    /// What one pod asks of a resource, in thousandths, as the scheduler counts it: its containers together, or the
    /// largest moment of those that run before them, sidecars running on. What the pod itself says goes before that.
    /// None when nothing in it says anything.
    pub(crate) fn asked(&self, side: Side, resource: &str) -> Option<u128> {
        if let Some(whole) = of_container(&self.spec, side, resource) {
            return Some(whole);
        }
        let of = |container: &Value| of_container(container, side, resource);
        let said = self.containers().any(|container| of(container).is_some());
        let (mut sidecars, mut before) = (0_u128, 0);
        for container in containers(&self.spec, "initContainers") {
            let own = of(container).unwrap_or(0);
            if container.get("restartPolicy").and_then(Value::as_str) == Some("Always") {
                sidecars += own;
                before = before.max(sidecars);
            } else {
                before = before.max(sidecars + own);
            }
        }
        let together: u128 = containers(&self.spec, "containers").iter().filter_map(of).sum();
        said.then(|| before.max(together + sidecars))
    }

    /// All containers of a pod, those too that run before the others.
    pub(crate) fn containers(&self) -> impl Iterator<Item = &Value> {
        ["containers", "initContainers"].into_iter().flat_map(|list| containers(&self.spec, list))
    }

    /// Whether every container says something about the resource, or the pod for all of them.
    pub(crate) fn says(&self, side: Side, resource: &str) -> bool {
        of_container(&self.spec, side, resource).is_some()
            || self.containers().all(|c| of_container(c, side, resource).is_some())
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
        Pods { stage: StageName::new("train").unwrap(), object: "Job/x".into(), count, stay: true, spec }
    }

    #[test]
    fn sidecars_run_beside_the_others_and_a_pod_may_speak_for_all() {
        let cpu =
            |n: &str, policy: Value| json!({"resources": {"requests": {"cpu": n}}, "restartPolicy": policy});
        let sidecar = || cpu("1", json!("Always"));
        let both = pods(
            1,
            json!({"initContainers": [cpu("3", json!(null)), sidecar(), cpu("3", json!(null))], "containers": [cpu("2", json!(null))]}),
        );
        assert_eq!(both.asked(Side::Requests, "cpu"), Some(4000));
        let beside = pods(1, json!({"initContainers": [sidecar()], "containers": [cpu("5", json!(null))]}));
        assert_eq!(beside.asked(Side::Requests, "cpu"), Some(6000));
        let whole = pods(
            1,
            json!({"resources": {"limits": {"cpu": "7"}}, "containers": [cpu("2", json!(null)), {}]}),
        );
        assert_eq!(whole.asked(Side::Requests, "cpu"), Some(7000));
        assert!(whole.says(Side::Limits, "cpu") && !whole.says(Side::Limits, "memory"));
        assert_eq!(whole.asked(Side::Limits, "memory"), None);
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
