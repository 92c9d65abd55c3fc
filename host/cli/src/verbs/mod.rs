//! One file a verb.

pub mod data;
pub mod local;
pub mod plugin;
pub mod run;
pub mod runs;
pub mod version;
