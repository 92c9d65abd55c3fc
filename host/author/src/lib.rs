//! What stage authors need besides a compiler.
//!
//! [`Project`] is a new stage in one of four languages: small, whole, and without anything that it would have to fetch
//! from this repository. [`Case`] is what a stage is given and what must come of it: written by hand, or recorded from a
//! real run. [`examine`] finds what a host or a cluster would refuse. [`Measured`] is how fast a stage is.

mod bench;
mod case;
mod check;
mod files;
mod replay;
mod sample;
mod scaffold;

pub use bench::{Baseline, Measured, Regression};
pub use case::{Case, CaseError, Observation, Saw, load_cases};
pub use check::{Finding, Schemas, Severity, examine};
pub use replay::{Outcome, Wrong, elided, replay};
pub use sample::{SampleError, sample_context};
pub use scaffold::{Project, ScaffoldError};
