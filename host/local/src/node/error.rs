//! What can go wrong on the node.

use std::path::PathBuf;

/// A machine that cannot run pods, or a state folder that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// There is no bubblewrap on `PATH`.
    #[error("bubblewrap (bwrap) was not found on PATH")]
    NoBubblewrap,
    /// Bubblewrap is there, but the machine does not let it make a sandbox.
    #[error("bubblewrap at {path} cannot make a sandbox here: {message}")]
    SandboxRefused {
        /// The program that was tried.
        path: PathBuf,
        /// What it said.
        message: String,
    },
    /// This operating system has no namespaces.
    #[error("pods run only on Linux, and this is {os}")]
    Unsupported {
        /// The operating system.
        os: &'static str,
    },
    /// A file of the state folder.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried, for example `read`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The API server did not answer.
    #[error("the node could not register itself")]
    Register(#[source] Box<kube::Error>),
    /// The image store cannot be opened.
    #[error(transparent)]
    Images(#[from] super::images::ImageError),
    /// No shim command was given.
    #[error("the command that starts a pod's shim is empty")]
    NoShimCommand,
}

impl NodeError {
    /// What a person can try, where there is something to try.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoBubblewrap => {
                "install it (Debian: apt-get install bubblewrap), or use a cluster with --kubeconfig"
                    .to_owned()
            }
            Self::SandboxRefused { .. } => super::sandbox::advice(std::path::Path::new("/proc/sys")),
            Self::Unsupported { .. } => "use a cluster with --kubeconfig".to_owned(),
            _ => return None,
        })
    }

    /// Wraps an I/O error with what was tried and on which path.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
