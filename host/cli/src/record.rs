//! `run --record`: what a run's stages were given, what was seen of their objects, and what they made of it, as cases that
//! `plugin test` holds a component against.

use crate::load::Loaded;
use crate::{CliError, exit};
use ilab_author::{Case, Observation, Saw};
use ilab_core::contract::{Context, Excerpt, ObjectRef, Plan};
use ilab_core::names::StageName;
use ilab_core::verdict::Predicates;
use ilab_engine::Stages;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Observations of one stage that are kept: a training of days has a few dozen that differ.
const MOST: usize = 500;

/// The stages of a run, with everything they are asked and told written down. Names of Secrets are in it, values are not.
pub struct Recorder {
    stages: Loaded,
    folder: PathBuf,
    known: Mutex<BTreeMap<StageName, Recorded>>,
}

struct Recorded {
    case: Case,
    plan: Plan,
    observed: Vec<Observation>,
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

impl Recorder {
    /// Records into a folder, which must not have anything in it.
    ///
    /// # Errors
    /// When it has, or cannot be made.
    pub fn new(stages: Loaded, folder: PathBuf) -> Result<Self, CliError> {
        let io = |e: std::io::Error| CliError::from_error(exit::USAGE, &e);
        std::fs::create_dir_all(&folder).map_err(io)?;
        if std::fs::read_dir(&folder).map_err(io)?.next().is_some() {
            return Err(CliError::usage(format!("{} is not empty", folder.display()))
                .hint("record into a folder of its own"));
        }
        Ok(Self { stages, folder, known: Mutex::default() })
    }

    fn change(&self, stage: &StageName, change: impl FnOnce(&mut Recorded)) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(recorded) = known.get_mut(stage) else { return };
        change(recorded);
        let folder = self.folder.join(stage.as_str());
        // A run goes on without its recording.
        if let Err(error) = recorded.case.write(&folder, &recorded.plan, &recorded.observed) {
            tracing::warn!(%error, "the recording is not whole");
        }
    }
}

impl Stages for Recorder {
    fn render(&self, stage: &StageName, context: &Context) -> Result<Plan, Failed> {
        let plan = self.stages.render(stage, context)?;
        let case = Case { stage: Some(stage.clone()), context: Some(context.clone()), ..Case::default() };
        let recorded = Recorded { case, plan: plan.clone(), observed: Vec::new() };
        // Written with the first look at its objects: it is rendered before the run, too, for what is not known yet.
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(stage.clone(), recorded);
        Ok(plan)
    }

    fn collect(&self, stage: &StageName, context: &Context, excerpts: &[Excerpt]) -> Result<Value, Failed> {
        let collected = self.stages.collect(stage, context, excerpts);
        self.change(stage, |recorded| {
            recorded.case.logs = Some(excerpts.iter().map(|excerpt| excerpt.text.clone()).collect());
            match &collected {
                Ok(outputs) => recorded.case.outputs = outputs.as_object().cloned(),
                // The part that does not name this component's digest.
                Err(error) => recorded.case.error = error.to_string().rsplit(": ").next().map(str::to_owned),
            }
        });
        collected
    }

    fn observed(&self, stage: &StageName, object: &ObjectRef, state: &Value) {
        self.stages.observed(stage, object, state);
        self.change(stage, |recorded| {
            let target = recorded.plan.targets.iter().find(|target| target.object == *object);
            // A plan that was accepted has predicates that compile.
            let Some(Ok(predicates)) = target.map(Predicates::compile) else { return };
            let verdict = Saw::from(predicates.judge(Some(state)));
            let seen = Observation { object: object.clone(), state: Some(state.clone()), verdict };
            if recorded.observed.len() < MOST && recorded.observed.last() != Some(&seen) {
                recorded.observed.push(seen);
            }
        });
    }
}
