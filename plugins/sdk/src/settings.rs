//! Settings that every stage with pods has, and what they do to the pods.

use crate::contract::{Error, Parameter};
use crate::pod;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Container, EnvVar, PodSpec, Toleration};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

/// The label by which Kueue takes a workload into a queue.
pub const QUEUE_LABEL: &str = "kueue.x-k8s.io/queue-name";

/// Where and how pods run. Read with [`Ctx::parameters`](crate::Ctx::parameters) beside a stage's own settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PodSettings {
    /// When images are pulled.
    pub image_pull_policy: String,
    /// Labels that a node must have.
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that the pods put up with.
    pub tolerations: Vec<Toleration>,
    /// User id of the processes; -1 leaves it to image or cluster.
    pub run_as_user: i64,
    /// Group that owns the volumes; -1 leaves it to the cluster.
    pub fs_group: i64,
    /// Further variables for the containers that do the work.
    pub env: BTreeMap<String, String>,
    /// Kueue's local queue; empty for none.
    pub queue_name: String,
    /// How many times failed pods are tried again.
    pub backoff_limit: i32,
    /// How long the workload may be active; 0 for no limit.
    pub active_deadline_seconds: i64,
}

impl PodSettings {
    /// The parameters that these settings are read from.
    #[must_use]
    pub fn parameters(backoff_limit: i32) -> Vec<Parameter> {
        let text = json!({"type": "string", "maxLength": 1024});
        let tolerations = json!({
            "type": "array",
            "maxItems": 50,
            "items": {
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "key": text,
                    "operator": {"enum": ["Exists", "Equal"]},
                    "value": text,
                    "effect": {"enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"]},
                    "tolerationSeconds": {"type": "integer"},
                },
            },
        });
        let env = json!({
            "type": "object",
            "maxProperties": 100,
            "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]{0,127}$"},
            "additionalProperties": {"type": "string", "maxLength": 4096},
        });
        vec![
            Parameter::choice(
                "image-pull-policy",
                "When images are pulled",
                &["IfNotPresent", "Always", "Never"],
            )
            .default("IfNotPresent"),
            Parameter::new(
                "node-selector",
                "Labels that a node must have, as a JSON object",
                json!({"type": "object", "maxProperties": 50, "additionalProperties": text}),
            )
            .default(json!({})),
            Parameter::new(
                "tolerations",
                "Taints that pods put up with, as Kubernetes writes them",
                tolerations,
            )
            .default(json!([])),
            Parameter::integer("run-as-user", "User id of the processes; -1: what image or cluster say")
                .minimum(-1)
                .maximum(0x7fff_ffff)
                .default(-1),
            Parameter::integer("fs-group", "Group that owns the volumes; -1: what the cluster says")
                .minimum(-1)
                .maximum(0x7fff_ffff)
                .default(-1),
            Parameter::new("env", "Further environment variables, as a JSON object", env).default(json!({})),
            Parameter::string("queue-name", "Kueue's local queue; empty: none")
                .pattern("^([a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?)?$")
                .default(""),
            Parameter::integer("backoff-limit", "How many times failed pods are tried again")
                .minimum(0)
                .maximum(100)
                .default(backoff_limit),
            Parameter::integer("active-deadline-seconds", "How long it may be active; 0: no limit")
                .minimum(0)
                .maximum(31_536_000)
                .default(0),
        ]
    }

    /// The active deadline as Kubernetes wants it.
    #[must_use]
    pub fn deadline(&self) -> Option<i64> {
        (self.active_deadline_seconds > 0).then_some(self.active_deadline_seconds)
    }

    /// The labels for the workload: Kueue's queue, where there is one.
    #[must_use]
    pub fn labels(&self) -> Option<BTreeMap<String, String>> {
        (!self.queue_name.is_empty()).then(|| [(QUEUE_LABEL.into(), self.queue_name.clone())].into())
    }

    /// Adds the further variables to a container that does the work.
    ///
    /// # Errors
    /// When a variable is one that the stage reads from a Secret or ConfigMap: it would be lost.
    pub fn with_env(&self, mut container: Container) -> Result<Container, Error> {
        let variables = container.env.get_or_insert_default();
        for (name, value) in &self.env {
            let variable = EnvVar { name: name.clone(), value: Some(value.clone()), value_from: None };
            match variables.iter_mut().find(|known| known.name == *name) {
                // The API server merges by name: it refuses two of one name.
                Some(known) if known.value_from.is_none() => *known = variable,
                Some(_) => {
                    return Err(Error::parameter(
                        "env",
                        format!("{name} comes from the stage's credentials"),
                    ));
                }
                None => variables.push(variable),
            }
        }
        Ok(container)
    }

    /// Puts the settings into a pod. Its containers must be there already.
    #[must_use]
    pub fn pod(&self, mut spec: PodSpec) -> PodSpec {
        let init = spec.init_containers.iter_mut().flatten();
        for container in init.chain(&mut spec.containers) {
            container.image_pull_policy = Some(self.image_pull_policy.clone());
        }
        if !self.node_selector.is_empty() {
            spec.node_selector = Some(self.node_selector.clone());
        }
        if !self.tolerations.is_empty() {
            spec.tolerations = Some(self.tolerations.clone());
        }
        let context = spec.security_context.get_or_insert_default();
        if self.run_as_user >= 0 {
            context.run_as_user = Some(self.run_as_user);
        }
        if self.fs_group >= 0 {
            context.fs_group = Some(self.fs_group);
            // A claim of 200 GiB would otherwise be walked through at every start of a pod.
            context.fs_group_change_policy = Some("OnRootMismatch".into());
        }
        spec
    }

    /// A Job with the settings in it.
    #[must_use]
    pub fn job(&self, name: &str, app: &str, spec: PodSpec) -> Job {
        let mut job = pod::job(name, app, self.pod(spec), self.backoff_limit);
        job.metadata.labels = self.labels();
        if let Some(spec) = &mut job.spec {
            spec.active_deadline_seconds = self.deadline();
        }
        job
    }
}

/// CPU, memory and GPUs of the container that does the work.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ResourceSettings {
    /// CPUs, asked for and at most.
    pub cpu: String,
    /// Memory asked for; empty for none.
    pub memory: String,
    /// Memory at most; empty for no limit.
    pub memory_limit: String,
}

impl ResourceSettings {
    /// The parameters that these settings are read from.
    #[must_use]
    pub fn parameters(cpu: &str, memory: &str) -> [Parameter; 3] {
        [
            Parameter::quantity("cpu", "CPUs, asked for and at most; empty: none asked for").default(cpu),
            Parameter::quantity("memory", "Memory asked for; empty: none").default(memory),
            Parameter::quantity("memory-limit", "Memory at most; empty: no limit").default(""),
        ]
    }

    /// As requests and limits.
    #[must_use]
    pub fn resources(&self) -> pod::Resources {
        pod::Resources::new()
            .exactly("cpu", &self.cpu)
            .request("memory", &self.memory)
            .limit("memory", &self.memory_limit)
    }
}

/// GPUs of the container that does the work.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct GpuSettings {
    /// Processes a pod.
    pub nproc_per_node: u32,
    /// GPUs a pod; -1: one for each process.
    pub gpus: i64,
    /// What a GPU is called as a resource.
    pub gpu_resource: String,
}

impl GpuSettings {
    /// The parameters that these settings are read from.
    #[must_use]
    pub fn parameters() -> [Parameter; 3] {
        [
            Parameter::integer("nproc-per-node", "Processes a pod, and GPUs where nothing else is said")
                .minimum(1)
                .maximum(64)
                .default(1)
                .flag("nproc-per-node"),
            Parameter::integer("gpus", "GPUs a pod; 0: none; -1: as many as nproc-per-node")
                .minimum(-1)
                .maximum(64)
                .default(-1),
            Parameter::string("gpu-resource", "What a GPU is called as a resource")
                .pattern("^[a-z0-9.-]{1,128}/[A-Za-z0-9._-]{1,63}$")
                .default("nvidia.com/gpu"),
        ]
    }

    /// How many GPUs a pod gets.
    #[must_use]
    pub fn count(&self) -> u32 {
        u32::try_from(self.gpus).unwrap_or(self.nproc_per_node)
    }

    /// Adds them to what a container asks for; nothing when there are none.
    #[must_use]
    pub fn add_to(&self, resources: pod::Resources) -> pod::Resources {
        match self.count() {
            0 => resources,
            count => resources.exactly(&self.gpu_resource, &count.to_string()),
        }
    }
}
