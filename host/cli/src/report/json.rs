//! Events as JSON lines on stdout: an interface for machines.

use super::data::write_out;
use crate::CliError;
use ilab_engine::Event;

/// Prints each event as one line.
#[derive(Debug, Default)]
pub struct JsonLines;

impl JsonLines {
    /// Prints one.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn show(&self, event: &Event) -> Result<(), CliError> {
        let line =
            serde_json::to_string(event).map_err(|e| CliError::from_error(crate::exit::FAILURE, &e))?;
        write_out(&(ilab_core::text::plain_json(&line).into_owned() + "\n"))
    }
}
