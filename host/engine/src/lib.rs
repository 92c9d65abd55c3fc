//! The run loop: one owner of run state that turns plans into applied objects, verdicts and outputs.
//!
//! [`plan_all`] is pure and knows no cluster: it is the whole of a dry run. [`Runner`] does the same and then carries it
//! out. What happens is told as [`Event`]s; reporters read them and decide nothing.

mod active;
mod bindings;
mod credentials;
mod doctor;
mod drive;
mod error;
mod event;
mod failure;
mod finish;
mod follow;
mod inputs;
mod keeper;
mod planning;
mod pods;
mod preflight;
mod pump;
mod rehearse;
mod remove;
mod request;
mod resume;
mod runner;
mod secret;
mod start;
mod tail;

pub use doctor::doctor;
pub use error::{EngineError, Exit};
pub use event::{Event, StageFailure};
pub use planning::{PlannedStage, plan_all};
pub use preflight::{Finding, Severity, ask_for, asks};
pub use rehearse::{Rehearsed, rehearse};
pub use remove::{Removed, Removing, remove};
pub use request::{ClaimOptions, CredentialSource, Preflight, Resume, RunOptions, RunRequest, Stages};
pub use runner::{Outcome, Runner};
pub use secret::SecretValue;
