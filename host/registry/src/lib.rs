//! Stage components in OCI registries: pushed, pulled, pinned, kept and signed.
//!
//! A registry is a stranger. What it sends is bounded, hashed while it arrives, and never believed about itself: what a
//! reference stands for is in the user's lock file, and whom to trust in the user's policy.
//!
//! ```no_run
//! # async fn example() -> Result<(), ilab_registry::RegistryError> {
//! use ilab_registry::{Artifact, Reference, Registry, RegistryOptions, Store};
//! let registry = Registry::new(RegistryOptions::default())?;
//! let store = Store::open("/var/cache/plugins".into())?;
//! let reference: Reference = "oci://registry.example.com/team/eval:1.0".parse()?;
//! let artifact = Artifact::look_up(&registry, &store, &reference, 64 << 20).await?;
//! artifact.fetch(&registry, &store, &|bytes, of| println!("{bytes} of {of}")).await?;
//! println!("{} is in {}", artifact.reference, store.path(&artifact.component).display());
//! # Ok(())
//! # }
//! ```

mod artifact;
mod error;
pub mod layout;
mod lock;
mod manifest;
mod reference;
mod signatures;
mod store;
mod trust;
mod wire;
mod yaml;

pub use artifact::{Artifact, Component, OnProgress, Pushed, push};
pub use error::RegistryError;
pub use lock::{LOCK_FILE, Lock, Locked};
pub use manifest::Interface;
pub use reference::{Digest, Reference, SCHEME};
pub use store::Store;
pub use trust::{Identity, Name, Policy, PrivateKey, Proof, PublicKey, Signed, TrustError, sign};
pub use wire::{Fetched, Registry, RegistryOptions};
