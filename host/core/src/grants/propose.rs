//! The smallest grant under which a component's stages run as they were rendered.

use super::allow::{Grants, storage};
use super::file::{GrantsFile, PluginGrant};
use crate::contract::{Context, KeyHolder, ObjectRef, Plan};
use crate::graph::Offer;
use crate::guard::{self, Exempted, PODS, Policy, Violation, harden, repository, shown, totals};
use crate::names::PluginDigest;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A stage with a plan that it made of samples.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// The stage.
    pub offer: Offer,
    /// What it was rendered for.
    pub context: Context,
    /// Its plan.
    pub plan: Plan,
}

/// A grant, and what is to be known about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// The grant.
    pub grant: PluginGrant,
    /// Kinds that are declared, and that no rendering made.
    pub unseen: BTreeSet<super::GrantedKind>,
    /// What the guard would refuse all the same, by stage.
    pub refused: Vec<(String, Violation)>,
}

/// Proposes the smallest grant for one component: what its descriptors ask for, and the images and resources that its
/// stages named when they were rendered. It never proposes an exemption.
#[must_use]
pub fn propose(plugin: &str, digest: &PluginDigest, stages: &[Rendered]) -> Proposal {
    let mut grant = PluginGrant {
        digest: digest.clone(),
        plugin: plugin.to_owned(),
        kinds: Vec::new(),
        credentials: BTreeSet::new(),
        volumes: BTreeSet::new(),
        config_maps: BTreeSet::new(),
        images: Vec::new(),
        limits: None,
        exemptions: Vec::new(),
    };
    let (mut kinds, mut seen, mut images) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut limits: BTreeMap<String, u128> = BTreeMap::new();
    let mut open: BTreeSet<String> = BTreeSet::new();
    for Rendered { offer, context, plan } in stages {
        let descriptor = &offer.descriptor;
        kinds.extend(descriptor.creates.iter().map(super::GrantedKind::from));
        grant.credentials.extend(descriptor.credentials.iter().map(|credential| credential.name.clone()));
        grant.volumes.extend(descriptor.volumes.iter().map(|volume| volume.name.clone()));
        for manifest in &plan.manifests {
            seen.extend(
                ObjectRef::of(manifest)
                    .map(|o| super::GrantedKind { api_version: o.api_version, kind: o.kind }),
            );
            gather(manifest, &mut |key, value| match key {
                "image" => images.extend(value.as_str().and_then(repository)),
                "configmapkeyref" | "configmapref" | "configmap" => {
                    let name = value.get("name").and_then(Value::as_str);
                    grant.config_maps.extend(name.filter(|name| foreign(name, context)).map(str::to_owned));
                }
                _ => {}
            });
        }
        // One stage at a time is what a limit is for.
        if let Ok(totals) = totals(&plan.manifests) {
            open.extend(totals.open.into_keys());
            for (name, amount) in totals.takes {
                let most = limits.entry(name).or_default();
                *most = amount.max(*most);
            }
        }
        if storage(descriptor) > 0 {
            let most = limits.entry("storage".to_owned()).or_default();
            *most = storage(descriptor).max(*most);
        }
    }
    // A limit on what some container leaves open would refuse it.
    limits.retain(|name, _| !open.contains(name));
    limits.entry(PODS.to_owned()).or_default();
    if open.contains(PODS) {
        limits.remove(PODS);
    }
    grant.limits = Some(limits.into_iter().map(|(name, amount)| (name, shown(amount))).collect());
    grant.unseen_last(kinds.clone(), &seen);
    grant.images = images.into_iter().collect();
    let refused = left(&grant, stages);
    Proposal { unseen: kinds.difference(&seen).cloned().collect(), grant, refused }
}

impl PluginGrant {
    /// What was seen first, so that what may be struck stands together.
    fn unseen_last(&mut self, kinds: BTreeSet<super::GrantedKind>, seen: &BTreeSet<super::GrantedKind>) {
        let (known, unseen): (Vec<_>, Vec<_>) = kinds.into_iter().partition(|kind| seen.contains(kind));
        self.kinds = known;
        self.kinds.extend(unseen);
    }
}

/// Whether a ConfigMap is neither the plan's own nor bound.
fn foreign(name: &str, context: &Context) -> bool {
    let own = name
        .strip_prefix(context.prefix.as_str())
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    let bound = |holder: &KeyHolder| matches!(holder, KeyHolder::ConfigMap(known) if known == name);
    !own && !context.credentials.iter().flat_map(|credential| &credential.keys).any(|key| bound(&key.holder))
}

/// What the guard refuses of the renderings under the grant alone.
fn left(grant: &PluginGrant, stages: &[Rendered]) -> Vec<(String, Violation)> {
    let file = GrantsFile { grants: vec![grant.clone()], ..GrantsFile::default() };
    let grants = Grants { files: vec![file], ..Grants::default() };
    let mut refused = Vec::new();
    for Rendered { offer, context, plan } in stages {
        let Ok(allowance) = grants.allow(offer) else { continue };
        let grant = guard::Grant::of(offer, context, allowance);
        for manifest in &plan.manifests {
            let mut manifest = manifest.clone();
            harden(&mut manifest);
            let found: Result<Vec<Exempted>, _> = Policy::default().admit(&manifest, &grant);
            refused.extend(
                found.err().into_iter().flat_map(|r| r.violations).map(|v| (offer.name().to_string(), v)),
            );
        }
    }
    refused
}

fn gather(value: &Value, each: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                each(&key.to_ascii_lowercase(), value);
                gather(value, each);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| gather(item, each)),
        _ => {}
    }
}
