//! New projects.

use crate::files::sources;
use ilab_core::names::StageName;
use ilab_wasm::build::Language;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A project was not written.
#[derive(Debug, Error)]
pub enum ScaffoldError {
    /// Something is there already.
    #[error("{} is there already, and is not empty", folder.display())]
    Exists {
        /// The folder.
        folder: PathBuf,
    },
    /// It cannot be written.
    #[error("{} cannot be written", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A new project: its files, in memory.
///
/// ```
/// use ilab_author::Project;
/// use ilab_core::names::StageName;
/// use ilab_wasm::build::Language;
/// let project = Project::new(Language::Python, &StageName::new("toxicity")?);
/// assert!(project.files().any(|(path, _)| path == "stage/__init__.py"));
/// # Ok::<(), ilab_core::names::InvalidName>(())
/// ```
#[derive(Debug, Clone)]
pub struct Project {
    files: Vec<(String, String)>,
}

impl Project {
    /// The files of a stage of this name.
    #[must_use]
    pub fn new(language: Language, name: &StageName) -> Self {
        let sources = sources(language);
        let own = |text: &str| text.replace(TEMPLATE, name.as_str());
        let template = sources.template.iter().copied().flatten();
        let copied = sources.copied.iter().copied().flatten();
        let files = template
            .map(|(path, text)| (own(path), own(text)))
            // In a project the contract lies beside the SDK.
            .chain(
                copied.map(|(path, text)| ((*path).to_owned(), text.replace("\"../../wit\"", "\"../wit\""))),
            )
            .collect();
        Self { files }
    }

    /// Each file's path in the project, and its text.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Writes the project, whole or not at all, into a folder that is empty or not there yet.
    ///
    /// # Errors
    /// [`ScaffoldError`] when something is there, or it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), ScaffoldError> {
        let io = |path: &Path, source| ScaffoldError::Io { path: path.to_owned(), source };
        match std::fs::read_dir(folder) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(ScaffoldError::Exists { folder: folder.to_owned() });
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(_) if folder.exists() => return Err(ScaffoldError::Exists { folder: folder.to_owned() }),
            Err(error) => return Err(io(folder, error)),
        }
        let parent = folder.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(parent).map_err(|e| io(parent, e))?;
        let new = tempfile::Builder::new()
            .prefix(".new-stage-")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir_in(parent)
            .map_err(|e| io(parent, e))?;
        for (path, text) in &self.files {
            let path = new.path().join(path);
            if let Some(above) = path.parent() {
                std::fs::create_dir_all(above).map_err(|e| io(above, e))?;
            }
            std::fs::write(&path, text).map_err(|e| io(&path, e))?;
        }
        // Onto an empty folder, a folder can be renamed.
        std::fs::rename(new.path(), folder).map_err(|e| io(folder, e))?;
        let _ = new.keep();
        Ok(())
    }
}

/// What a template's stage is called.
const TEMPLATE: &str = "my-eval";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_written_whole_and_never_over_something() {
        let folder = tempfile::tempdir().unwrap();
        let project = Project::new(Language::Python, &StageName::new("toxicity").unwrap());
        let place = folder.path().join("a/toxicity");
        project.write(&place).unwrap();
        let text = std::fs::read_to_string(place.join("pyproject.toml")).unwrap();
        assert!(text.contains("name = \"toxicity\""), "{text}");
        for (path, text) in project.files() {
            assert!(!text.contains(TEMPLATE) || path.starts_with("sdk/"), "{path} has the template's name");
            assert_eq!(std::fs::read_to_string(place.join(path)).unwrap(), text);
        }
        assert!(matches!(project.write(&place), Err(ScaffoldError::Exists { .. })));
        let file = folder.path().join("file");
        std::fs::write(&file, "mine").unwrap();
        assert!(matches!(project.write(&file), Err(ScaffoldError::Exists { .. })));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
        let empty = folder.path().join("empty");
        std::fs::create_dir(&empty).unwrap();
        project.write(&empty).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "something was left behind");
    }
}
