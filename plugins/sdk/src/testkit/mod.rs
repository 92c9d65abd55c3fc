//! What unit tests of stages need: contexts made from descriptors, golden files, and the host's own checks.
//!
//! ```no_run
//! # use ilab_stage_sdk::{Stage, testkit::{Sample, golden}};
//! # fn test(stage: &dyn Stage) {
//! let sample = Sample::of(stage).set("gpus", 0).input("other.path", "/data/x");
//! golden("tests/golden/no-gpu.yaml", &sample.yaml());
//! # }
//! ```
//!
//! With feature `golden` alone, which projects outside of this repository have, the host's own checks are not here: `ilab-host
//! plugin check` and `plugin test` make them.
//!
//! Everything here panics when it is used wrongly: that is what a test wants.

#[cfg(feature = "testkit")]
mod checks;
mod golden;
mod sample;
mod scripts;

#[cfg(feature = "testkit")]
pub use checks::{accepted, bad_inputs, check_descriptor};
pub use golden::{golden, yaml};
pub use sample::Sample;
pub use scripts::scripts_complete;
