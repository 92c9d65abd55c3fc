//! `version`.

use crate::CliError;
use crate::args::OutputFormat;
use crate::report::{print_data, write_out};
use serde_json::json;

/// Prints what this host is and speaks.
///
/// # Errors
/// When stdout cannot be written.
pub fn run(format: Option<OutputFormat>) -> Result<(), CliError> {
    let (host, contract) = (env!("CARGO_PKG_VERSION"), ilab_wasm::WIT_VERSION);
    match format {
        Some(_) => {
            print_data(&json!({"host": host, "contract": format!("ilab:pipeline@{contract}")}), format)
        }
        None => write_out(&format!("ilab-host {host}\nstage contract ilab:pipeline@{contract}\n")),
    }
}
