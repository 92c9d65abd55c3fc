//! The one owner of run state: notes come in, requests and events go out.

use crate::active::Active;
use crate::credentials::FoundKeys;
use crate::error::EngineError;
use crate::event::Event;
use crate::follow::{self, LAST_BYTES, Note, Seen};
use crate::keeper::Keeper;
use crate::pump::Say;
use crate::request::{RunRequest, Stages};
use crate::resume::Step;
use ilab_cluster::{Cluster, ClusterError, Lost, Observed, PodChange, Queueing, RunLease};
use ilab_core::names::{ObjectUid, StageName};
use ilab_core::plan::MAX_EXCERPT_BYTES;
use ilab_core::verdict::Verdict;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How many notes wait; the tasks that watch are held up before memory is.
pub(crate) const NOTES: usize = 256;

/// A run under way.
pub(crate) struct Drive {
    pub(crate) cluster: Cluster,
    pub(crate) request: Arc<RunRequest>,
    pub(crate) stages: Arc<dyn Stages>,
    pub(crate) keeper: Keeper,
    pub(crate) found: FoundKeys,
    pub(crate) lease: Option<RunLease>,
    pub(crate) steps: BTreeMap<StageName, Step>,
    pub(crate) active: BTreeMap<StageName, Active>,
    pub(crate) notes: Sender<Note>,
    pub(crate) inbox: Receiver<Note>,
    pub(crate) say: Say,
    pub(crate) logs: JoinSet<()>,
    pub(crate) next_id: u64,
}

async fn lost(lease: &mut Option<RunLease>) -> Lost {
    match lease {
        Some(lease) => lease.lost().await,
        None => std::future::pending().await,
    }
}

impl Drive {
    /// Runs until every selected stage has succeeded, or one has failed.
    pub(crate) async fn go(&mut self) -> Result<(), EngineError> {
        self.start_ready().await?;
        while !self.active.is_empty() {
            let limit = self.request.options.pending_timeout;
            let deadline = self.active.values().filter_map(|active| active.deadline(limit)).min();
            // Far enough away to mean never.
            let wake = deadline.unwrap_or_else(|| Instant::now() + Duration::from_secs(365 * 24 * 3600));
            tokio::select! {
                biased;
                how = lost(&mut self.lease) => {
                    return Err(match how {
                        Lost::To(holder) => EngineError::TakenOver { run: self.request.run.clone(), holder },
                        Lost::Refused(error) => error.into(),
                    });
                }
                note = self.inbox.recv() => {
                    if let Some(note) = note {
                        self.take(note).await?;
                    }
                }
                () = tokio::time::sleep_until(wake) => self.overdue().await?,
            }
            while self.logs.try_join_next().is_some() {}
        }
        Ok(())
    }

    async fn take(&mut self, note: Note) -> Result<(), EngineError> {
        let Note { stage, id, seen } = note;
        if self.active.get(&stage).is_none_or(|active| active.id != id) {
            return Ok(());
        }
        match seen {
            Seen::Target(index, item) => self.on_target(stage, index, item?).await,
            Seen::Pods(index, item) => {
                self.on_pods(&stage, index, item);
                Ok(())
            }
            Seen::Queue(index, item) => {
                self.on_queue(stage, index, item);
                Ok(())
            }
            Seen::Event(about, event) => {
                if let Some(active) = self.active.get_mut(&stage) {
                    active.pods.event(&about, &event);
                }
                self.tell_trouble(&stage);
                Ok(())
            }
        }
    }

    async fn on_target(
        &mut self,
        stage: StageName,
        index: usize,
        observed: Observed,
    ) -> Result<(), EngineError> {
        let Some(active) = self.active.get_mut(&stage) else { return Ok(()) };
        let Some(target) = active.targets.get_mut(index) else { return Ok(()) };
        if let (Verdict::Pending { .. }, Some(state)) = (&target.verdict, observed.present()) {
            self.stages.observed(&stage, &target.object, state);
        }
        if !target.observe(&observed) {
            return Ok(());
        }
        match target.verdict.clone() {
            Verdict::Pending { why } if why.is_empty() => Ok(()),
            Verdict::Pending { why } => {
                self.say.say(Event::Pending { stage, object: target.object.clone(), why });
                Ok(())
            }
            Verdict::Failed { reason } => self.give_up(&stage, index, reason, None).await,
            Verdict::Succeeded if active.succeeded() => {
                self.succeed(&stage).await?;
                self.start_ready().await
            }
            Verdict::Succeeded => Ok(()),
        }
    }

    async fn give_up(
        &mut self,
        stage: &StageName,
        index: usize,
        reason: String,
        hint: Option<String>,
    ) -> Result<(), EngineError> {
        match self.active.remove(stage) {
            Some(active) => Err(self.fail(active, Some(index), reason, hint).await),
            None => Ok(()),
        }
    }

    fn on_queue(&self, stage: StageName, index: usize, item: Result<Queueing, ClusterError>) {
        let placed = self.active.get(&stage).and_then(|active| active.placed.get(index));
        match (item, placed) {
            (Ok(Queueing { queue, admitted, message }), Some(placed)) => {
                self.say.say(Event::Queued {
                    object: placed.object.clone(),
                    stage,
                    queue,
                    admitted,
                    message,
                });
            }
            // A stage is waited for just as well without being told why.
            (Err(error), _) => {
                tracing::warn!(%stage, error = error.chain(), "its place in the queue cannot be seen")
            }
            (Ok(_), None) => {}
        }
    }

    fn on_pods(&mut self, stage: &StageName, index: usize, item: Result<PodChange, ClusterError>) {
        let Some(active) = self.active.get_mut(stage) else { return };
        let change = match item {
            Ok(change) => change,
            Err(error) => {
                // Without its pods a stage has no logs and no diagnosis, but a verdict all the same.
                let object = active.placed.get(index).map(|p| p.object.to_string()).unwrap_or_default();
                self.say.say(Event::LogUnavailable {
                    stage: stage.clone(),
                    pod: object,
                    container: String::new(),
                    why: error.chain(),
                });
                return;
            }
        };
        if let PodChange::Put(pod) = &change
            && pod.phase == "Pending"
            && !active.pods.of(index).any(|known| known.uid == pod.uid)
        {
            self.listen(stage, &pod.uid.clone());
        }
        let Some(active) = self.active.get_mut(stage) else { return };
        let object = active.placed.get(index).map(|p| p.object.clone());
        let excerpts = &active.planned.plan.excerpts;
        let keep = |container: &str| {
            let asked =
                excerpts.iter().filter(|e| e.container == container && Some(&e.object) == object.as_ref());
            asked.map(|e| e.max_bytes.min(MAX_EXCERPT_BYTES) as usize).max().unwrap_or(0).max(LAST_BYTES)
        };
        let new = active.pods.change(index, change, &keep);
        // A stage that runs already may have printed for days.
        let attached = active.placed.get(index).is_some_and(|placed| placed.state.is_none());
        let tail_lines = attached.then_some(self.request.options.attach_lines);
        if self.request.options.logs {
            for log in new {
                let (cluster, name, say) = (self.cluster.clone(), stage.clone(), self.say.clone());
                self.logs.spawn(follow::read_log(cluster, name, log, tail_lines, say));
            }
        }
        self.tell_trouble(stage);
    }

    /// Reads the Events about a pod that stays pending: some trouble, like a volume that cannot be mounted, is only there.
    fn listen(&mut self, stage: &StageName, pod: &ObjectUid) {
        let Some(active) = self.active.get_mut(stage) else { return };
        let quiet = self.request.options.quiet * 3;
        let (cluster, notes, id) = (self.cluster.clone(), self.notes.clone(), active.id);
        let task = follow::send_events(cluster, pod.clone(), quiet, notes, stage.clone(), id);
        active.tasks.add(tokio::spawn(task).abort_handle());
    }

    fn tell_trouble(&mut self, stage: &StageName) {
        let Some(active) = self.active.get_mut(stage) else { return };
        if let Some(event) = active.pods.trouble(stage) {
            self.say.say(event);
        }
    }

    /// Fails what has waited for too long.
    async fn overdue(&mut self) -> Result<(), EngineError> {
        let now = Instant::now();
        let limit = self.request.options.pending_timeout;
        let late = self.active.iter().find_map(|(stage, active)| {
            let target = active.targets.iter().position(|t| {
                matches!(t.verdict, Verdict::Pending { .. })
                    && t.deadline.is_some_and(|deadline| deadline <= now)
            });
            if let Some(index) = target {
                let reason = format!("{} was not done in the time it may take", active.targets[index].object);
                return Some((stage.clone(), index, reason, active.pods.current().map(|t| t.hint.clone())));
            }
            let (since, limit) = active.pods.blocked_since().zip(limit)?;
            let trouble = active.pods.current()?;
            (since + limit <= now).then(|| {
                let waiting =
                    active.targets.iter().position(|t| matches!(t.verdict, Verdict::Pending { .. }));
                let reason = format!("{}; that has lasted for {}", trouble.message, span(limit));
                (stage.clone(), waiting.unwrap_or(0), reason, Some(trouble.hint.clone()))
            })
        });
        match late {
            Some((stage, index, reason, hint)) => self.give_up(&stage, index, reason, hint).await,
            None => Ok(()),
        }
    }
}

/// For people.
fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} milliseconds", duration.as_millis()),
        1 => "1 second".to_owned(),
        2..120 => format!("{seconds} seconds"),
        120..7200 => format!("{} minutes", seconds / 60),
        _ => format!("{} hours", seconds / 3600),
    }
}
