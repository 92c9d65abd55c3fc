//! `plugin inspect`: what a component says of itself, offers and asks for.

use super::load::{Alone, load_alone};
use crate::CliError;
use crate::args::OutputFormat;
use crate::report::print_data;
use ilab_wasm::build::read_metadata;
use serde_json::json;
use std::path::Path;

/// Shows it.
///
/// # Errors
/// A component that cannot be loaded.
pub fn run(file: &Path, format: Option<OutputFormat>) -> Result<(), CliError> {
    let Alone { plugin, stages } = load_alone(file)?;
    // Loading has bounded its size.
    let bytes = std::fs::read(file).map_err(|e| CliError::usage(format!("{}: {e}", file.display())))?;
    print_data(
        &json!({
            "file": file,
            "digest": plugin.digest(),
            "contract": format!("ilab:pipeline@{}", plugin.wit_version()),
            "usesWasi": plugin.uses_wasi(),
            "metadata": read_metadata(&bytes),
            "stages": stages,
        }),
        format,
    )
}
