//! The API server: requests in, objects and watch streams out, the same over a `kube::Client` in process and a socket.

mod access;
mod bodies;
mod cluster;
mod create;
mod delete;
mod discovery;
mod expire;
mod list;
mod logs;
pub(crate) mod object;
mod request;
pub(crate) mod resources;
mod route;
mod selector;
mod socket;
pub(crate) mod status;
mod update;
mod watch;

pub use cluster::{LocalCluster, LocalError, LocalOptions, ServeHandle};

use crate::store::Store;
use std::path::PathBuf;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What every request needs.
pub(crate) struct Server {
    pub(crate) store: Store,
    /// The state folder, where the node leaves the pods' logs.
    pub(crate) state: PathBuf,
    /// Cancelled when the cluster shuts down: streams end.
    pub(crate) stopping: CancellationToken,
}

/// The server, shared.
pub(crate) type Shared = Arc<Server>;
