//! Parameters: what the user gave, resolved to one valid value for each parameter of each stage.
//!
//! Order, weakest first: the descriptor's default, the values file, the environment, a flag, `--set`. Every error of a
//! resolution is told at once.

mod convert;
mod error;
mod resolve;
mod values;

pub use crate::descriptor::{DescriptorError, validate_descriptor};
pub use error::ParameterError;
pub use resolve::{Given, Resolved, Source, resolve, resolve_selected};
pub use values::{API_VERSION, MAX_VALUES_BYTES, parse_values};
