//! One script of API exchanges, told to the embedded cluster and to a real Kubernetes, and what differs.
//!
//! The [script](script::tell) is a list of named exchanges in chapters. What is answered is written down as a [`Transcript`] in
//! which UIDs, versions, times and random names have given way to names. Where the two transcripts differ, the difference must be
//! in the list `differences.yaml`, with its reason; what is in the list and does not differ any more is an error too.
//! docs/conformance.md shows the list to people.
//!
//! Pods are played on both sides: the script writes the status that a kubelet would write.

pub mod document;
pub mod known;
mod place;
mod placeholders;
pub mod script;
mod stream;
mod talk;
mod transcript;

pub use place::Place;
pub use transcript::{Difference, Exchange, NOTHING, Transcript};
