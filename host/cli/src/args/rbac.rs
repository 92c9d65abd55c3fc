//! The options of `rbac`.

use super::credentials::CredentialArgs;
use super::sources::SourceArgs;
use super::top::OutputArg;
use clap::Args;

/// `rbac`.
#[derive(Debug, Clone, Args)]
pub struct RbacArgs {
    /// Groups of stages; none: the whole workflow
    #[arg(value_name = "GROUP")]
    pub groups: Vec<String>,
    /// Namespace of the runs
    #[arg(short, long, value_name = "NAME", default_value = "default")]
    pub namespace: String,
    /// Name of the ServiceAccount, and of its Role and RoleBinding
    #[arg(long, value_name = "NAME", default_value = "ilab-host")]
    pub service_account: String,
    /// Narrow the rights to the record, the Lease and the claims of this run; none: any run of the namespace
    #[arg(long, value_name = "NAME")]
    pub run: Option<String>,
    /// A volume for which a claim exists, so that none is made for it
    #[arg(long, value_name = "VOLUME=CLAIM")]
    pub claim: Vec<String>,
    /// Stages wait in queues of Kueue's: may read the queues, and why a stage waits
    #[arg(long)]
    pub queues: bool,
    #[command(flatten)]
    pub output: OutputArg,
    #[command(flatten)]
    pub sources: SourceArgs,
    #[command(flatten)]
    pub credentials: CredentialArgs,
}
