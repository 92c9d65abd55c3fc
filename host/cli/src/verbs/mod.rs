//! One file a verb.

pub mod data;
pub mod doctor;
pub mod local;
pub mod plugin;
pub mod rbac;
pub mod rehearse;
pub mod request;
pub mod run;
pub mod runs;
pub mod show;
pub mod version;
