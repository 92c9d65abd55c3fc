//! Which pods and claims a ResourceQuota with scopes counts.

use super::workload::Pods;
use ilab_core::quantity::milli;
use serde_json::Value;

/// Whether a quota counts something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Counts {
    Yes,
    No,
    /// Why that cannot be told, as a fragment.
    Unknown(String),
}

/// The class of pods that name no priority class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Default {
    /// This one; or none, when the cluster has no default.
    Known(Option<String>),
    /// The classes may not be looked at.
    Hidden,
}

/// One condition: a scope, how its values are meant, and the values.
struct Term<'a> {
    scope: &'a str,
    operator: &'a str,
    values: Vec<&'a str>,
}

/// All conditions of a quota; what it counts meets every one of them.
fn terms(quota: &Value) -> Vec<Term<'_>> {
    let list = |pointer: &str| quota.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    let plain = list("/spec/scopes").filter_map(Value::as_str).map(|scope| Term {
        scope,
        operator: "Exists",
        values: Vec::new(),
    });
    let selected = list("/spec/scopeSelector/matchExpressions").map(|term| {
        let text = |key: &str| term.get(key).and_then(Value::as_str).unwrap_or("");
        let values = term.get("values").and_then(Value::as_array).into_iter().flatten();
        Term {
            scope: text("scopeName"),
            operator: text("operator"),
            values: values.filter_map(Value::as_str).collect(),
        }
    });
    plain.chain(selected).collect()
}

/// Whether a quota has scopes, and so counts nothing but pods or claims.
pub(super) fn scoped(quota: &Value) -> bool {
    !terms(quota).is_empty()
}

/// Whether the quota reads priority classes.
pub(super) fn asks_priority(quota: &Value) -> bool {
    terms(quota).iter().any(|term| term.scope == "PriorityClass")
}

/// Whether a quota counts these pods.
pub(super) fn counts_pods(quota: &Value, pods: &Pods, default: &Default) -> Counts {
    let mut unknown = None;
    for term in terms(quota) {
        match meets(&term, pods, default) {
            Counts::Yes => {}
            Counts::No => return Counts::No,
            why => unknown = unknown.or(Some(why)),
        }
    }
    unknown.unwrap_or(Counts::Yes)
}

/// Whether a quota counts claims that say nothing of a volume attributes class.
pub(super) fn counts_claims(quota: &Value) -> bool {
    let without = |term: &Term<'_>| {
        term.scope == "VolumeAttributesClass" && matches!(term.operator, "NotIn" | "DoesNotExist")
    };
    terms(quota).iter().all(without)
}

fn meets(term: &Term<'_>, pods: &Pods, default: &Default) -> Counts {
    let of = |holds: bool| if holds { Counts::Yes } else { Counts::No };
    // What Kubernetes allows with these scopes is to be or not to be; any other operator is none that it would have taken.
    match term.scope {
        "Terminating" => of(has_deadline(pods)),
        "NotTerminating" => of(!has_deadline(pods)),
        "BestEffort" => of(best_effort(pods)),
        "NotBestEffort" => of(!best_effort(pods)),
        "CrossNamespacePodAffinity" => of(cross_namespace(pods)),
        "PriorityClass" => priority(term, pods, default),
        // Claims have it, pods do not.
        "VolumeAttributesClass" => Counts::No,
        other => Counts::Unknown(format!("its scope {other} is not known here")),
    }
}

fn has_deadline(pods: &Pods) -> bool {
    pods.spec.get("activeDeadlineSeconds").and_then(Value::as_i64).is_some_and(|seconds| seconds >= 0)
}

/// Whether nothing in the pod asks for CPU or memory: the class that the kubelet throws out first.
fn best_effort(pods: &Pods) -> bool {
    let asks = |container: &Value| {
        ["requests", "limits"].iter().any(|side| {
            ["cpu", "memory"].iter().any(|resource| {
                let value = container.get("resources").and_then(|r| r.get(side)?.get(resource));
                let text = value.map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned));
                text.is_some_and(|text| milli(&text).is_ok_and(|amount| amount > 0))
            })
        })
    };
    !asks(&pods.spec) && !pods.containers().any(asks)
}

fn cross_namespace(pods: &Pods) -> bool {
    let terms = ["podAffinity", "podAntiAffinity"].into_iter().flat_map(|kind| {
        let at =
            |list: &str| pods.spec.pointer(&format!("/affinity/{kind}/{list}")).and_then(Value::as_array);
        let required = at("requiredDuringSchedulingIgnoredDuringExecution").into_iter().flatten();
        let preferred = at("preferredDuringSchedulingIgnoredDuringExecution").into_iter().flatten();
        required.chain(preferred.filter_map(|weighted| weighted.get("podAffinityTerm"))).collect::<Vec<_>>()
    });
    terms.into_iter().any(|term| {
        term.get("namespaces").and_then(Value::as_array).is_some_and(|names| !names.is_empty())
            || term.get("namespaceSelector").is_some_and(|selector| !selector.is_null())
    })
}

fn priority(term: &Term<'_>, pods: &Pods, default: &Default) -> Counts {
    let own = pods.spec.get("priorityClassName").and_then(Value::as_str).filter(|name| !name.is_empty());
    let class = match (own, default) {
        (Some(own), _) => Some(own),
        (None, Default::Known(default)) => default.as_deref(),
        (None, Default::Hidden) => {
            return Counts::Unknown(
                "it goes by priority class, and the cluster's default may not be looked at".to_owned(),
            );
        }
    };
    let listed = class.is_some_and(|class| term.values.contains(&class));
    match term.operator {
        "In" if listed => Counts::Yes,
        "Exists" if class.is_some() => Counts::Yes,
        "NotIn" if !listed => Counts::Yes,
        "DoesNotExist" if class.is_none() => Counts::Yes,
        _ => Counts::No,
    }
}

#[cfg(test)]
mod tests {
    use super::super::workload::tests::pods;
    use super::*;
    use serde_json::json;

    fn counts(spec: Value, pod: Value) -> Counts {
        counts_pods(&json!({"spec": spec}), &pods(1, pod), &Default::Known(None))
    }

    #[test]
    fn every_scope_must_be_met() {
        let plain = || json!({"containers": [{}]});
        let asks = || json!({"containers": [{"resources": {"requests": {"cpu": "1"}}}]});
        let none = || json!({"containers": [{"resources": {"limits": {"cpu": "0", "nvidia.com/gpu": "1"}}}]});
        for (scopes, pod, expected) in [
            (json!(["BestEffort"]), plain(), Counts::Yes),
            (json!(["BestEffort"]), none(), Counts::Yes),
            (json!(["BestEffort"]), asks(), Counts::No),
            (json!(["NotBestEffort"]), asks(), Counts::Yes),
            (json!(["NotTerminating", "NotBestEffort"]), asks(), Counts::Yes),
            (json!(["Terminating", "NotBestEffort"]), asks(), Counts::No),
            (json!(["Terminating"]), json!({"activeDeadlineSeconds": 0}), Counts::Yes),
            (json!(["CrossNamespacePodAffinity"]), plain(), Counts::No),
            (json!(["VolumeAttributesClass"]), plain(), Counts::No),
            (json!([]), plain(), Counts::Yes),
        ] {
            assert_eq!(counts(json!({"scopes": scopes}), pod), expected, "{scopes}");
        }
        let affinity = json!({"affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution":
            [{"weight": 1, "podAffinityTerm": {"namespaceSelector": {}}}]}}});
        assert_eq!(counts(json!({"scopes": ["CrossNamespacePodAffinity"]}), affinity), Counts::Yes);
    }

    #[test]
    fn a_scope_of_the_future_is_not_guessed_at_unless_another_one_decides() {
        let new = json!({"scopes": ["Brave"]});
        assert!(matches!(counts(new, json!({})), Counts::Unknown(why) if why.contains("Brave")));
        assert_eq!(counts(json!({"scopes": ["Brave", "Terminating"]}), json!({})), Counts::No);
    }

    #[test]
    fn priority_classes_are_matched_by_name_and_the_clusters_default_counts() {
        let term = |operator: &str, values: Value| json!({"spec": {"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": operator, "values": values}]}}});
        let (none, high) = (pods(1, json!({})), pods(1, json!({"priorityClassName": "high"})));
        let known = |name: Option<&str>| Default::Known(name.map(str::to_owned));
        for (quota, pods, default, expected) in [
            (term("In", json!(["high"])), &high, known(None), Counts::Yes),
            (term("In", json!(["low"])), &high, known(None), Counts::No),
            (term("In", json!(["high"])), &none, known(None), Counts::No),
            (term("In", json!(["high"])), &none, known(Some("high")), Counts::Yes),
            (term("NotIn", json!(["high"])), &none, known(None), Counts::Yes),
            (term("NotIn", json!(["high"])), &high, known(None), Counts::No),
            (term("Exists", json!([])), &none, known(None), Counts::No),
            (term("Exists", json!([])), &high, Default::Hidden, Counts::Yes),
            (term("DoesNotExist", json!([])), &none, known(None), Counts::Yes),
            (term("DoesNotExist", json!([])), &none, known(Some("high")), Counts::No),
        ] {
            assert_eq!(counts_pods(&quota, pods, &default), expected, "{quota}");
        }
        let hidden = counts_pods(&term("In", json!(["high"])), &none, &Default::Hidden);
        assert!(matches!(hidden, Counts::Unknown(_)), "{hidden:?}");
    }

    #[test]
    fn claims_are_counted_by_quotas_without_scopes_or_with_their_own() {
        let quota = |operator: &str| json!({"spec": {"scopeSelector": {"matchExpressions": [{"scopeName": "VolumeAttributesClass", "operator": operator, "values": ["gold"]}]}}});
        assert!(counts_claims(&json!({"spec": {}})));
        assert!(counts_claims(&quota("NotIn")) && !counts_claims(&quota("In")));
        assert!(!counts_claims(&json!({"spec": {"scopes": ["NotTerminating"]}})));
    }
}
