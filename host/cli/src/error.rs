//! The one error that the command line ends with: what, where, what to try, and the exit code.

use crate::exit;
use ilab_cluster::ClusterError;
use ilab_core::names::InvalidName;
use ilab_core::text::chain;
use ilab_objects::ObjectsError;
use ilab_registry::{RegistryError, TrustError};
use ilab_wasm::{CallError, LoadError, LoadProblem};
use std::error::Error;
use std::fmt;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What.
    pub text: String,
    /// What to try about this one.
    pub hint: Option<String>,
}

impl From<String> for Line {
    fn from(text: String) -> Self {
        Self { text, hint: None }
    }
}

/// An expected failure: the user, the cluster, a component or the store is at fault, not this program.
#[derive(Debug)]
pub struct CliError {
    /// Lines that say what is wrong; the first is the main one.
    pub lines: Vec<Line>,
    /// What to try.
    pub hint: Option<String>,
    /// One of [`exit`]'s constants.
    pub code: u8,
}

impl CliError {
    /// An error with this code.
    pub fn new(code: u8, line: impl Into<String>) -> Self {
        Self { lines: vec![Line::from(line.into())], hint: None, code }
    }

    /// A wrong command line.
    pub fn usage(line: impl Into<String>) -> Self {
        Self::new(exit::USAGE, line)
    }

    /// From an error with its whole chain of causes.
    pub fn from_error(code: u8, error: &(dyn Error + 'static)) -> Self {
        Self::new(code, chain(error))
    }

    /// From several findings at once.
    pub fn all<E: fmt::Display>(code: u8, findings: impl IntoIterator<Item = E>) -> Self {
        Self { lines: findings.into_iter().map(|f| Line::from(f.to_string())).collect(), hint: None, code }
    }

    /// Adds what to try.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        self.hint = (!hint.is_empty()).then_some(hint);
        self
    }
}

/// A name on the command line.
impl From<InvalidName> for CliError {
    fn from(error: InvalidName) -> Self {
        Self::from_error(exit::USAGE, &error)
    }
}

impl From<LoadError> for CliError {
    fn from(error: LoadError) -> Self {
        let pinned = matches!(error.problem, LoadProblem::Digest { .. });
        let code = if pinned { exit::UNTRUSTED } else { exit::PLUGIN };
        Self::from_error(code, &error).hint(error.hint().unwrap_or_default())
    }
}

impl From<RegistryError> for CliError {
    fn from(error: RegistryError) -> Self {
        let code = match &error {
            _ if error.is_usage() => exit::USAGE,
            _ if error.is_mistrust() => exit::UNTRUSTED,
            _ => exit::REGISTRY,
        };
        Self::from_error(code, &error).hint(error.hint())
    }
}

/// What is missing is said a line each.
impl From<TrustError> for CliError {
    fn from(error: TrustError) -> Self {
        let code = if error.is_usage() { exit::USAGE } else { exit::UNTRUSTED };
        let told = match &error {
            TrustError::Untrusted { digest, missing } => {
                let first = std::iter::once(format!("{digest} is not signed as the policy wants it"));
                Self::all(code, first.chain(missing.iter().cloned()))
            }
            other => Self::from_error(code, other),
        };
        told.hint(error.hint())
    }
}

impl From<CallError> for CliError {
    fn from(error: CallError) -> Self {
        Self::from_error(exit::PLUGIN, &error)
    }
}

impl From<ClusterError> for CliError {
    fn from(error: ClusterError) -> Self {
        Self::from_error(exit::CLUSTER, &error).hint(error.hint().unwrap_or_default())
    }
}

impl From<ObjectsError> for CliError {
    fn from(error: ObjectsError) -> Self {
        let code = if matches!(error, ObjectsError::Option { .. }) { exit::USAGE } else { exit::OBJECTS };
        Self::from_error(code, &error).hint(error.hint())
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "error: {}", ilab_wasm::escape::escape(&line.text))?;
            if let Some(hint) = &line.hint {
                writeln!(f, "  try: {}", ilab_wasm::escape::escape(hint))?;
            }
        }
        match &self.hint {
            Some(hint) => writeln!(f, "  try: {}", ilab_wasm::escape::escape(hint)),
            None => Ok(()),
        }
    }
}
