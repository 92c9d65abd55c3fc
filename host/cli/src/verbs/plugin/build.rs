//! `plugin build`: a stage's crate as a component.

use crate::{CliError, exit};
use ilab_wasm::build::{Build, BuildError, Toolchain, build_crate};
use std::path::{Path, PathBuf};

/// Builds it.
pub fn run(folder: &Path, file: Option<PathBuf>) -> Result<(), CliError> {
    let failed = |e: BuildError| CliError::from_error(exit::PLUGIN, &e);
    let toolchain = Toolchain::probe().map_err(failed)?;
    let file = match file {
        Some(file) => file,
        None => {
            let whole =
                folder.canonicalize().map_err(|e| CliError::usage(format!("{}: {e}", folder.display())))?;
            let name = whole
                .file_name()
                .ok_or_else(|| CliError::usage(format!("{} has no name", folder.display())))?;
            whole.join(name).with_extension("wasm")
        }
    };
    let built = build_crate(&toolchain, &Build::new(folder), &file).map_err(failed)?;
    eprintln!("built {} ({}, {} bytes)", built.component.display(), built.digest.short(), built.bytes);
    Ok(())
}
