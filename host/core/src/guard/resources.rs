//! What a plan takes of the cluster: limits and requests summed over containers, times the number of pods.

use super::bounds::Limits;
use super::path::{Step, fields, is_set, render};
use super::pods::{CONTAINER_LISTS, is_complete_pod_spec};
use super::policy::{Grant, Refused, Violation};
use super::walk::{MAX_DEPTH, describe};
use crate::quantity::milli;
use crate::text::{escaped, quoted};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Fields that say how many pods are made of a template below them. The largest counts.
const COUNTS: [&str; 6] = ["replicas", "minReplicas", "maxReplicas", "parallelism", "numNodes", "numWorkers"];
/// What a container that says nothing may take without bound; of an extended resource it gets none.
const BURSTABLE: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
/// How pods are counted in limits.
pub(crate) const PODS: &str = "pods";
/// Kinds whose number of pods no field bounds.
const UNCOUNTED: [&str; 2] = ["DaemonSet", "CronJob"];
/// Text of a manifest in a message.
const SHOWN: usize = 80;

/// What some manifests take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Thousandths by resource name, and `pods`.
    pub takes: BTreeMap<String, u128>,
    /// Resources of which some container may take any amount, and where it could say otherwise.
    pub open: BTreeMap<String, String>,
    /// The pod spec that was counted last.
    last: String,
}

/// Adds up what manifests take.
///
/// A pod takes what Kubernetes reserves for it: its containers and sidecars together, or its greediest init container. A
/// template counts as often as `replicas`, `parallelism` and their like above it say, and an elastic job as at its largest.
///
/// # Errors
/// [`Violation`] for a number or a quantity that is none.
///
/// ```
/// let pod = serde_json::json!({"kind": "Job", "spec": {"parallelism": 3, "template": {"spec": {"containers": [
///     {"name": "a", "image": "b", "resources": {"limits": {"nvidia.com/gpu": 2}}}]}}}});
/// let totals = ilab_core::guard::totals([&pod])?;
/// assert_eq!((totals.takes["nvidia.com/gpu"], totals.takes["pods"]), (6000, 3000));
/// assert!(totals.open.contains_key("memory"));
/// # Ok::<(), ilab_core::guard::Violation>(())
/// ```
pub fn totals<'a>(manifests: impl IntoIterator<Item = &'a Value>) -> Result<Totals, Violation> {
    let mut totals = Totals::default();
    for manifest in manifests {
        totals.add(manifest)?;
    }
    Ok(totals)
}

impl Grant {
    /// Everything that the plan takes beyond the limits of the grant and of the ceiling.
    #[must_use]
    pub fn check_resources(&self, manifests: &[Value]) -> Vec<Refused> {
        let mut totals = Totals::default();
        let mut refused = Vec::new();
        let mut told = BTreeSet::new();
        if self.bounds.limits.is_empty() {
            return refused;
        }
        for manifest in manifests {
            let mut violations = Vec::new();
            match totals.add(manifest) {
                Err(violation) => violations.push(violation),
                Ok(()) => {
                    for limits in &self.bounds.limits {
                        violations.extend(totals.beyond(limits, &mut told));
                    }
                }
            }
            if !violations.is_empty() {
                let (stage, digest) = (self.stage.clone(), self.digest.clone());
                refused.push(Refused { stage, digest, object: describe(manifest), violations });
            }
        }
        refused
    }
}

impl Totals {
    fn add(&mut self, manifest: &Value) -> Result<(), Violation> {
        let mut path = Vec::new();
        let kind = manifest.get("kind").and_then(Value::as_str).unwrap_or("");
        if kind == "ConfigMap" {
            return Ok(());
        }
        self.visit(manifest, (1, 0), &mut path)?;
        if UNCOUNTED.contains(&kind) {
            self.open.insert(PODS.to_owned(), "spec".to_owned());
        }
        Ok(())
    }

    /// `(times, at_least)`: how often what is below counts, and to how many pods an elastic job may grow.
    fn visit<'a>(
        &mut self,
        value: &'a Value,
        (times, at_least): (u128, u128),
        path: &mut Vec<Step<'a>>,
    ) -> Result<(), Violation> {
        // The guard refuses what is deeper.
        if path.len() > MAX_DEPTH {
            return Ok(());
        }
        match value {
            Value::Object(map) => {
                if is_complete_pod_spec(map) {
                    self.pod(map, times, path)?;
                }
                let (count, at_least) = count(map, at_least, path)?;
                let times = times.saturating_mul(count);
                for (_, resources) in fields(map, "resourcesPerNode").filter(|(_, value)| is_set(value)) {
                    let each = amounts(resources, path)?;
                    self.take(&each, times);
                }
                for (key, value) in map {
                    path.push(Step::Key(key));
                    self.visit(value, (times, at_least), path)?;
                    path.pop();
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    path.push(Step::Index(index));
                    self.visit(item, (times, at_least), path)?;
                    path.pop();
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn pod(&mut self, spec: &Map<String, Value>, times: u128, path: &[Step<'_>]) -> Result<(), Violation> {
        self.last = render(path);
        let (mut steady, mut start, mut highest) = (Amounts::new(), Amounts::new(), Amounts::new());
        for list in CONTAINER_LISTS {
            for (_, containers) in fields(spec, list) {
                for container in containers.as_array().into_iter().flatten().filter_map(Value::as_object) {
                    let takes = self.container(container, path)?;
                    let sidecar = list == "initContainers"
                        && container.get("restartPolicy").is_some_and(|policy| policy == "Always");
                    if list != "initContainers" || sidecar {
                        add(&mut steady, &takes, 1);
                    }
                    if sidecar {
                        add(&mut start, &takes, 1);
                    } else if list == "initContainers" {
                        // Sidecars that began before it go on beside it.
                        let mut beside = start.clone();
                        add(&mut beside, &takes, 1);
                        most(&mut highest, &beside);
                    }
                }
            }
        }
        most(&mut steady, &highest);
        if let Some(resources) = spec.get("resources").filter(|value| is_set(value)) {
            most(&mut steady, &amounts(resources, path)?);
        }
        self.take(&steady, times);
        self.take(&Amounts::from([(PODS.to_owned(), 1000)]), times);
        Ok(())
    }

    fn container(&mut self, container: &Map<String, Value>, path: &[Step<'_>]) -> Result<Amounts, Violation> {
        let resources = container.get("resources").unwrap_or(&Value::Null);
        let limits = resources.get("limits").and_then(Value::as_object);
        for name in BURSTABLE {
            if !limits.is_some_and(|limits| limits.get(name).is_some_and(is_set)) {
                let name_of = container.get("name").and_then(Value::as_str).unwrap_or("?");
                let place = format!("{} (container {})", render(path), quoted(name_of, SHOWN));
                self.open.entry(name.to_owned()).or_insert(place);
            }
        }
        amounts(resources, path)
    }

    fn take(&mut self, each: &Amounts, times: u128) {
        add(&mut self.takes, each, times);
    }

    /// What is beyond the limits and was not told before.
    fn beyond(&self, limits: &Limits, told: &mut BTreeSet<(&'static str, String)>) -> Vec<Violation> {
        let mut violations = Vec::new();
        let whose = limits.whose;
        let mut refuse = |name: &str, path: &str, message: String| {
            if told.insert((whose, name.to_owned())) {
                violations.push(Violation { path: path.to_owned(), rule: "resource-limit", message });
            }
        };
        for (name, most) in &limits.most {
            if let Some(place) = self.open.get(name) {
                let message = format!("{whose} limits {}, and nothing here does", escaped(name, SHOWN));
                refuse(name, place, message);
            } else if let Some(takes) = self.takes.get(name).filter(|takes| *takes > most) {
                let (takes, most) = (shown(*takes), shown(*most));
                let message = format!(
                    "the stage takes {takes} of {} in all, and {whose} allows {most}",
                    escaped(name, SHOWN)
                );
                refuse(name, &self.last, message);
            }
        }
        for (name, takes) in
            self.takes.iter().filter(|(name, takes)| limits.closed && **takes > 0 && is_extended(name))
        {
            if !limits.most.contains_key(name) {
                let message = format!(
                    "the stage takes {} of {}, which {whose} does not name",
                    shown(*takes),
                    escaped(name, SHOWN)
                );
                refuse(name, &self.last, message);
            }
        }
        violations
    }
}

type Amounts = BTreeMap<String, u128>;

fn add(to: &mut Amounts, more: &Amounts, times: u128) {
    for (name, amount) in more {
        let sum = to.entry(name.clone()).or_default();
        *sum = sum.saturating_add(amount.saturating_mul(times));
    }
}

fn most(of: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        let here = of.entry(name.clone()).or_default();
        *here = (*here).max(*amount);
    }
}

/// The larger of limit and request, by resource.
fn amounts(resources: &Value, path: &[Step<'_>]) -> Result<Amounts, Violation> {
    let mut found = Amounts::new();
    for (_, list) in ["limits", "requests"]
        .iter()
        .flat_map(|name| resources.as_object().into_iter().flat_map(|map| fields(map, name)))
    {
        for (name, quantity) in
            list.as_object().into_iter().flatten().filter(|(_, quantity)| is_set(quantity))
        {
            let text = quantity.as_str().map_or_else(|| quantity.to_string(), str::to_owned);
            let amount = milli(&text).map_err(|error| Violation {
                path: render(path),
                rule: "object-shape",
                message: format!("{}: {error}", escaped(name, SHOWN)),
            })?;
            let here = found.entry(name.clone()).or_default();
            *here = (*here).max(amount);
        }
    }
    Ok(found)
}

/// How often what is below a mapping counts, and what an elastic policy in it lets the replicas below grow to.
fn count(map: &Map<String, Value>, at_least: u128, path: &[Step<'_>]) -> Result<(u128, u128), Violation> {
    let number = |value: &Value| match value.as_u64() {
        Some(number) => Ok(u128::from(number)),
        None => Err(Violation {
            path: render(path),
            rule: "object-shape",
            message: "a number of replicas that is none".to_owned(),
        }),
    };
    let mut largest = None;
    for (_, value) in COUNTS.iter().flat_map(|name| fields(map, name)).filter(|(_, value)| is_set(value)) {
        // An expression or a template elsewhere: what is no number is looked at where it is a mapping.
        if value.is_object() || value.is_array() {
            continue;
        }
        largest = largest.max(Some(number(value)?));
    }
    let mut grows = at_least;
    for (_, elastic) in fields(map, "elasticPolicy") {
        for (_, value) in elastic.as_object().into_iter().flat_map(|elastic| fields(elastic, "maxReplicas")) {
            grows = grows.max(number(value)?);
        }
    }
    // What is scaled to nothing now may be scaled up later.
    Ok((largest.map_or(1, |count| count.max(at_least).max(1)), grows))
}

/// Resources with a domain, and huge pages: nothing is taken of them that was not asked for.
fn is_extended(name: &str) -> bool {
    name.contains('/') || name.starts_with("hugepages-")
}

/// Thousandths as Kubernetes writes them.
pub(crate) fn shown(milli: u128) -> String {
    if !milli.is_multiple_of(1000) {
        return format!("{milli}m");
    }
    let whole = milli / 1000;
    let units = [("Ti", 1u128 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20)];
    match units.iter().find(|(_, size)| whole > 0 && whole.is_multiple_of(*size)) {
        Some((unit, size)) => format!("{}{unit}", whole / size),
        None => whole.to_string(),
    }
}
