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
//! Everything here panics when it is used wrongly: that is what a test wants.

mod checks;
mod golden;
mod sample;
mod scripts;

pub use checks::{accepted, bad_inputs, check_descriptor};
pub use golden::{golden, yaml};
pub use sample::Sample;
pub use scripts::scripts_complete;
