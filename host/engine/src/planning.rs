//! From a request to checked manifests. Pure: no cluster is in scope.

use crate::credentials::{self, FoundKeys};
use crate::error::EngineError;
use crate::inputs::{self, Outputs};
use crate::request::{RunRequest, Stages};
use ilab_cluster::QUEUE_LABEL;
use ilab_core::contract::{BoundVolume, Context, KeyHolder, Plan, Volume};
use ilab_core::graph::Offer;
use ilab_core::guard::{Grant, Refused, harden};
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
    /// The compiled predicates, one a target.
    pub(crate) predicates: Vec<Predicates>,
}

/// Renders and guards every selected stage, in order. Outputs that are not known yet are stood in for by the samples of
/// the descriptors, and a named Secret counts as having every key. Creates nothing and asks nobody: a dry run is this.
///
/// # Errors
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
    let grant = grant(offer, &context);
    let mut refused: Vec<Refused> = Vec::new();
    for manifest in &mut plan.manifests {
        harden(manifest);
        refused.extend(request.policy.admit(manifest, &grant).err());
    }
    if !refused.is_empty() {
        return Err(EngineError::Refused(refused));
    }
    Ok(PlannedStage { offer: offer.clone(), context, plan, predicates })
}

/// The queue of Kueue's that a manifest wants to wait in.
pub(crate) fn queue_of(manifest: &Value) -> Option<&str> {
    manifest.pointer("/metadata/labels")?.get(QUEUE_LABEL)?.as_str()
}

pub(crate) fn grant(offer: &Offer, context: &Context) -> Grant {
    let holders = || context.credentials.iter().flat_map(|c| &c.keys).map(|k| &k.holder);
    Grant {
        stage: offer.descriptor.name.clone(),
        digest: offer.digest.clone(),
        namespace: context.namespace.clone(),
        prefix: context.prefix.clone(),
        creates: offer.descriptor.creates.clone(),
        secrets: holders()
            .filter_map(|h| match h {
                KeyHolder::Secret(name) => Some(name.clone()),
                KeyHolder::ConfigMap(_) => None,
            })
            .collect(),
        config_maps: holders()
            .filter_map(|h| match h {
                KeyHolder::ConfigMap(name) => Some(name.clone()),
                KeyHolder::Secret(_) => None,
            })
            .collect(),
        claims: context.volumes.iter().map(|v| v.claim.clone()).collect(),
    }
}
