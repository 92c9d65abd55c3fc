//! Whether the run's claims can be made and used: classes, access modes, claims that are there already.

use super::finding::Finding;
use super::quota::NewClaim;
use super::workload::Pods;
use super::{looked, name_of};
use crate::bindings;
use crate::error::EngineError;
use crate::planning::claim_name;
use crate::request::RunRequest;
use ilab_cluster::{Cluster, ClusterError, Owner};
use ilab_core::contract::ObjectRef;
use ilab_core::quantity;
use serde_json::Value;
use std::collections::BTreeMap;

const CHECK: &str = "storage";
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
/// Provisioners of block devices and node-local folders: what they make can be mounted on one node at a time.
const ONE_NODE: &[&str] = &[
    "cinder.csi.openstack.org",
    "disk.csi.azure.com",
    "ebs.csi.aws.com",
    "kubernetes.io/aws-ebs",
    "kubernetes.io/azure-disk",
    "kubernetes.io/gce-pd",
    "kubernetes.io/vsphere-volume",
    "openshift-storage.rbd.csi.ceph.com",
    "pd.csi.storage.gke.io",
    "rancher.io/local-path",
    "rbd.csi.ceph.com",
    "topolvm.io",
];

/// What was found, and the claims that the run would make.
pub(crate) async fn check(
    cluster: &Cluster,
    request: &RunRequest,
    owner: Option<Owner>,
    pods: &[Pods],
) -> Result<(Vec<Finding>, Vec<NewClaim>), EngineError> {
    let mut findings = Vec::new();
    let mut new = Vec::new();
    for (volume, size) in bindings::volumes(request, true)? {
        let name = claim_name(&request.run, &request.claims.existing, &volume);
        let object = bindings::object("PersistentVolumeClaim", &name);
        let given = request.claims.existing.contains_key(&volume);
        let found = match looked(CHECK, &format!("the claim {name}"), cluster.get(&object).await)? {
            Ok(found) => found,
            Err(skipped) => {
                findings.push(skipped);
                continue;
            }
        };
        match found {
            Some(claim) if given => findings.push(judge_claim(&name, &claim, &size, pods)),
            Some(claim) => findings.push(match mine(cluster, request, owner.as_ref(), &object).await? {
                Some(foreign) => foreign,
                None => judge_claim(&name, &claim, &size, pods),
            }),
            None if given => findings.push(missing(request, &volume, &name)),
            None => {
                let size = quantity::milli(&size).unwrap_or(0);
                new.push(NewClaim { name, size, class: request.claims.storage_class.clone() });
            }
        }
    }
    if !new.is_empty() {
        findings.push(class(cluster, request, &mut new).await?);
        findings.extend(judge_modes(&request.claims.access_modes, pods));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "no stage keeps anything"));
    }
    Ok((findings, new))
}

/// Only whether the claims are there that were named: without them no pod starts.
pub(crate) async fn given(cluster: &Cluster, request: &RunRequest) -> Result<Vec<Finding>, EngineError> {
    let mut findings = Vec::new();
    for volume in bindings::volumes(request, true)?.into_keys() {
        let Some(claim) = request.claims.existing.get(&volume) else { continue };
        if cluster.get(&bindings::object("PersistentVolumeClaim", claim)).await?.is_none() {
            findings.push(missing(request, &volume, claim));
        }
    }
    Ok(findings)
}

fn missing(request: &RunRequest, volume: &str, claim: &str) -> Finding {
    Finding::error(
        CHECK,
        format!("there is no claim {claim} in namespace {} for the volume {volume}", request.namespace),
        format!("create the claim {claim}, or let the host make one"),
    )
}

/// What is wrong with a claim of the name that the run's own would have.
async fn mine(
    cluster: &Cluster,
    request: &RunRequest,
    owner: Option<&Owner>,
    object: &ObjectRef,
) -> Result<Option<Finding>, EngineError> {
    let kept = request.claims.keep;
    let options = bindings::shared(request, owner.filter(|_| !kept).cloned());
    let why = match cluster.adopt(object, &options).await {
        Ok(_) if owner.is_some() || kept => return Ok(None),
        Ok(_) => "belongs to an earlier run of the same name, whose record is gone".to_owned(),
        Err(ClusterError::Foreign { why, .. }) => why,
        Err(other) => return Err(other.into()),
    };
    Ok(Some(Finding::error(
        CHECK,
        format!("the claim {} exists already and {why}", object.name),
        format!(
            "use it with --claim VOLUME={}, choose another run name with --run, or delete it",
            object.name
        ),
    )))
}

/// Whether there is a class that makes the claims. Notes the class in them.
async fn class(
    cluster: &Cluster,
    request: &RunRequest,
    new: &mut [NewClaim],
) -> Result<Finding, EngineError> {
    let found = match request.claims.storage_class.as_deref() {
        Some("") => {
            let claims: Vec<_> = new.iter().map(|c| c.name.as_str()).collect();
            return Ok(Finding::ok(
                CHECK,
                format!("{} will wait for volumes without a class", claims.join(", ")),
            ));
        }
        Some(name) => {
            let answer = cluster.get_global("storage.k8s.io/v1", "storageclasses", name).await;
            match looked(CHECK, &format!("the StorageClass {name}"), answer)? {
                Ok(Some(class)) => class,
                Ok(None) => {
                    return Ok(Finding::error(
                        CHECK,
                        format!("the cluster has no StorageClass {name}"),
                        "`kubectl get storageclass` shows which there are; name one with --storage-class",
                    ));
                }
                Err(skipped) => return Ok(skipped),
            }
        }
        None => {
            let answer = cluster.list_global("storage.k8s.io/v1", "storageclasses").await;
            let classes = match looked(CHECK, "the StorageClasses", answer)? {
                Ok(classes) => classes.unwrap_or_default(),
                Err(skipped) => return Ok(skipped),
            };
            match default_of(&classes) {
                Some(class) => class.clone(),
                None => {
                    let names: Vec<_> = classes.iter().map(name_of).collect();
                    return Ok(Finding::error(
                        CHECK,
                        "the cluster has no default StorageClass, so claims would wait for ever",
                        if names.is_empty() {
                            "install one, or use an existing claim with --claim VOLUME=CLAIM".to_owned()
                        } else {
                            format!("name one with --storage-class: {}", names.join(", "))
                        },
                    ));
                }
            }
        }
    };
    let name = name_of(&found).to_owned();
    for claim in new {
        claim.class = Some(name.clone());
    }
    Ok(judge_class(&name, &found, &request.claims.access_modes))
}

/// The default class; the newest where several say so, as the API server takes it.
fn default_of(classes: &[Value]) -> Option<&Value> {
    let is_default = |class: &&Value| {
        let annotations = class.pointer("/metadata/annotations");
        annotations.and_then(|a| a.get(DEFAULT_CLASS)).and_then(Value::as_str) == Some("true")
    };
    let made = |class: &&Value| {
        class.pointer("/metadata/creationTimestamp").and_then(Value::as_str).unwrap_or("").to_owned()
    };
    classes.iter().filter(is_default).max_by_key(made)
}

fn judge_class(name: &str, class: &Value, modes: &[String]) -> Finding {
    let provisioner = class.get("provisioner").and_then(Value::as_str).unwrap_or("");
    if modes.iter().any(|m| m == "ReadWriteMany") && ONE_NODE.contains(&provisioner) {
        return Finding::error(
            CHECK,
            format!(
                "the StorageClass {name} ({provisioner}) makes volumes for one node at a time, and the run asks for ReadWriteMany"
            ),
            "name a class for shared file systems with --storage-class, or --access-mode ReadWriteOnce when all pods fit on one node",
        );
    }
    Finding::ok(CHECK, format!("the StorageClass {name} makes the claims"))
}

/// Stages that have several pods on a volume that only one node or one pod may use.
fn judge_modes(modes: &[String], pods: &[Pods]) -> Vec<Finding> {
    let has = |mode: &str| modes.iter().any(|m| m == mode);
    let crowded = crowded(pods);
    if has("ReadWriteMany") || crowded.is_empty() {
        return Vec::new();
    }
    let told: Vec<_> = crowded.iter().map(|(stage, count)| format!("{stage} has {count} pods")).collect();
    let told = told.join(", ");
    let hint = "use --access-mode ReadWriteMany with a class that can do it, or give the stage fewer pods";
    vec![if has("ReadWriteOncePod") {
        Finding::error(CHECK, format!("a claim that is ReadWriteOncePod takes one pod, and {told}"), hint)
    } else {
        Finding::warning(
            CHECK,
            format!("a claim that is ReadWriteOnce ties its pods to one node, and {told}"),
            hint,
        )
    }]
}

/// Stages with more than one pod on claims.
fn crowded(pods: &[Pods]) -> BTreeMap<&str, u64> {
    let mut counts = BTreeMap::new();
    let mounts = |p: &&Pods| {
        let volumes = p.spec.get("volumes").and_then(Value::as_array);
        volumes.into_iter().flatten().any(|v| v.get("persistentVolumeClaim").is_some())
    };
    for p in pods.iter().filter(mounts) {
        *counts.entry(p.stage.as_str()).or_insert(0) += p.count;
    }
    counts.retain(|_, count| *count > 1);
    counts
}

/// A claim that is there.
fn judge_claim(name: &str, claim: &Value, size: &str, pods: &[Pods]) -> Finding {
    let text = |pointer: &str| claim.pointer(pointer).and_then(Value::as_str).unwrap_or("");
    let phase = text("/status/phase");
    let modes: Vec<String> = claim
        .pointer("/spec/accessModes")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|m| m.as_str().map(ToOwned::to_owned))
        .collect();
    if claim.pointer("/metadata/deletionTimestamp").is_some() || phase == "Lost" {
        let state = if phase == "Lost" { "has lost its volume" } else { "is being deleted" };
        return Finding::error(CHECK, format!("the claim {name} {state}"), "use another claim");
    }
    let capacity = text("/status/capacity/storage");
    let asked = quantity::milli(size).unwrap_or(0);
    if quantity::milli(capacity).is_ok_and(|has| has > 0 && has < asked) {
        return Finding::warning(
            CHECK,
            format!("the claim {name} has {capacity}, and the stages ask for {size}"),
            "have it enlarged, or say what is enough with --claim-size",
        );
    }
    if let Some(finding) = judge_modes(&modes, pods).pop() {
        let what = format!("{}: {}", name, finding.what);
        return Finding { what, ..finding };
    }
    let state = if phase.is_empty() { "is there" } else { phase };
    Finding::ok(CHECK, format!("the claim {name}: {state}, {}", modes.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::super::workload::tests::pods;
    use super::*;
    use serde_json::json;

    fn on_claim(count: u64) -> Vec<Pods> {
        vec![pods(count, json!({"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "c"}}]}))]
    }

    #[test]
    fn access_modes_are_judged_by_the_pods_of_a_stage() {
        let worst = |mode: &str, count| {
            judge_modes(&[mode.to_owned()], &on_claim(count)).first().map_or(Severity::Ok, |f| f.severity)
        };
        assert_eq!(worst("ReadWriteMany", 3), Severity::Ok);
        assert_eq!(worst("ReadWriteOnce", 1), Severity::Ok);
        assert_eq!(worst("ReadWriteOnce", 3), Severity::Warning);
        assert_eq!(worst("ReadWriteOncePod", 3), Severity::Error);
        assert!(
            judge_modes(&["ReadWriteOnce".into()], &[pods(3, json!({}))]).is_empty(),
            "no claim, no matter"
        );
    }

    #[test]
    fn claims_that_are_there_are_judged_by_state_size_and_mode() {
        let claim = |phase: &str, capacity: &str, mode: &str| json!({"metadata": {}, "spec": {"accessModes": [mode]}, "status": {"phase": phase, "capacity": {"storage": capacity}}});
        let severity = |claim: Value| judge_claim("c", &claim, "10Gi", &on_claim(3)).severity;
        assert_eq!(severity(claim("Bound", "10Gi", "ReadWriteMany")), Severity::Ok);
        assert_eq!(severity(claim("Bound", "9Gi", "ReadWriteMany")), Severity::Warning);
        assert_eq!(severity(claim("Bound", "10Gi", "ReadWriteOnce")), Severity::Warning);
        assert_eq!(severity(claim("Lost", "10Gi", "ReadWriteMany")), Severity::Error);
        let mut going = claim("Bound", "10Gi", "ReadWriteMany");
        going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        assert_eq!(severity(going), Severity::Error);
    }

    #[test]
    fn a_class_of_block_devices_cannot_be_shared() {
        let class = json!({"provisioner": "ebs.csi.aws.com"});
        assert_eq!(judge_class("gp3", &class, &["ReadWriteMany".into()]).severity, Severity::Error);
        assert_eq!(judge_class("gp3", &class, &["ReadWriteOnce".into()]).severity, Severity::Ok);
    }

    #[test]
    fn of_several_default_classes_the_newest_counts() {
        let class = |name: &str, default: &str, made: &str| json!({"metadata": {"name": name, "creationTimestamp": made, "annotations": {DEFAULT_CLASS: default}}});
        let classes = [
            class("a", "true", "2026-01-01T00:00:00Z"),
            class("b", "true", "2026-02-01T00:00:00Z"),
            class("c", "false", "2026-03-01T00:00:00Z"),
        ];
        assert_eq!(name_of(default_of(&classes).unwrap()), "b");
        assert!(default_of(&classes[2..]).is_none());
    }
}
