//! `plugin new`: a stage's project to begin with.

use crate::{CliError, exit};
use ilab_author::{Project, ScaffoldError};
use ilab_core::names::StageName;
use ilab_wasm::build::Language;
use std::path::PathBuf;

/// Writes it.
///
/// # Errors
/// A name that no stage can have, or a folder that is in use.
pub fn run(name: &str, language: Language, into: Option<PathBuf>) -> Result<(), CliError> {
    let name = StageName::new(name)?;
    let folder = into.unwrap_or_else(|| PathBuf::from(name.as_str()));
    Project::new(language, &name).write(&folder).map_err(|error| {
        let hint = match &error {
            ScaffoldError::Exists { .. } => "name another folder with --into",
            ScaffoldError::Io { .. } => "",
        };
        CliError::from_error(exit::USAGE, &error).hint(hint)
    })?;
    eprintln!("wrote the stage {name} to {0}; next: ilab-host plugin build {0}", folder.display());
    Ok(())
}
