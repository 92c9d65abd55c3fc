//! `plugin build`: a stage's project as a component.

use crate::{CliError, exit, folders};
use ilab_wasm::build::{BuildError, Built, Language, Tools, build_project};
use std::path::{Path, PathBuf};

/// What is built, and where it goes.
pub struct Job {
    /// The project's folder.
    pub folder: PathBuf,
    /// Its language.
    pub language: Language,
    /// The component's file.
    pub file: PathBuf,
}

impl Job {
    /// The job that a command line means.
    ///
    /// # Errors
    /// A folder that is none, or no project of one language.
    pub fn new(folder: &Path, file: Option<PathBuf>, language: Option<Language>) -> Result<Self, CliError> {
        let file = file.map_or_else(|| component_of(folder), Ok)?;
        let language = match language {
            Some(language) => language,
            None => Language::of(folder).map_err(|e| failed(&e))?,
        };
        Ok(Self { folder: folder.to_owned(), language, file })
    }

    /// Builds it.
    ///
    /// # Errors
    /// What the toolchain says.
    pub fn build(&self) -> Result<Built, CliError> {
        let cache = folders::cache().ok_or_else(|| {
            CliError::usage("no home folder to keep build tools in").hint("set HOME or XDG_CACHE_HOME")
        })?;
        let say = |line: &str| eprintln!("{line}");
        let tools = Tools::new(cache.join("tools"), &say);
        build_project(&self.folder, self.language, &tools, &self.file).map_err(|e| failed(&e))
    }
}

/// Where a project's component goes when nobody says: into its folder, by the folder's name.
///
/// # Errors
/// A folder that is none.
pub fn component_of(folder: &Path) -> Result<PathBuf, CliError> {
    let whole = folder.canonicalize().map_err(|e| CliError::usage(format!("{}: {e}", folder.display())))?;
    let name =
        whole.file_name().ok_or_else(|| CliError::usage(format!("{} has no name", folder.display())))?;
    // Not with_extension: a folder may be called v1.2.
    let mut name = name.to_owned();
    name.push(".wasm");
    Ok(folder.join(name))
}

/// Builds it, and says what came of it; with `watch`, again after each change.
///
/// # Errors
/// As [`Job`] has them.
pub fn run(
    folder: &Path,
    file: Option<PathBuf>,
    language: Option<Language>,
    watch: bool,
) -> Result<(), CliError> {
    let job = Job::new(folder, file, language)?;
    if watch {
        return super::watch::run(&job);
    }
    tell(&job.build()?);
    Ok(())
}

/// Says what was built.
pub fn tell(built: &Built) {
    eprintln!("built {} ({}, {} bytes)", built.component.display(), built.digest.short(), built.bytes);
}

fn failed(error: &BuildError) -> CliError {
    if let BuildError::Tool { detail, .. } = error {
        // What a compiler says has lines; the error itself is one.
        for line in detail.lines() {
            eprintln!("{}", ilab_wasm::escape::escape(line));
        }
    }
    CliError::from_error(exit::PLUGIN, error).hint(error.hint().unwrap_or_default())
}
