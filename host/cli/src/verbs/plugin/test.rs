//! `plugin test`: a component held against cases.

use super::load::load_alone;
use crate::args::OutputFormat;
use crate::report::print_data;
use crate::{CliError, exit};
use ilab_author::{CaseError, Outcome, Wrong, load_cases, replay};
use ilab_wasm::escape::escape;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Holds it against each case of a folder.
///
/// # Errors
/// With the code for plugins, when a case does not hold; with that for usage, when one cannot be used.
pub fn run(
    what: &Path,
    cases: Option<PathBuf>,
    bless: bool,
    format: Option<OutputFormat>,
) -> Result<(), CliError> {
    let (file, cases) = places(what, cases)?;
    let loaded = load_alone(&file)?;
    let usage = |error: &(dyn std::error::Error + 'static)| CliError::from_error(exit::USAGE, error);
    let found = load_cases(&cases).map_err(|error| match error {
        CaseError::None { .. } => {
            usage(&error).hint("write one, or record one: ilab-host run --record FOLDER")
        }
        other => usage(&other),
    })?;
    let mut failed = 0;
    let mut told: Vec<Value> = Vec::new();
    for (name, folder) in &found {
        let outcome =
            replay(&loaded.plugin, &loaded.stages, folder, bless).map_err(|error| match &error {
                Wrong::Case(inner) => usage(inner),
                Wrong::Stage { .. } => CliError::usage(format!("case {name}: {error}")),
            })?;
        let (word, why) = match &outcome {
            Outcome::Held => ("ok", None),
            Outcome::Blessed => ("blessed", None),
            Outcome::Differs(why) => {
                failed += 1;
                ("FAILED", Some(why))
            }
        };
        if format.is_some() {
            told.push(json!({"case": name, "outcome": word.to_lowercase(), "why": why}));
        } else {
            eprintln!("{word:<8} {}", escape(name));
            why.into_iter().flat_map(|why| why.lines()).for_each(|line| eprintln!("    {}", escape(line)));
        }
    }
    if format.is_some() {
        print_data(&told, format)?;
    }
    let summary = format!("{} of {} cases hold", found.len() - failed, found.len());
    if failed > 0 {
        return Err(CliError::new(exit::PLUGIN, summary)
            .hint("look at what differs; ilab-host plugin test --bless accepts new plans"));
    }
    eprintln!("{summary}");
    Ok(())
}

/// The component and the cases: of a project's folder, or as they are named.
fn places(what: &Path, cases: Option<PathBuf>) -> Result<(PathBuf, PathBuf), CliError> {
    if !what.is_dir() {
        let cases = cases.ok_or_else(|| {
            CliError::usage(format!("which cases is {} held against?", what.display()))
                .hint("--cases FOLDER, or name the project's folder")
        })?;
        return Ok((what.to_owned(), cases));
    }
    let file = super::build::component_of(what)?;
    if !file.is_file() {
        return Err(CliError::usage(format!("{} is not there", file.display()))
            .hint(format!("ilab-host plugin build {}", what.display())));
    }
    Ok((file, cases.unwrap_or_else(|| what.join("tests/cases"))))
}
