//! `plugin inspect`: what a component offers and asks for.

use super::load::{Alone, load_alone};
use crate::CliError;
use crate::args::OutputFormat;
use crate::report::print_data;
use serde_json::json;
use std::path::Path;

/// Shows it.
pub fn run(file: &Path, format: Option<OutputFormat>) -> Result<(), CliError> {
    let Alone { plugin, stages } = load_alone(file)?;
    print_data(
        &json!({
            "file": file,
            "digest": plugin.digest(),
            "contract": format!("ilab:pipeline@{}", plugin.wit_version()),
            "usesWasi": plugin.uses_wasi(),
            "stages": stages,
        }),
        format,
    )
}
