//! `plugin …`: a stage author's tools, one file a verb.

mod build;
mod inspect;
mod load;
mod render;
mod sample;

use crate::CliError;
use crate::args::PluginVerb;

/// Runs one of them.
///
/// # Errors
/// A crate that does not build, a component that cannot be loaded, a parameter or context that is wrong.
pub fn run(verb: PluginVerb) -> Result<(), CliError> {
    match verb {
        PluginVerb::Build { folder, file } => build::run(&folder, file),
        PluginVerb::Inspect { file, output } => inspect::run(&file, output.output),
        PluginVerb::Render { file, stage, context, set, output } => {
            render::run(&file, stage.as_deref(), context.as_deref(), &set, output.output)
        }
    }
}
