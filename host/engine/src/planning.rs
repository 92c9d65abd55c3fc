//! From a request to checked manifests. Pure: no cluster is in scope.

use crate::credentials::{self, FoundKeys};
use crate::error::EngineError;
use crate::inputs::{self, Outputs};
use crate::request::{RunRequest, Stages};
use ilab_cluster::QUEUE_LABEL;
use ilab_core::contract::{BoundVolume, Context, Plan, Volume};
use ilab_core::grants::Withheld;
use ilab_core::graph::Offer;
use ilab_core::guard::{Exempted, Grant, Refused, harden};
use ilab_core::names::RunId;
use ilab_core::plan::check_plan;
use ilab_core::verdict::Predicates;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A stage, rendered, checked and guarded.
#[derive(Debug, Clone)]
pub struct PlannedStage {
    /// The stage.
    pub offer: Offer,
    /// What it was rendered for.
    pub context: Context,
    /// What it wants: manifests hardened and let through by the guard.
    pub plan: Plan,
    /// The exemptions of its grant that it made use of.
    pub exempted: Vec<Exempted>,
    /// Whether its component has a grant; without one it was let through expressly.
    pub granted: bool,
    /// The compiled predicates, one a target.
    pub(crate) predicates: Vec<Predicates>,
}

impl PlannedStage {
    /// What whoever runs it should know of its grant: that it has none, and the exemptions that it makes use of.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        let (stage, digest) = (self.offer.name(), self.offer.digest.short());
        let mut remarks: Vec<String> = Vec::new();
        if !self.granted {
            remarks.push(format!("stage {stage} ({digest}) has no grant and may do what it asks for"));
        }
        remarks.extend(self.exempted.iter().map(|used| format!("stage {stage} ({digest}): {used}")));
        remarks
    }
}

/// Renders and guards every selected stage, in order. Outputs that are not known yet are stood in for by the samples of
/// the descriptors, and a named Secret counts as having every key. Creates nothing and asks nobody: a dry run is this.
///
/// # Errors
/// [`EngineError::Withheld`] with everything that the stages ask for and are not granted;
/// [`EngineError::Refused`] with everything that the guard refuses, in all stages;
/// [`EngineError::Unready`] with all credentials that are missing; else the first stage that cannot be rendered.
pub fn plan_all(request: &RunRequest, stages: &dyn Stages) -> Result<Vec<PlannedStage>, EngineError> {
    plan_known(request, stages, &Outputs::new(), None)
}

/// As [`plan_all`], where it does not keep the runtime's threads from other work.
pub(crate) async fn plan_aside(
    request: &Arc<RunRequest>,
    stages: &Arc<dyn Stages>,
) -> Result<Vec<PlannedStage>, EngineError> {
    let (request, stages) = (Arc::clone(request), Arc::clone(stages));
    let planned = tokio::task::spawn_blocking(move || plan_all(&request, &*stages));
    planned.await.map_err(|source| EngineError::Task { what: "planning".to_owned(), source })?
}

/// As [`plan_all`], with what is known of earlier stages and of the cluster's Secrets.
pub(crate) fn plan_known(
    request: &RunRequest,
    stages: &dyn Stages,
    done: &Outputs,
    found: Option<&FoundKeys>,
) -> Result<Vec<PlannedStage>, EngineError> {
    if let Some(stage) = request.selected.iter().find(|s| request.pipeline.get(s.as_str()).is_none()) {
        return Err(EngineError::UnknownStage { stage: stage.clone() });
    }
    let withheld = withheld(request);
    if !withheld.is_empty() {
        return Err(EngineError::Withheld(withheld));
    }
    let mut findings: Vec<_> = request
        .selected_offers()
        .flat_map(|offer| &offer.descriptor.credentials)
        .filter_map(|credential| credentials::bind(request, credential, found).err())
        .collect();
    if !findings.is_empty() {
        findings.dedup();
        return Err(EngineError::Unready(findings));
    }
    let mut planned = Vec::new();
    let mut refused = Vec::new();
    for offer in request.selected_offers() {
        let inputs = inputs::sampled(request, &offer.descriptor, done);
        let context = context(request, offer, inputs, found)?;
        match plan_stage(request, offer, context, stages) {
            Ok(stage) => planned.push(stage),
            Err(EngineError::Refused(more)) => refused.extend(more),
            Err(other) => return Err(other),
        }
    }
    if refused.is_empty() { Ok(planned) } else { Err(EngineError::Refused(refused)) }
}

/// Everything that selected stages cannot run without and are not granted. A component is named once, with its stages.
fn withheld(request: &RunRequest) -> Vec<Withheld> {
    let mut all: Vec<Withheld> = Vec::new();
    for new in request.selected_offers().filter_map(|offer| request.grants.allow(offer).err()).flatten() {
        if let Withheld::Ungranted { stages: more, digest: new, .. } = &new {
            let known = all.iter_mut().find_map(|known| match known {
                Withheld::Ungranted { stages, digest, .. } if digest == new => Some(stages),
                _ => None,
            });
            if let Some(stages) = known {
                stages.extend(more.iter().cloned());
                continue;
            }
        }
        all.push(new);
    }
    all
}

/// The claim that stands for a volume.
pub(crate) fn claim_name(run: &RunId, existing: &BTreeMap<String, String>, volume: &str) -> String {
    existing.get(volume).cloned().unwrap_or_else(|| format!("{run}-{volume}"))
}

/// What one stage is rendered for.
pub(crate) fn context(
    request: &RunRequest,
    offer: &Offer,
    inputs: Map<String, Value>,
    found: Option<&FoundKeys>,
) -> Result<Context, EngineError> {
    let descriptor = &offer.descriptor;
    let mut bound = Vec::new();
    for credential in &descriptor.credentials {
        bound.push(credentials::bind(request, credential, found).map_err(|f| EngineError::Unready(vec![f]))?);
    }
    let volume = |v: &Volume| BoundVolume {
        name: v.name.clone(),
        claim: claim_name(&request.run, &request.claims.existing, &v.name),
    };
    Ok(Context {
        run: request.run.to_string(),
        namespace: request.namespace.clone(),
        prefix: request.run.prefix(&descriptor.name),
        parameters: request.parameters.get(&descriptor.name).map(|p| p.values.clone()).unwrap_or_default(),
        inputs,
        credentials: bound,
        volumes: descriptor.volumes.iter().map(volume).collect(),
    })
}

/// Renders, checks and guards one stage.
pub(crate) fn plan_stage(
    request: &RunRequest,
    offer: &Offer,
    context: Context,
    stages: &dyn Stages,
) -> Result<PlannedStage, EngineError> {
    let descriptor = &offer.descriptor;
    let mut plan = stages.render(&descriptor.name, &context).map_err(|source| EngineError::Stage {
        stage: descriptor.name.clone(),
        file: offer.file.clone(),
        digest: offer.digest.clone(),
        what: "render it",
        source,
    })?;
    let predicates = check_plan(&plan, &context, descriptor).map_err(|source| EngineError::Plan {
        stage: descriptor.name.clone(),
        file: offer.file.clone(),
        digest: offer.digest.clone(),
        source: Box::new(source),
    })?;
    let (grant, granted) = grant(request, offer, &context)?;
    let policy = request.grants.policy(&request.policy);
    let (mut refused, mut exempted): (Vec<Refused>, Vec<Exempted>) = (Vec::new(), Vec::new());
    for manifest in &mut plan.manifests {
        harden(manifest);
        match policy.admit(manifest, &grant) {
            Ok(used) => exempted.extend(used),
            Err(error) => refused.push(error),
        }
    }
    refused.extend(grant.check_resources(&plan.manifests));
    if !refused.is_empty() {
        return Err(EngineError::Refused(refused));
    }
    Ok(PlannedStage { offer: offer.clone(), context, plan, exempted, granted, predicates })
}

/// The queue of Kueue's that a manifest wants to wait in.
pub(crate) fn queue_of(manifest: &Value) -> Option<&str> {
    manifest.pointer("/metadata/labels")?.get(QUEUE_LABEL)?.as_str()
}

/// What the guard lets a stage use, and whether its component was granted it.
pub(crate) fn grant(
    request: &RunRequest,
    offer: &Offer,
    context: &Context,
) -> Result<(Grant, bool), EngineError> {
    let allowance = request.grants.allow(offer).map_err(EngineError::Withheld)?;
    let granted = allowance.granted;
    Ok((Grant::of(offer, context, allowance), granted))
}
