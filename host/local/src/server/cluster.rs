//! The embedded cluster as a whole: its state folder, its client, its node and controllers.

use super::bodies::{self, Answer};
use super::object::text;
use super::request::{MAX_BODY, Request};
use super::resources::{self, RESOURCES};
use super::status::Refusal;
use super::{Server, Shared, create, expire, route, socket};
use crate::controllers::{self, ControllerOptions};
use crate::node::{self, NodeError, NodeHandle, NodeOptions};
use crate::store::{CommitError, Key, LogError, Store};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

pub use socket::ServeHandle;

/// How a local cluster is set up.
#[derive(Debug, Clone)]
pub struct LocalOptions {
    /// The folder that holds everything: objects, claims, logs, images. Made when it is missing.
    pub state: PathBuf,
    /// The client's default namespace; it exists from the start, as `default` does.
    pub namespace: String,
    /// The command that runs a pod: this program and the arguments that make it a shim. Without one there is only the
    /// API, which tests of clients need: no node, no controllers, and pods stay pending.
    pub shim_command: Option<Vec<OsString>>,
}

impl LocalOptions {
    /// A cluster in this folder, with namespace `default` and no node.
    pub fn new(state: impl Into<PathBuf>) -> Self {
        Self { state: state.into(), namespace: "default".to_owned(), shim_command: None }
    }
}

/// Why a local cluster could not be opened or served.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// Another process has it open.
    #[error("the local cluster in {} is in use by {holder}", state.display())]
    InUse {
        /// The state folder.
        state: PathBuf,
        /// Who holds it, as far as it said so, for example `process 4711`.
        holder: String,
    },
    /// The folder cannot be used.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The objects cannot be read or written.
    #[error(transparent)]
    State(#[from] LogError),
    /// This machine cannot run pods, or its node cannot be registered.
    #[error(transparent)]
    Node(#[from] Box<NodeError>),
    /// The first objects could not be made.
    #[error("cannot set up the local cluster: {message}")]
    Setup {
        /// What the API server said.
        message: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Anybody who reaches the socket may do everything, so it must not be reachable from elsewhere.
    #[error("{address} is not a loopback address: the local cluster asks nobody who they are")]
    NotLoopback {
        /// The address.
        address: SocketAddr,
    },
}

impl LocalError {
    /// What a person can try, where there is something to try.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let denied = |source: &std::io::Error| source.kind() == std::io::ErrorKind::PermissionDenied;
        let folder = "it belongs to another user; name a folder of your own with --local-state";
        match self {
            Self::Io { source, .. } | Self::State(LogError::Io { source, .. }) if denied(source) => {
                Some(folder.to_owned())
            }
            Self::Node(error) => match &**error {
                NodeError::Io { source, .. } if denied(source) => Some(folder.to_owned()),
                other => other.hint(),
            },
            _ => None,
        }
    }
}

/// A Kubernetes cluster in this process. Dropping it is like a kill: nothing that was acknowledged is lost.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use ilab_local::{LocalCluster, LocalOptions};
/// use k8s_openapi::api::core::v1::ConfigMap;
/// let cluster = LocalCluster::open(LocalOptions::new("/tmp/cluster")).await?;
/// let maps = kube::Api::<ConfigMap>::default_namespaced(cluster.client());
/// println!("{} config maps", maps.list(&Default::default()).await?.items.len());
/// # Ok(())
/// # }
/// ```
pub struct LocalCluster {
    server: Shared,
    client: kube::Client,
    running: Option<(NodeHandle, controllers::Handle)>,
    /// Given up last.
    lock: Option<Flock<File>>,
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        // Clients that are still held must not write into a folder that another may open from now on.
        self.server.store.close();
        self.server.stopping.cancel();
    }
}

impl std::fmt::Debug for LocalCluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalCluster").field("state", &self.server.state).finish_non_exhaustive()
    }
}

/// How long what a dead process has left open may keep the folder.
const GOING: Duration = Duration::from_secs(5);

/// Takes the folder for this process. A host that was killed while it was starting a process leaves the lock to that one until
/// it runs its own program, which is over in moments and cannot be waited for otherwise.
async fn hold(state: &Path) -> Result<Flock<File>, LocalError> {
    let begun = Instant::now();
    loop {
        match take(state) {
            Err(LocalError::InUse { holder, .. }) if died(&holder) && begun.elapsed() < GOING => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            other => return other,
        }
    }
}

/// Whether it is a process that is no more.
fn died(holder: &str) -> bool {
    let id = holder.strip_prefix("process ").and_then(|id| id.trim().parse().ok());
    id.is_some_and(|id| kill(Pid::from_raw(id), None) == Err(nix::errno::Errno::ESRCH))
}

fn take(state: &Path) -> Result<Flock<File>, LocalError> {
    let path = state.join("lock");
    let io = |action| {
        let path = path.clone();
        move |source| LocalError::Io { action, path, source }
    };
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(io("open"))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut lock) => {
            lock.set_len(0)
                .and_then(|()| lock.rewind())
                .and_then(|()| writeln!(lock, "process {}", std::process::id()))
                .map_err(io("write"))?;
            Ok(lock)
        }
        Err((file, nix::errno::Errno::EWOULDBLOCK)) => {
            let mut holder = String::new();
            let _ = file.take(200).read_to_string(&mut holder);
            let holder: String = holder.chars().filter(|c| !c.is_control()).collect();
            let holder = if holder.is_empty() { "another process".to_owned() } else { holder };
            Err(LocalError::InUse { state: state.to_owned(), holder })
        }
        Err((_, errno)) => Err(io("lock")(errno.into())),
    }
}

impl LocalCluster {
    /// Opens the cluster in a folder, with everything that was in it.
    ///
    /// Call it within the runtime that will live on: the client belongs to that runtime.
    ///
    /// # Errors
    /// [`LocalError::InUse`] when another process has the folder; [`LocalError::Node`] when pods cannot be run here; [`LocalError::State`] when what is in it is damaged
    /// or of another version; [`LocalError::Io`] when the folder cannot be made or written.
    pub async fn open(options: LocalOptions) -> Result<Self, LocalError> {
        let state = options.state;
        std::fs::create_dir_all(&state)
            .and_then(|()| state.canonicalize())
            .map_err(|source| LocalError::Io { action: "make", path: state.clone(), source })?;
        let lock = hold(&state).await?;
        let store = Store::open(&state, |id| resources::by_id(id).map(|resource| resource.id))?;
        let server: Shared = Arc::new(Server { store, state, stopping: CancellationToken::new() });
        set_up(&server, &options.namespace)?;
        expire::start(&server);
        let client = client(Arc::clone(&server), &options.namespace);
        let mut cluster = Self { server, client, running: None, lock: Some(lock) };
        if let Some(shim_command) = options.shim_command {
            let state = &cluster.server.state;
            let node = NodeOptions::new(state.clone(), shim_command);
            let node = node::start(cluster.client(), node).await.map_err(Box::new)?;
            let controllers = controllers::start(cluster.client(), ControllerOptions::new(state.clone()));
            cluster.running = Some((node, controllers));
        }
        Ok(cluster)
    }

    /// A client of this cluster. It lives as long as anybody holds it, also when this cluster has been shut down.
    #[must_use]
    pub fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// The state folder.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.server.state
    }

    /// Answers the same API on a loopback address, without TLS or log-in, so that kubectl can look inside
    /// (`kubectl --server http://ADDRESS get pods`). Port 0 picks a free one.
    ///
    /// # Errors
    /// [`LocalError::NotLoopback`] for any other address; [`LocalError::Listen`] when it is taken.
    pub async fn serve(&self, address: SocketAddr) -> Result<ServeHandle, LocalError> {
        if !address.ip().is_loopback() {
            return Err(LocalError::NotLoopback { address });
        }
        socket::serve(Arc::clone(&self.server), address)
            .await
            .map_err(|source| LocalError::Listen { address, source })
    }

    /// Ends all watches and log streams, brings everything to the disk and lets the folder go. Pods go on running.
    ///
    /// # Errors
    /// [`LocalError::State`] when the disk refuses.
    pub async fn shutdown(mut self) -> Result<(), LocalError> {
        if let Some((node, controllers)) = self.running.take() {
            controllers.stop().await;
            node.stop().await;
        }
        self.server.store.close();
        self.server.stopping.cancel();
        self.server.store.sync()?;
        drop(self.lock.take());
        Ok(())
    }

    /// One line for people: how pods are separated from the machine here; nothing without a node.
    #[must_use]
    pub fn sandbox(&self) -> Option<String> {
        self.running.as_ref().map(|(node, _)| node.sandbox())
    }
}

/// Namespaces, their service accounts and the storage class that are there from the start.
fn set_up(server: &Shared, namespace: &str) -> Result<(), LocalError> {
    let mut wanted = Vec::new();
    for name in ["default", namespace] {
        wanted.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
        wanted.push(json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name},
        }));
    }
    wanted.push(json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": {"name": "local", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "ilab.dev/local", "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate",
    }));
    for object in &mut wanted {
        ensure(server, object).map_err(|refusal| LocalError::Setup { message: refusal.message })?;
    }
    Ok(())
}

/// Makes an object unless it is there.
fn ensure(server: &Server, object: &mut Value) -> Result<(), Refusal> {
    let Some(resource) = RESOURCES.iter().find(|resource| resource.kind == text(object, "/kind")) else {
        return Err(Refusal::internal("a first object has an unknown kind"));
    };
    let key = Key {
        resource: resource.id,
        namespace: text(object, "/metadata/namespace").to_owned(),
        name: text(object, "/metadata/name").to_owned(),
    };
    if server.store.get(&key).is_some() {
        return Ok(());
    }
    create::prepare(server, resource, object)?;
    match server.store.put(key, None, object) {
        Ok(_) | Err(CommitError::Raced) => Ok(()),
        Err(other) => Err(other.into()),
    }
}

fn client(server: Shared, namespace: &str) -> kube::Client {
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let server = Arc::clone(&server);
        async move { Ok::<_, Infallible>(answer(&server, request).await) }
    });
    kube::Client::new(service, namespace)
}

/// Reads a request's body, within bounds, and answers it.
pub(super) async fn answer<B>(server: &Shared, request: http::Request<B>) -> Answer
where
    B: http_body::Body + Send,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return bodies::refuse(&Refusal::new(
                http::StatusCode::PAYLOAD_TOO_LARGE,
                "RequestEntityTooLarge",
                format!("Request entity too large: limit is {MAX_BODY}"),
            ));
        }
        Err(error) => {
            return bodies::refuse(&Refusal::bad_request(format!("the body could not be read: {error}")));
        }
    };
    match Request::new(parts.method, &parts.uri, parts.headers, body) {
        Ok(request) => route::answer(server, request).await,
        Err(refusal) => bodies::refuse(&refusal),
    }
}
