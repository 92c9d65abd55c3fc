//! Why nobody is trusted.

use crate::Digest;
use std::path::{Path, PathBuf};

/// A component that is not trusted, or a key or policy that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Nobody has signed it.
    #[error("{digest} is not signed")]
    Unsigned {
        /// The manifest's digest.
        digest: Digest,
    },
    /// It is signed, and not as the policy wants it.
    #[error("{digest} is not signed as the policy wants it: {}", .missing.join("; "))]
    Untrusted {
        /// The manifest's digest.
        digest: Digest,
        /// What is missing, and why each signature does not count.
        missing: Vec<String>,
    },
    /// A key file that holds no usable key.
    #[error("{}: {problem}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong, as a fragment; never a secret.
        problem: String,
    },
    /// A trusted root that cannot be used.
    #[error("{}: {problem}", path.display())]
    Root {
        /// The file.
        path: PathBuf,
        /// What is wrong, as a fragment.
        problem: String,
    },
    /// A policy that says nothing, or nothing that can be meant.
    #[error("{}: {problem}", path.display())]
    Policy {
        /// The file.
        path: PathBuf,
        /// What is wrong, as a fragment.
        problem: String,
    },
}

impl TrustError {
    /// Whether a file of the user's is at fault, and not the component.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Key { .. } | Self::Root { .. } | Self::Policy { .. })
    }

    /// What to try, for people.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unsigned { .. } => {
                "ask its publisher to sign it (`ilab-host plugin sign`, `cosign sign`), or name its digest with --allow-unsigned"
            }
            Self::Untrusted { .. } => {
                "check whom the policy trusts, and with `ilab-host plugin verify` who has signed it"
            }
            Self::Key { .. } => "use a key of `cosign generate-key-pair`, or one of OpenSSL's in PEM form",
            Self::Root { .. } => {
                "use the trusted_root.json of a Sigstore instance, as its TUF repository has it and `cosign trusted-root create` writes it"
            }
            Self::Policy { .. } => "docs/distribution.md shows a policy with all that it may have",
        }
    }

    pub(crate) fn key(path: &Path, problem: impl Into<String>) -> Self {
        Self::Key { path: path.to_owned(), problem: problem.into() }
    }

    pub(crate) fn root(path: &Path, problem: impl Into<String>) -> Self {
        Self::Root { path: path.to_owned(), problem: problem.into() }
    }

    pub(crate) fn policy(path: &Path, problem: impl Into<String>) -> Self {
        Self::Policy { path: path.to_owned(), problem: problem.into() }
    }
}
