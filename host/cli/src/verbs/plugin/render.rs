//! `plugin render`: one stage's plan, without a cluster.

use super::load::load_alone;
use super::sample;
use crate::args::OutputFormat;
use crate::report::{print_data, write_documents};
use crate::{CliError, exit};
use ilab_core::names::StageName;
use ilab_core::plan::check_plan;
use std::path::Path;

/// Renders it.
///
/// # Errors
/// A stage that is not there or refuses, and a plan that the host would refuse.
pub fn run(
    file: &Path,
    stage: Option<&str>,
    context: Option<&Path>,
    set: &[String],
    format: Option<OutputFormat>,
) -> Result<(), CliError> {
    let stage = stage.map(StageName::new).transpose()?;
    let loaded = load_alone(file)?;
    let descriptor = sample::stage(&loaded.stages, file, stage.as_ref())?;
    let context = sample::context(descriptor, context, set)?;
    let plan = loaded.plugin.render(&descriptor.name, &context)?;
    check_plan(&plan, &context, descriptor).map_err(|e| CliError::from_error(exit::PLUGIN, &e))?;
    match format {
        Some(_) => print_data(&plan, format),
        None => write_documents(&plan.manifests),
    }
}
