//! The static options of `run`.

use super::credentials::{CredentialArgs, Retired};
use super::sources::SourceArgs;
use super::top::{LocalState, OutputArg};
use crate::CliError;
use clap::{Args, ValueEnum};
use ilab_engine::Preflight;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Which cluster and namespace, as kubectl has it.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Cluster")]
pub struct Where {
    /// Namespace of the run [default: the context's, or `default`]
    #[arg(short, long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Path of the kubeconfig file
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig file
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Use the embedded cluster of this machine
    #[arg(long, global = true, conflicts_with_all = ["kubeconfig", "context"])]
    pub local: bool,
    #[command(flatten)]
    pub state: LocalState,
}

/// What a dry run asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    /// Nobody: no cluster is looked at
    Client,
    /// The API server: it checks everything, and what would change is shown
    Server,
}

/// What the preflight is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PreflightMode {
    /// An error keeps the run from beginning
    Enforce,
    /// Errors are told, and the run begins all the same: for clusters that grow when they have to
    Warn,
    /// Permissions, storage, GPUs and quota are not looked at
    Skip,
}

impl From<PreflightMode> for Preflight {
    fn from(mode: PreflightMode) -> Self {
        match mode {
            PreflightMode::Enforce => Self::Enforce,
            PreflightMode::Warn => Self::Warn,
            PreflightMode::Skip => Self::Skip,
        }
    }
}

/// `run`, without what the stages bring.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Name of the run; groups called one after another under one name share its claims and outputs
    #[arg(long, global = true, value_name = "NAME", default_value = "ilab")]
    pub run: String,
    /// Go on with a run that was interrupted or has failed; finished stages are not run again
    #[arg(long, global = true, value_name = "NAME", conflicts_with = "dry_run")]
    pub resume: Option<String>,
    /// Go on with the run if it has begun, else begin it: for whatever starts the same command again and again
    #[arg(long, global = true, conflicts_with_all = ["resume", "dry_run"])]
    pub resume_if_started: bool,
    /// Create nothing. `client` prints the manifests of every stage, ready for kubectl, and asks nobody; `server` has the API server check them and shows what would change
    #[arg(long, global = true, value_enum, value_name = "WHERE", num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    pub dry_run: Option<DryRun>,
    /// Write down what the stages were given and what was seen of their objects, into an empty folder, as cases for `plugin test`
    #[arg(long, global = true, value_name = "FOLDER", conflicts_with = "dry_run")]
    pub record: Option<PathBuf>,
    /// Take over fields of a stage's objects that somebody else has set since
    #[arg(long, global = true)]
    pub force_conflicts: bool,
    /// A parameter of a stage
    #[arg(long, global = true, value_name = "STAGE.NAME=VALUE")]
    pub set: Vec<String>,
    /// A YAML file of parameters
    #[arg(long, global = true, value_name = "FILE")]
    pub values: Option<PathBuf>,
    /// StorageClass of the claims [default: the cluster's]
    #[arg(long, global = true, value_name = "NAME")]
    pub storage_class: Option<String>,
    /// Access mode of the claims
    #[arg(long, global = true, value_name = "MODE", default_value = "ReadWriteMany", value_parser = ["ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"])]
    pub access_mode: String,
    /// Use this existing claim for a volume
    #[arg(long, global = true, value_name = "VOLUME=CLAIM")]
    pub claim: Vec<String>,
    /// Size of a volume's claim, instead of what the stages ask for
    #[arg(long, global = true, value_name = "VOLUME=SIZE")]
    pub claim_size: Vec<String>,
    /// How long a pod may wait for its image, a node, a Secret or quota, or crash again and again, before its stage fails
    #[arg(long, global = true, value_name = "DURATION", default_value = "30m", value_parser = duration)]
    pub pending_timeout: std::time::Duration,
    /// Pod Security Standard that every stage must meet
    #[arg(long, global = true, value_name = "LEVEL", default_value = "baseline", value_parser = ["baseline", "restricted"])]
    pub pod_security: String,
    /// Registry that images may come from; none: any
    #[arg(long, global = true, value_name = "REGISTRY")]
    pub allow_registry: Vec<String>,
    /// Refuse images that are not pinned by digest
    #[arg(long, global = true)]
    pub require_digests: bool,
    /// Grants by component digest, and the ceiling [default: grants.yaml in the folders of --plugins, where there is one]
    #[arg(long, global = true, value_name = "FILE", env = "ILAB_GRANTS")]
    pub grants: Option<PathBuf>,
    /// Run components that no grant names; they get what they ask for, as far as the guard and the ceiling allow
    #[arg(long, global = true)]
    pub allow_ungranted: bool,
    /// What is done about what a look at the cluster finds before the run begins
    #[arg(long, global = true, value_enum, value_name = "MODE", default_value = "enforce")]
    pub preflight: PreflightMode,
    #[command(flatten)]
    pub output: OutputArg,
    #[command(flatten)]
    pub sources: SourceArgs,
    #[command(flatten)]
    pub at: Where,
    #[command(flatten)]
    pub credentials: CredentialArgs,
    #[command(flatten)]
    pub retired: Retired,
}

/// A duration as Go and kubectl write it: `90s`, `30m`, `1h30m`.
pub(super) fn duration(text: &str) -> Result<std::time::Duration, String> {
    let signed: jiff::SignedDuration =
        text.parse().map_err(|_| "write it like 90s, 30m or 1h30m".to_owned())?;
    std::time::Duration::try_from(signed).map_err(|_| "it may not be negative".to_owned())
}

/// Splits `NAME=VALUE` options into a map.
///
/// # Errors
/// One without `=`, or a name given twice.
pub fn pairs(option: &str, texts: &[String]) -> Result<BTreeMap<String, String>, CliError> {
    let mut map = BTreeMap::new();
    for text in texts {
        let Some((name, value)) = text.split_once('=').filter(|(n, v)| !n.is_empty() && !v.is_empty()) else {
            return Err(CliError::usage(format!("--{option} {text:?} is not NAME=VALUE")));
        };
        if map.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(CliError::usage(format!("--{option} names {name:?} twice")));
        }
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_kubectl_has_them() {
        assert_eq!(duration("90s").unwrap().as_secs(), 90);
        assert_eq!(duration("1h30m").unwrap().as_secs(), 5400);
        assert!(duration("-5s").is_err());
        assert!(duration("soon").is_err());
    }

    #[test]
    fn pairs_refuse_what_is_no_pair() {
        assert_eq!(pairs("claim", &["data=x".into()]).unwrap()["data"], "x");
        for bad in ["data", "=x", "data="] {
            assert!(pairs("claim", &[bad.into()]).is_err(), "{bad}");
        }
        assert!(pairs("claim", &["a=1".into(), "a=2".into()]).is_err());
    }
}
