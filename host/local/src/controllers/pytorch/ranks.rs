//! The pods of a training job: one a rank, with the environment that torchrun and scripts find each other by.

use k8s_openapi::api::core::v1::{EnvVar, Pod, PodTemplateSpec};
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde::Deserialize;
use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;

use super::Spec;

/// Ports are picked from here: above the well-known, below those that the kernel gives to outgoing connections.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
const MAX_REPLICAS: i32 = 256;

/// One entry of `pytorchReplicaSpecs`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Replica {
    replicas: Option<i32>,
    restart_policy: Option<String>,
    template: PodTemplateSpec,
}

impl Replica {
    /// How many ranks.
    pub(super) fn count(&self) -> i32 {
        self.replicas.unwrap_or(1).clamp(0, MAX_REPLICAS)
    }

    /// The restart policy; the operator's default is OnFailure.
    pub(super) fn policy(&self) -> &str {
        self.restart_policy.as_deref().filter(|policy| !policy.is_empty()).unwrap_or("OnFailure")
    }
}

/// One rank to be created.
pub(super) struct Rank<'a> {
    pub(super) job: &'a DynamicObject,
    pub(super) spec: &'a Spec,
    /// `master` or `worker`.
    pub(super) kind: &'a str,
    pub(super) index: i32,
    pub(super) port: u16,
}

impl Rank<'_> {
    /// The pod's name.
    pub(super) fn name(&self) -> String {
        format!("{}-{}-{}", self.job.name_any(), self.kind, self.index)
    }

    /// The pod, from the replica's template.
    pub(super) fn template(&self, replica: &Replica) -> PodTemplateSpec {
        let mut template = replica.template.clone();
        let name = self.job.name_any();
        let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
        for (key, value) in [
            ("operator-name", "pytorchjob-controller".to_owned()),
            ("job-name", name),
            ("replica-type", self.kind.to_owned()),
            ("replica-index", self.index.to_string()),
        ] {
            labels.insert(format!("training.kubeflow.org/{key}"), value);
        }
        let has_master = self.spec.pytorch_replica_specs.contains_key("Master");
        if self.kind == "master" || (!has_master && self.index == 0) {
            labels.insert("training.kubeflow.org/job-role".to_owned(), "master".to_owned());
        }
        if let Some(spec) = &mut template.spec {
            let policy = if replica.policy() == "ExitCode" { "Never" } else { replica.policy() };
            spec.restart_policy = Some(policy.to_owned());
            for container in &mut spec.containers {
                container.env.get_or_insert_default().extend(self.env());
            }
        }
        template
    }

    /// What the operator sets, in its order.
    fn env(&self) -> Vec<EnvVar> {
        let total: i32 = self.spec.pytorch_replica_specs.values().map(Replica::count).sum();
        let processes = self
            .spec
            .nproc_per_node
            .as_ref()
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        let mut env = vec![("PYTHONUNBUFFERED", "1".to_owned())];
        if self.spec.pytorch_replica_specs.contains_key("Master") {
            let (address, port) = (format!("{}-master-0", self.job.name_any()), self.port.to_string());
            let each: i64 = processes.as_deref().and_then(|text| text.parse().ok()).unwrap_or(1);
            let rank = if self.kind == "worker" { self.index + 1 } else { self.index };
            env.extend([
                ("MASTER_PORT", port.clone()),
                ("PET_MASTER_PORT", port),
                ("MASTER_ADDR", address.clone()),
                ("PET_MASTER_ADDR", address),
                ("WORLD_SIZE", i64::from(total).saturating_mul(each).to_string()),
                ("RANK", rank.to_string()),
                ("PET_NODE_RANK", rank.to_string()),
            ]);
        }
        // The operator's default is `auto`.
        env.push(("PET_NPROC_PER_NODE", processes.unwrap_or_else(|| "auto".to_owned())));
        env.push(("PET_NNODES", total.to_string()));
        let variable = |(name, value): (&str, String)| EnvVar {
            name: name.to_owned(),
            value: Some(value),
            value_from: None,
        };
        env.into_iter().map(variable).collect()
    }
}

/// The selector that the status shows for a kind of replica.
pub(super) fn selector(job: &str, kind: &str) -> String {
    let prefix = "training.kubeflow.org";
    format!(
        "{prefix}/job-name={job},{prefix}/operator-name=pytorchjob-controller,{prefix}/replica-type={}",
        kind.to_lowercase()
    )
}

/// The exit code of the container that trains.
pub(super) fn exit_code(pod: &Pod) -> Option<i32> {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let mut trains = statuses.filter(|one| one.name == "pytorch");
    trains.find_map(|one| Some(one.state.as_ref()?.terminated.as_ref()?.exit_code))
}

/// The job's port: the one its ranks have, else one that is free now.
pub(super) fn port(pods: &[Pod]) -> u16 {
    let known = pods.iter().find_map(|pod| {
        let container = pod.spec.as_ref()?.containers.first()?;
        let variable = container.env.iter().flatten().find(|variable| variable.name == "MASTER_PORT")?;
        variable.value.as_ref()?.parse().ok()
    });
    if let Some(port) = known {
        return port;
    }
    let span = u64::from(PORTS.end - PORTS.start);
    let from = RandomState::new().hash_one(0) % span;
    let free =
        (0..span).map(|step| PORTS.start + u16::try_from((from + step) % span).unwrap_or_default()).find(
            |&port| TcpListener::bind(("127.0.0.1", port)).is_ok() && TcpListener::bind(("::", port)).is_ok(),
        );
    free.unwrap_or(PORTS.start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(value: serde_json::Value) -> (DynamicObject, Spec) {
        let job = serde_json::from_value(json!({
            "apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "metadata": {"name": "t", "uid": "u"}, "spec": value,
        }))
        .unwrap();
        (job, serde_json::from_value(value).unwrap())
    }

    #[test]
    fn a_rank_knows_its_place() {
        let container =
            json!({"spec": {"containers": [{"name": "pytorch", "env": [{"name": "OWN", "value": "1"}]}]}});
        let (job, spec) = spec(json!({"nprocPerNode": "2", "pytorchReplicaSpecs": {
            "Master": {"replicas": 1, "restartPolicy": "ExitCode", "template": container},
            "Worker": {"replicas": 2, "template": container},
        }}));
        let rank = Rank { job: &job, spec: &spec, kind: "worker", index: 1, port: 4711 };
        assert_eq!(rank.name(), "t-worker-1");
        let template = rank.template(&spec.pytorch_replica_specs["Worker"]);
        let pod = template.spec.unwrap();
        let env: Vec<_> = pod.containers[0]
            .env
            .iter()
            .flatten()
            .map(|variable| format!("{}={}", variable.name, variable.value.as_deref().unwrap_or_default()))
            .collect();
        assert_eq!(
            env,
            [
                "OWN=1",
                "PYTHONUNBUFFERED=1",
                "MASTER_PORT=4711",
                "PET_MASTER_PORT=4711",
                "MASTER_ADDR=t-master-0",
                "PET_MASTER_ADDR=t-master-0",
                "WORLD_SIZE=6",
                "RANK=2",
                "PET_NODE_RANK=2",
                "PET_NPROC_PER_NODE=2",
                "PET_NNODES=3",
            ]
        );
        assert_eq!(pod.restart_policy.as_deref(), Some("OnFailure"));
        let labels = template.metadata.unwrap().labels.unwrap();
        assert_eq!(labels.get("training.kubeflow.org/job-role"), None);
        let master = Rank { job: &job, spec: &spec, kind: "master", index: 0, port: 4711 };
        let template = master.template(&spec.pytorch_replica_specs["Master"]);
        assert_eq!(template.spec.unwrap().restart_policy.as_deref(), Some("Never"));
        assert_eq!(template.metadata.unwrap().labels.unwrap()["training.kubeflow.org/job-role"], "master");
        assert!(PORTS.contains(&port(&[])));
    }
}
