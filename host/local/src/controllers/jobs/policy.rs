//! `podFailurePolicy`: what the failure of a pod means for its Job.

use k8s_openapi::api::batch::v1::{PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;

/// What a failed pod comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// It counts towards the limit.
    Counts,
    /// It has a successor and counts for nothing.
    Ignored,
    /// The Job has failed, with this message.
    Ends(String),
}

/// The first rule that a failed pod matches decides.
pub(super) fn of(policy: Option<&PodFailurePolicy>, pod: &Pod) -> Failure {
    for (index, rule) in policy.iter().flat_map(|policy| policy.rules.iter().enumerate()) {
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        let matched = if let Some(codes) = &rule.on_exit_codes {
            exited(codes, pod).map(|(container, code)| {
                format!("Container {container} for pod {namespace}/{name} failed with exit code {code}")
            })
        } else {
            let patterns = rule.on_pod_conditions.iter().flatten();
            let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
            let mut met = conditions.filter(|one| {
                patterns.clone().any(|pattern| pattern.type_ == one.type_ && pattern.status == one.status)
            });
            met.next().map(|one| format!("Pod {namespace}/{name} has condition {}", one.type_))
        };
        let Some(matched) = matched else { continue };
        match rule.action.as_str() {
            "Ignore" => return Failure::Ignored,
            "Count" => return Failure::Counts,
            "FailJob" => {
                return Failure::Ends(format!("{matched} matching {} rule at index {index}", rule.action));
            }
            // FailIndex goes with per-index backoff, which is not supported here.
            _ => {}
        }
    }
    Failure::Counts
}

/// The container whose exit code a rule is about, and the code.
fn exited(rule: &PodFailurePolicyOnExitCodesRequirement, pod: &Pod) -> Option<(String, i32)> {
    let status = pod.status.as_ref()?;
    let lists = [&status.container_statuses, &status.init_container_statuses];
    let mut ended = lists.into_iter().flatten().flatten().filter_map(|one: &ContainerStatus| {
        let code = one.state.as_ref()?.terminated.as_ref()?.exit_code;
        Some((one.name.clone(), code))
    });
    ended.find(|(name, code)| {
        let listed = rule.values.contains(code);
        rule.container_name.as_ref().is_none_or(|wanted| wanted == name)
            && *code != 0
            && match rule.operator.as_str() {
                "In" => listed,
                "NotIn" => !listed,
                _ => false,
            }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn come_to(rules: &Value, status: &Value) -> Failure {
        let policy = serde_json::from_value(json!({"rules": rules})).unwrap();
        let pod = json!({"metadata": {"name": "p", "namespace": "n"}, "status": status});
        of(Some(&policy), &serde_json::from_value(pod).unwrap())
    }

    fn code(code: i32) -> Value {
        json!({"containerStatuses": [{
            "name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": code}},
        }]})
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let rule = |action: &str, operator: &str, values: &[i32]| json!({"action": action, "onExitCodes": {"operator": operator, "values": values}});
        let rules = json!([
            rule("Ignore", "In", &[43]),
            rule("FailJob", "In", &[42, 43]),
            rule("Count", "NotIn", &[1])
        ]);
        assert_eq!(come_to(&rules, &code(43)), Failure::Ignored);
        let ends = "Container main for pod n/p failed with exit code 42 matching FailJob rule at index 1";
        assert_eq!(come_to(&rules, &code(42)), Failure::Ends(ends.to_owned()));
        assert_eq!(come_to(&rules, &code(7)), Failure::Counts);
        assert_eq!(come_to(&rules, &code(1)), Failure::Counts);
        // A code of 0 is never a failure's.
        assert_eq!(come_to(&json!([rule("Ignore", "NotIn", &[1])]), &code(0)), Failure::Counts);
        let other = json!([{"action": "Ignore", "onExitCodes": {"containerName": "side", "operator": "In", "values": [7]}}]);
        assert_eq!(come_to(&other, &code(7)), Failure::Counts);
        assert_eq!(of(None, &Pod::default()), Failure::Counts);
    }

    #[test]
    fn conditions_are_of_a_type_and_a_status() {
        let rules = json!([{"action": "FailJob", "onPodConditions": [{"type": "ConfigIssue", "status": "True"}]}, {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]);
        let has = |kind: &str, status: &str| json!({"conditions": [{"type": kind, "status": status}]});
        assert_eq!(come_to(&rules, &has("DisruptionTarget", "True")), Failure::Ignored);
        assert_eq!(come_to(&rules, &has("DisruptionTarget", "False")), Failure::Counts);
        let ends = "Pod n/p has condition ConfigIssue matching FailJob rule at index 0";
        assert_eq!(come_to(&rules, &has("ConfigIssue", "True")), Failure::Ends(ends.to_owned()));
    }
}
