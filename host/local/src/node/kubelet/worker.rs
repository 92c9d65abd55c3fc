//! One pod's life on the node, as the host sees it: prepare, start or find the shim, report, end.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Resource, ResourceExt};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

use super::link::Link;
use super::resolve::Blocked;
use super::{Ctx, prepare, status, volumes};
use crate::node::files;
use crate::node::plan::{Now, PodDir, PodState};
use crate::node::sandbox::limits;
use crate::node::shim::{self, group_prefix};

/// The first pause after something passing; it doubles to a minute.
const RETRY: Duration = Duration::from_millis(500);

/// What the API server has of the pod.
#[derive(Debug, Clone)]
pub(super) enum Update {
    /// It is there.
    There(Arc<Pod>),
    /// It is not any more.
    Gone(Arc<Pod>),
}

impl Update {
    fn pod(&self) -> Arc<Pod> {
        match self {
            Self::There(pod) | Self::Gone(pod) => pod.clone(),
        }
    }
}

/// The worker of one pod.
pub(super) struct Worker {
    ctx: Arc<Ctx>,
    updates: watch::Receiver<Update>,
    changes: watch::Receiver<u64>,
    dir: PodDir,
    since: Timestamp,
    before: Option<PodState>,
    reported: Option<Value>,
}

impl Worker {
    pub(super) fn new(ctx: Arc<Ctx>, updates: watch::Receiver<Update>) -> Self {
        let pod = updates.borrow().pod();
        let dir = PodDir::of(&ctx.options.state, &pod.uid().unwrap_or_default());
        let since = pod.status.as_ref().and_then(|status| status.start_time.as_ref());
        let since = since.map_or_else(Timestamp::now, |time| time.0);
        let changes = ctx.changes.subscribe();
        Self { ctx, updates, changes, dir, since, before: None, reported: None }
    }

    fn update(&mut self) -> Update {
        self.updates.borrow_and_update().clone()
    }

    /// Runs until the pod has ended or is gone.
    pub(super) async fn run(mut self) {
        let mut pause = RETRY;
        loop {
            let state: Option<PodState> = files::read_json(&self.dir.state()).ok().flatten();
            if let Some(state) = state.as_ref().filter(|state| state.phase.is_terminal()) {
                self.report(state).await;
                return self.ended().await;
            }
            let link = match Link::connect(&self.dir).await {
                Some(link) => Some(link),
                None => {
                    if self.leaving().await {
                        return;
                    }
                    match self.start(state.is_some()).await {
                        Ok(link) => Some(link),
                        Err(why) => {
                            self.blocked(&why).await;
                            let passing = why.iter().any(|why| matches!(why, Blocked::Passing { .. }));
                            self.wait(passing.then_some(pause)).await;
                            pause = (pause * 2).min(Duration::from_secs(60));
                            None
                        }
                    }
                }
            };
            if let Some(link) = link {
                pause = RETRY;
                self.follow(link).await;
            }
        }
    }

    /// Whether the pod is to go and nothing runs any more: then it goes.
    async fn leaving(&mut self) -> bool {
        match self.update() {
            Update::Gone(_) => {
                remove_pod(&self.dir).await;
                true
            }
            Update::There(pod) if pod.metadata.deletion_timestamp.is_some() => {
                self.release(&pod).await;
                remove_pod(&self.dir).await;
                true
            }
            Update::There(_) => false,
        }
    }

    async fn start(&mut self, resumes: bool) -> Result<Link, Vec<Blocked>> {
        let pod = self.update().pod();
        if !resumes {
            // Looked at before the lookup, so that a change during it is not missed.
            self.changes.borrow_and_update();
            prepare::prepare(&self.ctx, &self.dir, &pod).await?;
            for container in prepare::all_containers(&pod) {
                let image = container.image.as_deref().unwrap_or_default();
                let message = format!("Container image \"{image}\" already present on machine");
                self.ctx.events.normal(&pod.object_ref(&()), "Pulled", &message).await;
            }
        }
        Link::start(&self.ctx, &self.dir).await.map_err(|error| vec![Blocked::passing(error)])
    }

    /// Says what is in the way.
    async fn blocked(&mut self, why: &[Blocked]) {
        let pod = self.update().pod();
        let about = pod.object_ref(&());
        for blocked in why {
            let (reason, message) = match blocked {
                Blocked::Image { reason, message, .. } => (*reason, message.clone()),
                Blocked::Config { message, .. } => ("Failed", format!("Error: {message}")),
                Blocked::Volume { message } => ("FailedMount", message.clone()),
                Blocked::Passing { message } => ("FailedCreatePodSandBox", message.clone()),
            };
            let reason = if matches!(blocked, Blocked::Image { .. }) && reason == "ImagePullBackOff" {
                "Failed"
            } else {
                reason
            };
            self.ctx.events.warning(&about, reason, &message).await;
        }
        self.patch(&pod, status::blocked(&pod, why, self.since)).await;
    }

    /// Until something may have changed, or for this long.
    async fn wait(&mut self, pause: Option<Duration>) {
        let pause = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(pause);
        loop {
            tokio::select! {
                changed = self.updates.changed() => {
                    // Our own status reports come back as updates: only a deletion matters here.
                    let update = self.update();
                    let deleting = update.pod().metadata.deletion_timestamp.is_some();
                    if changed.is_err() || deleting || matches!(update, Update::Gone(_)) {
                        return;
                    }
                }
                changed = self.changes.changed() => {
                    if changed.is_err() {
                        std::future::pending::<()>().await;
                    }
                    return;
                }
                () = &mut pause => return,
            }
        }
    }

    /// Listens to the shim until it ends.
    async fn follow(&mut self, mut link: Link) {
        let mut line = Vec::new();
        let mut asked = None;
        loop {
            let wanted = match self.update() {
                Update::Gone(_) => Some(0),
                Update::There(pod) => pod.metadata.deletion_timestamp.is_some().then(|| prepare::grace(&pod)),
            };
            if let Some(grace) = wanted.filter(|&grace| asked.is_none_or(|asked| grace < asked)) {
                link.stop(grace).await;
                asked = Some(grace);
                let pod = self.update().pod();
                for container in self.before.iter().flat_map(|state| &state.containers) {
                    if matches!(container.now, Now::Running { .. }) {
                        let message = format!("Stopping container {}", container.name);
                        self.ctx.events.normal(&pod.object_ref(&()), "Killing", &message).await;
                    }
                }
            }
            tokio::select! {
                state = link.next(&mut line) => match state {
                    Some(state) => self.report(&state).await,
                    None => return,
                },
                changed = self.updates.changed() => if changed.is_err() {
                    // The node is going; the pod is not.
                    std::future::pending::<()>().await;
                },
            }
        }
    }

    /// Mirrors the shim's state into the pod's status and events.
    async fn report(&mut self, state: &PodState) {
        let pod = self.update().pod();
        self.tell(&pod, state).await;
        self.before = Some(state.clone());
        self.patch(&pod, status::running(&pod, state)).await;
    }

    async fn tell(&self, pod: &Pod, state: &PodState) {
        let events = &self.ctx.events;
        let about = pod.object_ref(&());
        let before = |name: &str| {
            let all = self.before.iter().flat_map(|state| state.init.iter().chain(&state.containers));
            all.clone().find(|known| known.name == name)
        };
        for container in state.init.iter().chain(&state.containers) {
            let (name, known) = (&container.name, before(&container.name));
            if known.is_some_and(|known| known.now == container.now) {
                continue;
            }
            match &container.now {
                Now::Running { .. } => {
                    events.normal(&about, "Created", &format!("Created container: {name}")).await;
                    events.normal(&about, "Started", &format!("Started container {name}")).await;
                    for limit in &container.limits {
                        tracing::info!(pod = %pod.name_any(), container = %name, limit, "limit");
                    }
                }
                Now::Waiting { reason, message } if reason == "CrashLoopBackOff" => {
                    let message = message.as_deref().unwrap_or(reason);
                    events.warning(&about, "BackOff", &message.replacen("back-off", "Back-off", 1)).await;
                }
                Now::Terminated(exit) if exit.reason == "StartError" => {
                    let message = exit.message.as_deref().unwrap_or_default();
                    events.warning(&about, "Failed", &format!("Error: {message}")).await;
                }
                _ => {}
            }
        }
        let was = self.before.as_ref().map_or(0, |before| before.lost);
        if self.before.is_some() && state.lost > was {
            events
                .warning(&about, "ShimLost", "the pod's shim was killed; it was taken up by a new one")
                .await;
        }
    }

    /// Writes the status; a pod that is gone or another needs none.
    async fn patch(&mut self, pod: &Pod, status: Value) {
        if self.reported.as_ref() == Some(&status) {
            return;
        }
        let api: Api<Pod> = Api::namespaced(self.ctx.client.clone(), &pod.namespace().unwrap_or_default());
        let patch = json!({"metadata": {"uid": pod.uid()}, "status": status});
        let mut pause = Duration::from_millis(50);
        for _ in 0..6 {
            match api.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await {
                Ok(_) => {
                    self.reported = Some(status);
                    return;
                }
                Err(kube::Error::Api(refusal)) if refusal.code < 500 && refusal.code != 429 => {
                    // 404 and 409: it is gone, or another pod has its name now.
                    tracing::debug!(pod = %pod.name_any(), %refusal, "status not written");
                    return;
                }
                Err(error) => {
                    tracing::warn!(pod = %pod.name_any(), %error, "status not written yet");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
            }
        }
    }

    /// Lets a pod go that was only kept for its containers.
    async fn release(&self, pod: &Pod) {
        let api: Api<Pod> = Api::namespaced(self.ctx.client.clone(), &pod.namespace().unwrap_or_default());
        let parameters = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid: pod.uid(), resource_version: None }),
            ..DeleteParams::default()
        };
        if let Err(error) = api.delete(&pod.name_any(), &parameters).await {
            tracing::debug!(pod = %pod.name_any(), %error, "not released");
        }
    }

    /// After the end: what only the running pod needed goes, its logs stay until the pod goes.
    async fn ended(mut self) {
        let dir = self.dir.clone();
        let cleaned = tokio::task::spawn_blocking(move || {
            clean_volumes(&dir);
            // It holds the environment, and that may hold secrets.
            let _ = std::fs::remove_file(dir.plan());
        });
        let _ = cleaned.await;
        match self.update() {
            Update::Gone(_) => remove_pod(&self.dir).await,
            Update::There(pod) if pod.metadata.deletion_timestamp.is_some() => {
                self.release(&pod).await;
                remove_pod(&self.dir).await;
            }
            Update::There(_) => {}
        }
    }
}

fn clean_volumes(dir: &PodDir) {
    let uid = dir.0.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let volumes = [Some(dir.0.join("volumes")), volumes::memory_dir(&uid)];
    for folder in volumes.into_iter().flatten() {
        if let Err(error) = files::remove_tree(&folder) {
            tracing::warn!(folder = %folder.display(), %error, "a pod's volumes were not removed");
        }
    }
}

/// Removes all that is left of a pod that is gone; ends it first when it still runs.
pub(super) async fn remove_pod(dir: &PodDir) {
    if let Some(mut link) = Link::connect(dir).await {
        link.stop(0).await;
        let mut line = Vec::new();
        while link.next(&mut line).await.is_some() {}
    }
    let dir = dir.clone();
    let removed = tokio::task::spawn_blocking(move || {
        shim::end_all_left(&dir);
        clean_volumes(&dir);
        limits::sweep(&group_prefix(&dir.0.file_name().unwrap_or_default().to_string_lossy()));
        if let Err(error) = files::remove_tree(&dir.0) {
            tracing::warn!(folder = %dir.0.display(), %error, "a pod's folder was not removed");
        }
    });
    let _ = removed.await;
}
