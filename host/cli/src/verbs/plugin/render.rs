//! `plugin render`: one stage's plan, without a cluster.

use super::load::load_alone;
use super::sample::sample_context;
use crate::args::OutputFormat;
use crate::load::read_yaml;
use crate::report::{print_data, write_documents};
use crate::{CliError, exit};
use ilab_core::plan::check_plan;
use std::path::Path;

/// Renders it.
pub fn run(
    file: &Path,
    stage: Option<&str>,
    context: Option<&Path>,
    set: &[String],
    format: Option<OutputFormat>,
) -> Result<(), CliError> {
    let loaded = load_alone(file)?;
    let offers = &loaded.stages;
    let names = || offers.iter().map(|d| d.name.to_string()).collect::<Vec<_>>().join(", ");
    let descriptor = match stage {
        Some(stage) => offers.iter().find(|d| d.name.as_str() == stage).ok_or_else(|| {
            CliError::usage(format!("{} offers no stage {stage:?}", file.display()))
                .hint(format!("it offers {}", names()))
        })?,
        None => match offers.as_slice() {
            [one] => one,
            _ => {
                return Err(CliError::usage(format!("{} offers several stages", file.display()))
                    .hint(format!("name one of {}", names())));
            }
        },
    };
    let context = match context {
        Some(path) => serde_json::from_value(read_yaml(path)?)
            .map_err(|e| CliError::usage(format!("{}: no context of a stage: {e}", path.display())))?,
        None => sample_context(descriptor, set)?,
    };
    let plan = loaded.plugin.render(&descriptor.name, &context)?;
    check_plan(&plan, &context, descriptor).map_err(|e| CliError::from_error(exit::PLUGIN, &e))?;
    match format {
        Some(_) => print_data(&plan, format),
        None => write_documents(&plan.manifests),
    }
}
