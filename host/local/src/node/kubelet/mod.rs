//! The node's agent: watches the pods that are bound to the node and runs a worker for each.

mod fields;
mod link;
mod prepare;
mod resolve;
mod sources;
mod status;
mod volumes;
mod worker;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::error::NodeError;
use super::events::Recorder;
use super::images::ImageStore;
use super::plan::PodDir;
use super::sandbox::Sandbox;
use worker::{Update, Worker};

pub(crate) use fields::machine;
pub(crate) use status::time;
pub(crate) use volumes::claim_dir;

/// How a node is run.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// The state folder: images, pods and claims live below it.
    pub state: PathBuf,
    /// The program and its first arguments that become a pod's shim; the pod's folder is added as the last argument.
    pub shim_command: Vec<OsString>,
    /// The node's name.
    pub name: String,
    /// The pause before a container's second restart; it doubles from there. The kubelet has 10 s.
    pub restart_backoff: Duration,
    /// The longest pause before a restart. The kubelet has 5 min.
    pub restart_backoff_max: Duration,
    /// A container's log is rotated at this size.
    pub log_bytes: u64,
}

impl NodeOptions {
    /// Kubernetes' own settings for a node named `local`.
    #[must_use]
    pub fn new(state: impl Into<PathBuf>, shim_command: Vec<OsString>) -> Self {
        Self {
            state: state.into(),
            shim_command,
            name: "local".to_owned(),
            restart_backoff: Duration::from_secs(10),
            restart_backoff_max: Duration::from_secs(300),
            log_bytes: 64 << 20,
        }
    }
}

/// What all workers share.
struct Ctx {
    client: Client,
    options: NodeOptions,
    sandbox: Sandbox,
    images: ImageStore,
    events: Recorder,
    /// Counts up when something changed that a blocked pod may wait for.
    changes: watch::Sender<u64>,
}

/// A running node. Dropping it stops the node, not its pods: the next node takes them up again.
#[derive(Debug)]
pub struct NodeHandle {
    tasks: JoinSet<()>,
    sandbox: Sandbox,
}

impl NodeHandle {
    /// One line for people: how pods are separated from the machine here.
    #[must_use]
    pub fn sandbox(&self) -> String {
        self.sandbox.describe()
    }

    /// Stops the node and waits until it has stopped. Its pods go on.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Registers the node and begins to run pods on it.
///
/// # Errors
/// [`NodeError::NoBubblewrap`], [`NodeError::SandboxRefused`] and [`NodeError::Unsupported`] where this machine cannot
/// run pods: they say what to do. [`NodeError::Register`] when the API server refuses.
pub async fn start(client: Client, options: NodeOptions) -> Result<NodeHandle, NodeError> {
    if options.shim_command.is_empty() {
        return Err(NodeError::NoShimCommand);
    }
    let sandbox = tokio::task::spawn_blocking(Sandbox::probe)
        .await
        .map_err(|error| NodeError::SandboxRefused { path: "bwrap".into(), message: error.to_string() })??;
    let options = NodeOptions {
        state: std::path::absolute(&options.state).map_err(NodeError::io("find", &options.state))?,
        ..options
    };
    let pods = PodDir::all(&options.state);
    super::files::private_dir(&pods).map_err(NodeError::io("make", pods))?;
    let images = ImageStore::open(options.state.join("images"))?;
    register(&client, &options, &sandbox).await.map_err(|error| NodeError::Register(Box::new(error)))?;
    let events = Recorder::new(client.clone(), "kubelet");
    let changes = watch::Sender::new(0);
    let ctx = Arc::new(Ctx { client, options, sandbox: sandbox.clone(), images, events, changes });
    let mut tasks = JoinSet::new();
    sources::watch_all(&ctx, &mut tasks).map_err(NodeError::io("watch", ctx.images.refs()))?;
    tasks.spawn(run(ctx));
    Ok(NodeHandle { tasks, sandbox })
}

async fn register(client: &Client, options: &NodeOptions, sandbox: &Sandbox) -> Result<(), kube::Error> {
    let nodes: Api<Node> = Api::all(client.clone());
    let node: Node = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": options.name, "labels": {
            "kubernetes.io/hostname": options.name, "kubernetes.io/os": "linux",
            "kubernetes.io/arch": architecture(),
        }},
    }))
    .map_err(kube::Error::SerdeError)?;
    match nodes.create(&PostParams::default(), &node).await {
        Ok(_) => {}
        Err(kube::Error::Api(refusal)) if refusal.code == 409 => {}
        Err(error) => return Err(error),
    }
    let cpu = machine("cpu").unwrap_or(1).to_string();
    let memory = format!("{}Ki", machine("memory").unwrap_or(0) / 1024);
    let resources = json!({"cpu": cpu, "memory": memory, "pods": "110"});
    let now = time(jiff::Timestamp::now());
    let status = json!({"status": {
        "capacity": resources, "allocatable": resources,
        "addresses": [{"type": "InternalIP", "address": fields::ADDRESS}, {"type": "Hostname", "address": options.name}],
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "KubeletReady", "message": sandbox.describe(),
            "lastTransitionTime": now, "lastHeartbeatTime": now,
        }],
        "nodeInfo": {
            "operatingSystem": "linux", "architecture": architecture(), "osImage": "", "kernelVersion": "",
            "machineID": "", "systemUUID": "", "bootID": "", "kubeProxyVersion": "",
            "kubeletVersion": concat!("ilab-host-", env!("CARGO_PKG_VERSION")),
            "containerRuntimeVersion": sandbox.version,
        },
    }});
    nodes.patch_status(&options.name, &PatchParams::default(), &Patch::Merge(status)).await.map(drop)
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A worker and the line to it.
struct Known {
    update: watch::Sender<Update>,
    task: JoinHandle<()>,
    ended: bool,
}

impl Drop for Known {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(ctx: Arc<Ctx>) {
    let pods: Api<Pod> = Api::all(ctx.client.clone());
    let config = watcher::Config::default().fields(&format!("spec.nodeName={}", ctx.options.name));
    let mut events = watcher(pods, config).default_backoff().boxed();
    let mut known: HashMap<String, Known> = HashMap::new();
    let mut listed: HashSet<String> = HashSet::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(pod)) => {
                listed.insert(pod.uid().unwrap_or_default());
                there(&ctx, &mut known, pod);
            }
            Ok(watcher::Event::InitDone) => forget_unlisted(&ctx, &mut known, &listed),
            Ok(watcher::Event::Apply(pod)) => there(&ctx, &mut known, pod),
            Ok(watcher::Event::Delete(pod)) => gone(&ctx, &mut known, pod),
            Err(error) => tracing::debug!(%error, "the watch of pods begins anew"),
        }
    }
}

fn is_uid(uid: &str) -> bool {
    (8..=64).contains(&uid.len()) && uid.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

fn there(ctx: &Arc<Ctx>, known: &mut HashMap<String, Known>, pod: Pod) {
    // The UID becomes the name of a folder.
    let Some(uid) = pod.uid().filter(|uid| is_uid(uid)) else { return };
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let ended = matches!(phase, Some("Succeeded" | "Failed"));
    let leaving = pod.metadata.deletion_timestamp.is_some();
    let update = Update::There(Arc::new(pod));
    match known.get_mut(&uid) {
        Some(one) if !one.task.is_finished() => {
            one.ended |= ended;
            one.update.send_replace(update);
        }
        // A pod that has ended is never started again; one that is to go is still let go.
        Some(one) if (one.ended || ended) && !leaving => one.ended = true,
        None if ended && !leaving => {}
        _ => {
            let (sender, receiver) = watch::channel(update);
            let task = tokio::spawn(Worker::new(ctx.clone(), receiver).run());
            known.insert(uid, Known { update: sender, task, ended });
        }
    }
}

fn gone(ctx: &Arc<Ctx>, known: &mut HashMap<String, Known>, pod: Pod) {
    let Some(uid) = pod.uid().filter(|uid| is_uid(uid)) else { return };
    let dir = PodDir::of(&ctx.options.state, &uid);
    match known.remove(&uid) {
        Some(one) if !one.task.is_finished() => {
            one.update.send_replace(Update::Gone(Arc::new(pod)));
            // Its worker still ends the pod and removes its folder; only then is the worker forgotten.
            tokio::spawn(async move {
                let mut one = one;
                let _ = (&mut one.task).await;
                worker::remove_pod(&dir).await;
            });
        }
        _ => {
            tokio::spawn(async move { worker::remove_pod(&dir).await });
        }
    }
}

/// Pods that went while nobody watched, in this process or before it.
fn forget_unlisted(ctx: &Arc<Ctx>, known: &mut HashMap<String, Known>, listed: &HashSet<String>) {
    let unlisted: Vec<_> = known.keys().filter(|uid| !listed.contains(*uid)).cloned().collect();
    for uid in unlisted {
        if let Some(one) = known.get(&uid) {
            let pod = match &*one.update.borrow() {
                Update::There(pod) | Update::Gone(pod) => (**pod).clone(),
            };
            gone(ctx, known, pod);
        }
    }
    let folders = std::fs::read_dir(PodDir::all(&ctx.options.state)).into_iter().flatten().flatten();
    for folder in folders {
        let uid = folder.file_name().to_string_lossy().into_owned();
        if is_uid(&uid) && !listed.contains(&uid) {
            let dir = PodDir::of(&ctx.options.state, &uid);
            tokio::spawn(async move { worker::remove_pod(&dir).await });
        }
    }
}
