//! What can go wrong between here and a registry, by who can mend it.

use crate::Digest;
use ilab_core::text::{escaped, quoted};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How much of what a registry says is told.
const SAID: usize = 300;

/// Why nothing was pushed, pulled, locked, saved or loaded.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// A reference or digest that cannot be right.
    #[error("{} {problem}", quoted(.text, 200))]
    Reference {
        /// As it was given.
        text: String,
        /// What is wrong, as a fragment.
        problem: &'static str,
    },
    /// It could not be reached, or broke off, after all retries.
    #[error("the registry {registry} does not answer")]
    Unreachable {
        /// Host and port.
        registry: String,
        /// The client's error.
        #[source]
        source: reqwest::Error,
    },
    /// It is there, and says that it cannot just now, after all retries.
    #[error("the registry {registry} is not able to answer ({status}{}{said})", if .said.is_empty() { "" } else { ": " })]
    Busy {
        /// Host and port.
        registry: String,
        /// The HTTP status.
        status: u16,
        /// What it says.
        said: String,
        /// When it asks to be tried again.
        retry_after: Option<Duration>,
    },
    /// It wants other credentials, or these may not do this.
    #[error("the registry {registry} does not let {} {action} {repository}{}{said}", if *.anonymous { "anybody" } else { "these credentials" }, if .said.is_empty() { "" } else { ": " })]
    Denied {
        /// Host and port.
        registry: String,
        /// The repository.
        repository: String,
        /// `pull` or `push`.
        action: &'static str,
        /// What it says.
        said: String,
        /// Whether no credentials were found for it.
        anonymous: bool,
    },
    /// Nothing of that name.
    #[error("the registry has no {reference}")]
    NotFound {
        /// What was asked for.
        reference: String,
    },
    /// It takes images and nothing else.
    #[error("the registry {registry} refuses the media types of a WebAssembly artifact ({said})")]
    MediaTypeRefused {
        /// Host and port.
        registry: String,
        /// What it says.
        said: String,
    },
    /// It refuses for a reason that trying again does not change.
    #[error("the registry {registry} refuses ({status}{}{said})", if .said.is_empty() { "" } else { ": " })]
    Refused {
        /// Host and port.
        registry: String,
        /// The HTTP status.
        status: u16,
        /// What it says.
        said: String,
    },
    /// It does not keep to the distribution specification.
    #[error("the registry {registry} answers what no registry may: {problem}")]
    Protocol {
        /// Host and port.
        registry: String,
        /// What is wrong, as a fragment.
        problem: String,
    },
    /// It speaks plain HTTP, and that was not allowed.
    #[error("the registry {registry} speaks plain HTTP")]
    PlainHttp {
        /// Host and port.
        registry: String,
    },
    /// More than may be.
    #[error("{what} is too large: {size} bytes where {limit} are allowed")]
    TooLarge {
        /// What.
        what: String,
        /// Its size, or the size at which reading stopped.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// The bytes are not those that were asked for.
    #[error("{what} has the digest {found}, not {expected}")]
    DigestMismatch {
        /// What.
        what: String,
        /// What it had to be.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// There is something of that name, and it is no stage component.
    #[error("{reference} is no WebAssembly component: {problem}")]
    NotAComponent {
        /// What was asked for.
        reference: String,
        /// What is wrong, as a fragment.
        problem: String,
    },
    /// The user's docker configuration has no usable credentials for it.
    #[error("no credentials for the registry {registry}: {problem}")]
    Credentials {
        /// Host and port.
        registry: String,
        /// What is wrong, as a fragment; never a secret.
        problem: String,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried, for example `read`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A lock file, archive or certificate file that is not what it must be.
    #[error("{}: {problem}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, as a fragment.
        problem: String,
    },
}

impl RegistryError {
    /// Whether trying again may help.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Busy { .. })
    }

    /// Whether the command line or a file of the user's is at fault, and no registry.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Reference { .. } | Self::File { .. } | Self::Content { .. })
    }

    /// Whether what came is not what it had to be.
    #[must_use]
    pub fn is_mistrust(&self) -> bool {
        matches!(self, Self::DigestMismatch { .. })
    }

    /// What to try, for people.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Reference { .. } => "write it like oci://registry.example.com/team/stage:1.0",
            Self::Unreachable { .. } => {
                "check the registry's host and port, the proxy's settings, and its certificate (--registry-ca-file trusts one more)"
            }
            Self::Busy { .. } => "try again later",
            Self::Denied { anonymous: true, .. } => {
                "log in first, for example with `docker login` or `oras login`; the name may also be wrong"
            }
            Self::Denied { .. } => {
                "check the name, and that the account of ~/.docker/config.json (or DOCKER_CONFIG) may do this"
            }
            Self::NotFound { .. } => "check repository and tag, for example with `oras repo tags`",
            Self::MediaTypeRefused { .. } => {
                "use a registry that takes OCI artifacts (most do; some need it switched on), or hand the plugin on with `plugin save` and `plugin load`"
            }
            Self::Refused { .. } => "check the reference, and what the registry allows in this repository",
            Self::Protocol { .. } => "check that the host is a registry, and no portal or proxy in its place",
            Self::PlainHttp { .. } => {
                "use a registry with TLS; --registry-plain-http talks to this one all the same, readable and changeable by anyone on the way"
            }
            Self::TooLarge { .. } => {
                "build a smaller component, or check that the reference is that of a stage"
            }
            Self::DigestMismatch { .. } => {
                "somebody has changed or broken it: pull again, and ask the publisher when it stays so"
            }
            Self::NotAComponent { .. } => {
                "name an artifact that `ilab-host plugin push` or `wkg oci push` has pushed"
            }
            Self::Credentials { .. } => "log in again, for example with `docker login`",
            Self::File { .. } => "check that the path exists and may be read and written",
            Self::Content { .. } => "correct the file, or make it again",
        }
    }

    pub(crate) fn reference(text: &str, problem: &'static str) -> Self {
        Self::Reference { text: text.to_owned(), problem }
    }

    pub(crate) fn file(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::File { action, path: path.to_owned(), source }
    }

    pub(crate) fn content(path: &Path, problem: impl Into<String>) -> Self {
        Self::Content { path: path.to_owned(), problem: problem.into() }
    }

    pub(crate) fn protocol(registry: &str, problem: impl Into<String>) -> Self {
        Self::Protocol { registry: registry.to_owned(), problem: problem.into() }
    }
}

/// What a registry said, on one line and not too long.
pub(crate) fn said(text: &str) -> String {
    escaped(text.trim(), SAID)
}
