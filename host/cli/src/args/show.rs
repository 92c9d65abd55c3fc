//! The options of `show`.

use super::RunArgs;
use crate::CliError;
use clap::Args;
use std::path::PathBuf;

/// `show`: what `run` takes, and where it is to happen.
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    pub run: RunArgs,
    #[command(flatten)]
    pub job: JobArgs,
    #[command(flatten)]
    pub retired: RetiredShow,
}

/// The Job that the host runs in.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Job")]
pub struct JobArgs {
    /// Image with ilab-host and the stage components
    #[arg(long, global = true, value_name = "IMAGE")]
    pub image: Option<String>,
    /// Name of the Job
    #[arg(long, global = true, value_name = "NAME", default_value = "distributed-ilab")]
    pub name: String,
    /// Existing ServiceAccount to run as, as `ilab-host rbac` makes it [default: one of the Job's name, which is printed too]
    #[arg(long, global = true, value_name = "NAME")]
    pub service_account: Option<String>,
    /// Where the stage components lie in the image
    #[arg(long, global = true, value_name = "PATH", default_value = "/plugins")]
    pub plugins_inside: PathBuf,
    /// User to run as [default: the image's, which must not be root]
    #[arg(long, global = true, value_name = "UID", value_parser = clap::value_parser!(i64).range(1..=4_294_967_294))]
    pub run_as_user: Option<i64>,
}

/// Options of the reference's `show`, whose script lay in a ConfigMap.
#[derive(Debug, Clone, Default, Args)]
pub struct RetiredShow {
    #[arg(long, global = true, hide = true)]
    script_configmap: Option<String>,
    #[arg(long, global = true, hide = true)]
    script_name: Option<String>,
    #[arg(long, global = true, hide = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

impl RetiredShow {
    /// Answers an old option with what takes its place, instead of taking and ignoring it.
    ///
    /// # Errors
    /// When any is given.
    pub fn check(&self) -> Result<(), CliError> {
        if !self.args.is_empty() {
            return Err(CliError::usage(
                "--args is not needed: `show` takes the options of `run` themselves",
            )
            .hint("give them as they are, for example: ilab-host show --image IMAGE --nproc-per-node 4"));
        }
        let given = [("script-configmap", &self.script_configmap), ("script-name", &self.script_name)];
        match given.into_iter().find(|(_, value)| value.is_some()) {
            Some((name, _)) => Err(CliError::usage(format!(
                "--{name} named a script in a ConfigMap; ilab-host is a program in the image"
            ))
            .hint("leave the option out, and name the image with --image")),
            None => Ok(()),
        }
    }
}
