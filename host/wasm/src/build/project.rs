//! What language a stage's project is written in, and what it says about itself.

use super::{BuildError, Facts};
use serde::Deserialize;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A language that stages can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Language {
    /// Rust, with cargo.
    Rust,
    /// Python 3.11 or later.
    Python,
    /// JavaScript or TypeScript, with Node.
    JavaScript,
    /// Go 1.24 or later.
    Go,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Rust, Self::Python, Self::JavaScript, Self::Go];

    /// The word for it on command lines.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::JavaScript => "javascript",
            Self::Go => "go",
        }
    }

    /// The file that makes a folder a project of this language.
    #[must_use]
    pub fn manifest(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.toml",
            Self::Python => "pyproject.toml",
            Self::JavaScript => "package.json",
            Self::Go => "go.mod",
        }
    }

    /// The language of the project in a folder.
    ///
    /// # Errors
    /// [`BuildError::NotAProject`], or [`BuildError::SeveralLanguages`] when it has the files of more than one.
    pub fn of(folder: &Path) -> Result<Self, BuildError> {
        let found: Vec<Self> =
            Self::ALL.into_iter().filter(|language| folder.join(language.manifest()).is_file()).collect();
        match found.as_slice() {
            [] => Err(BuildError::NotAProject { dir: folder.to_owned() }),
            [one] => Ok(*one),
            _ => Err(BuildError::SeveralLanguages { dir: folder.to_owned(), found }),
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Language {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|language| language.word() == word)
            .ok_or_else(|| format!("one of {}", Self::ALL.map(Self::word).join(", ")))
    }
}

/// Reads a JSON file of a project.
pub(super) fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, BuildError> {
    let text = std::fs::read(path).map_err(|source| BuildError::Io { path: path.to_owned(), source })?;
    parse_json(path, &text)
}

/// Reads what stands for a file of a project.
pub(super) fn parse_json<T: for<'de> Deserialize<'de>>(path: &Path, text: &[u8]) -> Result<T, BuildError> {
    serde_json::from_slice(text)
        .map_err(|error| BuildError::BadProject { file: path.to_owned(), detail: error.to_string() })
}

/// What every stage must say of itself.
pub(super) fn checked(file: &Path, facts: Facts) -> Result<Facts, BuildError> {
    let missing = |field: &str| {
        Err(BuildError::BadProject { file: file.to_owned(), detail: format!("it has no {field}") })
    };
    if facts.name.is_empty() {
        return missing("name");
    }
    if facts.version.is_empty() {
        return missing("version");
    }
    Ok(facts)
}

/// The contract that a project was made with: its own copy, or else this host's, written to a folder.
pub(super) fn contract(dir: &Path, scratch: &Path) -> Result<PathBuf, BuildError> {
    let own = dir.join("wit");
    if own.is_dir() {
        return Ok(own);
    }
    let folder = scratch.join("wit");
    let io = |source| BuildError::Io { path: folder.clone(), source };
    std::fs::create_dir_all(&folder).map_err(io)?;
    std::fs::write(folder.join("stage.wit"), crate::WIT).map_err(io)?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_of_one_language_or_the_error_names_what_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let error = Language::of(folder.path()).unwrap_err().to_string();
        assert!(error.contains("pyproject.toml") && error.contains("go.mod"), "{error}");
        std::fs::write(folder.path().join("go.mod"), "").unwrap();
        assert_eq!(Language::of(folder.path()).unwrap(), Language::Go);
        std::fs::write(folder.path().join("package.json"), "").unwrap();
        let error = Language::of(folder.path()).unwrap_err().to_string();
        assert!(error.contains("package.json and go.mod"), "{error}");
    }
}
