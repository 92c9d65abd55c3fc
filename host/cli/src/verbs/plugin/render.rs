//! `plugin render`: one stage's plan, without a cluster.

use super::load::load_one;
use super::sample;
use crate::args::RenderArgs;
use crate::report::{print_data, write_documents};
use crate::{CliError, exit};
use ilab_core::names::StageName;
use ilab_core::plan::check_plan;

/// Renders it.
///
/// # Errors
/// A stage that is not there or refuses, and a plan that the host would refuse.
pub fn run(args: &RenderArgs) -> Result<(), CliError> {
    let stage = args.stage.as_deref().map(StageName::new).transpose()?;
    let loaded = load_one(&args.source, &args.trust, stage.as_ref())?;
    let descriptor = sample::stage(&loaded.stages, &loaded.name(), stage.as_ref())?;
    let context = sample::context(descriptor, &args.context, &*loaded.known)?;
    let plan = loaded.plugin.render(&descriptor.name, &context)?;
    check_plan(&plan, &context, descriptor).map_err(|e| CliError::from_error(exit::PLUGIN, &e))?;
    match args.output.output {
        Some(_) => print_data(&plan, args.output.output),
        None => write_documents(&plan.manifests),
    }
}
