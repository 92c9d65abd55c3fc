//! What a stage is rendered for on a command line.

use crate::load::read_yaml;
use crate::{CliError, exit};
use ilab_author::SampleError;
use ilab_core::contract::{Context, Descriptor};
use ilab_core::names::StageName;
use serde_json::Map;
use std::path::Path;

/// The context of a file, or the stage's defaults with what was set.
///
/// # Errors
/// A file that holds no context, or a parameter that is wrong.
pub fn context(descriptor: &Descriptor, file: Option<&Path>, set: &[String]) -> Result<Context, CliError> {
    if let Some(path) = file {
        return serde_json::from_value(read_yaml(path)?)
            .map_err(|e| CliError::usage(format!("{}: no context of a stage: {e}", path.display())));
    }
    ilab_author::sample_context(descriptor, set, &Map::new()).map_err(|error| match error {
        SampleError::Parameters(errors) => CliError::all(exit::USAGE, errors),
        other => CliError::from_error(exit::USAGE, &other),
    })
}

/// The stage that is meant.
///
/// # Errors
/// None of that name, or none named where there are several.
pub fn stage<'a>(
    offers: &'a [Descriptor],
    file: &Path,
    wanted: Option<&StageName>,
) -> Result<&'a Descriptor, CliError> {
    let names = || offers.iter().map(|d| d.name.to_string()).collect::<Vec<_>>().join(", ");
    match (wanted, offers) {
        (Some(name), _) => offers.iter().find(|d| d.name == *name).ok_or_else(|| {
            CliError::usage(format!("{} offers no stage {:?}", file.display(), name.as_str()))
                .hint(format!("it offers {}", names()))
        }),
        (None, [one]) => Ok(one),
        (None, _) => Err(CliError::usage(format!("{} offers several stages", file.display()))
            .hint(format!("name one of {}", names()))),
    }
}
