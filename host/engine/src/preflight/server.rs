//! Whether the cluster is one that the run can be carried out on: its version, the namespace, the kinds.

use super::finding::Finding;
use super::looked;
use crate::error::EngineError;
use crate::planning::{self, PlannedStage, queue_of};
use crate::request::RunRequest;
use ilab_cluster::{Cluster, ClusterError};
use ilab_core::contract::{Kind, ObjectRef};
use ilab_core::guard::{Level, Policy};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The first minor version that labels a Job's pods with `batch.kubernetes.io/job-name`.
const OLDEST_MINOR: u32 = 27;
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";

/// The server's version, as it says it.
pub(crate) fn version(text: &str) -> Finding {
    let mut parts = text.trim_start_matches('v').split('.');
    let number = |part: Option<&str>| part.and_then(|p| p.parse::<u32>().ok());
    match (number(parts.next()), number(parts.next())) {
        (Some(1), Some(minor)) if minor < OLDEST_MINOR => Finding::error(
            "server",
            format!(
                "the API server is {text}: a Job's pods have the label that they are found by since v1.{OLDEST_MINOR}"
            ),
            format!("use a cluster of Kubernetes 1.{OLDEST_MINOR} or later"),
        ),
        _ => Finding::ok("server", format!("the API server answers: {text}")),
    }
}

/// The namespace, and the level of the Pod Security Standards that it enforces.
pub(crate) async fn namespace(
    cluster: &Cluster,
    request: &RunRequest,
    planned: &[&PlannedStage],
) -> Result<Vec<Finding>, EngineError> {
    let name = cluster.namespace();
    let found = match looked("namespace", &format!("the namespace {name}"), cluster.namespace_object().await)?
    {
        Ok(Some(found)) => found,
        Ok(None) => {
            return Ok(vec![Finding::error(
                "namespace",
                format!("there is no namespace {name}"),
                format!("kubectl create namespace {name}, or choose another with --namespace"),
            )]);
        }
        Err(skipped) => return Ok(vec![skipped]),
    };
    if found.pointer("/status/phase").and_then(Value::as_str) == Some("Terminating") {
        return Ok(vec![Finding::error(
            "namespace",
            format!("the namespace {name} is being deleted"),
            "choose another with --namespace",
        )]);
    }
    let mut findings = vec![Finding::ok("namespace", format!("the namespace {name} is there"))];
    let enforced = found.pointer("/metadata/labels").and_then(|l| l.get(ENFORCE)).and_then(Value::as_str);
    if enforced == Some("restricted") && request.policy.level != Level::Restricted {
        findings.push(restricted(name, request, planned));
    }
    Ok(findings)
}

/// Whether the namespace would refuse pods that the guard lets through.
fn restricted(namespace: &str, request: &RunRequest, planned: &[&PlannedStage]) -> Finding {
    let policy = Policy { level: Level::Restricted, ..request.grants.policy(&request.policy) };
    let refused = planned.iter().find_map(|stage| {
        let (grant, _) = planning::grant(request, &stage.offer, &stage.context).ok()?;
        stage.plan.manifests.iter().find_map(|manifest| policy.admit(manifest, &grant).err())
    });
    match refused {
        None => {
            Finding::ok("namespace", format!("the pods meet the level restricted that {namespace} enforces"))
        }
        Some(refused) => Finding::error(
            "namespace",
            format!(
                "the namespace {namespace} enforces the level restricted, and its pods would be refused: {refused}"
            ),
            "`--pod-security restricted --dry-run` lists all that is wrong; set what the stages have for it (such as run-as-user), or choose another namespace",
        ),
    }
}

/// Whether the cluster serves every kind that the stages create, and what each is called as a resource.
pub(crate) async fn kinds(
    cluster: &Cluster,
    planned: &[&PlannedStage],
) -> Result<(Vec<Finding>, BTreeMap<Kind, String>), EngineError> {
    let kinds: BTreeSet<Kind> = planned
        .iter()
        .flat_map(|stage| &stage.plan.manifests)
        .filter_map(ObjectRef::of)
        .map(|object| Kind { api_version: object.api_version, kind: object.kind })
        .collect();
    let (mut findings, mut resources) = (Vec::new(), BTreeMap::new());
    let mut served = Vec::new();
    for kind in kinds {
        match cluster.resource_of(&kind).await {
            Ok(resource) => {
                served.push(format!("{} ({})", kind.kind, kind.api_version));
                resources.insert(kind, resource);
            }
            Err(ClusterError::UnknownKind { hint, .. }) => {
                findings.push(unknown(cluster, &kind, hint).await?)
            }
            Err(other) => return Err(other.into()),
        }
    }
    if !served.is_empty() {
        findings.push(Finding::ok("kinds", format!("the cluster serves {}", served.join(", "))));
    }
    Ok((findings, resources))
}

async fn unknown(cluster: &Cluster, kind: &Kind, hint: String) -> Result<Finding, EngineError> {
    let Kind { api_version, kind } = kind;
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    let versions = if group.is_empty() { None } else { cluster.versions_of(group).await? };
    Ok(match versions.filter(|v| !v.iter().any(|v| api_version.ends_with(&format!("/{v}")))) {
        Some(versions) => Finding::error(
            "kinds",
            format!("the cluster serves {group} as {}, not as {api_version}", versions.join(", ")),
            format!("use a stage for that version, or {hint}"),
        ),
        None => Finding::error("kinds", format!("the cluster does not know {kind} ({api_version})"), hint),
    })
}

/// Whether the Kueue queues that manifests name are there.
pub(crate) async fn queues(
    cluster: &Cluster,
    planned: &[&PlannedStage],
) -> Result<Vec<Finding>, EngineError> {
    let queues: BTreeSet<&str> =
        planned.iter().flat_map(|stage| &stage.plan.manifests).filter_map(queue_of).collect();
    let mut findings = Vec::new();
    for queue in queues {
        findings.push(match cluster.local_queue(queue).await {
            Err(ClusterError::UnknownKind { hint, .. }) => Finding::error(
                "queue",
                format!("the queue {queue} is named, and the cluster has no Kueue"),
                hint,
            ),
            answer => match looked("queue", &format!("the LocalQueue {queue}"), answer)? {
                Ok(Some(_)) => Finding::ok("queue", format!("the LocalQueue {queue} is there")),
                Ok(None) => Finding::error(
                    "queue",
                    format!("there is no LocalQueue {queue} in namespace {}", cluster.namespace()),
                    "`kubectl get localqueue` shows which there are",
                ),
                Err(skipped) => skipped,
            },
        });
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::*;

    #[test]
    fn only_servers_that_are_known_to_be_too_old_are_refused() {
        for (text, severity) in [
            ("v1.34.0", Severity::Ok),
            ("v1.27.3-gke.100", Severity::Ok),
            ("v1.26.9", Severity::Error),
            ("unknown", Severity::Ok),
        ] {
            assert_eq!(version(text).severity, severity, "{text}");
        }
    }
}
