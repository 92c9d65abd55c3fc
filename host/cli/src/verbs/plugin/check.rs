//! `plugin check`: what a host or a cluster would refuse of a component.

use super::load::load_alone;
use super::sample;
use crate::args::OutputFormat;
use crate::report::print_data;
use crate::{CliError, exit};
use ilab_author::{Finding, Severity, examine};
use ilab_wasm::escape::escape;
use std::path::Path;

/// Finds it.
///
/// # Errors
/// With the code for plugins, when there is an error; with `strict`, also when there is a warning.
pub fn run(
    file: &Path,
    context: Option<&Path>,
    set: &[String],
    strict: bool,
    format: Option<OutputFormat>,
) -> Result<(), CliError> {
    let loaded = load_alone(file)?;
    let contexts = match context {
        Some(path) => {
            let descriptor = sample::stage(&loaded.stages, file, None)?;
            vec![(descriptor.name.clone(), sample::context(descriptor, Some(path), &[])?)]
        }
        None => Vec::new(),
    };
    let found = examine(&loaded.plugin, set, &contexts, &ilab_local::schema_problems);
    let count = |severity| found.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    if format.is_some() {
        print_data(&found, format)?;
    } else {
        found.iter().for_each(tell);
    }
    let told = format!("{}: {errors} errors, {warnings} warnings", file.display());
    if errors > 0 || (strict && warnings > 0) {
        return Err(CliError::new(exit::PLUGIN, told));
    }
    eprintln!("{told}");
    Ok(())
}

fn tell(finding: &Finding) {
    let severity = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let stage = finding.stage.as_ref().map(|stage| format!("{stage} ")).unwrap_or_default();
    let object = finding.object.as_ref().map(|object| format!("{object} ")).unwrap_or_default();
    let line = format!("{severity:<8} {stage}{object}{} [{}]", finding.message, finding.rule);
    eprintln!("{}", escape(&line));
}
