//! What the host asks of the Kubernetes API: the one table of it.
//!
//! `ilab-host rbac` prints it as a Role, the preflight asks the cluster about it line by line. A request that this crate
//! learns to make must be added here; the tests against a cluster run under exactly these rights.

use crate::kinds::plural_of;
use ilab_core::contract::Kind;
use std::collections::{BTreeMap, BTreeSet};

/// What a permission is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Running and resuming: without it a run fails.
    Run,
    /// `runs list` and `runs delete`.
    Manage,
}

/// One verb on one resource of the run's namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Need {
    /// The API group; empty for the core.
    pub group: String,
    /// The resource as RBAC names it, for example `jobs` or `pods/log`.
    pub resource: String,
    /// The one object, where only one is meant.
    pub name: Option<String>,
    /// The verb.
    pub verb: &'static str,
    /// What for.
    pub purpose: Purpose,
    /// What for, as a fragment for people.
    pub why: &'static str,
}

impl std::fmt::Display for Need {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        match &self.name {
            Some(name) => write!(f, "/{name}"),
            None => Ok(()),
        }
    }
}

/// Which objects of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Names {
    /// Whatever they are called.
    Any,
    /// These.
    These(BTreeSet<String>),
}

impl Default for Names {
    fn default() -> Self {
        Self::These(BTreeSet::new())
    }
}

impl Names {
    /// One more.
    pub fn add(&mut self, name: impl Into<String>) {
        if let Self::These(names) = self {
            names.insert(name.into());
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::These(names) if names.is_empty())
    }

    fn each(&self) -> Vec<Option<String>> {
        match self {
            Self::Any => vec![None],
            Self::These(names) => names.iter().cloned().map(Some).collect(),
        }
    }
}

/// What a run will do, as far as permissions depend on it.
#[derive(Debug, Clone, Default)]
pub struct Asks {
    /// The run; none: any.
    pub run: Option<String>,
    /// The kinds that its stages may create.
    pub creates: BTreeSet<Kind>,
    /// What kinds are called as resources, where the cluster was asked; the others by the rule that CRDs keep.
    pub resources: BTreeMap<Kind, String>,
    /// Secrets that are read: named ones, and those that are compared with given values.
    pub reads_secrets: Names,
    /// Secrets that are made of given values.
    pub makes_secrets: Names,
    /// ConfigMaps that are looked at, because an option or a Secret names them.
    pub reads_config_maps: Names,
    /// ConfigMaps that are made of given values.
    pub makes_config_maps: Names,
    /// Claims that are looked at.
    pub reads_claims: Names,
    /// Claims that are made.
    pub makes_claims: Names,
    /// Whether objects are made that wait in Kueue's queues.
    pub queues: bool,
}

/// Which objects a line of the table is about.
#[derive(Clone, Copy)]
enum About {
    /// All of the resource.
    All,
    /// The run's own record or Lease.
    Record,
}

type Line = (&'static str, &'static str, &'static str, About, Purpose, &'static str);

/// What the host needs whatever its stages are.
const ALWAYS: &[Line] = &[
    ("", "configmaps", "get", About::Record, Purpose::Run, "read the run record"),
    ("", "configmaps", "create", About::All, Purpose::Run, "begin the run record"),
    ("", "configmaps", "update", About::Record, Purpose::Run, "keep the run record"),
    ("coordination.k8s.io", "leases", "get", About::Record, Purpose::Run, "see who drives the run"),
    ("coordination.k8s.io", "leases", "create", About::All, Purpose::Run, "take the run"),
    (
        "coordination.k8s.io",
        "leases",
        "update",
        About::Record,
        Purpose::Run,
        "take, keep and give back the run",
    ),
    ("", "pods", "list", About::All, Purpose::Run, "find the pods of a stage"),
    ("", "pods", "watch", About::All, Purpose::Run, "see what becomes of the pods of a stage"),
    ("", "pods/log", "get", About::All, Purpose::Run, "read what a stage prints and hands on"),
    ("", "events", "list", About::All, Purpose::Run, "say why a stage waits or failed"),
    ("", "events", "watch", About::All, Purpose::Run, "say why a stage waits or failed"),
    ("", "configmaps", "list", About::All, Purpose::Manage, "list the runs"),
    ("", "configmaps", "watch", About::Record, Purpose::Manage, "see that a deleted run is gone"),
    ("", "configmaps", "delete", About::Record, Purpose::Manage, "delete a run"),
    (
        "coordination.k8s.io",
        "leases",
        "list",
        About::Record,
        Purpose::Manage,
        "see that a deleted run is gone",
    ),
    (
        "coordination.k8s.io",
        "leases",
        "watch",
        About::Record,
        Purpose::Manage,
        "see that a deleted run is gone",
    ),
];

/// What the host does with objects of the kinds that stages create.
const STAGE_OBJECTS: &[(&str, &str)] = &[
    ("get", "see whether a stage's objects are there"),
    ("list", "watch a stage's objects from their present state on"),
    ("watch", "see what becomes of a stage's objects"),
    ("create", "create a stage's objects"),
    ("patch", "apply a stage's objects"),
    ("delete", "clear away a failed attempt before the next"),
];

/// What the host does about objects that wait in Kueue's queues.
const QUEUED: &[(&str, &str, &str)] = &[
    ("localqueues", "get", "see whether the queue is there"),
    ("workloads", "list", "say what a queued stage waits for"),
    ("workloads", "watch", "say what a queued stage waits for"),
];

/// Everything that a run asks for, without doubles: a permission for all objects of a resource covers those for one.
///
/// ```
/// use ilab_cluster::{Asks, needs};
/// let needs = needs(&Asks { run: Some("ilab".into()), ..Asks::default() });
/// assert!(needs.iter().any(|n| n.to_string() == "get configmaps/ilab-run-ilab"));
/// assert!(needs.iter().all(|n| n.verb != "*" && n.resource != "secrets"));
/// ```
#[must_use]
pub fn needs(asks: &Asks) -> Vec<Need> {
    let record = asks.run.as_ref().map(|run| format!("ilab-run-{run}"));
    let mut all: Vec<Need> = Vec::new();
    for &(group, resource, verb, about, purpose, why) in ALWAYS {
        let name = match about {
            About::All => None,
            About::Record => record.clone(),
        };
        all.push(Need { group: group.into(), resource: resource.into(), name, verb, purpose, why });
    }
    let core = |resource: &str, name: Option<String>, verb, why| Need {
        group: String::new(),
        resource: resource.into(),
        name,
        verb,
        purpose: Purpose::Run,
        why,
    };
    let looked = [
        ("secrets", &asks.reads_secrets, "read which keys a Secret has"),
        ("configmaps", &asks.reads_config_maps, "see whether the ConfigMap of a credential is there"),
        ("persistentvolumeclaims", &asks.reads_claims, "see whether a claim is there"),
    ];
    for (resource, names, why) in looked {
        all.extend(names.each().into_iter().map(|name| core(resource, name, "get", why)));
    }
    let made = [
        ("secrets", &asks.makes_secrets, "keep the credentials that were given as values"),
        ("configmaps", &asks.makes_config_maps, "keep the settings that go with credentials"),
        ("persistentvolumeclaims", &asks.makes_claims, "make the claims of the run"),
    ];
    for (resource, names, why) in made.into_iter().filter(|(_, names, _)| !names.is_empty()) {
        // RBAC cannot tell names apart when something is created.
        all.push(core(resource, None, "create", why));
        for name in names.each() {
            all.push(core(resource, name.clone(), "get", why));
            all.push(core(resource, name, "patch", why));
        }
    }
    // Pods may use them still, and then they stay the longest.
    for name in asks.makes_claims.each() {
        for verb in ["list", "watch"] {
            let why = "see that a deleted run is gone";
            let purpose = Purpose::Manage;
            all.push(Need { purpose, ..core("persistentvolumeclaims", name.clone(), verb, why) });
        }
    }
    if asks.queues {
        all.extend(QUEUED.iter().map(|&(resource, verb, why)| Need {
            group: crate::queue::GROUP.to_owned(),
            ..core(resource, None, verb, why)
        }));
    }
    for kind in &asks.creates {
        let group = kind.api_version.split_once('/').map_or("", |(group, _)| group);
        let resource = asks.resources.get(kind).cloned().unwrap_or_else(|| plural_of(kind));
        for &(verb, why) in STAGE_OBJECTS {
            all.push(Need {
                group: group.to_owned(),
                resource: resource.clone(),
                name: None,
                verb,
                purpose: Purpose::Run,
                why,
            });
        }
    }
    distinct(all)
}

fn distinct(all: Vec<Need>) -> Vec<Need> {
    let mut kept: Vec<Need> = Vec::new();
    // What is for running and for all objects is the strongest and comes first.
    let mut sorted: Vec<_> = all.into_iter().enumerate().collect();
    sorted.sort_by_key(|(at, need)| (need.purpose, need.name.is_some(), *at));
    for (_, need) in sorted {
        let covered = |k: &Need| {
            k.group == need.group
                && k.resource == need.resource
                && k.verb == need.verb
                && (k.name.is_none() || k.name == need.name)
        };
        if !kept.iter().any(covered) {
            kept.push(need);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(api_version: &str, kind: &str) -> Kind {
        Kind { api_version: api_version.into(), kind: kind.into() }
    }

    fn printed(asks: &Asks) -> Vec<String> {
        needs(asks).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_permission_for_all_covers_those_for_one() {
        let narrow = Asks { run: Some("x".into()), ..Asks::default() };
        assert!(printed(&narrow).contains(&"get configmaps/ilab-run-x".to_owned()));
        let wide = Asks { creates: [kind("v1", "ConfigMap")].into(), ..narrow };
        let wide = printed(&wide);
        assert!(wide.contains(&"get configmaps".to_owned()));
        assert!(!wide.contains(&"get configmaps/ilab-run-x".to_owned()));
        // Nobody else updates ConfigMaps, so that stays the record's.
        assert!(wide.contains(&"update configmaps/ilab-run-x".to_owned()));
    }

    #[test]
    fn every_line_is_there_once_and_has_no_wildcard() {
        let asks = Asks {
            creates: [
                kind("v1", "ConfigMap"),
                kind("batch/v1", "Job"),
                kind("kubeflow.org/v1", "PyTorchJob"),
            ]
            .into(),
            reads_secrets: Names::Any,
            makes_secrets: Names::Any,
            makes_claims: Names::Any,
            ..Asks::default()
        };
        let lines = printed(&asks);
        let distinct: BTreeSet<_> = lines.iter().collect();
        assert_eq!(distinct.len(), lines.len(), "{lines:#?}");
        assert!(lines.iter().all(|line| !line.contains('*')));
        assert!(lines.contains(&"patch pytorchjobs.kubeflow.org".to_owned()));
    }

    #[test]
    fn what_is_not_done_is_not_asked_for() {
        let none = printed(&Asks::default());
        assert!(none.iter().all(|n| !n.contains("secrets") && !n.contains("claims")), "{none:?}");
        let mut named = Asks::default();
        named.reads_secrets.add("s3");
        let named = printed(&named);
        assert!(named.contains(&"get secrets/s3".to_owned()));
        assert!(!named.iter().any(|n| n.contains("create secrets")));
        assert!(!named.iter().any(|n| n.contains("kueue")));
        let queued = printed(&Asks { queues: true, ..Asks::default() });
        assert!(queued.contains(&"watch workloads.kueue.x-k8s.io".to_owned()), "{queued:?}");
    }
}
