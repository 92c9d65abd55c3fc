//! Bringing a stage's objects into being: exactly once, whatever happened before.

use crate::active::{Active, Placed, TargetState};
use crate::drive::Drive;
use crate::error::EngineError;
use crate::event::Event;
use crate::follow::{Seen, send_all, send_events};
use crate::planning::{self, PlannedStage};
use crate::pods::Pods;
use crate::resume::Step;
use crate::{active::Tasks, inputs};
use futures::StreamExt;
use ilab_cluster::{ApplyOptions, ClusterError, Observed};
use ilab_core::contract::ObjectRef;
use ilab_core::names::{ObjectUid, StageName};
use ilab_core::record::{CreatedObject, StageState, manifest_hash};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long the objects of a failed attempt may take to go.
const GOING: Duration = Duration::from_secs(300);

impl Drive {
    /// Starts every stage that may start. One write of the record covers what was done before and what begins now.
    pub(crate) async fn start_ready(&mut self) -> Result<(), EngineError> {
        let done: BTreeSet<_> = self
            .request
            .selected
            .iter()
            .filter(|s| self.keeper.state(s) == StageState::Succeeded)
            .cloned()
            .collect();
        let ready = self.request.pipeline.ready(&self.request.selected, &done);
        let mut begun = Vec::new();
        for stage in ready.into_iter().filter(|stage| !self.active.contains_key(stage)) {
            match self.plan(&stage).await {
                Ok(planned) => begun.push(planned),
                Err(error) => {
                    // What succeeded before must not be lost with it.
                    self.keeper.save().await?;
                    return Err(error);
                }
            }
        }
        for planned in &begun {
            self.begin(planned);
        }
        self.keeper.save().await?;
        for planned in &begun {
            self.raise(planned).await?;
        }
        Ok(())
    }

    fn step(&self, stage: &StageName) -> Step {
        self.steps.get(stage).copied().unwrap_or(Step::Fresh)
    }

    /// Renders and guards a stage again, now with what earlier stages really handed on.
    async fn plan(&self, stage: &StageName) -> Result<PlannedStage, EngineError> {
        let offer = self
            .request
            .pipeline
            .get(stage.as_str())
            .ok_or_else(|| EngineError::UnknownStage { stage: stage.clone() })?;
        let was = self.keeper.record().stages.get(stage).filter(|_| self.step(stage) == Step::Reattach);
        let inputs = match was {
            Some(was) => was.inputs.clone(),
            None => inputs::real(&self.request, &offer.descriptor, &self.keeper.outputs())?,
        };
        let context = planning::context(&self.request, offer, inputs, Some(&self.found))?;
        let (request, stages, offer) = (Arc::clone(&self.request), Arc::clone(&self.stages), offer.clone());
        let task =
            tokio::task::spawn_blocking(move || planning::plan_stage(&request, &offer, context, &*stages));
        task.await.map_err(|source| EngineError::Task { what: format!("rendering {stage}"), source })?
    }

    /// Writes down what is about to be done, so that a host that comes after this one knows.
    fn begin(&mut self, planned: &PlannedStage) {
        let stage = planned.offer.name().clone();
        let again = self.step(&stage) == Step::Reattach;
        let hashes = hashes(planned);
        let record = self.keeper.stage(&stage);
        if again {
            return;
        }
        record.state = StageState::Applying;
        record.parameters.clone_from(&planned.context.parameters);
        record.inputs.clone_from(&planned.context.inputs);
        record.manifest_hashes = hashes;
        record.reason = None;
        record.outputs.clear();
        record.started = Some(Timestamp::now());
        record.finished = None;
        record.attempt = record.attempt.saturating_add(1);
        // The objects of a failed attempt stay written down until they are gone.
    }

    /// Creates the objects of a stage, or finds them again, and begins to wait for them.
    async fn raise(&mut self, planned: &PlannedStage) -> Result<(), EngineError> {
        let stage = planned.offer.name().clone();
        let step = self.step(&stage);
        if step == Step::Retry {
            self.clear_away(&stage, planned).await?;
        }
        let mut placed = Vec::new();
        for manifest in &planned.plan.manifests {
            let Some(object) = ObjectRef::of(manifest) else { continue };
            let known = self.recorded(&stage, &object).filter(|_| step == Step::Reattach);
            let here = match known {
                // It was there once. Whether it still is, its watch will say: it is never created again.
                Some(uid) => Placed { object, uid, state: None },
                None => self.place(&stage, object.clone(), manifest).await.map_err(|source| {
                    EngineError::Apply {
                        stage: stage.clone(),
                        object: object.to_string(),
                        source: Box::new(source),
                    }
                })?,
            };
            placed.push(here);
        }
        let record = self.keeper.stage(&stage);
        record.state = StageState::Running;
        record.objects =
            placed.iter().map(|p| CreatedObject { object: p.object.clone(), uid: p.uid.clone() }).collect();
        let attempt = record.attempt;
        self.keeper.save().await?;
        self.say.say(Event::StageStarted {
            stage: stage.clone(),
            attempt,
            reattached: step == Step::Reattach,
        });
        self.attach(stage, planned.clone(), placed);
        Ok(())
    }

    fn recorded(&self, stage: &StageName, object: &ObjectRef) -> Option<ObjectUid> {
        let record = self.keeper.record().stages.get(stage)?;
        record.objects.iter().find(|created| created.object == *object).map(|created| created.uid.clone())
    }

    /// One object: adopted when an attempt that was cut short has made it already, else applied.
    async fn place(
        &self,
        stage: &StageName,
        object: ObjectRef,
        manifest: &serde_json::Value,
    ) -> Result<Placed, ClusterError> {
        let hash = manifest_hash(manifest);
        let options = ApplyOptions {
            run: Some(self.request.run.clone()),
            stage: Some(stage.clone()),
            owner: Some(self.keeper.owner()),
            manifest_hash: Some(hash.clone()),
            force: self.request.options.force_conflicts,
            ..ApplyOptions::default()
        };
        let found = self.cluster.adopt(&object, &options).await?;
        let applied = match found {
            // Applied once more: that changes nothing, unless somebody has changed it since, and then that is told.
            Some(found) if found.manifest_hash() == Some(hash.as_str()) => {
                self.cluster.apply_new(manifest, &options).await?
            }
            Some(other) => {
                // Ours, but made from another manifest: most fields of a Job can never be changed.
                self.cluster.delete_and_wait(&object, &other.uid, GOING).await?;
                self.cluster.apply_new(manifest, &options).await?
            }
            None => self.cluster.apply_new(manifest, &options).await?,
        };
        self.say.say(Event::ObjectApplied {
            stage: Some(stage.clone()),
            object: object.clone(),
            uid: applied.uid.clone(),
            created: applied.created,
        });
        Ok(Placed { object, uid: applied.uid, state: Some((applied.resource_version, applied.object)) })
    }

    /// Deletes what is left of a failed attempt: its own objects and no others.
    async fn clear_away(&mut self, stage: &StageName, planned: &PlannedStage) -> Result<(), EngineError> {
        let old = self.keeper.record().stages.get(stage).map(|s| s.objects.clone()).unwrap_or_default();
        // What waits for others goes first: in reverse order of creation.
        for created in old.iter().rev() {
            self.cluster.delete_and_wait(&created.object, &created.uid, GOING).await?;
        }
        // An attempt that was cut short may have made objects that it never wrote down.
        let options = ApplyOptions {
            run: Some(self.request.run.clone()),
            stage: Some(stage.clone()),
            owner: Some(self.keeper.owner()),
            ..ApplyOptions::default()
        };
        for object in planned.plan.manifests.iter().rev().filter_map(ObjectRef::of) {
            if let Some(left) = self.cluster.adopt(&object, &options).await? {
                self.cluster.delete_and_wait(&object, &left.uid, GOING).await?;
            }
        }
        self.keeper.stage(stage).objects.clear();
        Ok(())
    }

    /// Starts watching.
    fn attach(&mut self, stage: StageName, planned: PlannedStage, placed: Vec<Placed>) {
        self.next_id += 1;
        let id = self.next_id;
        let find = |object: &ObjectRef| placed.iter().find(|p| p.object == *object).cloned();
        let limit_of = |seconds: Option<u64>| {
            self.request.options.timeouts.get(&stage).copied().or(seconds.map(Duration::from_secs))
        };
        let mut watched = Vec::new();
        let mut targets = Vec::new();
        for (target, predicates) in planned.plan.targets.iter().zip(&planned.predicates) {
            let Some(here) = find(&target.object) else { continue };
            targets.push(TargetState::new(&here, predicates.clone(), limit_of(target.timeout_seconds)));
            watched.push(here);
        }
        for source in &planned.plan.excerpts {
            if let Some(here) =
                find(&source.object).filter(|here| !watched.iter().any(|w| w.object == here.object))
            {
                watched.push(here);
            }
        }
        let mut tasks = Tasks::default();
        for (index, here) in watched.iter().enumerate() {
            let (notes, name, quiet) = (self.notes.clone(), stage.clone(), self.request.options.quiet);
            if index < targets.len() {
                let (version, first) = here.state.clone().unzip();
                let first = futures::stream::iter(first.map(|object| Ok(Observed::Present(object))));
                let states = first.chain(self.cluster.watch(&here.object, version));
                let task =
                    send_all(states, notes.clone(), name.clone(), id, move |item| Seen::Target(index, item));
                tasks.add(tokio::spawn(task).abort_handle());
            }
            let manifest =
                planned.plan.manifests.iter().find(|m| ObjectRef::of(m).as_ref() == Some(&here.object));
            if manifest.and_then(planning::queue_of).is_some() {
                let states = self.cluster.watch_queueing(&here.uid);
                let task =
                    send_all(states, notes.clone(), name.clone(), id, move |item| Seen::Queue(index, item));
                tasks.add(tokio::spawn(task).abort_handle());
            }
            if let Some(pods) = self.cluster.watch_pods(&here.object, &here.uid) {
                let task =
                    send_all(pods, notes.clone(), name.clone(), id, move |item| Seen::Pods(index, item));
                tasks.add(tokio::spawn(task).abort_handle());
                let task = send_events(self.cluster.clone(), here.uid.clone(), quiet, notes, name, id);
                tasks.add(tokio::spawn(task).abort_handle());
            }
        }
        let since = Instant::now();
        let active = Active { id, planned, placed: watched, targets, pods: Pods::default(), tasks, since };
        self.active.insert(stage, active);
    }
}

fn hashes(planned: &PlannedStage) -> std::collections::BTreeMap<String, String> {
    let manifests = planned.plan.manifests.iter();
    manifests.filter_map(|m| Some((ObjectRef::of(m)?.to_string(), manifest_hash(m)))).collect()
}
