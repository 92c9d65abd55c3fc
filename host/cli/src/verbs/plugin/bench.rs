//! `plugin bench`: how fast a component's stages render, and whether they became slower.

use super::load::load_one;
use super::sample;
use crate::args::BenchArgs;
use crate::load::read_yaml;
use crate::report::{print_data, write_out};
use crate::{CliError, exit};
use ilab_author::{Baseline, Measured};
use ilab_core::names::StageName;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// Measures, compares, keeps.
///
/// # Errors
/// With its own code, when a stage became slower.
pub fn run(bench: &BenchArgs) -> Result<(), CliError> {
    let before: Option<Baseline> = bench
        .baseline
        .as_ref()
        .map(|path| {
            serde_json::from_value(read_yaml(path)?)
                .map_err(|e| CliError::usage(format!("{}: no measurements: {e}", path.display())))
        })
        .transpose()?;
    let wanted = bench.stage.as_deref().map(StageName::new).transpose()?;
    let loaded = load_one(&bench.source, &bench.trust, wanted.as_ref())?;
    let stages = match (&wanted, &bench.context.context) {
        (None, None) => loaded.stages.iter().collect(),
        _ => vec![sample::stage(&loaded.stages, &loaded.name(), wanted.as_ref())?],
    };
    let time = Duration::try_from_secs_f64(bench.seconds)
        .map_err(|e| CliError::usage(format!("--seconds {}: {e}", bench.seconds)))?;
    let mut render = BTreeMap::new();
    for descriptor in stages {
        let context = sample::context(descriptor, &bench.context, &*loaded.known)?;
        let measured = Measured::render(&loaded.plugin, descriptor, &context, time)?;
        render.insert(descriptor.name.clone(), measured);
    }
    let now = Baseline { digest: loaded.plugin.digest().clone(), render };
    if let Some(path) = &bench.save {
        let text = crate::report::to_yaml(&now)?;
        std::fs::write(path, text).map_err(|e| CliError::usage(format!("{}: {e}", path.display())))?;
    }
    match bench.output.output {
        Some(_) => print_data(&now, bench.output.output)?,
        None => write_out(&table(&now, before.as_ref()))?,
    }
    let slower = before.map(|before| now.regressions(&before, bench.tolerance)).unwrap_or_default();
    if slower.is_empty() {
        return Ok(());
    }
    Err(CliError::all(
        exit::SLOWER,
        slower
            .iter()
            .map(|r| format!("stage {}: a render takes {} µs, and took {} µs", r.stage, r.is, r.was)),
    ))
}

fn table(now: &Baseline, before: Option<&Baseline>) -> String {
    let mut text = format!(
        "{:<40} {:>8} {:>10} {:>10} {:>10} {:>10}\n",
        "STAGE", "CALLS", "LEAST", "MEDIAN", "P95", "BEFORE"
    );
    for (stage, m) in &now.render {
        let was =
            before.and_then(|b| b.render.get(stage)).map_or("-".to_owned(), |m| format!("{} µs", m.least));
        let micros = |value: f64| format!("{value} µs");
        let _ = writeln!(
            text,
            "{:<40} {:>8} {:>10} {:>10} {:>10} {was:>10}",
            stage.as_str(),
            m.calls,
            micros(m.least),
            micros(m.median),
            micros(m.p95)
        );
    }
    text
}
