//! Pure heart of ilab-host: descriptors, parameters, pipeline graph, verdicts, guard and run record.
//!
//! Nothing here does I/O, is async, or knows wasm or a cluster client. The other crates of the host know this one.

pub mod contract;
pub mod names;
