//! What a stage is rendered for on a command line.

use crate::args::ContextArgs;
use crate::load::read_yaml;
use crate::{CliError, exit};
use ilab_author::SampleError;
use ilab_core::contract::{Context, Descriptor, Output};
use ilab_core::names::StageName;
use serde_json::{Map, Value};

/// The context of the file that is given, or the stage's defaults with what is set. What other stages hand on is sampled by them, as far
/// as they are among `known`.
///
/// # Errors
/// A file that holds no context, or a parameter that is wrong.
pub fn context<'a>(
    descriptor: &Descriptor,
    given: &ContextArgs,
    known: impl IntoIterator<Item = &'a Descriptor>,
) -> Result<Context, CliError> {
    if let Some(path) = &given.context {
        return serde_json::from_value(read_yaml(path)?)
            .map_err(|e| CliError::usage(format!("{}: no context of a stage: {e}", path.display())));
    }
    ilab_author::sample_context(descriptor, &given.set, &inputs(descriptor, known)).map_err(|error| {
        match error {
            SampleError::Parameters(errors) => CliError::all(exit::USAGE, errors),
            other => CliError::from_error(exit::USAGE, &other),
        }
    })
}

/// The samples of those inputs of a stage whose producers are known.
pub fn inputs<'a>(
    descriptor: &Descriptor,
    known: impl IntoIterator<Item = &'a Descriptor>,
) -> Map<String, Value> {
    let wanted = |name: &String| descriptor.inputs.iter().any(|input| input.trim_start_matches('?') == name);
    known
        .into_iter()
        .flat_map(|producer| {
            let named =
                |output: &Output| (format!("{}.{}", producer.name, output.name), output.sample.clone());
            producer.outputs.iter().map(named)
        })
        .filter(|(name, _)| wanted(name))
        .collect()
}

/// The stage that is meant, of those that something offers.
///
/// # Errors
/// None of that name, or none named where there are several.
pub fn stage<'a>(
    offers: &'a [Descriptor],
    of: &str,
    wanted: Option<&StageName>,
) -> Result<&'a Descriptor, CliError> {
    let names = || offers.iter().map(|d| d.name.to_string()).collect::<Vec<_>>().join(", ");
    match (wanted, offers) {
        (Some(name), _) => offers.iter().find(|d| d.name == *name).ok_or_else(|| {
            CliError::usage(format!("{of} offers no stage {:?}", name.as_str()))
                .hint(format!("it offers {}", names()))
        }),
        (None, [one]) => Ok(one),
        (None, _) => {
            Err(CliError::usage(format!("{of} offers several stages"))
                .hint(format!("name one of {}", names())))
        }
    }
}
