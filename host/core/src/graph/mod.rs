//! The pipeline: which stages there are, in which order, which a command selects, and which flags they answer to.

mod error;
mod file;
mod flags;
mod pipeline;
mod select;

pub use error::GraphError;
pub use file::{MAX_PIPELINE_BYTES, PinnedStage, PipelineFile, PipelineFileError, parse_pipeline};
pub use flags::{FlagInfo, FlagTarget, flags};
pub use pipeline::{Offer, Pipeline};
pub use select::{Selection, SelectorInfo};
