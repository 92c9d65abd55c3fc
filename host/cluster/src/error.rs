//! What can go wrong between the host and a cluster, and what kind of wrong it is.

use std::time::Duration;

/// Anything a lower layer may have as an error.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The same request will fail again: credentials, permissions, validity, absence.
    Permanent,
    /// The server is busy, restarting or out of reach.
    Passing,
}

/// What a program's exit code should say about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitClass {
    /// No API server answered.
    Unreachable,
    /// The credentials are not accepted, or do not allow it.
    Denied,
    /// Somebody else has it: an object, a run, a record.
    Conflict,
    /// The API server does not accept the request.
    Refused,
    /// An object or a kind that must be there is not.
    Missing,
    /// The server said something that it should not.
    Protocol,
}

/// One of the reasons that an API server gives for a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The field, for example `spec.template`.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.field.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.field, self.message)
        }
    }
}

/// A call to the cluster that failed.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The API server answered with an error.
    #[error("cannot {what}: {message} ({code}{})", .reason.as_deref().map(|r| format!(" {r}")).unwrap_or_default())]
    Api {
        /// What was tried, for example `apply Job/ilab-fetch`.
        what: String,
        /// The HTTP status.
        code: u16,
        /// The machine's word for it, for example `Forbidden`.
        reason: Option<String>,
        /// The server's sentence.
        message: String,
        /// All of its reasons, field by field.
        causes: Vec<Cause>,
        /// When the server wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// No answer.
    #[error("cannot {what}: the API server does not answer")]
    Unreachable {
        /// What was tried.
        what: String,
        /// Why, in the words of the layer below.
        #[source]
        source: BoxError,
    },
    /// The credentials could not even be made.
    #[error("cannot {what}: no credentials for the API server")]
    Credentials {
        /// What was tried.
        what: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// An answer that is not what the API promises.
    #[error("cannot {what}: the API server's answer {problem}")]
    Answer {
        /// What was tried.
        what: String,
        /// What is wrong with it, as a fragment.
        problem: String,
    },
    /// The cluster has no such kind.
    #[error("the cluster does not know {kind} ({api_version}): {hint}")]
    UnknownKind {
        /// The kind.
        kind: String,
        /// Its apiVersion.
        api_version: String,
        /// What installs it.
        hint: String,
    },
    /// An object of that name exists and does not belong to this run.
    #[error("{object} exists already and {why}")]
    Foreign {
        /// The object.
        object: String,
        /// Whose it is, as a fragment.
        why: String,
    },
    /// Another host has the run.
    #[error("the run {run} is being driven by {holder}, last heard of {since}")]
    Held {
        /// The run.
        run: String,
        /// Who.
        holder: String,
        /// When it renewed last, RFC 3339.
        since: String,
    },
    /// Somebody else wrote the run record in between.
    #[error("the record of run {run} was changed by somebody else")]
    RecordChanged {
        /// The run.
        run: String,
    },
    /// The run record cannot be understood.
    #[error("the record of run {run} in ConfigMap {config_map} cannot be read: {problem}")]
    RecordUnreadable {
        /// The run.
        run: String,
        /// Where it is.
        config_map: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The run record outgrew what a ConfigMap can hold.
    #[error("the record of run {run} has {bytes} bytes, {limit} at most fit into a ConfigMap")]
    RecordTooLarge {
        /// The run.
        run: String,
        /// Its size.
        bytes: usize,
        /// What fits.
        limit: usize,
    },
    /// Something did not happen in the time it was given.
    #[error("{what} took longer than {limit:?}")]
    TimedOut {
        /// What was waited for.
        what: String,
        /// For how long.
        limit: Duration,
    },
}

impl ClusterError {
    /// The HTTP status, when the API server gave one.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Api { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether the object that was asked for is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    /// Whether the server refused because of the present state of the object.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }

    /// Whether trying again can help. The one place where that is decided.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            // 408 and 429 ask for it; 5xx is the server's own trouble, save 501 (it will never be able to).
            Self::Api { code: 408 | 429 | 500 | 502..=599, .. } | Self::Unreachable { .. } => Class::Passing,
            _ => Class::Permanent,
        }
    }

    /// How long the server wants to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Api { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// What a program's exit code should say.
    #[must_use]
    pub fn exit_class(&self) -> ExitClass {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } => ExitClass::Unreachable,
            Self::Credentials { .. } => ExitClass::Denied,
            Self::Foreign { .. } | Self::Held { .. } | Self::RecordChanged { .. } => ExitClass::Conflict,
            Self::UnknownKind { .. } => ExitClass::Missing,
            Self::Answer { .. } | Self::RecordUnreadable { .. } => ExitClass::Protocol,
            Self::RecordTooLarge { .. } => ExitClass::Refused,
            Self::Api { code, .. } => match code {
                401 | 403 => ExitClass::Denied,
                404 | 410 => ExitClass::Missing,
                409 => ExitClass::Conflict,
                408 | 429 | 500..=599 => ExitClass::Unreachable,
                _ => ExitClass::Refused,
            },
        }
    }

    /// What a person can try, where there is something to try.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Api { code: 401, .. } | Self::Credentials { .. } => {
                "log in to the cluster again, or choose another context with --context".to_owned()
            }
            Self::Api { code: 403, message, .. } if message.contains("exceeded quota") => {
                "free some of the namespace's quota, or ask for less".to_owned()
            }
            Self::Api { code: 403, .. } => {
                "ask for the permission that the message names; `ilab-host rbac` prints all that a run needs"
                    .to_owned()
            }
            Self::Api { code: 409, message, .. } if message.starts_with("Apply failed with") => {
                "undo what the other manager has set, or take it over with --force-conflicts".to_owned()
            }
            Self::Unreachable { .. } => {
                "check that the cluster is up and the kubeconfig points at it, or use --local".to_owned()
            }
            Self::Foreign { .. } => "choose another run name with --run, or delete the object".to_owned(),
            Self::Held { .. } => {
                "wait until it ends, stop it, or choose another run name with --run".to_owned()
            }
            Self::RecordChanged { .. } => "look who else drives the run, then use --resume".to_owned(),
            _ => return None,
        })
    }

    /// The error and all of its sources, in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        ilab_core::text::chain(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(code: u16) -> ClusterError {
        ClusterError::Api {
            what: "apply Job/x".into(),
            code,
            reason: Some("Because".into()),
            message: "no".into(),
            causes: vec![],
            retry_after: None,
        }
    }

    #[test]
    fn b8_permanent_errors_are_told_from_passing_ones() {
        for code in [400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 501] {
            assert_eq!(api(code).class(), Class::Permanent, "{code}");
        }
        for code in [408, 429, 500, 502, 503, 504, 520] {
            assert_eq!(api(code).class(), Class::Passing, "{code}");
        }
        let cut = ClusterError::Unreachable { what: "x".into(), source: "connection refused".into() };
        assert_eq!(cut.class(), Class::Passing);
        assert!(cut.chain().ends_with("does not answer: connection refused"), "{}", cut.chain());
    }

    #[test]
    fn exit_classes_follow_the_cause() {
        assert_eq!(api(403).exit_class(), ExitClass::Denied);
        assert_eq!(api(409).exit_class(), ExitClass::Conflict);
        assert_eq!(api(422).exit_class(), ExitClass::Refused);
        assert_eq!(api(503).exit_class(), ExitClass::Unreachable);
        assert_eq!(api(404).exit_class(), ExitClass::Missing);
    }
}
