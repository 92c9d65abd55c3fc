//! The embedded cluster: a Kubernetes API subset, its controllers and its node, in one process and one folder.
//!
//! [`LocalCluster::open`] gives a [`kube::Client`] that speaks to an API server in the same process: the same code then
//! runs against it and against a real cluster. It is faithful where a plan could otherwise work here and fail there:
//! immutable fields, schemas, defaults, server-side apply with field ownership, watches from versions, finalizers.

mod apply;
pub mod controllers;
pub mod node;
mod schema;
mod server;
mod store;

pub use schema::schema_problems;
pub use server::{LocalCluster, LocalError, LocalOptions, ServeHandle};
pub use store::LogError;
