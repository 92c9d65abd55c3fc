//! What is allowed, and what is said when something is not.

use super::bounds::{Bounds, Exempted};
use super::walk::describe;
use crate::contract::{Context, KeyHolder, Kind};
use crate::grants::Allowance;
use crate::graph::Offer;
use crate::names::{PluginDigest, StageName};
use crate::text::escaped;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;

/// A level of the Pod Security Standards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Forbids what gives a pod power over its node.
    #[default]
    Baseline,
    /// Also demands what hardens a pod.
    Restricted,
}

/// What the host allows any stage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Policy {
    /// The level that every pod template must meet.
    pub level: Level,
    /// Registries, or registry and path, that images may come from, for example `quay.io/opendatahub`; empty: any.
    pub allowed_registries: Vec<String>,
    /// Whether every image must be named by digest.
    pub require_digests: bool,
}

/// What one stage of one run may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The stage.
    pub stage: StageName,
    /// The component that offers it.
    pub digest: PluginDigest,
    /// The run's namespace.
    pub namespace: String,
    /// Names are this, or begin with this and a dash.
    pub prefix: String,
    /// The kinds that it may create.
    pub creates: Vec<Kind>,
    /// The Secrets that its credentials are bound to.
    pub secrets: BTreeSet<String>,
    /// The ConfigMaps that its credentials are bound to. Those of the plan itself, under the prefix, are allowed too.
    pub config_maps: BTreeSet<String>,
    /// The claims that its volumes are bound to.
    pub claims: BTreeSet<String>,
    /// What its grant and the ceiling add.
    pub bounds: Bounds,
}

impl Grant {
    /// What a stage may use that is rendered for this context, with what its component was allowed.
    #[must_use]
    pub fn of(offer: &Offer, context: &Context, allowance: Allowance) -> Self {
        let holders = || context.credentials.iter().flat_map(|c| &c.keys).map(|k| &k.holder);
        let Allowance { kinds, mut config_maps, bounds, .. } = allowance;
        config_maps.extend(holders().filter_map(|h| match h {
            KeyHolder::ConfigMap(name) => Some(name.clone()),
            KeyHolder::Secret(_) => None,
        }));
        Self {
            stage: offer.descriptor.name.clone(),
            digest: offer.digest.clone(),
            namespace: context.namespace.clone(),
            prefix: context.prefix.clone(),
            creates: kinds,
            secrets: holders()
                .filter_map(|h| match h {
                    KeyHolder::Secret(name) => Some(name.clone()),
                    KeyHolder::ConfigMap(_) => None,
                })
                .collect(),
            config_maps,
            claims: context.volumes.iter().map(|v| v.claim.clone()).collect(),
            bounds,
        }
    }

    /// Whether a name is under the prefix.
    pub(super) fn owns(&self, name: &str) -> bool {
        name.strip_prefix(self.prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }
}

/// One thing that a manifest may not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Where, for example `spec.template.spec.hostNetwork`.
    pub path: String,
    /// The rule's stable name, for example `host-namespaces`.
    pub rule: &'static str,
    /// What is wrong, for people.
    pub message: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} [{}]", self.path, self.message, self.rule)
    }
}

/// A manifest that was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stage {stage} ({}) may not create {}: {}", .digest.short(), escaped(.object, 160), .violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct Refused {
    /// The stage.
    pub stage: StageName,
    /// The component.
    pub digest: PluginDigest,
    /// The object, for example `Job/x`.
    pub object: String,
    /// Everything that is wrong with it.
    pub violations: Vec<Violation>,
}

/// What the guard makes of a manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judgement {
    /// What it may not have; empty: it may be applied.
    pub violations: Vec<Violation>,
    /// The exemptions that it made use of.
    pub exempted: Vec<Exempted>,
}

impl Policy {
    /// [`judge`](Self::judge) as an error that names stage, component and object; else the exemptions that were used.
    ///
    /// # Errors
    /// [`Refused`] when there is any violation.
    pub fn admit(&self, manifest: &Value, grant: &Grant) -> Result<Vec<Exempted>, Refused> {
        let Judgement { violations, exempted } = self.judge(manifest, grant);
        if violations.is_empty() {
            return Ok(exempted);
        }
        let object = describe(manifest);
        Err(Refused { stage: grant.stage.clone(), digest: grant.digest.clone(), object, violations })
    }
}
