//! One real node: scheduler, kubelet, containerd and a name server.

mod config;
mod images;
mod place;
mod possible;
mod start;
mod volumes;

pub use volumes::STORAGE_CLASS;

pub(crate) use place::Place;
pub(crate) use possible::possible;
pub(crate) use start::Node;

/// The node's name.
const NAME: &str = "ilab-node";
/// The image of what holds a pod's namespaces.
const PAUSE_IMAGE: &str = "ilab.test/pause:1";
