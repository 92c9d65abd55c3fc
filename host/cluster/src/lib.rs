//! The Kubernetes client side of ilab-host: apply, watch, logs, events, run records. It knows no plugin.
//!
//! Everything is spoken through [`kube::Client`], so that the embedded cluster and a real API server are reached by
//! one code path. Requests are made and read here rather than through `kube::Api`, for what that hides: the status
//! code that tells a created object from a merged one, the `Retry-After` header, and which errors a watch met.
//!
//! Errors are sorted in one place ([`ClusterError::class`]): permanent ones end the call at once, passing ones are
//! retried with backoff and jitter, and every retry is told to the [`Cluster`]'s observer.

mod access;
mod apply;
mod backoff;
mod connection;
mod delete;
pub mod diagnose;
mod error;
mod events;
mod holder;
mod kinds;
mod lease;
mod lines;
mod logs;
mod needs;
mod pods;
mod queue;
mod records;
mod transport;
mod watch;

pub use apply::{Applied, ApplyOptions, DryRun, FIELD_MANAGER, MANIFEST_HASH, Owner, RUN_LABEL, STAGE_LABEL};
pub use backoff::{Backoff, Retrying};
pub use delete::{Deleted, Propagation};
pub use error::{Cause, Class, ClusterError, ExitClass};
pub use events::ObjectEvent;
pub use holder::{Holder, Liveness};
pub use lease::{Lost, RunLease};
pub use logs::{LogLine, LogRequest, MAX_LINE};
pub use needs::{Asks, Names, Need, Purpose, needs};
pub use pods::{ContainerState, ContainerView, PodChange, PodView, selector_of};
pub use queue::{QUEUE_LABEL, Queueing};
pub use records::{MAX_RECORD_BYTES, RecordStore, StoredRecord};
pub use transport::{Cluster, connect};
pub use watch::{Change, Observed};
