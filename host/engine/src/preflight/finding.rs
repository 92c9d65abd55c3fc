//! What a look at the cluster says.

use serde::{Deserialize, Serialize};

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// It could not be looked at; that alone keeps no run from succeeding.
    Skipped,
    /// It may well go wrong.
    Warning,
    /// It will go wrong.
    Error,
}

/// One thing that was looked at before anything was created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// What the look was about, for example `permissions`.
    pub check: String,
    /// How much it matters.
    pub severity: Severity,
    /// What was found.
    pub what: String,
    /// What to do about it; empty when there is nothing to do.
    pub hint: String,
}

impl Finding {
    fn new(severity: Severity, check: &str, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { check: check.to_owned(), severity, what: what.into(), hint: hint.into() }
    }

    pub(crate) fn ok(check: &str, what: impl Into<String>) -> Self {
        Self::new(Severity::Ok, check, what, "")
    }

    pub(crate) fn skipped(check: &str, what: impl Into<String>) -> Self {
        Self::new(Severity::Skipped, check, what, "")
    }

    pub(crate) fn warning(check: &str, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Severity::Warning, check, what, hint)
    }

    pub(crate) fn error(check: &str, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Severity::Error, check, what, hint)
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}
