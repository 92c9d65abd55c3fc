//! Pure heart of ilab-host: descriptors, parameters, pipeline graph, verdicts, guard and run record.
//!
//! Nothing here does I/O, is async, or knows wasm or a cluster client. The other crates of the host know this one.

pub mod contract;
pub mod descriptor;
pub mod endpoint;
pub mod grants;
pub mod graph;
pub mod guard;
pub mod names;
pub mod nearest;
pub mod parameters;
pub mod plan;
pub mod quantity;
pub mod record;
pub mod schema;
pub mod text;
pub mod verdict;
