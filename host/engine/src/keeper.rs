//! The run record, and everything that must be kept before it is told.

use crate::error::EngineError;
use crate::event::Event;
use crate::inputs::Outputs;
use ilab_cluster::{Owner, RecordStore, StoredRecord};
use ilab_core::names::{RunId, StageName};
use ilab_core::record::{RunRecord, StageRecord, StageState};
use tokio::sync::mpsc::UnboundedSender;

/// The one owner of a run's record.
#[derive(Debug)]
pub(crate) struct Keeper {
    store: RecordStore,
    stored: StoredRecord,
    record: RunRecord,
    dirty: bool,
    say: UnboundedSender<Event>,
    /// What is told once it is kept.
    untold: Vec<Event>,
}

pub(crate) fn parse(stored: &StoredRecord) -> Result<RunRecord, EngineError> {
    RunRecord::from_json(&stored.text)
        .map_err(|source| EngineError::Record { run: stored.run.clone(), source })
}

pub(crate) fn print(run: &RunId, record: &RunRecord) -> Result<String, EngineError> {
    record.to_json().map_err(|source| EngineError::Record { run: run.clone(), source })
}

impl Keeper {
    pub(crate) fn new(
        store: RecordStore,
        stored: StoredRecord,
        record: RunRecord,
        say: UnboundedSender<Event>,
    ) -> Self {
        Self { store, stored, record, dirty: false, say, untold: Vec::new() }
    }

    pub(crate) fn record(&self) -> &RunRecord {
        &self.record
    }

    /// The record, to be changed; [`Keeper::save`] makes the change last.
    pub(crate) fn change(&mut self) -> &mut RunRecord {
        self.dirty = true;
        &mut self.record
    }

    /// The record of one stage, to be changed.
    pub(crate) fn stage(&mut self, stage: &StageName) -> &mut StageRecord {
        self.change().stages.entry(stage.clone()).or_default()
    }

    pub(crate) fn state(&self, stage: &StageName) -> StageState {
        self.record.stages.get(stage).map_or(StageState::Waiting, |s| s.state)
    }

    /// The outputs of every stage that has succeeded, in this part of the run or an earlier one.
    pub(crate) fn outputs(&self) -> Outputs {
        outputs(&self.record)
    }

    pub(crate) fn owner(&self) -> Owner {
        self.stored.owner()
    }

    /// Tells an event as soon as what led to it is kept.
    pub(crate) fn tell_when_kept(&mut self, event: Event) {
        self.untold.push(event);
    }

    /// Writes the record if it has changed, then tells what waited for it.
    pub(crate) async fn save(&mut self) -> Result<(), EngineError> {
        if self.dirty {
            let text = print(&self.record.run, &self.record)?;
            self.stored = self.store.save(&self.stored, &text).await?;
            self.dirty = false;
        }
        for event in self.untold.drain(..) {
            let _ = self.say.send(event);
        }
        Ok(())
    }
}

pub(crate) fn outputs(record: &RunRecord) -> Outputs {
    record
        .stages
        .iter()
        .filter(|(_, stage)| stage.state == StageState::Succeeded)
        .map(|(name, stage)| (name.clone(), stage.outputs.clone()))
        .collect()
}
