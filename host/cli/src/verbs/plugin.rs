//! `plugin build|inspect|render`: a stage author's tools.

use crate::args::{OutputFormat, PluginVerb};
use crate::load::{host, read_yaml};
use crate::report::{print_data, write_documents};
use crate::{CliError, exit};
use ilab_core::contract::{BoundCredential, BoundKey, BoundVolume, Context, Descriptor, KeyHolder};
use ilab_core::names::RunId;
use ilab_core::parameters::{Given, resolve};
use ilab_core::plan::check_plan;
use ilab_wasm::build::{Build, BuildError, Toolchain, build_crate};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// Runs one of them.
///
/// # Errors
/// A crate that does not build, a component that cannot be loaded, a parameter or context that is wrong.
pub fn run(verb: PluginVerb) -> Result<(), CliError> {
    match verb {
        PluginVerb::Build { folder, file } => build(&folder, file),
        PluginVerb::Inspect { file, output } => inspect(&file, output.output),
        PluginVerb::Render { file, stage, context, set, output } => {
            render(&file, stage.as_deref(), context.as_deref(), &set, output.output)
        }
    }
}

fn build(folder: &Path, file: Option<PathBuf>) -> Result<(), CliError> {
    let failed = |e: BuildError| CliError::from_error(exit::PLUGIN, &e);
    let toolchain = Toolchain::probe().map_err(failed)?;
    let file = match file {
        Some(file) => file,
        None => {
            let whole =
                folder.canonicalize().map_err(|e| CliError::usage(format!("{}: {e}", folder.display())))?;
            let name = whole
                .file_name()
                .ok_or_else(|| CliError::usage(format!("{} has no name", folder.display())))?;
            whole.join(name).with_extension("wasm")
        }
    };
    let built = build_crate(&toolchain, &Build::new(folder), &file).map_err(failed)?;
    eprintln!("built {} ({}, {} bytes)", built.component.display(), built.digest.short(), built.bytes);
    Ok(())
}

fn inspect(file: &Path, format: Option<OutputFormat>) -> Result<(), CliError> {
    let Alone { plugin, stages } = load_alone(file)?;
    print_data(
        &json!({
            "file": file,
            "digest": plugin.digest(),
            "contract": format!("ilab:pipeline@{}", plugin.wit_version()),
            "usesWasi": plugin.uses_wasi(),
            "stages": stages,
        }),
        format,
    )
}

fn render(
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

struct Alone {
    plugin: ilab_wasm::Plugin,
    stages: Vec<Descriptor>,
}

fn load_alone(file: &Path) -> Result<Alone, CliError> {
    let plugin = host()?.load(file)?;
    let stages = plugin.stages()?;
    Ok(Alone { plugin, stages })
}

/// What a stage is rendered for when nobody says: its defaults, samples in place of inputs' values, and a Secret or
/// claim of the logical name for each credential and volume.
fn sample_context(descriptor: &Descriptor, set: &[String]) -> Result<Context, CliError> {
    let sets = set.iter().map(|s| format!("{}.{s}", descriptor.name)).collect();
    let resolved = resolve(&[descriptor], &Given { sets, ..Given::default() })
        .map_err(|e| CliError::all(exit::USAGE, e))?;
    let parameters = resolved.into_values().next().map(|r| r.values).unwrap_or_default();
    let run = RunId::new("ilab").map_err(|e| CliError::from_error(exit::FAILURE, &e))?;
    let inputs: Map<String, Value> = descriptor
        .inputs
        .iter()
        .map(|name| name.trim_start_matches('?'))
        .map(|name| (name.to_owned(), Value::String(format!("sample of {name}"))))
        .collect();
    Ok(Context {
        run: run.to_string(),
        namespace: "default".into(),
        prefix: run.prefix(&descriptor.name),
        parameters,
        inputs,
        credentials: descriptor
            .credentials
            .iter()
            .map(|c| BoundCredential {
                name: c.name.clone(),
                keys: c
                    .required_keys
                    .iter()
                    .map(|key| BoundKey { key: key.clone(), holder: KeyHolder::Secret(c.name.clone()) })
                    .collect(),
            })
            .collect(),
        volumes: descriptor
            .volumes
            .iter()
            .map(|v| BoundVolume { name: v.name.clone(), claim: format!("{run}-{}", v.name) })
            .collect(),
    })
}
