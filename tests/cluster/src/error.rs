//! What goes wrong with a test cluster.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// Why there is no cluster, or why it does not do what was asked.
#[derive(thiserror::Error)]
pub enum ClusterError {
    /// Its programs could not be built.
    #[error("{script} failed with {status}; its output above says why")]
    Tools {
        /// The script.
        script: PathBuf,
        /// How it ended.
        status: ExitStatus,
    },
    /// Files or processes.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why not.
        source: std::io::Error,
    },
    /// Certificates.
    #[error("no certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A part has ended by itself.
    #[error("{name} ended with {status}; its last lines:\n{log}")]
    Ended {
        /// The program.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it has printed.
        log: String,
    },
    /// Something did not come about in time.
    #[error("{what} within {bound:?}{log}")]
    Late {
        /// What did not happen.
        what: String,
        /// How long it was waited for.
        bound: Duration,
        /// The end of what the program in question has printed, or nothing.
        log: String,
    },
    /// A kubeconfig that cannot be used.
    #[error("the kubeconfig {path} cannot be used: {why}")]
    Kubeconfig {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A request that failed.
    #[error("{what}: {source}")]
    Api {
        /// What was asked for.
        what: String,
        /// The answer.
        source: Box<kube::Error>,
    },
    /// A manifest of the operator, or an answer of etcd, that is not as expected.
    #[error("{what} is not as expected: {why}")]
    Unexpected {
        /// What was read.
        what: String,
        /// What is wrong.
        why: String,
    },
    /// Not with a cluster that belongs to somebody else.
    #[error("{what} is not done to a cluster of your own; unset {variable} to use one that is made for the test",
        variable = crate::KUBECONFIG_VARIABLE)]
    Foreign {
        /// What was asked for.
        what: &'static str,
    },
    /// The cluster has no node.
    #[error("{what} takes a node; start the cluster with one")]
    WithoutNode {
        /// What was asked for.
        what: &'static str,
    },
    /// This machine cannot run a node.
    #[error("this machine cannot run a node: {0}")]
    NoNode(String),
}

/// As for people: what a test unwraps is shown this way, and a log in one quoted line is of no use.
impl std::fmt::Debug for ClusterError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl ClusterError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    pub(crate) fn api(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        move |source| Self::Api { what, source: Box::new(source) }
    }

    pub(crate) fn unexpected(what: impl Into<String>, why: impl ToString) -> Self {
        Self::Unexpected { what: what.into(), why: why.to_string() }
    }
}
