//! The pipeline: which stages there are, in which order, which a command selects, and which flags they answer to.

mod error;
mod flags;
mod pipeline;
mod select;

pub use error::GraphError;
pub use flags::{FlagInfo, FlagTarget, flags};
pub use pipeline::{Offer, Pipeline};
pub use select::{Selection, SelectorInfo};
