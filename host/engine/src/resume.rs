//! What is to be done with each selected stage, given what became of it before. Pure.

use crate::error::EngineError;
use crate::planning::PlannedStage;
use crate::request::{Resume, RunRequest};
use ilab_core::names::StageName;
use ilab_core::record::{RunRecord, StageRecord, StageState};
use std::collections::BTreeMap;

/// What is to be done with a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Run it.
    Fresh,
    /// It succeeded: use its outputs.
    Reuse,
    /// Its objects may be there: wait for them, create those that never were.
    Reattach,
    /// It ended badly: delete what is left of it, then run it again.
    Retry,
}

/// Decides for all selected stages.
pub(crate) fn decide(
    request: &RunRequest,
    record: Option<&RunRecord>,
) -> Result<BTreeMap<StageName, Step>, EngineError> {
    let Some(record) = record else {
        if request.options.resume == Resume::Always {
            return Err(EngineError::NothingToResume {
                run: request.run.clone(),
                namespace: request.namespace.clone(),
            });
        }
        return Ok(request.selected.iter().map(|stage| (stage.clone(), Step::Fresh)).collect());
    };
    let state = |stage: &StageName| record.stages.get(stage).map_or(StageState::Waiting, |s| s.state);
    if request.options.resume == Resume::Never {
        let ran: Vec<_> = request
            .selected
            .iter()
            .map(|stage| (stage.clone(), state(stage)))
            .filter(|(_, state)| *state != StageState::Waiting)
            .collect();
        if !ran.is_empty() {
            return Err(EngineError::AlreadyRan { run: request.run.clone(), stages: ran });
        }
    }
    let mut steps = BTreeMap::new();
    for stage in &request.selected {
        let step = match state(stage) {
            StageState::Waiting => Step::Fresh,
            StageState::Succeeded => Step::Reuse,
            StageState::Applying | StageState::Running => Step::Reattach,
            StageState::Failed | StageState::Cancelled => Step::Retry,
        };
        if matches!(step, Step::Reuse | Step::Reattach)
            && let Some(was) = record.stages.get(stage)
        {
            unchanged(request, stage, was)?;
        }
        steps.insert(stage.clone(), step);
    }
    Ok(steps)
}

/// The stages whose objects are still to be made: what runs or has run asks the cluster for nothing new.
pub(crate) fn to_create<'a>(
    planned: &'a [PlannedStage],
    steps: &BTreeMap<StageName, Step>,
) -> Vec<&'a PlannedStage> {
    let makes = |stage: &&PlannedStage| {
        matches!(steps.get(stage.offer.name()), None | Some(Step::Fresh | Step::Retry))
    };
    planned.iter().filter(makes).collect()
}

/// A stage that ran with other parameters is another stage.
fn unchanged(request: &RunRequest, stage: &StageName, was: &StageRecord) -> Result<(), EngineError> {
    let Some(now) = request.parameters.get(stage) else { return Ok(()) };
    let mut parameters: Vec<_> = now
        .values
        .iter()
        .filter(|(name, value)| was.parameters.get(*name) != Some(value))
        .map(|(n, _)| n.clone())
        .collect();
    parameters.extend(was.parameters.keys().filter(|name| !now.values.contains_key(*name)).cloned());
    if parameters.is_empty() {
        return Ok(());
    }
    Err(EngineError::ParametersChanged {
        run: request.run.clone(),
        stage: stage.clone(),
        state: was.state,
        parameters,
    })
}
