//! The guard: what a plugin may ask of the cluster.
//!
//! Every manifest passes here before it is applied, and in a dry run. It is denied what is not allowed: kinds, names and
//! namespace; whatever reaches other people's objects; and in every pod template, at any depth of any kind, what the Pod
//! Security Standards forbid, service accounts, and Secrets, ConfigMaps and claims that are not the run's.
//!
//! Rules go by field names at any depth, not by kinds that are known to hold pod templates, so that a custom resource
//! cannot carry one past it. [`harden`] sets what an honest manifest need not say; call it before
//! [`check`](Policy::check).

mod bounds;
mod harden;
mod images;
mod object;
mod path;
mod pods;
mod policy;
mod references;
mod resources;
mod walk;

pub use bounds::{
    ANY_IMAGE, Bounds, EXEMPT_CAPABILITIES, EXEMPT_SYSCTLS, Exempted, Exemption, Images, Limits, exemptable,
};
pub use harden::harden;
pub use images::is_image;
pub use images::repository;
pub use policy::{Grant, Judgement, Level, Policy, Refused, Violation};
pub(crate) use resources::{PODS, shown};
pub use resources::{Totals, totals};
pub use walk::{MAX_DEPTH, MAX_MANIFEST_BYTES, MAX_VIOLATIONS};
