//! Whether the nodes have the GPUs (and their like) that the rendered pods ask for.

use super::finding::Finding;
use super::looked;
use super::workload::{Pods, Side, shown};
use crate::error::EngineError;
use ilab_cluster::Cluster;
use ilab_core::quantity::milli;
use serde_json::Value;

const CHECK: &str = "gpus";

/// Looks at the nodes, when any pod asks for what only some nodes have.
pub(crate) async fn check(cluster: &Cluster, pods: &[Pods]) -> Result<Vec<Finding>, EngineError> {
    let wanted: Vec<(&Pods, String)> =
        pods.iter().flat_map(|p| p.devices().into_iter().map(move |d| (p, d))).collect();
    if wanted.is_empty() {
        return Ok(vec![Finding::ok(CHECK, "no stage asks for a GPU")]);
    }
    let nodes = match looked(CHECK, "the nodes", cluster.list_global("v1", "nodes").await)? {
        Ok(nodes) => nodes.unwrap_or_default(),
        Err(skipped) => return Ok(vec![skipped]),
    };
    Ok(judge(&wanted, &nodes))
}

/// Whether each group of pods fits on the nodes as they would be when nothing else ran there.
fn judge(wanted: &[(&Pods, String)], nodes: &[Value]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (pods, device) in wanted {
        let each = pods.each(Side::Limits, device);
        if each == 0 {
            continue;
        }
        let usable: Vec<u128> =
            nodes.iter().filter(|n| takes(n, pods)).map(|n| allocatable(n, device)).collect();
        let room: u128 = usable.iter().map(|has| has / each).sum();
        let total: u128 = usable.iter().sum();
        let asked = format!(
            "{} of stage {} asks for {} {} with {} {device} each",
            pods.object,
            pods.stage,
            pods.count,
            if pods.count == 1 { "pod" } else { "pods" },
            shown(each),
        );
        findings.push(if room >= u128::from(pods.count) {
            Finding::ok(CHECK, format!("{asked}; the nodes have {}", shown(total)))
        } else {
            let largest = usable.iter().max().copied().unwrap_or(0);
            Finding::error(
                CHECK,
                format!(
                    "{asked}; the nodes that it may run on have {} together, {} at most on one",
                    shown(total),
                    shown(largest)
                ),
                "ask for fewer (--nproc-per-node, --set STAGE.workers=N), or let a cluster that adds nodes by itself go on with --preflight=warn",
            )
        });
    }
    findings.dedup();
    findings
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

    fn severity(count: u64, each: &str, nodes: &[Value]) -> Severity {
        let pods = pods(
            count,
            json!({"nodeSelector": {"kind": "gpu"},
            "containers": [{"resources": {"limits": {"nvidia.com/gpu": each}}}]}),
        );
        judge(&[(&pods, "nvidia.com/gpu".into())], nodes)[0].severity
    }

    #[test]
    fn pods_must_fit_on_single_nodes_not_only_on_all_together() {
        let good = json!({"kind": "gpu"});
        let nodes = [node("4", good.clone(), false), node("4", good.clone(), false)];
        assert_eq!(severity(2, "4", &nodes), Severity::Ok);
        assert_eq!(severity(1, "8", &nodes), Severity::Error, "8 together, but 4 a node");
        assert_eq!(severity(3, "3", &nodes), Severity::Error, "one of 3 a node");
        assert_eq!(severity(1, "4", &[node("4", good, true)]), Severity::Error, "cordoned");
        assert_eq!(severity(1, "4", &[node("4", json!({}), false)]), Severity::Error, "another kind of node");
        assert_eq!(severity(1, "1", &[]), Severity::Error);
    }
}
