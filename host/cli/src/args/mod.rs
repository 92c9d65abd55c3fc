//! The command line. Static verbs are derived; `run` gets the flags and groups that the loaded stages describe.

mod credentials;
mod plugin;
mod rbac;
mod run;
mod show;
mod stages;
mod top;

pub use credentials::CredentialArgs;
pub use plugin::PluginVerb;
pub use rbac::RbacArgs;
pub use run::{DryRun, PreflightMode, RunArgs, Where, pairs};
pub use show::ShowArgs;
pub use stages::{StageFlags, command, plugins_of};
pub use top::{Cli, DataVerb, ImageVerb, LocalState, LocalVerb, OutputFormat, RunsVerb, StoreArgs, Verb};
