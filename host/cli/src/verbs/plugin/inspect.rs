//! `plugin inspect`: what components say of themselves, offer and ask for.

use super::load::{Alone, load_all};
use crate::CliError;
use crate::args::{InspectArgs, Source};
use crate::report::print_data;
use ilab_wasm::build::read_metadata;
use serde_json::{Value, json};

/// Shows it: one component as an object, those of a folder or a lock as a list.
///
/// # Errors
/// A component that cannot be loaded, or that nobody vouches for.
pub fn run(args: &InspectArgs) -> Result<(), CliError> {
    let mut said =
        load_all(&args.source, &args.trust)?.iter().map(inspected).collect::<Result<Vec<_>, _>>()?;
    let several = match &args.source {
        Source::Path(path) => path.is_dir(),
        Source::Lock(_) => true,
        Source::Registry(_) => false,
    };
    match said.pop() {
        Some(one) if !several => print_data(&one, args.output.output),
        last => {
            said.extend(last);
            print_data(&said, args.output.output)
        }
    }
}

fn inspected(Alone { plugin, stages, pinned, .. }: &Alone) -> Result<Value, CliError> {
    let mut said = json!({
        "file": plugin.file(),
        "digest": plugin.digest(),
        "contract": format!("ilab:pipeline@{}", plugin.wit_version()),
        "usesWasi": plugin.uses_wasi(),
        "metadata": read_metadata(&plugin.bytes()?),
        "stages": stages,
    });
    if let Some(pinned) = pinned {
        said["reference"] = json!(pinned.reference);
    }
    Ok(said)
}
