//! Real parts for the tests: started on loopback by the test that needs them, and ended with it; and components that say what a
//! test wants said.

mod programs;
mod puppet;
mod registry;
mod rootfs;
mod s3;
mod server;
mod sigstore;

pub use programs::{cosign, wkg};
pub use puppet::Puppet;
pub use registry::{OciRegistry, RegistryNeeds};
pub use rootfs::rootfs;
pub use s3::S3Server;
pub use sigstore::{SignedPayload, Signer, Sigstore};

use std::path::PathBuf;

/// The root of the checkout.
#[must_use]
pub fn checkout() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the checkout is there")
}
