//! Data on stdout, in the format that was asked for.

use crate::args::OutputFormat;
use crate::{CliError, exit};
use ilab_core::text::{is_plain, plain_json};
use serde::Serialize;
use std::io::Write;

/// Prints data; YAML unless JSON was asked for.
///
/// # Errors
/// When stdout cannot be written; a reader that has gone away is no error.
pub fn print_data(data: &impl Serialize, format: Option<OutputFormat>) -> Result<(), CliError> {
    let text = match format {
        Some(OutputFormat::Json) => {
            let text =
                serde_json::to_string_pretty(data).map_err(|e| CliError::from_error(exit::FAILURE, &e))?;
            plain_json(&text).into_owned() + "\n"
        }
        Some(OutputFormat::Yaml) | None => to_yaml(data)?,
    };
    write_out(&text)
}

/// Data as one YAML document.
///
/// # Errors
/// When it has no YAML form.
pub fn to_yaml(data: &impl Serialize) -> Result<String, CliError> {
    let text = serde_saphyr::to_string(data).map_err(|e| CliError::from_error(exit::FAILURE, &e))?;
    plain_yaml(text, data)
}

/// YAML has no escapes but in quotes: where a text needs some, the document is written as JSON, which YAML is too.
fn plain_yaml(text: String, data: &impl Serialize) -> Result<String, CliError> {
    if is_plain(&text) {
        return Ok(text);
    }
    let json = serde_json::to_string_pretty(data).map_err(|e| CliError::from_error(exit::FAILURE, &e))?;
    Ok(plain_json(&json).into_owned() + "\n")
}

/// Writes to stdout.
pub fn write_out(text: &str) -> Result<(), CliError> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(CliError::from_error(exit::FAILURE, &e)),
        _ => Ok(()),
    }
}

/// Writes manifests as a multi-document YAML stream, as kubectl takes it.
///
/// # Errors
/// As [`print_data`].
pub fn write_documents(manifests: &[serde_json::Value]) -> Result<(), CliError> {
    // One after another: all of them at once would be most of a dry run's memory.
    let mut text = String::new();
    for manifest in manifests {
        text.clear();
        text.push_str("---\n");
        serde_saphyr::to_fmt_writer(&mut text, manifest)
            .map_err(|e| CliError::from_error(exit::FAILURE, &e))?;
        if !is_plain(&text) {
            text = format!("---\n{}", to_yaml(manifest)?);
        }
        write_out(&text)?;
    }
    Ok(())
}
