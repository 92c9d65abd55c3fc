//! `doctor`: the look at the cluster before a run.

use super::request::request;
use super::run::engine_error;
use crate::args::{PreflightMode, RunArgs, StageFlags};
use crate::load::Loaded;
use crate::report::print_data;
use crate::{CliError, connect, exit};
use clap::ArgMatches;
use ilab_engine::{Finding, Severity};
use ilab_wasm::escape::escape;
use std::sync::Arc;

/// Looks, and tells everything at once.
///
/// # Errors
/// What `run` would say of the same options; and, with the code for clusters, when anything is in the way of a run.
pub fn run(args: &RunArgs, loaded: Loaded, flags: &StageFlags, matches: &ArgMatches) -> Result<(), CliError> {
    if args.dry_run.is_some() {
        return Err(CliError::usage("--dry-run means nothing to `doctor`, which creates nothing"));
    }
    if args.preflight != PreflightMode::Enforce {
        return Err(CliError::usage("--preflight means nothing to `doctor`, which is the preflight"));
    }
    let request = request(args, &loaded, flags, matches)?;
    let findings = crate::block_on(async {
        let connection = connect::open(&args.at).await?;
        let found = ilab_engine::doctor(&connection.cluster, request, Arc::new(loaded)).await;
        connection.close().await;
        found.map_err(|error| engine_error(&error))
    })?;
    match args.output.output {
        None => findings.iter().for_each(tell),
        Some(format) => print_data(&findings, Some(format))?,
    }
    let errors = findings.iter().filter(|f| f.severity == Severity::Error).count();
    if errors == 0 {
        return Ok(());
    }
    let line = format!("{errors} of {} findings would keep the run from succeeding", findings.len());
    Err(CliError::new(exit::CLUSTER, line))
}

/// One finding as a line, and what to do about it below.
fn tell(finding: &Finding) {
    let word = match finding.severity {
        Severity::Ok => "ok",
        Severity::Skipped => "skipped",
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    eprintln!("{word:<8} {:<12} {}", escape(&finding.check), escape(&finding.what));
    if !finding.hint.is_empty() {
        eprintln!("{:21} try: {}", "", escape(&finding.hint));
    }
}
