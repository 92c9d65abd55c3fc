//! The pipeline file: which stages, by which components, in which order, with which parameters.

use super::error::GraphError;
use super::pipeline::{Offer, Pipeline};
use crate::names::{PluginDigest, StageName};
use crate::nearest::{hint, nearest};
use crate::parameters::API_VERSION;
use crate::text::{escaped, quoted, yaml_problem};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The longest pipeline file, in bytes.
pub const MAX_PIPELINE_BYTES: usize = 1024 * 1024;

const KEYS: [&str; 4] = ["apiVersion", "kind", "plugins", "stages"];
const STAGE_KEYS: [&str; 5] = ["name", "from", "digest", "after", "parameters"];

/// A stage as a pipeline file pins it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PinnedStage {
    /// The stage.
    pub name: StageName,
    /// The component that offers it, where several do: its file, or the end of its path.
    pub from: Option<String>,
    /// The component that must offer it.
    pub digest: Option<PluginDigest>,
    /// Stages that it follows besides those that it names itself.
    #[serde(default)]
    pub after: Vec<StageName>,
    /// Its parameters, weaker than a values file's.
    #[serde(default)]
    pub parameters: Map<String, Value>,
}

/// A pipeline file, checked as far as that needs no components.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PipelineFile {
    /// Where components are, as `--plugins` names them; relative paths are seen from the file.
    #[serde(default)]
    pub plugins: Vec<String>,
    /// The stages, in order.
    pub stages: Vec<PinnedStage>,
}

/// Why a pipeline file cannot be used, or what the components offer does not fit it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PipelineFileError {
    /// It is no pipeline file.
    #[error("{0}")]
    Shape(String),
    /// A word that means nothing there.
    #[error("{}unknown word {}{}", place(.path), quoted(.word, 60), hint(.nearest.as_deref(), .valid))]
    UnknownWord {
        /// Where, for example `stages[0]`.
        path: String,
        /// The word.
        word: String,
        /// The word that is nearest.
        nearest: Option<String>,
        /// All words that are valid there.
        valid: Vec<String>,
    },
    /// A stage is listed twice.
    #[error("stage {0} is listed twice")]
    Twice(StageName),
    /// No component offers a stage.
    #[error("no component offers stage {stage}{}", hint(.nearest.as_deref(), .valid))]
    UnknownStage {
        /// The stage.
        stage: StageName,
        /// The stage whose name is nearest.
        nearest: Option<String>,
        /// All stages that are offered.
        valid: Vec<String>,
    },
    /// Several components offer a stage.
    #[error("stage {stage} is offered by {}: say which with `from`", joined(.files, " and by "))]
    Choose {
        /// The stage.
        stage: StageName,
        /// The files that offer it.
        files: Vec<String>,
    },
    /// The component that was named does not offer a stage.
    #[error("stage {stage} is not offered by {}, but by {}", quoted(.from, 200), joined(.files, ", "))]
    NotFrom {
        /// The stage.
        stage: StageName,
        /// What `from` says.
        from: String,
        /// The files that offer it.
        files: Vec<String>,
    },
    /// Another component than the one that was pinned.
    #[error("stage {stage} is pinned to {pinned}, and {} is {found}", escaped(.file, 200))]
    Digest {
        /// The stage.
        stage: StageName,
        /// The digest in the pipeline file.
        pinned: PluginDigest,
        /// The component's file.
        file: String,
        /// The component.
        found: PluginDigest,
    },
    /// The order of the list is not one that the stages can be run in.
    #[error("stage {stage} stands before {before}, which it follows")]
    Order {
        /// The stage.
        stage: StageName,
        /// The stage that it follows.
        before: StageName,
    },
    /// The stages make no pipeline.
    #[error(transparent)]
    Graph(Box<GraphError>),
}

fn joined(files: &[String], by: &str) -> String {
    escaped(&files.join(by), 400)
}

fn place(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("{}: ", escaped(path, 80)) }
}

/// Reads a pipeline file.
///
/// # Errors
/// [`PipelineFileError`]; an unknown word is told with the valid ones.
///
/// ```
/// use ilab_core::graph::parse_pipeline;
/// let file = parse_pipeline("apiVersion: ilab.dev/v1\nkind: Pipeline\nstages:\n- name: fetch\n  parameters: {retries: 2}\n")?;
/// assert_eq!(file.stages[0].parameters["retries"], 2);
/// # Ok::<(), ilab_core::graph::PipelineFileError>(())
/// ```
pub fn parse_pipeline(text: &str) -> Result<PipelineFile, PipelineFileError> {
    let refuse = |problem: String| PipelineFileError::Shape(problem);
    if text.len() > MAX_PIPELINE_BYTES {
        return Err(refuse(format!("it has {} bytes, more than {MAX_PIPELINE_BYTES}", text.len())));
    }
    let mut value: Value = serde_saphyr::from_str(text).map_err(|error| refuse(yaml_problem(&error)))?;
    let Some(map) = value.as_object_mut() else {
        return Err(refuse(format!("it must be a mapping with the keys {}", KEYS.join(", "))));
    };
    known(map, &KEYS, "")?;
    for (key, wanted) in [("apiVersion", API_VERSION), ("kind", "Pipeline")] {
        match map.remove(key) {
            Some(Value::String(found)) if found == wanted => {}
            Some(other) => {
                let other = crate::text::shown(&other, 60);
                return Err(refuse(format!("{key} is {other}, this host knows {wanted}")));
            }
            None => return Err(refuse(format!("it needs the line `{key}: {wanted}`"))),
        }
    }
    for (index, stage) in map.get("stages").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let path = format!("stages[{index}]");
        match stage.as_object() {
            Some(stage) => known(stage, &STAGE_KEYS, &path)?,
            None => return Err(refuse(format!("{path} must be a mapping with the key name"))),
        }
    }
    let file: PipelineFile =
        serde_json::from_value(value).map_err(|error| refuse(escaped(&error.to_string(), 300)))?;
    if file.stages.is_empty() {
        return Err(refuse("stages is empty: nothing would be run".to_owned()));
    }
    for (index, stage) in file.stages.iter().enumerate() {
        if file.stages[..index].iter().any(|other| other.name == stage.name) {
            return Err(PipelineFileError::Twice(stage.name.clone()));
        }
    }
    Ok(file)
}

fn known(map: &Map<String, Value>, valid: &[&str], path: &str) -> Result<(), PipelineFileError> {
    match map.keys().find(|key| !valid.contains(&key.as_str())) {
        None => Ok(()),
        Some(word) => Err(PipelineFileError::UnknownWord {
            path: path.to_owned(),
            word: word.clone(),
            nearest: nearest(word, valid),
            valid: valid.iter().map(|word| (*word).to_owned()).collect(),
        }),
    }
}

impl PipelineFile {
    /// The pipeline of what the file lists. What else is offered is left out.
    ///
    /// Among stages that could come next, the one that is listed first does; a list that contradicts what a stage says that
    /// it follows is refused. Stages that do not follow one another still run side by side.
    ///
    /// # Errors
    /// [`PipelineFileError`].
    pub fn arrange(&self, offers: &[Offer]) -> Result<Pipeline, PipelineFileError> {
        let mut chosen = Vec::with_capacity(self.stages.len());
        for stage in &self.stages {
            let mut offer = choose(stage, offers)?.clone();
            for before in &stage.after {
                // Named here it is no longer optional.
                offer.descriptor.after.retain(|known| known.trim_start_matches('?') != before.as_str());
                offer.descriptor.after.push(before.to_string());
            }
            chosen.push(offer);
        }
        let rank: BTreeMap<StageName, usize> =
            self.stages.iter().enumerate().map(|(index, stage)| (stage.name.clone(), index)).collect();
        let pipeline =
            Pipeline::ranked(chosen, &rank).map_err(|error| PipelineFileError::Graph(Box::new(error)))?;
        for stage in &self.stages {
            let here = rank.get(&stage.name);
            if let Some(before) = pipeline.after(stage.name.as_str()).find(|before| rank.get(*before) > here)
            {
                return Err(PipelineFileError::Order { stage: stage.name.clone(), before: before.clone() });
            }
        }
        Ok(pipeline)
    }

    /// A values file with the parameters of the pipeline file below those of `values`, which is one already.
    #[must_use]
    pub fn values(&self, values: Option<&Value>) -> Value {
        let mut all = values.cloned().unwrap_or_else(|| json!({"apiVersion": API_VERSION}));
        let mut stages = Map::new();
        for stage in self.stages.iter().filter(|stage| !stage.parameters.is_empty()) {
            stages.insert(stage.name.to_string(), Value::Object(stage.parameters.clone()));
        }
        for (stage, stronger) in all.get("stages").and_then(Value::as_object).into_iter().flatten() {
            let mut parameters = match stages.remove(stage) {
                Some(Value::Object(weaker)) => weaker,
                _ => Map::new(),
            };
            parameters.extend(stronger.as_object().cloned().unwrap_or_default());
            stages.insert(stage.clone(), Value::Object(parameters));
        }
        if let Some(map) = all.as_object_mut() {
            map.insert("stages".to_owned(), Value::Object(stages));
        }
        all
    }
}

fn choose<'a>(stage: &PinnedStage, offers: &'a [Offer]) -> Result<&'a Offer, PipelineFileError> {
    let name = || stage.name.clone();
    let files = |offers: &[&Offer]| offers.iter().map(|offer| offer.file.clone()).collect::<Vec<_>>();
    let all: Vec<&Offer> = offers.iter().filter(|offer| *offer.name() == stage.name).collect();
    if all.is_empty() {
        let mut valid: Vec<String> = offers.iter().map(|offer| offer.name().to_string()).collect();
        valid.sort();
        valid.dedup();
        let nearest = nearest(stage.name.as_str(), &valid);
        return Err(PipelineFileError::UnknownStage { stage: name(), nearest, valid });
    }
    let fits = |offer: &&&Offer| {
        let from = stage.from.as_deref().map(|from| from.trim_start_matches("./"));
        let by_file = from.is_none_or(|from| offer.file == from || offer.file.ends_with(&format!("/{from}")));
        // Where no file is named, a digest that is pinned chooses as well.
        let chosen = stage.from.is_some() || all.len() == 1;
        by_file && (chosen || stage.digest.as_ref().is_none_or(|digest| *digest == offer.digest))
    };
    let fitting: Vec<&Offer> = all.iter().filter(fits).copied().collect();
    let offer = match (fitting.as_slice(), &stage.from) {
        ([one], _) => *one,
        ([], Some(from)) => {
            return Err(PipelineFileError::NotFrom { stage: name(), from: from.clone(), files: files(&all) });
        }
        _ => return Err(PipelineFileError::Choose { stage: name(), files: files(&all) }),
    };
    match &stage.digest {
        Some(pinned) if *pinned != offer.digest => Err(PipelineFileError::Digest {
            stage: name(),
            pinned: pinned.clone(),
            file: offer.file.clone(),
            found: offer.digest.clone(),
        }),
        _ => Ok(offer),
    }
}
