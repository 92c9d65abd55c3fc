//! `kubeflow.org/v1` PyTorchJob, as the training operator 1.9.3 runs it.
//!
//! Two things differ because all pods share this machine's network: the master's port is a free one that is picked for
//! each job, and the master's name is in every rank's `/etc/hosts`, so there is neither a headless Service nor an init
//! container that waits for it.

mod conditions;
mod ranks;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::{Controller, controller::Action, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::owned::{self, ReconcileError};
use crate::node::events::Recorder;
use crate::node::kubelet::time;
use conditions::Conditions;
use ranks::Replica;

/// A PyTorchJob's spec, as far as it is acted upon.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    run_policy: RunPolicy,
    nproc_per_node: Option<Value>,
    elastic_policy: Option<Value>,
    pytorch_replica_specs: BTreeMap<String, Replica>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RunPolicy {
    backoff_limit: Option<i32>,
    clean_pod_policy: Option<String>,
    active_deadline_seconds: Option<u64>,
    ttl_seconds_after_finished: Option<u64>,
    suspend: Option<bool>,
}

/// The status as it is built up.
#[derive(Debug, Clone, Default, PartialEq)]
struct Status {
    conditions: Conditions,
    replicas: BTreeMap<String, Counts>,
    start: Option<Timestamp>,
    completion: Option<Timestamp>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Counts {
    active: i32,
    succeeded: i32,
    failed: i32,
    selector: Option<String>,
}

impl Status {
    fn of(job: &DynamicObject) -> Self {
        let status = job.data.get("status").cloned().unwrap_or_default();
        let at = |key: &str| status[key].as_str().and_then(|text| text.parse().ok());
        let count = |value: &Value, key: &str| {
            value[key].as_i64().and_then(|count| i32::try_from(count).ok()).unwrap_or(0)
        };
        let replicas = status["replicaStatuses"].as_object().into_iter().flatten().map(|(kind, value)| {
            let counts = Counts {
                active: count(value, "active"),
                succeeded: count(value, "succeeded"),
                failed: count(value, "failed"),
                selector: value["selector"].as_str().map(str::to_owned),
            };
            (kind.clone(), counts)
        });
        Self {
            conditions: Conditions::of(&status["conditions"]),
            replicas: replicas.collect(),
            start: at("startTime"),
            completion: at("completionTime"),
        }
    }

    fn json(&self) -> Value {
        let replicas = self.replicas.iter().map(|(kind, counts)| {
            // Nulls take away what an earlier status had: the patch is a merge.
            let some = |count: i32| (count > 0).then_some(count);
            let value = json!({
                "active": some(counts.active), "succeeded": some(counts.succeeded), "failed": some(counts.failed),
                "selector": counts.selector,
            });
            (kind.clone(), value)
        });
        json!({
            "conditions": self.conditions.json(),
            "replicaStatuses": (!self.replicas.is_empty()).then(|| replicas.collect::<serde_json::Map<_, _>>()),
            "startTime": self.start.map(time),
            "completionTime": self.completion.map(time),
        })
    }
}

struct Ctx {
    client: Client,
    resource: ApiResource,
    events: Recorder,
}

/// One reconciliation.
struct Round<'a> {
    ctx: &'a Ctx,
    job: &'a DynamicObject,
    spec: &'a Spec,
    pods: &'a [Pod],
    status: Status,
}

pub(super) async fn run(client: Client) {
    let resource = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("kubeflow.org", "v1", "PyTorchJob"),
        "pytorchjobs",
    );
    let jobs: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let events = Recorder::new(client.clone(), "pytorchjob-controller");
    let ctx = Arc::new(Ctx { client: client.clone(), resource: resource.clone(), events });
    Controller::new_with(jobs, watcher::Config::default(), resource)
        .owns(Api::<Pod>::all(client), watcher::Config::default())
        .run(reconcile, |_, error, _| owned::retry(error), ctx)
        .for_each(|done| async move {
            if let Err(error) = done {
                tracing::debug!(%error, "training jobs");
            }
        })
        .await;
}

async fn reconcile(job: Arc<DynamicObject>, ctx: Arc<Ctx>) -> Result<Action, ReconcileError> {
    let namespace = job.namespace().unwrap_or_default();
    let api: Api<DynamicObject> = Api::namespaced_with(ctx.client.clone(), &namespace, &ctx.resource);
    // The cache may be behind what this controller itself wrote.
    let Some(job) = api.get_opt(&job.name_any()).await?.filter(|fresh| fresh.uid() == job.uid()) else {
        return Ok(Action::await_change());
    };
    if job.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let (name, uid) = (job.name_any(), job.uid().unwrap_or_default());
    let spec: Spec = serde_json::from_value(job.data.get("spec").cloned().unwrap_or_default())?;
    let labels = format!("training.kubeflow.org/job-name={name}");
    let pods = owned::pods(&ctx.client, &namespace, &labels, &uid).await?;
    let before = Status::of(&job);
    let mut round = Round { ctx: &ctx, job: &job, spec: &spec, pods: &pods, status: before.clone() };
    let wait = round.run().await?;
    let status = round.status;
    if status != before {
        let patch = json!({
            "metadata": {"uid": uid, "resourceVersion": job.resource_version()}, "status": status.json(),
        });
        match api.patch_status(&name, &PatchParams::default(), &Patch::Merge(patch)).await {
            Err(kube::Error::Api(refusal)) if refusal.code == 404 => {}
            done => drop(done?),
        }
    }
    Ok(wait.map_or_else(Action::await_change, |wait| Action::requeue(wait.max(Duration::from_millis(5)))))
}

impl Round<'_> {
    /// Brings the job one step on; says when to look again though nothing changes.
    async fn run(&mut self) -> Result<Option<Duration>, ReconcileError> {
        let name = self.job.name_any();
        self.set("Created", "True", "Created", format!("PyTorchJob {name} is created."));
        if self.status.conditions.is_true("Succeeded") || self.status.conditions.is_true("Failed") {
            return self.finished().await;
        }
        if self.spec.run_policy.suspend == Some(true) {
            self.clean("All").await?;
            let message = format!("PyTorchJob {name} is suspended.");
            if self.status.conditions.is_true("Running") {
                self.set("Running", "False", "Suspended", message.clone());
            }
            self.set("Suspended", "True", "Suspended", message);
            self.status.replicas.values_mut().for_each(|counts| counts.active = 0);
            return Ok(None);
        }
        if self.status.conditions.is_true("Suspended") {
            self.set("Suspended", "False", "Resumed", format!("PyTorchJob {name} is resumed."));
            self.status.start = Some(Timestamp::now());
        }
        if self.spec.elastic_policy.as_ref().is_some_and(|policy| !policy.is_null()) {
            self.fail("the embedded cluster does not support elasticPolicy".to_owned()).await;
            return Ok(None);
        }
        let deadline = self.spec.run_policy.active_deadline_seconds.map(Duration::from_secs);
        let left = deadline.zip(self.status.start).map(|(whole, start)| left(start, whole));
        let over = if self.past_backoff_limit() {
            Some("it has reached the specified backoff limit")
        } else {
            left.filter(Duration::is_zero).map(|_| "it was active longer than specified deadline")
        };
        if let Some(why) = over {
            self.clean("All").await?;
            self.fail(format!("Job {name} has failed because {why}")).await;
            return Ok(None);
        }
        let port = ranks::port(self.pods);
        // In the operator's order: what fails first is what is seen first.
        for (kind, replica) in &self.spec.pytorch_replica_specs {
            self.ranks(kind, replica, port).await?;
        }
        self.verdict().await;
        Ok(left.or(deadline))
    }

    fn set(&mut self, kind: &str, status: &str, reason: &str, message: String) {
        self.status.conditions.set(kind, status, &format!("PyTorchJob{reason}"), message);
    }

    async fn fail(&mut self, message: String) {
        self.status.completion.get_or_insert_with(Timestamp::now);
        self.ctx.events.normal(&self.about(), "PyTorchJobFailed", &message).await;
        self.set("Failed", "True", "Failed", message);
    }

    fn about(&self) -> k8s_openapi::api::core::v1::ObjectReference {
        self.job.object_ref(&self.ctx.resource)
    }

    /// Creates missing ranks, restarts failed ones where the policy says so, and counts.
    async fn ranks(&mut self, kind: &str, replica: &Replica, port: u16) -> Result<(), ReconcileError> {
        let lower = kind.to_lowercase();
        self.status.replicas.insert(kind.to_owned(), Counts::default());
        let mut counts = Counts::default();
        let of_kind = self
            .pods
            .iter()
            .filter(|pod| pod.labels().get("training.kubeflow.org/replica-type") == Some(&lower));
        for pod in of_kind.clone() {
            let index: Option<i32> =
                pod.labels().get("training.kubeflow.org/replica-index").and_then(|text| text.parse().ok());
            if index.is_none_or(|index| index >= replica.count()) {
                owned::delete(&self.ctx.client, pod).await?;
                continue;
            }
            if owned::phase(pod) == "Failed" {
                self.failed_rank(kind, replica, pod).await?;
            }
            match owned::phase(pod) {
                "Running" if pod.metadata.deletion_timestamp.is_some() => counts.failed += 1,
                "Running" => counts.active += 1,
                "Succeeded" => counts.succeeded += 1,
                "Failed" => counts.failed += 1,
                _ => {}
            }
        }
        for index in 0..replica.count() {
            let wanted = index.to_string();
            if of_kind
                .clone()
                .any(|pod| pod.labels().get("training.kubeflow.org/replica-index") == Some(&wanted))
            {
                continue;
            }
            let rank = ranks::Rank { job: self.job, spec: self.spec, kind: &lower, index, port };
            let pod = rank.name();
            let owner = owned::owner("kubeflow.org/v1", "PyTorchJob", &self.job.metadata);
            let namespace = self.job.namespace().unwrap_or_default();
            match owned::create(&self.ctx.client, &namespace, pod.clone(), owner, rank.template(replica))
                .await
            {
                Ok(true) => {
                    self.ctx
                        .events
                        .normal(&self.about(), "SuccessfulCreatePod", &format!("Created pod: {pod}"))
                        .await;
                }
                // One of that name is still going; its end is an event.
                Ok(false) => {}
                Err(error) => {
                    self.ctx
                        .events
                        .warning(&self.about(), "FailedCreatePod", &format!("Error creating: {error}"))
                        .await;
                    return Err(error.into());
                }
            }
        }
        self.status.replicas.insert(kind.to_owned(), counts);
        Ok(())
    }

    async fn failed_rank(&mut self, kind: &str, replica: &Replica, pod: &Pod) -> Result<(), ReconcileError> {
        let name = self.job.name_any();
        let exit = ranks::exit_code(pod);
        let again = match replica.policy() {
            "OnFailure" | "Always" => true,
            "ExitCode" => exit.is_none_or(|code| code >= 128),
            _ => false,
        };
        if again {
            owned::delete(&self.ctx.client, pod).await?;
            let message = format!("job {name} is restarting because {kind} replica(s) failed.");
            self.ctx.events.warning(&self.about(), "PyTorchJobRestarting", &message).await;
            self.set("Restarting", "True", "Restarting", message);
        } else if replica.policy() == "ExitCode" {
            let message = format!("job \"{name}\" is failing because \"{kind}\" replica(s) failed.");
            self.ctx.events.warning(&self.about(), "PyTorchJobFailed", &message).await;
            self.set("Failed", "True", "Failed", message);
        }
        Ok(())
    }

    /// What the counts mean for the whole job.
    async fn verdict(&mut self) {
        let name = self.job.name_any();
        self.status.start.get_or_insert_with(Timestamp::now);
        let has_master = self.spec.pytorch_replica_specs.contains_key("Master");
        for (kind, replica) in &self.spec.pytorch_replica_specs {
            let Some(counts) = self.status.replicas.get_mut(kind) else { continue };
            counts.selector = Some(ranks::selector(&name, kind));
            let Counts { active, succeeded, failed, .. } = counts.clone();
            let leads = if has_master { kind == "Master" } else { kind == "Worker" };
            let running = format!("PyTorchJob {name} is running.");
            if leads && has_master && active > 0 {
                self.set("Running", "True", "Running", running.clone());
            }
            if leads && succeeded >= replica.count() {
                let message = format!("PyTorchJob {name} is successfully completed.");
                self.ctx.events.normal(&self.about(), "PyTorchJobSucceeded", &message).await;
                self.status.completion.get_or_insert_with(Timestamp::now);
                self.set("Succeeded", "True", "Succeeded", message);
                if has_master {
                    return;
                }
            } else if leads && !has_master && active > 0 {
                self.set("Running", "True", "Running", running);
            }
            if failed > 0 && replica.count() > succeeded + active {
                if replica.policy() == "Never" {
                    self.fail(format!(
                        "PyTorchJob {name} is failed because {failed} {kind} replica(s) failed."
                    ))
                    .await;
                } else {
                    let message =
                        format!("PyTorchJob {name} is restarting because {failed} {kind} replica(s) failed.");
                    self.set("Restarting", "True", "Restarting", message);
                }
            }
        }
    }

    /// As the operator counts: restarts of containers of running pods, and with a limit of 0 the first failed pod.
    fn past_backoff_limit(&self) -> bool {
        let Some(limit) = self.spec.run_policy.backoff_limit else { return false };
        let failed = self.pods.iter().filter(|pod| owned::phase(pod) == "Failed").count();
        let failed_before: i32 = self.status.replicas.values().map(|counts| counts.failed).sum();
        let active = self
            .pods
            .iter()
            .filter(|pod| !owned::is_finished(pod) && pod.metadata.deletion_timestamp.is_none())
            .count();
        let total: i32 = self.spec.pytorch_replica_specs.values().map(Replica::count).sum();
        let new_failure = i32::try_from(failed).unwrap_or(i32::MAX) > failed_before;
        if limit < 1 && new_failure && i32::try_from(active).unwrap_or(i32::MAX) != total {
            return true;
        }
        let restartable = |pod: &&Pod| {
            let of = |kind: &String| {
                pod.labels().get("training.kubeflow.org/replica-type") == Some(&kind.to_lowercase())
            };
            let spec = self.spec.pytorch_replica_specs.iter().find(|(kind, _)| of(kind));
            spec.is_some_and(|(_, replica)| replica.policy() != "Never")
        };
        let running = self.pods.iter().filter(|pod| owned::phase(pod) == "Running").filter(restartable);
        let restarts = running.fold(0_i32, |sum, pod| sum.saturating_add(owned::restarts(pod)));
        if limit == 0 { restarts > 0 } else { restarts >= limit }
    }

    /// Deletes pods as a clean-up policy says.
    async fn clean(&self, policy: &str) -> Result<(), ReconcileError> {
        for pod in self.pods {
            let goes = match policy {
                "All" => true,
                "Running" => !owned::is_finished(pod),
                _ => false,
            };
            if goes {
                owned::delete(&self.ctx.client, pod).await?;
            }
        }
        Ok(())
    }

    async fn finished(&mut self) -> Result<Option<Duration>, ReconcileError> {
        let policy = self.spec.run_policy.clean_pod_policy.clone();
        self.clean(policy.as_deref().unwrap_or("None")).await?;
        if self.status.conditions.is_true("Succeeded") {
            for counts in self.status.replicas.values_mut() {
                counts.succeeded += std::mem::take(&mut counts.active);
            }
        }
        let Some(seconds) = self.spec.run_policy.ttl_seconds_after_finished else { return Ok(None) };
        let left = left(self.status.completion.unwrap_or_else(Timestamp::now), Duration::from_secs(seconds));
        if !left.is_zero() {
            return Ok(Some(left));
        }
        let namespace = self.job.namespace().unwrap_or_default();
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.ctx.client.clone(), &namespace, &self.ctx.resource);
        let parameters = DeleteParams {
            preconditions: Some(Preconditions { uid: self.job.uid(), resource_version: None }),
            ..DeleteParams::background()
        };
        match api.delete(&self.job.name_any(), &parameters).await {
            Err(kube::Error::Api(refusal)) if refusal.code == 404 => Ok(None),
            done => done.map(|_| None).map_err(Into::into),
        }
    }
}

fn left(since: Timestamp, whole: Duration) -> Duration {
    let passed = Duration::try_from(Timestamp::now().duration_since(since)).unwrap_or_default();
    whole.saturating_sub(passed)
}
