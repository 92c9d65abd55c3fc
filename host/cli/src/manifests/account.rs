//! A ServiceAccount and the Role that lets it do what the host does, and nothing more.

use super::{metadata, value};
use crate::CliError;
use ilab_cluster::Need;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// The order in which people read verbs.
const VERBS: [&str; 7] = ["get", "list", "watch", "create", "update", "patch", "delete"];

/// ServiceAccount, Role and RoleBinding of one name. Nothing in them reaches beyond the namespace.
///
/// # Errors
/// When an object has no JSON form, which would be a bug.
pub fn account(name: &str, namespace: &str, needs: &[Need]) -> Result<Vec<Value>, CliError> {
    let account = ServiceAccount {
        metadata: metadata(name, namespace),
        // The Job that needs the token says so itself; nobody else's pod gets it by accident.
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    };
    let role = Role { metadata: metadata(name, namespace), rules: Some(rules(needs)) };
    let binding = RoleBinding {
        metadata: metadata(name, namespace),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "Role".to_owned(),
            name: name.to_owned(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name: name.to_owned(),
            namespace: Some(namespace.to_owned()),
            ..Subject::default()
        }]),
    };
    Ok(vec![value(&account)?, value(&role)?, value(&binding)?])
}

/// Why the Role has what it has: comment lines, one a reason.
pub fn explain(needs: &[Need]) -> String {
    let mut whys: BTreeMap<&str, (BTreeSet<usize>, BTreeSet<String>)> = BTreeMap::new();
    for need in needs {
        let entry = whys.entry(need.why).or_default();
        entry.0.extend(VERBS.iter().position(|verb| *verb == need.verb));
        let dot = if need.group.is_empty() { "" } else { "." };
        entry.1.insert(format!("{}{dot}{}", need.resource, need.group));
    }
    let mut text = String::new();
    for (why, (verbs, resources)) in whys {
        let verbs: Vec<_> = verbs.into_iter().filter_map(|at| VERBS.get(at).copied()).collect();
        let resources: Vec<_> = resources.into_iter().collect();
        let _ = writeln!(text, "# {} {}: to {why}", verbs.join(", "), resources.join(", "));
    }
    text
}

/// One rule for all resources of a group that are used alike, and one for each set of names.
fn rules(needs: &[Need]) -> Vec<PolicyRule> {
    type Key<'a> = (&'a str, &'a str, Option<&'a str>);
    let mut verbs: BTreeMap<Key<'_>, BTreeSet<usize>> = BTreeMap::new();
    for need in needs {
        let Some(at) = VERBS.iter().position(|verb| *verb == need.verb) else { continue };
        verbs.entry((&need.group, &need.resource, need.name.as_deref())).or_default().insert(at);
    }
    // Resources that are used alike share a rule, unless it is for single objects.
    let mut alike: BTreeMap<(&str, BTreeSet<usize>), Vec<&str>> = BTreeMap::new();
    let mut named: BTreeMap<(&str, &str, BTreeSet<usize>), Vec<&str>> = BTreeMap::new();
    for ((group, resource, name), verbs) in verbs {
        match name {
            None => alike.entry((group, verbs)).or_default().push(resource),
            Some(name) => named.entry((group, resource, verbs)).or_default().push(name),
        }
    }
    let texts = |all: Vec<&str>| all.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let words =
        |verbs: BTreeSet<usize>| texts(verbs.into_iter().filter_map(|at| VERBS.get(at).copied()).collect());
    let mut rules: Vec<PolicyRule> = alike
        .into_iter()
        .map(|((group, verbs), resources)| PolicyRule {
            api_groups: Some(vec![group.to_owned()]),
            resources: Some(texts(resources)),
            verbs: words(verbs),
            ..PolicyRule::default()
        })
        .collect();
    rules.extend(named.into_iter().map(|((group, resource, verbs), names)| PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(vec![resource.to_owned()]),
        resource_names: Some(texts(names)),
        verbs: words(verbs),
        ..PolicyRule::default()
    }));
    rules.sort_by(|a, b| {
        (&a.api_groups, &a.resources, &a.resource_names).cmp(&(
            &b.api_groups,
            &b.resources,
            &b.resource_names,
        ))
    });
    rules
}

#[cfg(test)]
mod tests {
    use super::*;
    use ilab_cluster::{Asks, needs};
    use ilab_core::contract::Kind;

    fn role(asks: &Asks) -> Vec<PolicyRule> {
        rules(&needs(asks))
    }

    #[test]
    fn rules_allow_exactly_what_is_needed() {
        let asks = Asks {
            run: Some("one".into()),
            creates: [Kind { api_version: "batch/v1".into(), kind: "Job".into() }].into(),
            ..Asks::default()
        };
        let wanted = needs(&asks);
        let rules = role(&asks);
        let some = |list: &Option<Vec<String>>, word: &str| list.iter().flatten().any(|w| w == word);
        let allows = |need: &Need| {
            rules.iter().any(|r| {
                some(&r.api_groups, &need.group)
                    && some(&r.resources, &need.resource)
                    && r.verbs.iter().any(|v| v == need.verb)
                    && match (&r.resource_names, &need.name) {
                        (None, _) => true,
                        (Some(names), Some(name)) => names.contains(name),
                        (Some(_), None) => false,
                    }
            })
        };
        assert!(wanted.iter().all(allows));
        // And nothing besides: as many verbs on resources as there are needs.
        let granted: usize = rules
            .iter()
            .map(|r| {
                r.verbs.len()
                    * r.resources.as_ref().map_or(0, Vec::len)
                    * r.resource_names.as_ref().map_or(1, Vec::len)
            })
            .sum();
        assert_eq!(granted, wanted.len());
    }

    #[test]
    fn what_is_created_is_never_bound_to_a_name() {
        // RBAC would refuse it always: it does not know the name when something is created.
        let mut asks = Asks { run: Some("one".into()), ..Asks::default() };
        asks.makes_secrets.add("s3");
        for rule in role(&asks) {
            assert!(rule.resource_names.is_none() || !rule.verbs.contains(&"create".to_owned()), "{rule:?}");
        }
    }
}
