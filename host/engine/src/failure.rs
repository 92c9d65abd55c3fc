//! A stage that failed: everything that helps is gathered, written down and told.

use crate::active::Active;
use crate::drive::Drive;
use crate::error::EngineError;
use crate::event::{Event, StageFailure};
use ilab_cluster::diagnose::{Trouble, TroubleKind};
use ilab_cluster::{ContainerState, ContainerView, LogRequest, PodView};
use ilab_core::contract::ObjectRef;
use ilab_core::record::StageState;
use jiff::Timestamp;
use std::sync::PoisonError;
use std::time::Duration;

/// How many lines a person reads.
const LINES: usize = 20;
/// How many Events a person reads.
const EVENTS: usize = 8;
/// Gathering must not hold up the news for longer.
const PATIENCE: Duration = Duration::from_secs(10);

impl Drive {
    /// Writes down and tells that a stage failed. `target` is the index of the object whose verdict it was.
    pub(crate) async fn fail(
        &mut self,
        active: Active,
        target: Option<usize>,
        reason: String,
        hint: Option<String>,
    ) -> EngineError {
        let stage = active.planned.offer.name().clone();
        let mut failure = StageFailure {
            run: self.request.run.clone(),
            stage: stage.clone(),
            reason,
            object: target.and_then(|index| active.placed.get(index)).map(|p| p.object.clone()),
            pod: None,
            container: None,
            exit_code: None,
            last_lines: Vec::new(),
            events: Vec::new(),
            hint,
            still_running: self.active.keys().filter(|other| **other != stage).cloned().collect(),
            resume: self.resume_command(),
        };
        // A cluster that does not answer now must not keep the failure from being told.
        let _ = tokio::time::timeout(PATIENCE, self.gather(&active, target, &mut failure)).await;
        let record = self.keeper.stage(&stage);
        record.state = StageState::Failed;
        record.reason = Some(failure.reason.clone());
        record.finished = Some(Timestamp::now());
        let failure = Box::new(failure);
        self.keeper.tell_when_kept(Event::StageFailed { failure: failure.clone() });
        match self.keeper.save().await {
            Ok(()) => EngineError::StageFailed(failure),
            Err(error) => {
                // The stage's failure is the greater news; that it could not be written down is told too.
                self.say.say(Event::Retrying {
                    what: "save the run record".into(),
                    why: error.to_string(),
                    after_seconds: 0.0,
                });
                self.say.say(Event::StageFailed { failure: failure.clone() });
                EngineError::StageFailed(failure)
            }
        }
    }

    pub(crate) fn resume_command(&self) -> String {
        format!("ilab-host run --resume {}", self.request.run)
    }

    async fn gather(&self, active: &Active, target: Option<usize>, failure: &mut StageFailure) {
        let index = target.unwrap_or(0);
        let Some(here) = active.placed.get(index) else { return };
        let mut pods: Vec<PodView> = active.pods.of(index).cloned().collect();
        if let Ok(fresh) = self.cluster.pods_of(&here.object, &here.uid).await {
            // Fresh ones say more; those that are gone are still worth naming.
            pods.retain(|old| !fresh.iter().any(|new| new.uid == old.uid));
            pods.extend(fresh);
        }
        let mut about = vec![here.uid.clone()];
        if let Some(pod) = culprit(&pods) {
            about.push(pod.uid.clone());
            failure.pod = Some(pod.name.clone());
            if let Some(container) = guilty(pod) {
                failure.container = Some(container.name.clone());
                failure.exit_code = exit_code(container);
                failure.last_lines = self.last_lines(active, pod, container).await;
            }
            if failure.hint.is_none() {
                failure.hint = pod.trouble.as_ref().map(|trouble| trouble.hint.clone());
            }
            explain(&mut failure.reason, &here.object, pod.trouble.as_ref());
        }
        let mut events = Vec::new();
        for uid in about {
            events.extend(self.cluster.events_of(&uid).await.unwrap_or_default());
        }
        // Warnings say more than the rest.
        events.sort_by(|a, b| (a.warning, &a.last).cmp(&(b.warning, &b.last)));
        let mut events = events.split_off(events.len().saturating_sub(EVENTS));
        events.sort_by(|a, b| a.last.cmp(&b.last));
        failure.events = events.iter().map(ToString::to_string).collect();
    }

    async fn last_lines(&self, active: &Active, pod: &PodView, container: &ContainerView) -> Vec<String> {
        // A container between two attempts has printed nothing yet: its attempt before has.
        let previous = container.state == ContainerState::Waiting && container.restarts > 0;
        let request = LogRequest {
            pod: pod.name.clone(),
            container: container.name.clone(),
            previous,
            tail_lines: Some(LINES as u64),
            ..LogRequest::default()
        };
        let mut lines = Vec::new();
        {
            use futures::StreamExt;
            let stream = self.cluster.logs(request);
            futures::pin_mut!(stream);
            while let Some(Ok(line)) = stream.next().await {
                lines.push(line.text);
            }
        }
        if lines.is_empty() {
            let tail = active.pods.tail(&pod.uid, &container.name);
            lines = tail
                .map(|tail| tail.lock().unwrap_or_else(PoisonError::into_inner).last(LINES))
                .unwrap_or_default();
        }
        lines.split_off(lines.len().saturating_sub(LINES))
    }
}

/// Says what the pod died of, where the object's own reason does not.
fn explain(reason: &mut String, object: &ObjectRef, trouble: Option<&Trouble>) {
    let Some(trouble) = trouble else { return };
    if !reason.contains(&trouble.message) && !reason.starts_with("its outputs") {
        if reason.is_empty() {
            *reason = format!("{object} failed");
        }
        reason.push_str(": ");
        reason.push_str(&trouble.message);
    }
}

/// The pod to blame: one with trouble of its own before one that merely failed, the latest of several attempts.
fn culprit(pods: &[PodView]) -> Option<&PodView> {
    pods.iter().max_by_key(|pod| {
        let weight = match pod.trouble.as_ref().map(|trouble| trouble.kind) {
            Some(TroubleKind::OutOfMemory) => 5,
            Some(TroubleKind::Failed | TroubleKind::CrashLoop) => 4,
            Some(_) => 3,
            None if pod.phase == "Failed" => 2,
            None => i32::from(pod.containers.iter().any(|c| exit_code(c).is_some_and(|code| code != 0))),
        };
        // A worker that lost its master fails too, with less to say.
        (weight, pod.master, pod.created.clone())
    })
}

/// The container to blame.
fn guilty(pod: &PodView) -> Option<&ContainerView> {
    let named = pod.trouble.as_ref().and_then(|trouble| trouble.container.as_ref());
    let by_name = named.and_then(|name| pod.containers.iter().find(|c| c.name == *name));
    by_name
        .or_else(|| pod.containers.iter().find(|c| exit_code(c).is_some_and(|code| code != 0)))
        .or_else(|| pod.containers.iter().find(|c| c.state == ContainerState::Running))
        .or_else(|| pod.containers.last())
}

fn exit_code(container: &ContainerView) -> Option<i64> {
    match container.state {
        ContainerState::Terminated { exit_code } => Some(exit_code),
        ContainerState::Waiting | ContainerState::Running => container.last_exit,
    }
}
