//! Whether the nodes have the GPUs (and their like) that the rendered pods ask for.

use super::finding::Finding;
use super::looked;
use super::workload::{Pods, Side, shown};
use crate::error::EngineError;
use ilab_cluster::Cluster;
use ilab_core::quantity::milli;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const CHECK: &str = "gpus";

/// Looks at the nodes, when any pod asks for what only some nodes have.
pub(crate) async fn check(cluster: &Cluster, pods: &[Pods]) -> Result<Vec<Finding>, EngineError> {
    let devices: BTreeSet<String> = pods.iter().flat_map(Pods::devices).collect();
    if devices.is_empty() {
        return Ok(vec![Finding::ok(CHECK, "no stage asks for a GPU")]);
    }
    let nodes = match looked(CHECK, "the nodes", cluster.list_global("v1", "nodes").await)? {
        Ok(nodes) => nodes.unwrap_or_default(),
        Err(skipped) => return Ok(vec![skipped]),
    };
    Ok(devices.iter().flat_map(|device| judge(pods, device, &nodes)).collect())
}

/// Whether the pods of each object fit at once on the nodes as they would be when nothing else ran there.
fn judge(pods: &[Pods], device: &str, nodes: &[Value]) -> Vec<Finding> {
    let mut objects: Vec<(&str, Vec<&Pods>)> = Vec::new();
    for p in pods.iter().filter(|p| p.each(Side::Limits, device) > 0) {
        match objects.iter_mut().find(|(object, _)| *object == p.object) {
            Some((_, all)) => all.push(p),
            None => objects.push((&p.object, vec![p])),
        }
    }
    objects.into_iter().map(|(object, all)| judge_object(object, all, device, nodes)).collect()
}

fn judge_object(object: &str, mut all: Vec<&Pods>, device: &str, nodes: &[Value]) -> Finding {
    // The largest first: what fits then fits in most orders.
    all.sort_by_key(|p| std::cmp::Reverse(p.each(Side::Limits, device)));
    let mut free: Vec<u128> = nodes.iter().map(|node| allocatable(node, device)).collect();
    let total: u128 = free.iter().sum();
    let largest = free.iter().max().copied().unwrap_or(0);
    let fits = all.iter().all(|p| {
        let each = p.each(Side::Limits, device);
        let mut left = u128::from(p.count);
        for (room, node) in free.iter_mut().zip(nodes) {
            if takes(node, p) {
                let here = (*room / each).min(left);
                *room -= here * each;
                left -= here;
            }
        }
        left == 0
    });
    let mut sizes: BTreeMap<u128, u64> = BTreeMap::new();
    for p in &all {
        *sizes.entry(p.each(Side::Limits, device)).or_default() += p.count;
    }
    let sizes: Vec<_> = sizes
        .into_iter()
        .map(|(each, count)| {
            format!("{count} {} with {} each", if count == 1 { "pod" } else { "pods" }, shown(each))
        })
        .collect();
    let stage = all.first().map_or("", |p| p.stage.as_str());
    let asked = format!("{object} of stage {stage} asks for {device}: {}", sizes.join(", "));
    if fits {
        return Finding::ok(CHECK, format!("{asked}; the nodes have {}", shown(total)));
    }
    Finding::error(
        CHECK,
        format!("{asked}; the nodes have {} together, {} at most on one", shown(total), shown(largest)),
        format!(
            "ask for fewer (--nproc-per-node, --set {stage}.gpus=N), or, where the cluster adds nodes by itself, go on with --preflight=warn"
        ),
    )
}

/// Whether a node takes new pods of this kind at all. Taints are not judged: admission often adds what tolerates them.
fn takes(node: &Value, pods: &Pods) -> bool {
    if node.pointer("/spec/unschedulable").and_then(Value::as_bool) == Some(true) {
        return false;
    }
    let labels = node.pointer("/metadata/labels");
    pods.node_selector()
        .into_iter()
        .all(|(key, value)| labels.and_then(|l| l.get(key)).and_then(Value::as_str) == Some(value))
}

fn allocatable(node: &Value, device: &str) -> u128 {
    let amount = node.pointer("/status/allocatable").and_then(|a| a.get(device)).and_then(Value::as_str);
    amount.and_then(|text| milli(text).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::super::workload::tests::pods;
    use super::*;
    use serde_json::json;

    fn node(gpus: &str, labels: Value, unschedulable: bool) -> Value {
        json!({"metadata": {"labels": labels}, "spec": {"unschedulable": unschedulable},
            "status": {"allocatable": {"nvidia.com/gpu": gpus}}})
    }

    fn wanting(count: u64, each: &str) -> Pods {
        pods(
            count,
            json!({"nodeSelector": {"kind": "gpu"},
                "containers": [{"resources": {"limits": {"nvidia.com/gpu": each}}}]}),
        )
    }

    fn severity(pods: &[Pods], nodes: &[Value]) -> Severity {
        let found = judge(pods, "nvidia.com/gpu", nodes);
        assert_eq!(found.len(), 1, "one for the object: {found:#?}");
        found[0].severity
    }

    #[test]
    fn pods_must_fit_on_single_nodes_not_only_on_all_together() {
        let good = json!({"kind": "gpu"});
        let nodes = [node("4", good.clone(), false), node("4", good.clone(), false)];
        assert_eq!(severity(&[wanting(2, "4")], &nodes), Severity::Ok);
        assert_eq!(severity(&[wanting(1, "8")], &nodes), Severity::Error, "8 together, but 4 a node");
        assert_eq!(severity(&[wanting(3, "3")], &nodes), Severity::Error, "one of 3 a node");
        assert_eq!(severity(&[wanting(1, "4")], &[node("4", good, true)]), Severity::Error, "cordoned");
        assert_eq!(
            severity(&[wanting(1, "4")], &[node("4", json!({}), false)]),
            Severity::Error,
            "not its kind"
        );
        assert_eq!(severity(&[wanting(1, "1")], &[]), Severity::Error);
    }

    #[test]
    fn master_and_workers_of_one_object_must_fit_at_once() {
        let nodes = [node("4", json!({"kind": "gpu"}), false), node("4", json!({"kind": "gpu"}), false)];
        assert_eq!(severity(&[wanting(1, "4"), wanting(1, "4")], &nodes), Severity::Ok);
        assert_eq!(severity(&[wanting(1, "4"), wanting(2, "4")], &nodes), Severity::Error);
        assert_eq!(severity(&[wanting(2, "2"), wanting(1, "4")], &nodes), Severity::Ok, "the largest first");
    }
}
