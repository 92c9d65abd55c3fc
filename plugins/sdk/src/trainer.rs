//! Kubeflow Trainer v2's TrainJob (`trainer.kubeflow.org/v1alpha1`), as far as a stage creates it.
//!
//! A TrainJob names a runtime of the cluster, which has the pods, and says what this training has differently.

use k8s_openapi::api::core::v1::{EnvVar, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

/// A training on a runtime of the cluster.
///
/// ```
/// use ilab_stage_sdk::trainer::{TrainJob, Trainer};
/// let mut job = TrainJob::new("train", "torch-distributed");
/// job.spec.trainer = Some(Trainer { num_nodes: Some(2), ..Trainer::default() });
/// let json = serde_json::to_value(&job).unwrap();
/// assert_eq!(json["spec"]["runtimeRef"]["name"], "torch-distributed");
/// assert_eq!(json["spec"]["trainer"]["numNodes"], 2);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct TrainJob {
    /// Name, labels, annotations.
    pub metadata: ObjectMeta,
    /// What is to run.
    pub spec: TrainJobSpec,
}

impl TrainJob {
    /// A training on a ClusterTrainingRuntime.
    #[must_use]
    pub fn new(name: &str, runtime: &str) -> Self {
        let runtime_ref = RuntimeRef {
            api_group: <Self as k8s_openapi::Resource>::GROUP.into(),
            kind: "ClusterTrainingRuntime".into(),
            name: runtime.into(),
        };
        Self {
            metadata: ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() },
            spec: TrainJobSpec { runtime_ref, trainer: None, suspend: None },
        }
    }
}

impl k8s_openapi::Resource for TrainJob {
    const API_VERSION: &'static str = "trainer.kubeflow.org/v1alpha1";
    const GROUP: &'static str = "trainer.kubeflow.org";
    const KIND: &'static str = "TrainJob";
    const VERSION: &'static str = "v1alpha1";
    const URL_PATH_SEGMENT: &'static str = "trainjobs";
    type Scope = k8s_openapi::NamespaceResourceScope;
}

impl k8s_openapi::Metadata for TrainJob {
    type Ty = ObjectMeta;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Serialize for TrainJob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut state = serializer.serialize_struct("TrainJob", 4)?;
        state.serialize_field("apiVersion", <Self as k8s_openapi::Resource>::API_VERSION)?;
        state.serialize_field("kind", <Self as k8s_openapi::Resource>::KIND)?;
        state.serialize_field("metadata", &self.metadata)?;
        state.serialize_field("spec", &self.spec)?;
        state.end()
    }
}

/// `spec` of a TrainJob.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrainJobSpec {
    /// The runtime.
    pub runtime_ref: RuntimeRef,
    /// What this training has differently.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trainer: Option<Trainer>,
    /// Whether it waits, without pods. Kueue sets and clears it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

/// Names a runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeRef {
    /// `trainer.kubeflow.org`.
    pub api_group: String,
    /// `ClusterTrainingRuntime`, or `TrainingRuntime` for one of the run's namespace.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// What a training has differently from its runtime.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trainer {
    /// Image of the training container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Its command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Its arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<String>>,
    /// Its variables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<Vec<EnvVar>>,
    /// How many nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_nodes: Option<i32>,
    /// Resources of each node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources_per_node: Option<ResourceRequirements>,
}
