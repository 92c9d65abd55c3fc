//! Programs of others, as they build them.

use crate::server::built_by;
use std::path::PathBuf;

/// cosign; it is built where this machine has none yet.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn cosign() -> PathBuf {
    built_by("cosign")
}

/// wkg; it is built where this machine has none yet.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn wkg() -> PathBuf {
    built_by("wkg")
}
