//! Whether the namespace's ResourceQuotas and LimitRanges let the rendered objects in.

use super::finding::Finding;
use super::scopes::{self, Counts, Default};
use super::workload::{self, Pods, Side, shown};
use super::{looked, name_of, ranges};
use crate::error::EngineError;
use crate::planning::PlannedStage;
use ilab_cluster::{Cluster, ClusterError};
use ilab_core::contract::{Kind, ObjectRef};
use ilab_core::quantity::milli;
use serde_json::Value;
use std::collections::BTreeMap;

pub(super) const CHECK: &str = "quota";

/// A claim that the run would make: its size in thousandths of a byte and its class.
#[derive(Debug, Clone)]
pub(crate) struct NewClaim {
    pub(crate) name: String,
    pub(crate) size: u128,
    pub(crate) class: Option<String>,
}

/// Everything that the run would create.
pub(crate) struct New<'a> {
    pub(crate) planned: &'a [&'a PlannedStage],
    pub(crate) pods: &'a [Pods],
    pub(crate) claims: &'a [NewClaim],
    /// Objects of credentials.
    pub(crate) bound: &'a [Value],
    /// Whether its record and its Lease are still to be made.
    pub(crate) begins: bool,
}

/// Looks at quotas and limit ranges.
pub(crate) async fn check(cluster: &Cluster, new: &New<'_>) -> Result<Vec<Finding>, EngineError> {
    let (quotas, limits) =
        futures::join!(cluster.list_here("v1", "resourcequotas"), cluster.list_here("v1", "limitranges"));
    let mut findings = Vec::new();
    let limits = match looked(CHECK, "the namespace's LimitRanges", limits)? {
        Ok(limits) => limits.unwrap_or_default(),
        Err(skipped) => {
            findings.push(skipped);
            Vec::new()
        }
    };
    let pods = ranges::filled(&limits, new.pods);
    match looked(CHECK, "the namespace's ResourceQuotas", quotas)? {
        Ok(quotas) => {
            let quotas = quotas.unwrap_or_default();
            let wants = Wants {
                pods: &pods,
                claims: new.claims,
                objects: objects(cluster, &quotas, new).await?,
                uncounted: workload::uncounted(new.planned),
                default: default_class(cluster, &quotas).await?,
            };
            findings.extend(quotas.iter().flat_map(|quota| wants.judge(quota)));
        }
        Err(skipped) => findings.push(skipped),
    }
    findings.extend(ranges::judge(&limits, &pods, new.claims));
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "nothing in the namespace limits the run"));
    }
    Ok(findings)
}

pub(super) fn amount(value: Option<&Value>) -> Option<u128> {
    value.and_then(Value::as_str).and_then(|text| milli(text).ok())
}

/// How many objects of each resource, such as `jobs.batch`, the run would create and keep. Looked up only where a quota counts.
async fn objects(
    cluster: &Cluster,
    quotas: &[Value],
    new: &New<'_>,
) -> Result<BTreeMap<String, u64>, EngineError> {
    let mut count = BTreeMap::new();
    if quotas.is_empty() {
        return Ok(count);
    }
    let mut add = |resource: String, more: u64| *count.entry(resource).or_insert(0) += more;
    let manifests = new.planned.iter().flat_map(|stage| &stage.plan.manifests).chain(new.bound);
    for object in manifests.filter_map(ObjectRef::of) {
        let kind = Kind { api_version: object.api_version, kind: object.kind };
        match cluster.resource_of(&kind).await {
            Ok(resource) => add(qualified(&kind, &resource), 1),
            // That is told among the kinds.
            Err(ClusterError::UnknownKind { .. }) => {}
            Err(other) => return Err(other.into()),
        }
    }
    if new.begins {
        add("configmaps".to_owned(), 1);
        add("leases.coordination.k8s.io".to_owned(), 1);
    }
    // The training operator makes one a rank.
    let ranks = new.pods.iter().filter(|p| p.object.starts_with("PyTorchJob/")).map(|p| p.count);
    add("services".to_owned(), ranks.sum());
    Ok(count)
}

/// `jobs.batch`, `configmaps`: as quotas name what they count.
fn qualified(kind: &Kind, resource: &str) -> String {
    match kind.api_version.split_once('/') {
        Some((group, _)) => format!("{resource}.{group}"),
        None => resource.to_owned(),
    }
}

/// The class of pods that name none, where a quota asks for it.
async fn default_class(cluster: &Cluster, quotas: &[Value]) -> Result<Default, EngineError> {
    if !quotas.iter().any(scopes::asks_priority) {
        return Ok(Default::Hidden);
    }
    let answer = cluster.list_global("scheduling.k8s.io/v1", "priorityclasses").await;
    Ok(match looked(CHECK, "the PriorityClasses", answer)? {
        Ok(classes) => {
            let classes = classes.unwrap_or_default();
            let is_default =
                |class: &&Value| class.get("globalDefault").and_then(Value::as_bool) == Some(true);
            Default::Known(classes.iter().find(is_default).map(|class| name_of(class).to_owned()))
        }
        Err(_) => Default::Hidden,
    })
}

/// `requests.cpu`, `cpu` (the same), `limits.memory`, `requests.nvidia.com/gpu`.
fn side_of(resource: &str) -> Option<(Side, &str)> {
    match resource.split_once('.') {
        Some(("requests", "storage")) => None,
        Some(("requests", name)) => Some((Side::Requests, name)),
        Some(("limits", name)) => Some((Side::Limits, name)),
        _ if matches!(resource, "cpu" | "memory" | "ephemeral-storage")
            || resource.starts_with("hugepages-") =>
        {
            Some((Side::Requests, resource))
        }
        _ => None,
    }
}

/// What the run wants, as quotas count.
struct Wants<'a> {
    pods: &'a [Pods],
    claims: &'a [NewClaim],
    objects: BTreeMap<String, u64>,
    /// Objects that make nobody knows how many pods.
    uncounted: Vec<String>,
    default: Default,
}

/// How much, and whether it stays when the stages are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Amount {
    milli: u128,
    stays: bool,
}

impl Wants<'_> {
    fn judge(&self, quota: &Value) -> Vec<Finding> {
        let (mut counted, mut findings) = (Vec::new(), Vec::new());
        let name = name_of(quota);
        let hard = quota.pointer("/spec/hard").and_then(Value::as_object);
        let of_pods = |resource: &str| is_pods(resource) || side_of(resource).is_some();
        if hard.into_iter().flatten().any(|(resource, _)| of_pods(resource)) {
            let mut untold: Vec<(&str, String)> = self
                .uncounted
                .iter()
                .map(|object| (object.as_str(), "what pods it makes is not known here".to_owned()))
                .collect();
            for p in self.pods {
                match scopes::counts_pods(quota, p, &self.default) {
                    Counts::Yes => counted.push(p),
                    Counts::No => {}
                    Counts::Unknown(why) => untold.push((&p.object, why)),
                }
            }
            untold.dedup();
            findings.extend(untold.into_iter().map(|(object, why)| {
                Finding::skipped(
                    CHECK,
                    format!(
                        "cannot tell whether ResourceQuota {name} has room for the pods of {object}: {why}"
                    ),
                )
            }));
        }
        for (resource, most) in hard.into_iter().flatten() {
            let Some(most) = amount(Some(most)) else { continue };
            let used = amount(quota.pointer("/status/used").and_then(|u| u.get(resource))).unwrap_or(0);
            findings.extend(unsaid(name, resource, &counted));
            let Some(wants) = self.wanted(quota, &counted, resource).filter(|wants| wants.milli > 0) else {
                continue;
            };
            let told = format!(
                "ResourceQuota {name} allows {} {resource}, of which {} are used; the run wants {}",
                shown(most),
                shown(used),
                shown(wants.milli)
            );
            findings.push(if wants.milli > most {
                Finding::error(CHECK, told, "ask for less, or have the quota raised")
            } else if used.saturating_add(wants.milli) > most {
                Finding::warning(
                    CHECK,
                    told,
                    if wants.stays {
                        "delete what is not needed any more (`ilab-host runs list`), or have the quota raised"
                    } else {
                        "free some of it, or its pods wait until --pending-timeout is over"
                    },
                )
            } else {
                Finding::ok(CHECK, told)
            });
        }
        findings
    }

    /// What the run wants of a thing that a quota counts, at the least.
    fn wanted(&self, quota: &Value, pods: &[&Pods], resource: &str) -> Option<Amount> {
        if resource == "count/pods" {
            // Those that have ended count too.
            let staying = pods.iter().filter(|p| p.stay).map(|p| u128::from(p.count) * 1000).sum::<u128>();
            let passing = most_of_a_stage(pods.iter().filter(|p| !p.stay), |_| 1000);
            return Some(Amount { milli: staying + passing, stays: true });
        }
        if resource == "pods" {
            return Some(Amount { milli: most_of_a_stage(pods.iter(), |_| 1000), stays: false });
        }
        if let Some((side, name)) = side_of(resource) {
            let milli = most_of_a_stage(pods.iter(), |p| p.each(side, name));
            return Some(Amount { milli, stays: false });
        }
        if let Some(milli) = self.of_claims(resource) {
            return scopes::counts_claims(quota).then_some(Amount { milli, stays: true });
        }
        if scopes::scoped(quota) {
            return None;
        }
        // Some have a name of their own from times before `count/`.
        let object = match resource.strip_prefix("count/") {
            Some(object) => object,
            None if matches!(resource, "configmaps" | "secrets" | "services") => resource,
            None => return None,
        };
        let count = self.objects.get(object)?;
        Some(Amount { milli: u128::from(*count) * 1000, stays: true })
    }

    fn of_claims(&self, resource: &str) -> Option<u128> {
        let (class, what) = match resource.split_once(".storageclass.storage.k8s.io/") {
            Some((class, what)) => (Some(class), what),
            None => (None, resource.strip_prefix("count/").unwrap_or(resource)),
        };
        let of = self.claims.iter().filter(|c| class.is_none() || c.class.as_deref() == class);
        match what {
            "requests.storage" => Some(of.map(|c| c.size).sum()),
            "persistentvolumeclaims" => Some(of.count() as u128 * 1000),
            _ => None,
        }
    }
}

fn is_pods(resource: &str) -> bool {
    matches!(resource, "pods" | "count/pods")
}

/// The most that any one stage has at once: stages may run after one another.
fn most_of_a_stage<'a>(pods: impl Iterator<Item = &'a &'a Pods>, each: impl Fn(&Pods) -> u128) -> u128 {
    let mut by_stage: BTreeMap<&str, u128> = BTreeMap::new();
    for p in pods {
        *by_stage.entry(p.stage.as_str()).or_default() += u128::from(p.count) * each(p);
    }
    by_stage.into_values().max().unwrap_or(0)
}

/// A quota on CPU or memory refuses pods that do not say what they ask for, unless a LimitRange says it for them.
fn unsaid(quota: &str, resource: &str, pods: &[&Pods]) -> Option<Finding> {
    let (side, name) = side_of(resource).filter(|(_, name)| matches!(*name, "cpu" | "memory"))?;
    let silent = pods.iter().find(|p| !p.says(side, name))?;
    Some(Finding::error(
        CHECK,
        format!(
            "ResourceQuota {quota} counts {resource}, and {} of stage {} does not say its {} of {name}",
            silent.object,
            silent.stage,
            side.word()
        ),
        format!("set {name} for the stage {} (--set), or have a LimitRange with defaults", silent.stage),
    ))
}

#[cfg(test)]
#[path = "quota_tests.rs"]
mod tests;
