//! Whether the namespace's ResourceQuotas and LimitRanges let the rendered objects in.

use super::finding::Finding;
use super::workload::{Pods, Side, of_container, shown};
use super::{looked, name_of};
use crate::error::EngineError;
use ilab_cluster::Cluster;
use ilab_core::quantity::milli;
use serde_json::Value;
use std::collections::BTreeMap;

const CHECK: &str = "quota";

/// A claim that the run would make: its size in thousandths of a byte and its class.
#[derive(Debug, Clone)]
pub(crate) struct NewClaim {
    pub(crate) name: String,
    pub(crate) size: u128,
    pub(crate) class: Option<String>,
}

/// Looks at quotas and limit ranges.
pub(crate) async fn check(
    cluster: &Cluster,
    pods: &[Pods],
    claims: &[NewClaim],
) -> Result<Vec<Finding>, EngineError> {
    let (quotas, ranges) =
        futures::join!(cluster.list_here("v1", "resourcequotas"), cluster.list_here("v1", "limitranges"));
    let mut findings = Vec::new();
    let ranges = match looked(CHECK, "the namespace's LimitRanges", ranges)? {
        Ok(ranges) => ranges.unwrap_or_default(),
        Err(skipped) => {
            findings.push(skipped);
            Vec::new()
        }
    };
    match looked(CHECK, "the namespace's ResourceQuotas", quotas)? {
        Ok(quotas) => findings.extend(judge_quotas(&quotas.unwrap_or_default(), &ranges, pods, claims)),
        Err(skipped) => findings.push(skipped),
    }
    findings.extend(judge_ranges(&ranges, pods, claims));
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "nothing in the namespace limits the run"));
    }
    Ok(findings)
}

fn amount(value: Option<&Value>) -> Option<u128> {
    value.and_then(Value::as_str).and_then(|text| milli(text).ok())
}

/// What the run wants of each thing that a quota can count, most of any one stage: stages may run after one another.
fn wanted(pods: &[Pods], claims: &[NewClaim], resource: &str) -> Option<u128> {
    let size = |claims: &mut dyn Iterator<Item = &NewClaim>| claims.map(|c| c.size).sum::<u128>();
    match resource {
        "persistentvolumeclaims" | "count/persistentvolumeclaims" => {
            return Some(claims.len() as u128 * 1000);
        }
        "requests.storage" => return Some(size(&mut claims.iter())),
        _ => {}
    }
    if let Some((class, what)) = resource.split_once(".storageclass.storage.k8s.io/") {
        let mut of = claims.iter().filter(|c| c.class.as_deref() == Some(class));
        return match what {
            "requests.storage" => Some(size(&mut of)),
            "persistentvolumeclaims" => Some(of.count() as u128 * 1000),
            _ => None,
        };
    }
    let counted = matches!(resource, "pods" | "count/pods");
    let side = side_of(resource);
    if !counted && side.is_none() {
        return None;
    }
    let mut by_stage: BTreeMap<&str, u128> = BTreeMap::new();
    for p in pods {
        let each = side.map_or(1000, |(side, name)| p.each(side, name));
        *by_stage.entry(p.stage.as_str()).or_default() += u128::from(p.count) * each;
    }
    Some(by_stage.into_values().max().unwrap_or(0))
}

/// `requests.cpu`, `cpu` (the same), `limits.memory`, `requests.nvidia.com/gpu`.
fn side_of(resource: &str) -> Option<(Side, &str)> {
    match resource.split_once('.') {
        Some(("requests", name)) => Some((Side::Requests, name)),
        Some(("limits", name)) => Some((Side::Limits, name)),
        _ if matches!(resource, "cpu" | "memory") => Some((Side::Requests, resource)),
        _ => None,
    }
}

fn judge_quotas(quotas: &[Value], ranges: &[Value], pods: &[Pods], claims: &[NewClaim]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for quota in quotas {
        let spec = |key: &str| quota.pointer(&format!("/spec/{key}"));
        // One that counts only some pods may not count these.
        if spec("scopes").is_some_and(|s| !s.is_null()) || spec("scopeSelector").is_some_and(|s| !s.is_null())
        {
            continue;
        }
        let name = name_of(quota);
        let hard = spec("hard").and_then(Value::as_object);
        for (resource, most) in hard.into_iter().flatten() {
            let Some(most) = amount(Some(most)) else { continue };
            let used = amount(quota.pointer("/status/used").and_then(|u| u.get(resource))).unwrap_or(0);
            findings.extend(unsaid(name, resource, ranges, pods));
            let Some(wants) = wanted(pods, claims, resource).filter(|wants| *wants > 0) else { continue };
            let told = format!(
                "ResourceQuota {name} allows {} {resource}, of which {} are used; the run wants {}",
                shown(most),
                shown(used),
                shown(wants)
            );
            findings.push(if wants > most {
                Finding::error(CHECK, told, "ask for less, or have the quota raised")
            } else if used.saturating_add(wants) > most {
                Finding::warning(
                    CHECK,
                    told,
                    "free some of it, or its pods wait until --pending-timeout is over",
                )
            } else {
                Finding::ok(CHECK, told)
            });
        }
    }
    findings
}

/// A quota on CPU or memory refuses pods that do not say what they ask for, unless a LimitRange says it for them.
fn unsaid(quota: &str, resource: &str, ranges: &[Value], pods: &[Pods]) -> Option<Finding> {
    let (side, name) = side_of(resource).filter(|(_, name)| matches!(*name, "cpu" | "memory"))?;
    let silent = pods.iter().find(|p| !p.says(side, name))?;
    let keys: &[&str] = match side {
        Side::Limits => &["default"],
        Side::Requests => &["defaultRequest", "default"],
    };
    let filled = ranges.iter().flat_map(limits).any(|limit| {
        limit.get("type").and_then(Value::as_str) == Some("Container")
            && keys.iter().any(|key| limit.get(*key).is_some_and(|d| d.get(name).is_some()))
    });
    (!filled).then(|| {
        Finding::error(
            CHECK,
            format!(
                "ResourceQuota {quota} counts {resource}, and {} of stage {} does not say its {} of {name}",
                silent.object,
                silent.stage,
                side.word()
            ),
            format!("set {name} for the stage {} (--set), or have a LimitRange with defaults", silent.stage),
        )
    })
}

fn limits(range: &Value) -> impl Iterator<Item = &Value> {
    range.pointer("/spec/limits").and_then(Value::as_array).into_iter().flatten()
}

fn judge_ranges(ranges: &[Value], pods: &[Pods], claims: &[NewClaim]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for range in ranges {
        let name = name_of(range);
        for limit in limits(range) {
            let kind = limit.get("type").and_then(Value::as_str).unwrap_or("");
            for (bound, resource, value) in bounds(limit) {
                let too_much = |asked: u128| if bound == "max" { asked > value } else { asked < value };
                let told = |who: &str, asked: u128| {
                    Finding::error(
                        CHECK,
                        format!(
                            "{who} asks for {} {resource}; LimitRange {name} allows {} at {bound}",
                            shown(asked),
                            shown(value)
                        ),
                        "ask for what the LimitRange allows, or have it changed",
                    )
                };
                let side = if bound == "max" { Side::Limits } else { Side::Requests };
                match kind {
                    "PersistentVolumeClaim" if resource == "storage" => {
                        let wrong = claims.iter().filter(|c| too_much(c.size));
                        findings.extend(wrong.map(|c| told(&format!("the claim {}", c.name), c.size)));
                    }
                    "Pod" => {
                        let asked = pods.iter().map(|p| (p, p.each(side, resource)));
                        let wrong = asked.filter(|(_, asked)| *asked > 0 && too_much(*asked));
                        findings
                            .extend(wrong.map(|(p, asked)| told(&format!("a pod of {}", p.object), asked)));
                    }
                    "Container" => {
                        for p in pods {
                            let asked = p.containers().filter_map(|c| of_container(c, side, resource));
                            let wrong = asked.filter(|asked| too_much(*asked));
                            findings.extend(
                                wrong.map(|asked| told(&format!("a container of {}", p.object), asked)),
                            );
                        }
                    }
                    _ => {}
                }
            }
        }
    }
    findings.dedup();
    findings
}

fn bounds(limit: &Value) -> Vec<(&'static str, &str, u128)> {
    ["max", "min"]
        .into_iter()
        .flat_map(|bound| {
            let values = limit.get(bound).and_then(Value::as_object).into_iter().flatten();
            values.filter_map(move |(resource, value)| Some((bound, resource.as_str(), amount(Some(value))?)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::super::workload::tests::pods;
    use super::*;
    use serde_json::json;

    fn quota(hard: Value, used: Value) -> Value {
        json!({"metadata": {"name": "q"}, "spec": {"hard": hard}, "status": {"used": used}})
    }

    fn three_pods() -> Vec<Pods> {
        vec![pods(
            3,
            json!({"containers": [{"resources": {"requests": {"cpu": "2"}, "limits": {"nvidia.com/gpu": "4"}}}]}),
        )]
    }

    fn worst(quota: Value, ranges: &[Value]) -> Option<Severity> {
        judge_quotas(&[quota], ranges, &three_pods(), &[]).into_iter().map(|f| f.severity).max()
    }

    #[test]
    fn quotas_that_can_never_hold_it_are_errors_and_full_ones_warnings() {
        let gpus = |hard: &str, used: &str| {
            quota(json!({"requests.nvidia.com/gpu": hard}), json!({"requests.nvidia.com/gpu": used}))
        };
        assert_eq!(worst(gpus("12", "0"), &[]), Some(Severity::Ok));
        assert_eq!(worst(gpus("12", "1"), &[]), Some(Severity::Warning));
        assert_eq!(worst(gpus("11", "0"), &[]), Some(Severity::Error));
        assert_eq!(worst(quota(json!({"pods": "2"}), json!({})), &[]), Some(Severity::Error));
        assert_eq!(worst(quota(json!({"requests.cpu": "5999m"}), json!({})), &[]), Some(Severity::Error));
        assert_eq!(worst(quota(json!({"requests.cpu": "6"}), json!({})), &[]), Some(Severity::Ok));
        assert_eq!(worst(quota(json!({"services": "1"}), json!({})), &[]), None);
        let mut scoped = gpus("1", "0");
        scoped["spec"]["scopes"] = json!(["BestEffort"]);
        assert_eq!(worst(scoped, &[]), None);
    }

    #[test]
    fn a_quota_on_what_a_pod_does_not_say_is_an_error_unless_a_limit_range_says_it() {
        let memory = || quota(json!({"limits.memory": "1Ti"}), json!({}));
        assert_eq!(worst(memory(), &[]), Some(Severity::Error));
        let range = json!({"spec": {"limits": [{"type": "Container", "default": {"memory": "1Gi"}}]}});
        assert_eq!(worst(memory(), &[range]), None);
    }

    #[test]
    fn limit_ranges_bound_containers_pods_and_claims() {
        let range = |limit: Value| json!({"metadata": {"name": "r"}, "spec": {"limits": [limit]}});
        let claim = NewClaim { name: "c".into(), size: 1000 << 30, class: None };
        let found =
            |limit: Value| judge_ranges(&[range(limit)], &three_pods(), std::slice::from_ref(&claim)).len();
        assert_eq!(found(json!({"type": "Container", "max": {"nvidia.com/gpu": "2"}})), 1);
        assert_eq!(found(json!({"type": "Container", "max": {"nvidia.com/gpu": "4"}})), 0);
        assert_eq!(found(json!({"type": "Pod", "min": {"cpu": "4"}})), 1);
        assert_eq!(found(json!({"type": "PersistentVolumeClaim", "max": {"storage": "512Mi"}})), 1);
        assert_eq!(
            found(
                json!({"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}, "min": {"storage": "1Gi"}})
            ),
            0
        );
    }

    #[test]
    fn claims_count_by_their_class() {
        let claims = [NewClaim { name: "c".into(), size: 1000, class: Some("nfs".into()) }];
        assert_eq!(wanted(&[], &claims, "nfs.storageclass.storage.k8s.io/requests.storage"), Some(1000));
        assert_eq!(wanted(&[], &claims, "fast.storageclass.storage.k8s.io/persistentvolumeclaims"), Some(0));
    }
}
