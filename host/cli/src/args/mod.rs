//! The command line. Static verbs are derived; `run` gets the flags and groups that the loaded stages describe.

mod credentials;
mod plugin;
mod rbac;
mod registry;
mod run;
mod show;
mod sources;
mod stages;
mod top;

pub use credentials::CredentialArgs;
pub use plugin::{BenchArgs, CheckArgs, ContextArgs, GrantArgs, InspectArgs, PluginVerb, RenderArgs};
pub use rbac::RbacArgs;
pub use registry::{
    CertificateArgs, KeyArgs, LoadArgs, PullArgs, PushArgs, RegistryVerb, SaveArgs, SignArgs, VerifyArgs,
};
pub use run::{DryRun, PreflightMode, RunArgs, Where, pairs};
pub use show::ShowArgs;
pub use sources::{LockArgs, RegistryArgs, Source, TrustArgs, early};
pub use stages::{StageFlags, command, parse, verb_of};
pub use top::{Cli, DataVerb, ImageVerb, LocalState, LocalVerb, OutputFormat, RunsVerb, StoreArgs, Verb};
