//! Kubeflow's PyTorchJob (`kubeflow.org/v1`), as far as a stage creates it.
//!
//! The operator gives each rank `MASTER_ADDR`, `MASTER_PORT`, `RANK`, `WORLD_SIZE` and torchrun's `PET_*` variables.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// A distributed PyTorch training.
///
/// ```
/// use ilab_stage_sdk::pytorch::{PyTorchJob, ReplicaSpec, RunPolicy};
/// use ilab_stage_sdk::pod;
/// let template = pod::template("train", pod::spec([pod::container("pytorch", "example/trainer:1")]));
/// let mut job = PyTorchJob::new("train", RunPolicy { backoff_limit: Some(3), ..RunPolicy::default() });
/// job.spec.replicas("Master", ReplicaSpec::new(1, "OnFailure", template));
/// assert_eq!(serde_json::to_value(&job).unwrap()["spec"]["runPolicy"]["backoffLimit"], 3);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct PyTorchJob {
    /// Name, labels, annotations.
    pub metadata: ObjectMeta,
    /// What is to run.
    pub spec: PyTorchJobSpec,
}

impl PyTorchJob {
    /// A job without replicas yet. A run policy is not optional: without a backoff limit the operator restarts a crash
    /// loop for ever and never says `Failed`.
    #[must_use]
    pub fn new(name: &str, run_policy: RunPolicy) -> Self {
        Self {
            metadata: ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() },
            spec: PyTorchJobSpec { run_policy, ..PyTorchJobSpec::default() },
        }
    }
}

impl k8s_openapi::Resource for PyTorchJob {
    const API_VERSION: &'static str = "kubeflow.org/v1";
    const GROUP: &'static str = "kubeflow.org";
    const KIND: &'static str = "PyTorchJob";
    const VERSION: &'static str = "v1";
    const URL_PATH_SEGMENT: &'static str = "pytorchjobs";
    type Scope = k8s_openapi::NamespaceResourceScope;
}

impl k8s_openapi::Metadata for PyTorchJob {
    type Ty = ObjectMeta;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Serialize for PyTorchJob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut state = serializer.serialize_struct("PyTorchJob", 4)?;
        state.serialize_field("apiVersion", <Self as k8s_openapi::Resource>::API_VERSION)?;
        state.serialize_field("kind", <Self as k8s_openapi::Resource>::KIND)?;
        state.serialize_field("metadata", &self.metadata)?;
        state.serialize_field("spec", &self.spec)?;
        state.end()
    }
}

/// `spec` of a PyTorchJob.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PyTorchJobSpec {
    /// Processes a pod, as text: a number, `auto`, `cpu` or `gpu`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nproc_per_node: Option<String>,
    /// The roles, `Master` and `Worker`.
    pub pytorch_replica_specs: BTreeMap<String, ReplicaSpec>,
    /// When to give up, and what remains afterwards.
    pub run_policy: RunPolicy,
}

impl PyTorchJobSpec {
    /// Adds a role, `Master` or `Worker`.
    pub fn replicas(&mut self, role: &str, replicas: ReplicaSpec) {
        self.pytorch_replica_specs.insert(role.into(), replicas);
    }
}

/// The pods of one role.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaSpec {
    /// How many.
    pub replicas: i32,
    /// `Always`, `OnFailure`, `Never` or `ExitCode`.
    pub restart_policy: String,
    /// The pod. Its container must be called `pytorch`.
    pub template: PodTemplateSpec,
}

impl ReplicaSpec {
    /// So many pods with this restart policy.
    #[must_use]
    pub fn new(replicas: i32, restart_policy: &str, template: PodTemplateSpec) -> Self {
        Self { replicas, restart_policy: restart_policy.into(), template }
    }
}

/// When to give up, and what remains afterwards.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunPolicy {
    /// How many restarts before the job counts as failed. Without it: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff_limit: Option<i32>,
    /// Which pods are deleted when the job has ended: `None`, `Running` or `All`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clean_pod_policy: Option<String>,
    /// How many seconds it may be active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_deadline_seconds: Option<i64>,
    /// How many seconds after its end it is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_seconds_after_finished: Option<i32>,
    /// How a gang scheduler treats it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduling_policy: Option<SchedulingPolicy>,
    /// Whether it waits, without pods. Kueue sets and clears it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

/// How a gang scheduler treats a job.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SchedulingPolicy {
    /// How many pods must be placeable at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_available: Option<i32>,
    /// The resources that must be free at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_resources: Option<BTreeMap<String, Quantity>>,
    /// The scheduler's queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// The scheduler's priority class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_class: Option<String>,
    /// How long it may stay unplaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule_timeout_seconds: Option<i32>,
}
