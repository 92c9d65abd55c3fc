//! A stage whose objects exist and are waited for.

use crate::planning::PlannedStage;
use crate::pods::Pods;
use ilab_cluster::Observed;
use ilab_core::contract::ObjectRef;
use ilab_core::names::ObjectUid;
use ilab_core::verdict::{Identity, Predicates, Verdict, Watched};
use jiff::Timestamp;
use serde_json::Value;
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// Tasks that end with their owner.
#[derive(Debug, Default)]
pub(crate) struct Tasks(Vec<AbortHandle>);

impl Tasks {
    pub(crate) fn add(&mut self, task: AbortHandle) {
        // A stage of days starts many tasks that end by themselves.
        self.0.retain(|task| !task.is_finished());
        self.0.push(task);
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

/// An object that exists.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Placed {
    pub(crate) object: ObjectRef,
    pub(crate) uid: ObjectUid,
    /// Its state when it was applied or adopted, and the version at which a watch can go on from there; none when it was
    /// not looked at. An adopted object may be done already: then no change follows, and this is all there is to judge.
    pub(crate) state: Option<(String, Value)>,
}

/// One object that is waited for.
#[derive(Debug)]
pub(crate) struct TargetState {
    pub(crate) object: ObjectRef,
    watched: Watched,
    /// Whether this host has seen it, or it was there when this host came.
    seen: bool,
    predicates: Predicates,
    pub(crate) verdict: Verdict,
    pub(crate) limit: Option<Duration>,
    pub(crate) deadline: Option<Instant>,
}

impl TargetState {
    pub(crate) fn new(placed: &Placed, predicates: Predicates, limit: Option<Duration>) -> Self {
        Self {
            object: placed.object.clone(),
            watched: Watched { uid: Some(placed.uid.clone()) },
            seen: placed.state.is_some(),
            predicates,
            verdict: Verdict::Pending { why: String::new() },
            limit,
            deadline: limit.map(|limit| Instant::now() + limit),
        }
    }

    /// Judges what was observed. A verdict that fell stays: what becomes of the object afterwards is its own affair.
    /// Says whether the verdict is a new one.
    pub(crate) fn observe(&mut self, observed: &Observed) -> bool {
        if !matches!(self.verdict, Verdict::Pending { .. }) {
            return false;
        }
        let verdict = self.judge(observed);
        let new = verdict != self.verdict;
        self.verdict = verdict;
        new
    }

    fn judge(&mut self, observed: &Observed) -> Verdict {
        let now = match observed {
            Observed::Present(object) => Some(object),
            // What is gone may have ended before it went: a finished Job with a time to live.
            Observed::Absent { last } => last.as_ref(),
        };
        let object = &self.object;
        match (self.watched.identify(now), observed) {
            (Identity::Gone, _) => self.gone(),
            (Identity::Recreated, Observed::Present(_)) => Verdict::Failed {
                reason: format!(
                    "{object} is not the object that was waited for: somebody deleted it and made another"
                ),
            },
            // Another one that came and went changes nothing, but then ours is not there either.
            (Identity::Recreated, Observed::Absent { .. }) => self.gone(),
            (Identity::Same, Observed::Present(found)) => {
                self.seen = true;
                self.start_clock(found);
                self.predicates.judge(now)
            }
            (Identity::Same, Observed::Absent { .. }) => match self.predicates.judge(now) {
                Verdict::Pending { .. } => self.gone(),
                fell => fell,
            },
        }
    }

    fn gone(&self) -> Verdict {
        let object = &self.object;
        Verdict::Failed {
            reason: if self.seen {
                format!("{object} is gone: somebody deleted it before it was done")
            } else {
                format!(
                    "{object} went while no host watched: somebody deleted it, or it was done and its time to live ended"
                )
            },
        }
    }

    /// The time it may take counts from its creation, also for a host that came later.
    fn start_clock(&mut self, object: &Value) {
        let Some(limit) = self.limit.take() else { return };
        let created = object.pointer("/metadata/creationTimestamp").and_then(Value::as_str);
        let age = created
            .and_then(|text| text.parse::<Timestamp>().ok())
            .and_then(|created| Duration::try_from(Timestamp::now().duration_since(created)).ok())
            .unwrap_or_default();
        self.deadline = Some(Instant::now() + limit.saturating_sub(age));
    }
}

/// A stage that is waited for.
#[derive(Debug)]
pub(crate) struct Active {
    /// Tells this attempt's notes from those of an earlier one.
    pub(crate) id: u64,
    pub(crate) planned: PlannedStage,
    /// Targets first, in their order, then other objects whose pods are read.
    pub(crate) placed: Vec<Placed>,
    pub(crate) targets: Vec<TargetState>,
    pub(crate) pods: Pods,
    pub(crate) tasks: Tasks,
    pub(crate) since: Instant,
}

impl Active {
    pub(crate) fn succeeded(&self) -> bool {
        self.targets.iter().all(|t| t.verdict == Verdict::Succeeded)
    }

    /// The next moment at which something is overdue.
    pub(crate) fn deadline(&self, pending_timeout: Option<Duration>) -> Option<Instant> {
        let pending = self.targets.iter().filter(|t| matches!(t.verdict, Verdict::Pending { .. }));
        let blocked = self.pods.blocked_since().zip(pending_timeout).map(|(since, limit)| since + limit);
        pending.filter_map(|t| t.deadline).chain(blocked).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ilab_core::contract::Target;
    use serde_json::json;

    fn state(limit: Option<Duration>) -> TargetState {
        let object = ObjectRef { api_version: "batch/v1".into(), kind: "Job".into(), name: "x".into() };
        let target = Target {
            object: object.clone(),
            succeeded: r#"condition(object, "Complete")"#.into(),
            failed: r#"condition(object, "Failed")"#.into(),
            reason: None,
            timeout_seconds: None,
        };
        let placed = Placed { object, uid: ObjectUid("u".into()), state: None };
        TargetState::new(&placed, Predicates::compile(&target).unwrap(), limit)
    }

    fn job(uid: &str, condition: &str, status: &str) -> Value {
        json!({"metadata": {"name": "x", "uid": uid, "creationTimestamp": "2020-01-01T00:00:00Z"},
            "status": {"failed": 3, "conditions": [{"type": condition, "status": status}]}})
    }

    #[test]
    fn b6_a_failed_job_is_seen_whatever_its_counters_say() {
        let mut target = state(None);
        assert!(target.observe(&Observed::Present(job("u", "Failed", "True"))));
        assert!(matches!(target.verdict, Verdict::Failed { .. }));
    }

    #[test]
    fn b7_a_pod_that_failed_while_the_job_tries_again_is_no_failure() {
        let mut target = state(None);
        let retrying = json!({"metadata": {"uid": "u"}, "status": {"failed": 1, "active": 1}});
        target.observe(&Observed::Present(retrying));
        assert!(matches!(target.verdict, Verdict::Pending { .. }));
        target.observe(&Observed::Present(job("u", "Complete", "True")));
        assert_eq!(target.verdict, Verdict::Succeeded);
    }

    #[test]
    fn b11_a_condition_that_is_false_does_not_count() {
        let mut target = state(None);
        for condition in ["Complete", "Failed"] {
            target.observe(&Observed::Present(job("u", condition, "False")));
            assert!(matches!(target.verdict, Verdict::Pending { .. }), "{condition}");
        }
    }

    #[test]
    fn b12_deletion_fails_unless_the_object_was_done() {
        for (last, done) in [
            (None, false),
            (Some(json!({"metadata": {"uid": "u"}})), false),
            (Some(job("other", "Complete", "True")), false),
            (Some(job("u", "Complete", "True")), true),
        ] {
            let mut target = state(None);
            target.observe(&Observed::Absent { last: last.clone() });
            assert_eq!(target.verdict == Verdict::Succeeded, done, "{last:?}");
        }
    }

    #[test]
    fn what_went_before_this_host_came_may_have_been_done() {
        let gone = |target: &mut TargetState| {
            target.observe(&Observed::Absent { last: None });
            match &target.verdict {
                Verdict::Failed { reason } => reason.clone(),
                other => panic!("{other:?}"),
            }
        };
        let mut unseen = state(None);
        assert_eq!(
            gone(&mut unseen),
            "Job/x went while no host watched: somebody deleted it, or it was done and its time to live ended"
        );
        let mut seen = state(None);
        seen.observe(&Observed::Present(json!({"metadata": {"uid": "u"}})));
        assert_eq!(gone(&mut seen), "Job/x is gone: somebody deleted it before it was done");
    }

    #[test]
    fn b13_a_finished_object_of_the_same_name_is_not_taken_for_ones_own() {
        let mut target = state(None);
        target.observe(&Observed::Present(job("stale", "Complete", "True")));
        assert!(matches!(&target.verdict, Verdict::Failed { reason } if reason.contains("made another")));
    }

    #[test]
    fn a_verdict_stays_when_the_object_goes_afterwards() {
        let mut target = state(None);
        target.observe(&Observed::Present(job("u", "Complete", "True")));
        assert!(!target.observe(&Observed::Absent { last: None }));
        assert_eq!(target.verdict, Verdict::Succeeded);
    }

    #[tokio::test]
    async fn the_time_it_may_take_counts_from_its_creation() {
        let mut target = state(Some(Duration::from_secs(60)));
        target.observe(&Observed::Present(job("u", "Other", "True")));
        assert!(target.deadline.unwrap() <= Instant::now(), "it is years old");
    }
}
