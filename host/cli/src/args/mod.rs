//! The command line. Static verbs are derived; `run` gets the flags and groups that the loaded stages describe.

mod credentials;
mod run;
mod stages;
mod top;

pub use run::{RunArgs, Where, pairs};
pub use stages::{StageFlags, plugins_of, run_command};
pub use top::{
    Cli, DataVerb, ImageVerb, LocalState, LocalVerb, OutputFormat, PluginVerb, RunsVerb, StoreArgs, Verb,
};
