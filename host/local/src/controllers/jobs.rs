//! `batch/v1` Job, as the controller of Kubernetes 1.34 runs it: conditions in its order and with its reasons.

mod policy;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, PodFailurePolicy};
use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::runtime::{Controller, controller::Action, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use policy::Failure;

use super::ControllerOptions;
use super::owned::{self, ReconcileError};
use crate::node::events::Recorder;
use crate::node::kubelet::time;

const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// A Job with more pods at once is slowed to this many.
const MAX_PARALLEL: i32 = 500;

struct Ctx {
    client: Client,
    options: ControllerOptions,
    events: Recorder,
}

pub(super) async fn run(client: Client, options: ControllerOptions) {
    let events = Recorder::new(client.clone(), "job-controller");
    let ctx = Arc::new(Ctx { client: client.clone(), options, events });
    Controller::new(Api::<Job>::all(client.clone()), watcher::Config::default())
        .owns(Api::<Pod>::all(client), watcher::Config::default())
        .run(reconcile, |_, error, _| owned::retry(error), ctx)
        .for_each(|done| async move {
            if let Err(error) = done {
                tracing::debug!(%error, "jobs");
            }
        })
        .await;
}

/// What a Job's pods add up to.
#[derive(Debug, Default)]
struct Count {
    active: Vec<Pod>,
    terminating: i32,
    ready: i32,
    succeeded: i32,
    failed: i32,
    restarts: i32,
    /// Indexes that are done, for an indexed Job.
    done: BTreeSet<i32>,
    last_failure: Option<Timestamp>,
    /// The message of a failure that ends the Job by its failure policy.
    ends: Option<String>,
}

impl Count {
    fn of(pods: Vec<Pod>, failures: Option<&PodFailurePolicy>) -> Self {
        let mut count = Self::default();
        for pod in pods {
            let (deleting, phase) =
                (pod.metadata.deletion_timestamp.is_some(), owned::phase(&pod).to_owned());
            match phase.as_str() {
                "Succeeded" => {
                    count.succeeded += 1;
                    count.done.extend(index(&pod));
                }
                "Failed" => match policy::of(failures, &pod) {
                    Failure::Ignored => {}
                    failure => {
                        count.failed += 1;
                        count.last_failure = count.last_failure.max(finished_at(&pod));
                        if let Failure::Ends(message) = failure {
                            count.ends.get_or_insert(message);
                        }
                    }
                },
                // Not over, but told to be: a replacement is due, and it counts as failed once it is over.
                _ if deleting => count.terminating += 1,
                _ => {
                    count.ready += i32::from(owned::is_ready(&pod));
                    count.restarts = count.restarts.saturating_add(owned::restarts(&pod));
                    count.active.push(pod);
                }
            }
        }
        count
    }
}

fn index(pod: &Pod) -> Option<i32> {
    pod.annotations().get(INDEX)?.parse().ok()
}

fn finished_at(pod: &Pod) -> Option<Timestamp> {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let ends =
        statuses.filter_map(|one| Some(one.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref()?.0));
    ends.max().or_else(|| pod.metadata.creation_timestamp.as_ref().map(|created| created.0))
}

/// How a Job ended, before all of its pods have.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Verdict {
    succeeded: bool,
    reason: Cow<'static, str>,
    message: Cow<'static, str>,
}

const COMPLETED: Verdict = Verdict {
    succeeded: true,
    reason: Cow::Borrowed("CompletionsReached"),
    message: Cow::Borrowed("Reached expected number of succeeded pods"),
};
const BACKOFF: Verdict = Verdict {
    succeeded: false,
    reason: Cow::Borrowed("BackoffLimitExceeded"),
    message: Cow::Borrowed("Job has reached the specified backoff limit"),
};
const DEADLINE: Verdict = Verdict {
    succeeded: false,
    reason: Cow::Borrowed("DeadlineExceeded"),
    message: Cow::Borrowed("Job was active longer than specified deadline"),
};

async fn reconcile(job: Arc<Job>, ctx: Arc<Ctx>) -> Result<Action, ReconcileError> {
    let namespace = job.namespace().unwrap_or_default();
    let api: Api<Job> = Api::namespaced(ctx.client.clone(), &namespace);
    // The cache may be behind what this controller itself wrote.
    let Some(job) = api.get_opt(&job.name_any()).await?.filter(|fresh| fresh.uid() == job.uid()) else {
        return Ok(Action::await_change());
    };
    if job.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let uid = job.uid().unwrap_or_default();
    if let Some(finished) = finished(&job) {
        return expire(&api, &job, finished).await;
    }
    let labels = format!("batch.kubernetes.io/controller-uid={uid}");
    let spec = job.spec.clone().unwrap_or_default();
    let pods = owned::pods(&ctx.client, &namespace, &labels, &uid).await?;
    let count = Count::of(pods, spec.pod_failure_policy.as_ref());
    let status = job.status.clone().unwrap_or_default();
    let suspended = spec.suspend == Some(true);
    let started = status.start_time.as_ref().map(|time| time.0);
    // It begins anew when it goes on after a pause.
    let started = match (suspended, has(&job, "Suspended")) {
        (true, _) => started,
        (false, true) => Some(Timestamp::now()),
        (false, false) => Some(started.unwrap_or_else(Timestamp::now)),
    };
    let mut wait = None;
    let failed = count.failed.max(status.failed.unwrap_or(0));
    let succeeded = count.succeeded.max(status.succeeded.unwrap_or(0));
    let verdict = if suspended {
        target(&job)
    } else {
        target(&job).or_else(|| verdict(&job, &count, succeeded, failed)).or_else(|| {
            let seconds = spec.active_deadline_seconds.and_then(|seconds| u64::try_from(seconds).ok())?;
            let left = left(started?, Duration::from_secs(seconds));
            wait = Some(left);
            left.is_zero().then_some(DEADLINE)
        })
    };

    let mut active = i32::try_from(count.active.len()).unwrap_or(i32::MAX);
    let mut terminating = count.terminating;
    // Pods that are ended because the Job has failed have failed with it.
    let fails = verdict.as_ref().is_some_and(|verdict| !verdict.succeeded) && target(&job).is_none();
    let failed = if fails { failed.saturating_add(active) } else { failed };
    if verdict.is_some() || suspended {
        for pod in &count.active {
            remove(&ctx, &job, pod).await?;
        }
        terminating += active;
        active = 0;
    } else {
        let wanted = wanted(&job, &count, succeeded);
        let pause = pause(&ctx.options, &count, failed);
        if wanted.is_empty() {
            // Nothing to do.
        } else if pause.is_zero() {
            for index in wanted {
                create(&ctx, &job, index).await?;
                active += 1;
            }
        } else {
            wait = Some(wait.map_or(pause, |wait: Duration| wait.min(pause)));
        }
        // Fewer at once are wanted than before: the youngest go.
        let excess = active.saturating_sub(spec.parallelism.unwrap_or(1).max(0));
        let mut by_age: Vec<_> = count.active.iter().collect();
        by_age.sort_by_key(|pod| std::cmp::Reverse(pod.creation_timestamp().map(|time| time.0)));
        for pod in by_age.into_iter().take(usize::try_from(excess).unwrap_or(0)) {
            remove(&ctx, &job, pod).await?;
            active -= 1;
            terminating += 1;
        }
    }
    let over = verdict.as_ref().filter(|_| terminating == 0);
    let new = json!({
        "active": (active > 0).then_some(active),
        "ready": if verdict.is_some() || suspended { 0 } else { count.ready },
        "terminating": terminating,
        "succeeded": (succeeded > 0).then_some(succeeded),
        "failed": (failed > 0).then_some(failed),
        "startTime": started.map(time),
        "completionTime": over.filter(|verdict| verdict.succeeded).map(|_| time(Timestamp::now())),
        "completedIndexes": indexed(&job).then(|| ranges(&count.done)).filter(|text| !text.is_empty()),
        "uncountedTerminatedPods": {},
        "conditions": conditions(&job, verdict.as_ref(), over.is_some(), suspended),
    });
    let about = job.object_ref(&());
    let held = |conditions: &Value| {
        let all = conditions.as_array().into_iter().flatten();
        all.filter(|one| one["type"] == "Suspended").any(|one| one["status"] == "True")
    };
    let (was, now) = (has(&job, "Suspended"), held(&new["conditions"]));
    write(&api, &job, new).await?;
    match (was, now) {
        (false, true) => ctx.events.normal(&about, "Suspended", "Job suspended").await,
        (true, false) if verdict.is_none() => ctx.events.normal(&about, "Resumed", "Job resumed").await,
        _ => {}
    }
    if let Some(verdict) = over {
        if verdict.succeeded {
            ctx.events.normal(&about, "Completed", "Job completed").await;
        } else {
            ctx.events.warning(&about, &verdict.reason, &verdict.message).await;
        }
    }
    Ok(wait.map_or_else(Action::await_change, |wait| Action::requeue(wait.max(Duration::from_millis(5)))))
}

/// Writes the status where it differs from what is there.
async fn write(api: &Api<Job>, job: &Job, new: Value) -> Result<(), ReconcileError> {
    let old = serde_json::to_value(&job.status)?;
    let same = new.as_object().into_iter().flatten().all(|(key, value)| {
        let before = old.get(key).unwrap_or(&Value::Null);
        before == value || (key == "uncountedTerminatedPods" && !before.is_null())
    });
    if same {
        return Ok(());
    }
    let patch = json!({
        "metadata": {"uid": job.uid(), "resourceVersion": job.resource_version()}, "status": new,
    });
    match api.patch_status(&job.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(refusal)) if refusal.code == 404 => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn left(since: Timestamp, whole: Duration) -> Duration {
    let passed = Duration::try_from(Timestamp::now().duration_since(since)).unwrap_or_default();
    whole.saturating_sub(passed)
}

fn indexed(job: &Job) -> bool {
    job.spec.as_ref().and_then(|spec| spec.completion_mode.as_deref()) == Some("Indexed")
}

fn has(job: &Job, kind: &str) -> bool {
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == kind && condition.status == "True")
}

/// When it finished; none while it has not.
fn finished(job: &Job) -> Option<Timestamp> {
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut ends =
        conditions.filter(|one| matches!(one.type_.as_str(), "Complete" | "Failed") && one.status == "True");
    ends.next().map(|end| end.last_transition_time.as_ref().map_or_else(Timestamp::now, |time| time.0))
}

/// The verdict that an earlier reconciliation wrote down, while pods still end.
fn target(job: &Job) -> Option<Verdict> {
    if has(job, "SuccessCriteriaMet") {
        return Some(COMPLETED);
    }
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let failure = conditions.into_iter().find(|one| one.type_ == "FailureTarget" && one.status == "True")?;
    let text = |text: &Option<String>| Cow::Owned(text.clone().unwrap_or_default());
    Some(Verdict { succeeded: false, reason: text(&failure.reason), message: text(&failure.message) })
}

fn verdict(job: &Job, count: &Count, succeeded: i32, failed: i32) -> Option<Verdict> {
    let spec = job.spec.as_ref()?;
    let limit = spec.backoff_limit.unwrap_or(6);
    let restarts_count =
        spec.template.spec.as_ref().is_some_and(|pod| pod.restart_policy.as_deref() == Some("OnFailure"));
    if let Some(message) = &count.ends {
        let reason = Cow::Borrowed("PodFailurePolicy");
        return Some(Verdict { succeeded: false, reason, message: Cow::Owned(message.clone()) });
    }
    let restarted = if limit == 0 { count.restarts > 0 } else { count.restarts >= limit };
    if failed > limit || (restarts_count && restarted) {
        return Some(BACKOFF);
    }
    let done = match spec.completions {
        Some(completions) if indexed(job) => {
            i32::try_from(count.done.len()).unwrap_or(i32::MAX) >= completions
        }
        Some(completions) => succeeded >= completions,
        // A work queue: one success, and nobody at work any more.
        None => succeeded > 0 && count.active.is_empty(),
    };
    done.then_some(COMPLETED)
}

/// Which pods are to be created: their indexes, or none for pods without.
fn wanted(job: &Job, count: &Count, succeeded: i32) -> Vec<Option<i32>> {
    let Some(spec) = &job.spec else { return Vec::new() };
    let parallelism = spec.parallelism.unwrap_or(1).clamp(0, MAX_PARALLEL);
    let active = i32::try_from(count.active.len()).unwrap_or(i32::MAX);
    let room = parallelism.saturating_sub(active).max(0);
    if indexed(job) {
        let busy: BTreeSet<_> = count.active.iter().filter_map(index).collect();
        let open =
            (0..spec.completions.unwrap_or(0)).filter(|at| !busy.contains(at) && !count.done.contains(at));
        return open.take(usize::try_from(room).unwrap_or(0)).map(Some).collect();
    }
    let open = match spec.completions {
        Some(completions) => completions.saturating_sub(succeeded).saturating_sub(active).max(0),
        None if succeeded > 0 => 0,
        None => room,
    };
    vec![None; usize::try_from(room.min(open)).unwrap_or(0)]
}

/// How long to wait after failures: base, doubling with each, from the last one on.
fn pause(options: &ControllerOptions, count: &Count, failed: i32) -> Duration {
    let Some(last) = count.last_failure else { return Duration::ZERO };
    let doublings = u32::try_from(failed.saturating_sub(1).clamp(0, 20)).unwrap_or(0);
    left(last, options.job_backoff.saturating_mul(1 << doublings).min(options.job_backoff_max))
}

async fn remove(ctx: &Ctx, job: &Job, pod: &Pod) -> Result<(), ReconcileError> {
    owned::delete(&ctx.client, pod).await?;
    let message = format!("Deleted pod: {}", pod.name_any());
    ctx.events.normal(&job.object_ref(&()), "SuccessfulDelete", &message).await;
    Ok(())
}

async fn create(ctx: &Ctx, job: &Job, index: Option<i32>) -> Result<(), ReconcileError> {
    let (name, uid) = (job.name_any(), job.uid().unwrap_or_default());
    let mut template = job.spec.clone().unwrap_or_default().template;
    let meta = template.metadata.get_or_insert_default();
    let labels = meta.labels.get_or_insert_default();
    for prefix in ["", "batch.kubernetes.io/"] {
        labels.insert(format!("{prefix}controller-uid"), uid.clone());
        labels.insert(format!("{prefix}job-name"), name.clone());
    }
    // Room for what is appended.
    let base = |appended: &str| {
        let room = 58_usize.saturating_sub(appended.len());
        name.chars().take(room).chain(appended.chars()).collect::<String>()
    };
    let base = index.map_or_else(|| base("-"), |index| base(&format!("-{index}-")));
    let pod_name = format!("{base}{}", owned::suffix());
    meta.generate_name = Some(base);
    if let Some(index) = index {
        meta.annotations.get_or_insert_default().insert(INDEX.to_owned(), index.to_string());
        meta.labels.get_or_insert_default().insert(INDEX.to_owned(), index.to_string());
        if let Some(spec) = &mut template.spec {
            spec.hostname.get_or_insert_with(|| format!("{name}-{index}"));
            for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
                let variable = EnvVar {
                    name: "JOB_COMPLETION_INDEX".to_owned(),
                    value: None,
                    value_from: Some(EnvVarSource {
                        field_ref: Some(ObjectFieldSelector {
                            api_version: Some("v1".to_owned()),
                            field_path: format!("metadata.labels['{INDEX}']"),
                        }),
                        ..EnvVarSource::default()
                    }),
                };
                container.env.get_or_insert_default().push(variable);
            }
        }
    }
    let owner = owned::owner("batch/v1", "Job", &job.metadata);
    let about = job.object_ref(&());
    match owned::create(&ctx.client, &job.namespace().unwrap_or_default(), pod_name.clone(), owner, template)
        .await
    {
        Ok(_) => ctx.events.normal(&about, "SuccessfulCreate", &format!("Created pod: {pod_name}")).await,
        Err(error) => {
            ctx.events.warning(&about, "FailedCreate", &format!("Error creating: {error}")).await;
            return Err(error.into());
        }
    }
    Ok(())
}

fn conditions(job: &Job, verdict: Option<&Verdict>, over: bool, suspended: bool) -> Vec<Value> {
    let before = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut all: Vec<Value> = before.map(|condition| json!(condition)).collect();
    let now = time(Timestamp::now());
    let mut set = |kind: &str, status: &str, reason: &str, message: &str| {
        if let Some(known) = all.iter_mut().find(|known| known["type"] == kind) {
            if known["status"] == status {
                return;
            }
            all.retain(|known| known["type"] != kind);
        } else if status == "False" {
            return;
        }
        all.push(json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastProbeTime": now, "lastTransitionTime": now,
        }));
    };
    if let Some(verdict) = verdict {
        let (target, end) =
            if verdict.succeeded { ("SuccessCriteriaMet", "Complete") } else { ("FailureTarget", "Failed") };
        set(target, "True", &verdict.reason, &verdict.message);
        if over {
            set(end, "True", &verdict.reason, &verdict.message);
        }
    } else if suspended {
        set("Suspended", "True", "JobSuspended", "Job suspended");
    } else {
        set("Suspended", "False", "JobResumed", "Job resumed");
    }
    all
}

/// `0-2,4`, as `status.completedIndexes` has it.
fn ranges(indexes: &BTreeSet<i32>) -> String {
    let mut runs: Vec<(i32, i32)> = Vec::new();
    for &at in indexes {
        match runs.last_mut() {
            Some((_, end)) if *end + 1 == at => *end = at,
            _ => runs.push((at, at)),
        }
    }
    let text = runs.into_iter().map(|(from, to)| match to - from {
        0 => from.to_string(),
        1 => format!("{from},{to}"),
        _ => format!("{from}-{to}"),
    });
    text.collect::<Vec<_>>().join(",")
}

/// After the end: the Job goes when its time to live is over.
async fn expire(api: &Api<Job>, job: &Job, finished: Timestamp) -> Result<Action, ReconcileError> {
    let seconds = job.spec.as_ref().and_then(|spec| spec.ttl_seconds_after_finished);
    let Some(seconds) = seconds.and_then(|seconds| u64::try_from(seconds).ok()) else {
        return Ok(Action::await_change());
    };
    let left = left(finished, Duration::from_secs(seconds));
    if !left.is_zero() {
        return Ok(Action::requeue(left));
    }
    let parameters = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Foreground),
        preconditions: Some(Preconditions { uid: job.uid(), resource_version: None }),
        ..DeleteParams::default()
    };
    match api.delete(&job.name_any(), &parameters).await {
        Err(kube::Error::Api(refusal)) if refusal.code == 404 => Ok(Action::await_change()),
        Err(error) => Err(error.into()),
        Ok(_) => Ok(Action::await_change()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(spec: Value) -> Job {
        let mut spec = spec;
        spec["template"] = json!({"spec": {"containers": [], "restartPolicy": spec["policy"]}});
        serde_json::from_value(json!({"metadata": {"name": "j", "uid": "u"}, "spec": spec})).unwrap()
    }

    fn pods(phases: &[(&str, i32)]) -> Count {
        Count::of(
            phases
                .iter()
                .enumerate()
                .map(|(at, (phase, restarts))| {
                    serde_json::from_value(json!({
                        "metadata": {"name": at.to_string(), "annotations": {INDEX: at.to_string()}},
                        "status": {"phase": phase, "containerStatuses": [
                            {"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": restarts},
                        ]},
                    }))
                    .unwrap()
                })
                .collect(),
            None,
        )
    }

    #[test]
    fn a_job_ends_by_completions_and_by_its_backoff_limit() {
        let verdict = |spec: Value, phases: &[(&str, i32)]| {
            let (job, count) = (job(spec), pods(phases));
            super::verdict(&job, &count, count.succeeded, count.failed)
                .map(|verdict| verdict.reason.into_owned())
        };
        let never = || json!({"completions": 1, "backoffLimit": 1, "policy": "Never"});
        assert_eq!(verdict(never(), &[("Running", 0)]).as_deref(), None);
        assert_eq!(verdict(never(), &[("Succeeded", 0)]).as_deref(), Some("CompletionsReached"));
        assert_eq!(verdict(never(), &[("Failed", 0)]).as_deref(), None);
        assert_eq!(
            verdict(never(), &[("Failed", 0), ("Failed", 0)]).as_deref(),
            Some("BackoffLimitExceeded")
        );
        let on_failure = |limit: i32| json!({"completions": 1, "backoffLimit": limit, "policy": "OnFailure"});
        assert_eq!(verdict(on_failure(2), &[("Running", 1)]).as_deref(), None);
        assert_eq!(verdict(on_failure(2), &[("Running", 2)]).as_deref(), Some("BackoffLimitExceeded"));
        assert_eq!(verdict(on_failure(0), &[("Running", 0)]).as_deref(), None);
        assert_eq!(verdict(on_failure(0), &[("Running", 1)]).as_deref(), Some("BackoffLimitExceeded"));
        let queue = || json!({"backoffLimit": 1, "policy": "Never"});
        assert_eq!(verdict(queue(), &[("Succeeded", 0), ("Running", 0)]).as_deref(), None);
        assert_eq!(verdict(queue(), &[("Succeeded", 0)]).as_deref(), Some("CompletionsReached"));
    }

    #[test]
    fn no_more_pods_than_are_needed() {
        let wanted = |spec: Value, phases: &[(&str, i32)]| {
            let (job, count) = (job(spec), pods(phases));
            super::wanted(&job, &count, count.succeeded)
        };
        let plain = || json!({"completions": 3, "parallelism": 2, "policy": "Never"});
        assert_eq!(wanted(plain(), &[]).len(), 2);
        assert_eq!(wanted(plain(), &[("Running", 0)]).len(), 1);
        assert_eq!(wanted(plain(), &[("Succeeded", 0), ("Succeeded", 0)]).len(), 1);
        assert_eq!(wanted(plain(), &[("Succeeded", 0), ("Succeeded", 0), ("Running", 0)]).len(), 0);
        let indexed =
            || json!({"completions": 4, "parallelism": 3, "completionMode": "Indexed", "policy": "Never"});
        assert_eq!(wanted(indexed(), &[("Succeeded", 0), ("Failed", 0), ("Running", 0)]), [Some(1), Some(3)]);
    }

    #[test]
    fn indexes_are_written_as_ranges() {
        assert_eq!(ranges(&BTreeSet::from([0, 1, 2, 4, 6, 7])), "0-2,4,6,7");
        assert_eq!(ranges(&BTreeSet::new()), "");
    }

    #[test]
    fn conditions_come_in_order_and_flip_once() {
        let job = job(json!({}));
        let kinds = |all: &[Value]| {
            all.iter().map(|one| one["type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(
            kinds(&conditions(&job, Some(&COMPLETED), true, false)),
            ["SuccessCriteriaMet", "Complete"]
        );
        assert_eq!(kinds(&conditions(&job, Some(&BACKOFF), false, false)), ["FailureTarget"]);
        assert_eq!(kinds(&conditions(&job, None, false, false)), [""; 0]);
        let mut suspended = job.clone();
        suspended.status =
            serde_json::from_value(json!({"conditions": conditions(&job, None, false, true)})).unwrap();
        let resumed = conditions(&suspended, None, false, false);
        assert_eq!(
            (resumed.len(), resumed[0]["status"].as_str(), resumed[0]["reason"].as_str()),
            (1, Some("False"), Some("JobResumed"))
        );
    }
}
