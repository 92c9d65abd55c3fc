//! The controllers of the embedded cluster: what turns Jobs, training jobs and claims into running pods and folders.
//!
//! | controller | after | what it does |
//! | --- | --- | --- |
//! | scheduler | kube-scheduler | binds pods to the one node when what they ask for fits |
//! | jobs | Kubernetes 1.34 | `batch/v1` Job, without `successPolicy` and per-index backoff |
//! | training | training-operator 1.9.3 | `kubeflow.org/v1` PyTorchJob, without `elasticPolicy` and gang scheduling |
//! | claims | a provisioner of folders | a folder a claim; it goes when the claim goes and no pod uses it |
//! | garbage | kube-controller-manager | dependents of deleted owners: background, foreground, orphan |
//!
//! All of them only watch and write through a `kube::Client`; nothing is polled.

mod claims;
mod garbage;
mod jobs;
mod owned;
mod pytorch;
mod scheduler;

use kube::Client;
use std::path::PathBuf;
use std::time::Duration;
use tokio::task::JoinSet;

/// How the controllers are run.
#[derive(Debug, Clone)]
pub struct ControllerOptions {
    /// The state folder: claims live below it.
    pub state: PathBuf,
    /// The name of the one node.
    pub node: String,
    /// The pause before a Job's second pod after a failure; it doubles from there. Kubernetes has 10 s.
    pub job_backoff: Duration,
    /// The longest pause. Kubernetes has 10 min.
    pub job_backoff_max: Duration,
}

impl ControllerOptions {
    /// Kubernetes' own settings, for a node named `local`.
    #[must_use]
    pub fn new(state: impl Into<PathBuf>) -> Self {
        Self {
            state: state.into(),
            node: "local".to_owned(),
            job_backoff: Duration::from_secs(10),
            job_backoff_max: Duration::from_secs(600),
        }
    }
}

/// Running controllers. Dropping it stops them.
#[derive(Debug)]
pub struct Handle {
    tasks: JoinSet<()>,
}

impl Handle {
    /// Stops the controllers and waits until they have stopped.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Starts all controllers. Call it within the runtime that will live on.
#[must_use]
pub fn start(client: Client, options: ControllerOptions) -> Handle {
    let mut tasks = JoinSet::new();
    tasks.spawn(scheduler::run(client.clone(), options.node.clone()));
    tasks.spawn(claims::run(client.clone(), options.state.clone()));
    tasks.spawn(jobs::run(client.clone(), options.clone()));
    tasks.spawn(pytorch::run(client.clone()));
    tasks.spawn(garbage::run(client));
    Handle { tasks }
}
