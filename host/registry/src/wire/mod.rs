//! HTTP to a registry, by the OCI distribution specification.
//!
//! A registry is a stranger: everything that is read of it is bounded, and its credentials go nowhere else.

mod backoff;
mod blobs;
mod challenge;
mod client;
mod connect;
mod credentials;
mod manifests;

pub use client::{Registry, RegistryOptions};
pub use manifests::Fetched;
