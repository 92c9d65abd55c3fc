//! `plugin check`: what a host or a cluster would refuse of components.

use super::load::{Alone, load_all};
use super::sample;
use crate::args::CheckArgs;
use crate::report::print_data;
use crate::{CliError, exit};
use ilab_author::{Finding, Severity, examine};
use ilab_core::contract::{Context, Descriptor};
use ilab_core::names::StageName;
use ilab_wasm::escape::escape;
use serde_json::{Value, json};

/// Finds it, in every component that is named.
///
/// # Errors
/// With the code for plugins, when there is an error; with `--strict`, also when there is a warning.
pub fn run(args: &CheckArgs) -> Result<(), CliError> {
    let all = load_all(&args.source, &args.trust)?;
    let context_of = match &args.context.context {
        Some(_) => Some(only_stage(args, &all)?),
        None => None,
    };
    let mut data: Vec<Value> = Vec::new();
    let mut failed = Vec::new();
    for alone in &all {
        let name = alone.name();
        let contexts = match &context_of {
            Some(context) => vec![context.clone()],
            None => contexts(alone, args),
        };
        let found = examine(&alone.plugin, &args.context.set, &contexts, &ilab_local::schema_problems);
        let count = |severity| found.iter().filter(|finding| finding.severity == severity).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        match args.output.output {
            Some(_) => data.extend(found.iter().map(|finding| with_component(finding, &name))),
            None => found.iter().for_each(tell),
        }
        let told = format!("{name}: {errors} errors, {warnings} warnings");
        if errors > 0 || (args.strict && warnings > 0) {
            failed.push(told);
        } else {
            eprintln!("{}", escape(&told));
        }
    }
    if args.output.output.is_some() {
        print_data(&data, args.output.output)?;
    }
    if failed.is_empty() { Ok(()) } else { Err(CliError::all(exit::PLUGIN, failed)) }
}

/// The stage that a context is for, which says no stage's name.
fn only_stage(args: &CheckArgs, all: &[Alone]) -> Result<(StageName, Context), CliError> {
    let stages: Vec<_> = all.iter().flat_map(|alone| alone.stages.iter().cloned()).collect();
    let descriptor = sample::stage(&stages, &args.source.to_string(), None)?;
    Ok((descriptor.name.clone(), sample::context(descriptor, &args.context, &stages)?))
}

/// What the stages are rendered for that read what others hand on. A parameter that is missing is a finding.
fn contexts(alone: &Alone, args: &CheckArgs) -> Vec<(StageName, Context)> {
    let reading = alone.stages.iter().filter(|stage| !sample::inputs(stage, &*alone.known).is_empty());
    let context = |stage: &Descriptor| {
        let context = sample::context(stage, &args.context, &*alone.known).ok()?;
        Some((stage.name.clone(), context))
    };
    reading.filter_map(context).collect()
}

fn with_component(finding: &Finding, component: &str) -> Value {
    let mut value = json!(finding);
    value["component"] = json!(component);
    value
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
