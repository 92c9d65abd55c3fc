//! The node of the embedded cluster: images, and pods as sandboxed process trees.
//!
//! [`start`] registers a node and runs every pod that is bound to it, each under a small process of its own (see
//! [`shim`]) that outlives this one. What a pod may see and use is decided here; what the API server stores about it is
//! only read and reported through a `kube::Client`.
//!
//! What it does not do, unlike a real node: pull images, give pods addresses of their own (they share the machine's
//! network), run probes and lifecycle hooks, `exec` and port forwarding, enforce `ephemeral-storage` and a volume's
//! `sizeLimit`, and give containers capabilities: all are dropped.

mod error;
pub(crate) mod events;
mod expand;
pub(crate) mod files;
mod images;
pub(crate) mod kubelet;
mod plan;
pub(crate) mod quantity;
mod sandbox;
pub mod shim;

pub use error::NodeError;
pub use images::{
    ArchiveError, BadReference, Image, ImageConfig, ImageError, ImageSource, ImageStore, PullPolicy,
    Reference,
};
pub use kubelet::{NodeHandle, NodeOptions, start};
