//! From paths to a pipeline: load the components, check what they describe, build the graph.

use crate::error::chain;
use crate::{CliError, exit};
use ilab_core::contract::{Context, Excerpt, Plan};
use ilab_core::graph::{GraphError, Offer, Pipeline};
use ilab_core::names::StageName;
use ilab_core::parameters::validate_descriptor;
use ilab_engine::Stages;
use ilab_wasm::{Host, Limits, Plugin};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The stages that were loaded, and the components to call for them.
#[derive(Debug)]
pub struct Loaded {
    /// The graph.
    pub pipeline: Pipeline,
    plugins: BTreeMap<StageName, Plugin>,
}

/// The component host, with its compile cache in the user's cache folder.
///
/// # Errors
/// When the cache folder cannot be trusted.
pub fn host() -> Result<Host, CliError> {
    let cache = cache_folder().map(|c| c.join("components"));
    let host = Host::new(Limits::default(), cache).map_err(|e| CliError::from_error(exit::FAILURE, &e))?;
    Ok(match std::env::current_exe() {
        Ok(me) => host.with_compile_command(vec![
            me.into_os_string(),
            OsString::from("compile-component"),
            OsString::from("--"),
        ]),
        Err(_) => host,
    })
}

/// `ilab-host` in the user's cache folder.
pub fn cache_folder() -> Option<PathBuf> {
    let var = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    var("XDG_CACHE_HOME").or_else(|| var("HOME").map(|h| h.join(".cache"))).map(|c| c.join("ilab-host"))
}

/// Loads components from folders and files and builds the pipeline of what they offer.
///
/// # Errors
/// A component that cannot be loaded or describes itself wrongly, and what [`GraphError`] lists.
pub fn load(host: &Host, paths: &[PathBuf]) -> Result<Loaded, CliError> {
    let mut offers = Vec::new();
    let mut plugins = BTreeMap::new();
    let loaded = host.load_paths(paths).map_err(|e| {
        let hint = e.hint().unwrap_or_default();
        CliError::from_error(exit::PLUGIN, &e).hint(hint)
    })?;
    for plugin in loaded {
        for descriptor in plugin.stages().map_err(|e| CliError::from_error(exit::PLUGIN, &e))? {
            let file = plugin.file().display().to_string();
            let wrong = validate_descriptor(&descriptor);
            if !wrong.is_empty() {
                let at = format!("{file} ({}): stage {}", plugin.digest().short(), descriptor.name);
                return Err(CliError::all(exit::PLUGIN, wrong.iter().map(|w| format!("{at}: {w}"))));
            }
            plugins.insert(descriptor.name.clone(), plugin.clone());
            offers.push(Offer { descriptor, file, digest: plugin.digest().clone() });
        }
    }
    let pipeline = Pipeline::new(offers).map_err(|e| graph_error(&e))?;
    Ok(Loaded { pipeline, plugins })
}

/// A graph's fault lies with the components.
pub fn graph_error(error: &GraphError) -> CliError {
    CliError::from_error(exit::PLUGIN, error)
}

impl Loaded {
    fn plugin(&self, stage: &StageName) -> Result<&Plugin, Box<dyn std::error::Error + Send + Sync>> {
        self.plugins.get(stage).ok_or_else(|| format!("no component offers stage {stage}").into())
    }
}

impl Stages for Loaded {
    fn render(
        &self,
        stage: &StageName,
        context: &Context,
    ) -> Result<Plan, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.plugin(stage)?.render(stage, context)?)
    }

    fn collect(
        &self,
        stage: &StageName,
        context: &Context,
        excerpts: &[Excerpt],
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.plugin(stage)?.collect(stage, context, excerpts)?)
    }
}

/// Reads a YAML or JSON file.
///
/// # Errors
/// When it cannot be read or parsed.
pub fn read_yaml(path: &Path) -> Result<Value, CliError> {
    let wrong =
        |e: &(dyn std::error::Error + 'static)| CliError::usage(format!("{}: {}", path.display(), chain(e)));
    let text = std::fs::read_to_string(path).map_err(|e| wrong(&e))?;
    serde_saphyr::from_str(&text).map_err(|e| wrong(&e))
}
