//! What can go wrong with a transfer, by who can mend it.

use std::path::PathBuf;

/// Why a transfer did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    /// An option that cannot be right.
    #[error("{option} {value:?} {problem}")]
    Option {
        /// The option's name, as the reference calls it.
        option: &'static str,
        /// What it was given; never a secret.
        value: String,
        /// What is wrong, as a fragment.
        problem: String,
    },
    /// The store has no such object.
    #[error("bucket {bucket:?} has no object {key:?}")]
    NoSuchKey {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
    },
    /// The store has no such bucket.
    #[error("the object store has no bucket {bucket:?}")]
    NoSuchBucket {
        /// The bucket.
        bucket: String,
    },
    /// The store refuses these keys.
    #[error("the object store refuses the access key or secret key for bucket {bucket:?}: {reason}")]
    Denied {
        /// The bucket.
        bucket: String,
        /// The store's code, for example `SignatureDoesNotMatch`.
        reason: String,
    },
    /// The store could not be reached, or broke off, after all retries.
    #[error("the object store at {endpoint} does not answer")]
    Unreachable {
        /// The endpoint, or `AWS` when none was given.
        endpoint: String,
        /// The client's error.
        #[source]
        source: object_store::Error,
    },
    /// The object changed while it was read.
    #[error("object {key:?} was replaced while it was being downloaded")]
    Changed {
        /// The key.
        key: String,
    },
    /// The archive is not what the workflow needs, or not safe.
    #[error("archive {name}: {problem}")]
    Archive {
        /// The file or key.
        name: String,
        /// What is wrong, as a fragment that names the member.
        problem: String,
    },
    /// The disk is full.
    #[error("no space left in {}", path.display())]
    DiskFull {
        /// The folder.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried, for example `read`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What arrived in the store is not what was sent.
    #[error("object {key:?} has {found} bytes in the store, {sent} were sent")]
    Corrupted {
        /// The key.
        key: String,
        /// Bytes sent.
        sent: u64,
        /// Bytes found.
        found: u64,
    },
}

impl ObjectsError {
    /// Whether trying again later may help.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Changed { .. })
    }

    /// What to try, for people.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Option { .. } => "correct the option or the key of the Secret that it is read from",
            Self::NoSuchKey { .. } => {
                "check the data key (it is the whole path in the bucket) and that the upload has ended"
            }
            Self::NoSuchBucket { .. } => {
                "check the bucket's name, and the endpoint and region that it lives in"
            }
            Self::Denied { .. } => {
                "check access key and secret key, and that they may read and write this bucket"
            }
            Self::Unreachable { .. } => {
                "check the endpoint's host, port and scheme, and that this machine or pod can reach it"
            }
            Self::Changed { .. } => "run it again, once nobody writes to the object",
            Self::Archive { .. } => {
                "make the archive again: a .tar.gz whose top level is data/, model/ and taxonomy/"
            }
            Self::DiskFull { .. } => "free space, or ask for a larger claim",
            Self::File { .. } => "check that the path exists and may be read and written",
            Self::Corrupted { .. } => "upload it again",
        }
    }

    pub(crate) fn file(action: &'static str, path: &std::path::Path, source: std::io::Error) -> Self {
        if source.kind() == std::io::ErrorKind::StorageFull {
            return Self::DiskFull { path: path.to_owned() };
        }
        Self::File { action, path: path.to_owned(), source }
    }
}
