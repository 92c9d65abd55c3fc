//! From paths to a pipeline: load the components, check what they describe, build the graph.

use crate::report::CompileBar;
use crate::sources::{Found, Pinned};
use crate::{CliError, exit, folders};
use ilab_core::contract::{Context, Descriptor, Excerpt, Plan};
use ilab_core::graph::{GraphError, Offer, Pipeline, PipelineFile, PipelineFileError, parse_pipeline};
use ilab_core::names::{PluginDigest, StageName};
use ilab_core::text::chain;
use ilab_core::verdict::{checked_expressions, trust_expressions};
use ilab_engine::Stages;
use ilab_wasm::{Host, Limits, Memory, Plugin};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The stages that were loaded, and the components to call for them.
#[derive(Debug)]
pub struct Loaded {
    /// The graph.
    pub pipeline: Arc<Pipeline>,
    /// The pipeline file, where one pins it.
    pub file: Option<PinnedPipeline>,
    /// The components that are from registries.
    pub pinned: Vec<(PluginDigest, Pinned)>,
    plugins: BTreeMap<StageName, Plugin>,
    /// The predicates that were in order when this program saw them before, and where more are written down.
    predicates: (BTreeSet<String>, Option<Memory>),
}

/// A pipeline file, and where it lies.
#[derive(Debug, Clone)]
pub struct PinnedPipeline {
    path: PathBuf,
    /// What it says.
    pub pins: PipelineFile,
}

/// Reads a pipeline file.
///
/// # Errors
/// When it cannot be read, or is none.
pub fn pipeline_file(path: &Path) -> Result<PinnedPipeline, CliError> {
    let text = read_text(path)?;
    let pins = parse_pipeline(&text).map_err(|e| CliError::usage(format!("{}: {e}", path.display())))?;
    Ok(PinnedPipeline { path: path.to_owned(), pins })
}

impl PinnedPipeline {
    /// Where its components are; empty when it does not say.
    #[must_use]
    pub fn plugins(&self) -> Vec<PathBuf> {
        let folder = self.path.parent().unwrap_or_else(|| Path::new(""));
        // An address (`oci://…`) is no path.
        let seen = |text: &String| {
            if text.contains("://") { PathBuf::from(text) } else { folder.join(text) }
        };
        self.pins.plugins.iter().map(seen).collect()
    }

    fn arrange(&self, offers: &[Offer]) -> Result<Pipeline, CliError> {
        self.pins.arrange(offers).map_err(|error| match &error {
            PipelineFileError::Graph(graph)
                if matches!(**graph, GraphError::UnknownAfter { .. } | GraphError::UnknownInput { .. }) =>
            {
                CliError::usage(format!("{}: {error}", self.path.display()))
                    .hint("list that stage too: what is not listed is left out")
            }
            PipelineFileError::Graph(graph) => graph_error(graph),
            PipelineFileError::Digest { .. } => {
                CliError::new(exit::PLUGIN, format!("{}: {error}", self.path.display()))
                    .hint("pull the component that is pinned, or pin the new one after you have looked at it")
            }
            _ => CliError::usage(format!("{}: {error}", self.path.display())),
        })
    }

    /// The values file with the parameters of this file below its own, and a name for messages.
    pub fn values(&self, values: Option<(String, Value)>) -> (String, Value) {
        let here = self.path.display().to_string();
        match values {
            Some((name, values)) => (format!("{name} and {here}"), self.pins.values(Some(&values))),
            None => (here, self.pins.values(None)),
        }
    }
}

/// The component host, with its compile cache in the user's cache folder.
///
/// # Errors
/// When the cache folder cannot be trusted.
pub fn host() -> Result<Host, CliError> {
    let cache = folders::cache().map(|c| c.join("components"));
    let host = Host::new(Limits::default(), cache).map_err(|e| CliError::from_error(exit::FAILURE, &e))?;
    let host = host.with_compile_watch(Arc::new(CompileBar));
    Ok(match std::env::current_exe() {
        Ok(me) => host.with_compile_command(vec![
            me.into_os_string(),
            OsString::from("compile-component"),
            OsString::from("--"),
        ]),
        Err(_) => host,
    })
}

/// Loads what was found and builds the pipeline of what it offers.
///
/// # Errors
/// A component that cannot be loaded or describes itself wrongly, and what [`GraphError`] lists.
pub fn load(host: &Host, found: &[Found], file: Option<PinnedPipeline>) -> Result<Loaded, CliError> {
    let mut offers: Vec<Offer> = Vec::new();
    let mut by_file: Vec<(String, Plugin)> = Vec::new();
    let mut pinned = Vec::new();
    for (plugin, of_registry) in components(host, found)? {
        let name = plugin.file().display().to_string();
        offers.extend(offers_of(&plugin, &name)?);
        pinned.extend(of_registry.map(|of_registry| (plugin.digest().clone(), of_registry)));
        by_file.push((name, plugin));
    }
    let pipeline = match &file {
        Some(file) => file.arrange(&offers)?,
        None => Pipeline::of_valid(offers).map_err(|e| graph_error(&e))?,
    };
    let mut plugins = BTreeMap::new();
    for offer in pipeline.stages() {
        let offers =
            |(file, plugin): &&(String, Plugin)| *file == offer.file && *plugin.digest() == offer.digest;
        if let Some((_, plugin)) = by_file.iter().find(offers) {
            plugins.insert(offer.name().clone(), plugin.clone());
        }
    }
    let memory = host.memory("predicates");
    let known: BTreeSet<String> = memory.as_ref().and_then(Memory::read).unwrap_or_default();
    trust_expressions(known.iter().cloned());
    Ok(Loaded { pipeline: Arc::new(pipeline), file, pinned, plugins, predicates: (known, memory) })
}

/// The components, each with what it takes to name it to another verb; those of folders and files first.
///
/// # Errors
/// A component that cannot be loaded.
pub fn components(host: &Host, found: &[Found]) -> Result<Vec<(Plugin, Option<Pinned>)>, CliError> {
    let paths: Vec<PathBuf> = found.iter().filter(|f| f.pinned.is_none()).map(|f| f.path.clone()).collect();
    let mut all: Vec<_> = host.load_paths(&paths)?.into_iter().map(|plugin| (plugin, None)).collect();
    for Found { path, pinned } in found {
        let Some(pinned) = pinned else { continue };
        let loaded = host.load_pinned(path, pinned.component.as_str(), &pinned.reference.to_string())?;
        all.push((loaded, Some(pinned.clone())));
    }
    Ok(all)
}

/// What a component offers, found in order now or by this very program before.
fn offers_of(plugin: &Plugin, name: &str) -> Result<Vec<Offer>, CliError> {
    let offer = |descriptor: &Descriptor| Offer {
        descriptor: descriptor.clone(),
        file: name.to_owned(),
        digest: plugin.digest().clone(),
    };
    if let Some(known) = plugin.remembered() {
        return Ok(known.iter().map(offer).collect());
    }
    let offers: Vec<Offer> = plugin.descriptors()?.iter().map(offer).collect();
    offers.iter().try_for_each(Offer::validate).map_err(|e| graph_error(&e))?;
    plugin.remember()?;
    Ok(offers)
}

/// A graph's fault lies with the components. What is wrong with a descriptor is said a line each.
pub fn graph_error(error: &GraphError) -> CliError {
    match error {
        GraphError::Descriptor { file, digest, errors } => {
            CliError::all(exit::PLUGIN, errors.iter().map(|e| format!("{file} ({}): {e}", digest.short())))
        }
        other => CliError::from_error(exit::PLUGIN, other),
    }
}

impl Loaded {
    /// Writes down which predicates were in order, after plans were accepted: the next start need not parse them.
    pub fn remember(&self) {
        let (known, memory) = &self.predicates;
        let checked: BTreeSet<String> = checked_expressions().into_iter().collect();
        if !checked.is_subset(known)
            && let Some(Err(error)) = memory.as_ref().map(|memory| memory.write(&checked))
        {
            tracing::debug!(%error, "predicates have to be parsed at the next start again");
        }
    }

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
        Ok(self.plugin(stage)?.render_once(stage, context)?)
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

/// Reads a text file.
///
/// # Errors
/// When it cannot be read.
pub fn read_text(path: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(path).map_err(|e| CliError::usage(format!("{}: {}", path.display(), chain(&e))))
}

/// Reads a YAML or JSON file.
///
/// # Errors
/// When it cannot be read or parsed.
pub fn read_yaml(path: &Path) -> Result<Value, CliError> {
    serde_saphyr::from_str(&read_text(path)?)
        .map_err(|e| CliError::usage(format!("{}: {}", path.display(), chain(&e))))
}
