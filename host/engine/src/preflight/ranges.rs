//! LimitRanges: what they fill in, and what they bound.

use super::finding::Finding;
use super::name_of;
use super::quota::{CHECK, NewClaim, amount};
use super::workload::{Pods, Side, of_container, shown};
use serde_json::{Map, Value};

fn limits(range: &Value) -> impl Iterator<Item = &Value> {
    range.pointer("/spec/limits").and_then(Value::as_array).into_iter().flatten()
}

fn kind(limit: &Value) -> &str {
    limit.get("type").and_then(Value::as_str).unwrap_or("")
}

/// The pods as admission leaves them: with what LimitRanges say for containers that do not say it themselves.
pub(super) fn filled(ranges: &[Value], pods: &[Pods]) -> Vec<Pods> {
    let mut pods = pods.to_vec();
    for limit in ranges.iter().flat_map(limits).filter(|limit| kind(limit) == "Container") {
        let said = |key: &str| limit.get(key).and_then(Value::as_object).into_iter().flatten();
        for p in &mut pods {
            for list in ["initContainers", "containers"] {
                let all = p.spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
                for container in all {
                    for (resource, value) in said("defaultRequest") {
                        // A limit of one's own is a request of one's own.
                        if of_container(container, Side::Requests, resource).is_none() {
                            fill(container, "requests", resource, value);
                        }
                    }
                    for (resource, value) in said("default") {
                        fill(container, "limits", resource, value);
                    }
                }
            }
        }
    }
    pods
}

fn fill(container: &mut Value, side: &str, resource: &str, value: &Value) {
    fn inside<'a>(parent: &'a mut Value, key: &str) -> Option<&'a mut Value> {
        let slot = parent.as_object_mut()?.entry(key).or_insert(Value::Null);
        if slot.is_null() {
            *slot = Value::Object(Map::new());
        }
        Some(slot)
    }
    let amounts = inside(container, "resources").and_then(|resources| inside(resources, side));
    if let Some(amounts) = amounts.and_then(Value::as_object_mut) {
        amounts.entry(resource).or_insert_with(|| value.clone());
    }
}

/// What somebody asks for: a request and a limit, in thousandths.
type Asked = (Option<u128>, Option<u128>);

/// What is outside of the bounds; `pods` are those that [`filled`] gives.
pub(super) fn judge(ranges: &[Value], pods: &[Pods], claims: &[NewClaim]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for range in ranges {
        for limit in limits(range) {
            for bound in bounds(limit) {
                let mut hold = |who: String, asked: Asked| {
                    findings.extend(bound.refuses(asked).map(|why| {
                        Finding::error(
                            CHECK,
                            format!("{who} {why}; that is what LimitRange {} allows", name_of(range)),
                            "ask for what the LimitRange allows (--set), or have it changed",
                        )
                    }));
                };
                let both = |of: &dyn Fn(Side) -> Option<u128>| (of(Side::Requests), of(Side::Limits));
                match kind(limit) {
                    "PersistentVolumeClaim" if bound.resource == "storage" => {
                        for claim in claims {
                            // Claims have requests alone, and those are bounded from both sides.
                            hold(format!("the claim {}", claim.name), (Some(claim.size), Some(claim.size)));
                        }
                    }
                    "Pod" => {
                        for p in pods {
                            hold(
                                format!("a pod of {}", p.object),
                                both(&|side| p.asked(side, bound.resource)),
                            );
                        }
                    }
                    "Container" => {
                        for p in pods {
                            for container in p.containers() {
                                let of = |side| of_container(container, side, bound.resource);
                                hold(format!("a container of {}", p.object), both(&of));
                            }
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

/// One bound of a LimitRange.
struct Bound<'a> {
    which: &'static str,
    resource: &'a str,
    value: u128,
}

fn bounds(limit: &Value) -> Vec<Bound<'_>> {
    ["max", "min", "maxLimitRequestRatio"]
        .into_iter()
        .flat_map(|which| {
            let values = limit.get(which).and_then(Value::as_object).into_iter().flatten();
            values.filter_map(move |(resource, value)| {
                Some(Bound { which, resource, value: amount(Some(value))? })
            })
        })
        .collect()
}

impl Bound<'_> {
    /// Why it is refused, as Kubernetes does it: a maximum wants a limit, a minimum a request, a ratio both.
    fn refuses(&self, (request, limit): Asked) -> Option<String> {
        let (resource, value) = (self.resource, shown(self.value));
        match self.which {
            "max" => match (request, limit) {
                (_, None) => Some(format!("has no limit of {resource}, and at most {value} must be said")),
                (request, Some(limit)) => {
                    let asked = limit.max(request.unwrap_or(0));
                    (asked > self.value)
                        .then(|| format!("asks for {} {resource}, and {value} is the most", shown(asked)))
                }
            },
            "min" => match (request, limit) {
                (None, _) => Some(format!("requests no {resource}, and at least {value} must be said")),
                (Some(request), limit) => {
                    let asked = request.min(limit.unwrap_or(request));
                    (asked < self.value)
                        .then(|| format!("asks for {} {resource}, and {value} is the least", shown(asked)))
                }
            },
            _ => match (request.unwrap_or(0), limit.unwrap_or(0)) {
                (0, _) | (_, 0) => Some(format!("must have a request and a limit of {resource}")),
                (request, limit) => (limit.saturating_mul(1000) > request.saturating_mul(self.value)).then(|| {
                    format!(
                        "has a limit of {} {resource} and a request of {}, and {value} times the request is the most",
                        shown(limit),
                        shown(request)
                    )
                }),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::workload::tests::pods;
    use super::*;
    use serde_json::json;

    fn range(limit: Value) -> Value {
        json!({"metadata": {"name": "r"}, "spec": {"limits": [limit]}})
    }

    fn one(resources: Value) -> Vec<Pods> {
        vec![pods(1, json!({"containers": [{"resources": resources}]}))]
    }

    fn found(limit: Value, pods: &[Pods]) -> Vec<String> {
        let ranges = [range(limit)];
        judge(&ranges, &filled(&ranges, pods), &[]).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn limit_ranges_bound_containers_and_pods() {
        let pods = one(json!({"requests": {"cpu": "2"}, "limits": {"nvidia.com/gpu": "4", "cpu": "8"}}));
        for (limit, part) in [
            (
                json!({"type": "Container", "max": {"nvidia.com/gpu": "2"}}),
                Some("asks for 4 nvidia.com/gpu, and 2 is the most"),
            ),
            (json!({"type": "Container", "max": {"nvidia.com/gpu": "4"}}), None),
            (
                json!({"type": "Pod", "min": {"cpu": "4"}}),
                Some("a pod of Job/x asks for 2 cpu, and 4 is the least"),
            ),
            (json!({"type": "Pod", "max": {"memory": "1Gi"}}), Some("has no limit of memory")),
            (json!({"type": "Container", "min": {"memory": "1Gi"}}), Some("requests no memory")),
            (json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "3"}}), Some("3 times the request")),
            (json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "4"}}), None),
            (
                json!({"type": "Container", "maxLimitRequestRatio": {"memory": "4"}}),
                Some("must have a request and a limit"),
            ),
        ] {
            let found = found(limit.clone(), &pods);
            assert_eq!(found.len(), usize::from(part.is_some()), "{limit}: {found:?}");
            assert!(part.is_none_or(|part| found[0].contains(part)), "{limit}: {found:?}");
        }
    }

    #[test]
    fn what_a_range_says_for_those_that_are_silent_is_judged_with_the_rest() {
        let limit = json!({"type": "Container", "max": {"cpu": "4"}, "default": {"cpu": "4"}, "defaultRequest": {"cpu": "1"}});
        assert_eq!(found(limit.clone(), &one(json!({}))), Vec::<String>::new());
        let after = filled(&[range(limit.clone())], &one(json!(null)));
        assert_eq!((after[0].each(Side::Requests, "cpu"), after[0].each(Side::Limits, "cpu")), (1000, 4000));
        // A limit of one's own is the request too, and what is said stays.
        let after = filled(&[range(limit)], &one(json!({"limits": {"cpu": "2"}})));
        assert_eq!((after[0].each(Side::Requests, "cpu"), after[0].each(Side::Limits, "cpu")), (2000, 2000));
    }

    #[test]
    fn claims_are_bounded_from_both_sides() {
        let claim = [NewClaim { name: "c".into(), size: 1000 << 30, class: None }];
        let found = |limit: Value| judge(&[range(limit)], &[], &claim).len();
        assert_eq!(found(json!({"type": "PersistentVolumeClaim", "max": {"storage": "512Mi"}})), 1);
        assert_eq!(found(json!({"type": "PersistentVolumeClaim", "min": {"storage": "2Gi"}})), 1);
        assert_eq!(
            found(
                json!({"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}, "min": {"storage": "1Gi"}})
            ),
            0
        );
    }
}
