//! A stage whose targets have all succeeded: its text is gathered, its outputs are collected and kept.

use crate::active::Active;
use crate::drive::Drive;
use crate::error::EngineError;
use crate::event::Event;
use crate::follow;
use ilab_cluster::PodView;
use ilab_core::contract::{Excerpt, ExcerptSource};
use ilab_core::names::StageName;
use ilab_core::plan::{MAX_EXCERPT_BYTES, check_outputs};
use ilab_core::record::StageState;
use ilab_core::text::chain;
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::sync::{Arc, PoisonError};

impl Drive {
    /// Collects and keeps the outputs of a stage that is done.
    pub(crate) async fn succeed(&mut self, stage: &StageName) -> Result<(), EngineError> {
        let Some(active) = self.active.remove(stage) else { return Ok(()) };
        let outputs = match self.outputs_of(&active).await {
            Ok(outputs) => outputs,
            Err(reason) => return Err(self.fail(active, None, reason, None).await),
        };
        let record = self.keeper.stage(stage);
        record.state = StageState::Succeeded;
        record.outputs.clone_from(&outputs);
        record.reason = None;
        record.finished = Some(Timestamp::now());
        let seconds = record
            .started
            .and_then(|started| std::time::Duration::try_from(Timestamp::now().duration_since(started)).ok())
            .unwrap_or_else(|| active.since.elapsed())
            .as_secs_f64();
        self.keeper.tell_when_kept(Event::StageSucceeded { stage: stage.clone(), outputs, seconds });
        self.read_what_is_left(active);
        Ok(())
    }

    async fn outputs_of(&self, active: &Active) -> Result<Map<String, Value>, String> {
        let mut excerpts = Vec::new();
        for source in &active.planned.plan.excerpts {
            let text = self.excerpt(active, source).await?;
            excerpts.push(Excerpt {
                source: source.object.clone(),
                container: source.container.clone(),
                text,
            });
        }
        let (stages, context) = (Arc::clone(&self.stages), active.planned.context.clone());
        let descriptor = &active.planned.offer.descriptor;
        let name = descriptor.name.clone();
        let collected = tokio::task::spawn_blocking(move || stages.collect(&name, &context, &excerpts))
            .await
            .map_err(|error| format!("its outputs could not be collected: {error}"))?
            .map_err(|error| format!("its outputs could not be collected: {}", chain(&*error)))?;
        check_outputs(descriptor, &collected)
            .map_err(|error| format!("its outputs are not what it declared: {error}"))
    }

    /// The end of what a container printed: asked for, or, where its pod is gone already, as it was read on the way.
    async fn excerpt(&self, active: &Active, source: &ExcerptSource) -> Result<String, String> {
        let what = format!("the text of container {} of {}", source.container, source.object);
        let most = usize::try_from(source.max_bytes.min(MAX_EXCERPT_BYTES)).unwrap_or(0);
        let Some(index) = active.placed.iter().position(|p| p.object == source.object) else {
            return Err(format!("{what} cannot be found"));
        };
        let mut pods: Vec<_> = active.pods.of(index).cloned().collect();
        // The pods' watch may lag behind the object's: then they are asked for.
        if !pods.iter().any(|pod| pod.phase == "Succeeded") {
            let uid = &active.placed[index].uid;
            pods = match self.cluster.pods_of(&source.object, uid).await {
                Ok(found) if !found.is_empty() => found,
                Ok(_) => pods,
                Err(error) => return Err(format!("{what} cannot be read: {}", error.chain())),
            };
        }
        let Some(pod) = choose(&pods) else {
            return Err(format!("{what} cannot be read: {} has no pod", source.object));
        };
        match self.cluster.log_end(&pod.name, &source.container, most).await {
            Ok(text) => Ok(text),
            Err(error) => {
                let kept = active.pods.tail(&pod.uid, &source.container);
                let kept = kept.map(|tail| tail.lock().unwrap_or_else(PoisonError::into_inner).text());
                kept.ok_or_else(|| format!("{what} cannot be read: {}", error.chain()))
            }
        }
    }

    /// Lines that are still on their way are waited for by tasks of their own, never by the next stage.
    fn read_what_is_left(&mut self, active: Active) {
        if !self.request.options.logs {
            return;
        }
        let Active { planned, placed, mut pods, tasks, .. } = active;
        drop(tasks);
        for (index, here) in placed.into_iter().enumerate() {
            if ilab_cluster::selector_of(&here.object).is_none() || !pods.unsure(index) {
                continue;
            }
            let (cluster, stage, say) =
                (self.cluster.clone(), planned.offer.name().clone(), self.say.clone());
            let known = std::mem::take(&mut pods);
            self.logs.spawn(follow::read_late(cluster, stage, here.object, here.uid, known, index, say));
        }
    }
}

/// The pod whose text counts: the master where there is one; else the first that succeeded; never one that failed
/// while another succeeded.
fn choose(pods: &[PodView]) -> Option<&PodView> {
    let rank = |pod: &&PodView| {
        let phase = match pod.phase.as_str() {
            "Succeeded" => 0,
            "Running" => 1,
            "Pending" | "Unknown" => 2,
            _ => 3,
        };
        (phase, !pod.master, pod.created.clone(), pod.name.clone())
    };
    let masters = pods.iter().filter(|pod| pod.master).min_by_key(rank);
    masters.or_else(|| pods.iter().min_by_key(rank))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ilab_core::names::ObjectUid;

    fn pod(name: &str, phase: &str, created: &str, master: bool) -> PodView {
        PodView {
            name: name.into(),
            uid: ObjectUid(name.into()),
            phase: phase.into(),
            created: created.into(),
            master,
            containers: vec![],
            trouble: None,
        }
    }

    #[test]
    fn b24_the_pod_that_succeeded_is_read_and_not_the_first_one() {
        let pods = [
            pod("old", "Failed", "2026-01-01T00:00:00Z", false),
            pod("second", "Succeeded", "2026-01-01T00:00:02Z", false),
            pod("first", "Succeeded", "2026-01-01T00:00:01Z", false),
        ];
        assert_eq!(choose(&pods).unwrap().name, "first");
        let ranks = [
            pod("worker", "Succeeded", "2026-01-01T00:00:00Z", false),
            pod("master", "Succeeded", "2026-01-01T00:00:09Z", true),
        ];
        assert_eq!(choose(&ranks).unwrap().name, "master");
        assert!(choose(&[]).is_none());
    }
}
