//! Containers by bubblewrap: what the machine allows, and the arguments that make one.

mod allowed;
mod layout;
pub(crate) mod limits;
mod probe;

pub(crate) use allowed::advice;
pub(crate) use layout::{Layout, LayoutError, Source};
pub(crate) use probe::Sandbox;
