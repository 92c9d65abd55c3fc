//! From what was given to one value a parameter.

use super::convert::convert;
use super::error::ParameterError;
use super::values::check_shape;
use crate::contract::{Descriptor, Parameter};
use crate::names::StageName;
use crate::nearest::nearest;
use crate::schema::Schema;
use crate::text::shown;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Everything that the user gave.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The values file: its name for messages, and what [`parse_values`](super::parse_values) made of it.
    pub values_file: Option<(String, Value)>,
    /// The environment variables that descriptors ask for, as far as they are set.
    pub env: BTreeMap<String, String>,
    /// Flags of stages, without dashes, in the order given; the last of a name counts.
    pub flags: Vec<(String, String)>,
    /// `stage.parameter=value`, in the order given; the last of a name counts.
    pub sets: Vec<String>,
}

/// The parameters of one stage, each with a valid value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resolved {
    /// Every parameter that has a value, in the descriptor's order.
    pub values: Map<String, Value>,
    /// Where each value came from.
    pub sources: BTreeMap<String, Source>,
}

/// Where a value came from, weakest first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The descriptor's default.
    Default,
    /// The values file.
    ValuesFile,
    /// This environment variable.
    Env(String),
    /// This flag, without dashes.
    Flag(String),
    /// `--set`.
    Set,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("its default"),
            Self::ValuesFile => f.write_str("the values file"),
            Self::Env(name) => write!(f, "the environment variable {name}"),
            Self::Flag(flag) => write!(f, "--{flag}"),
            Self::Set => f.write_str("--set"),
        }
    }
}

/// Resolves the parameters of all these stages.
///
/// An environment variable that is set to nothing counts as unset.
///
/// # Errors
/// Every [`ParameterError`] there is, not only the first.
///
/// ```
/// use ilab_core::{contract::Descriptor, parameters::{Given, Source, resolve}};
/// let stage: Descriptor = serde_json::from_value(serde_json::json!({
///     "name": "train", "summary": "Trains.", "group": "train", "after": [], "credentials": [], "volumes": [],
///     "inputs": [], "outputs": [], "creates": [],
///     "parameters": [{"name": "epochs", "help": "Rounds.", "schema": {"type": "integer"}, "default": 7}],
/// }))?;
/// let given = Given { sets: vec!["train.epochs=2".into()], ..Given::default() };
/// let resolved = resolve(&[&stage], &given).map_err(|errors| errors[0].to_string())?;
/// assert_eq!(resolved["train"].values["epochs"], 2);
/// assert_eq!(resolved["train"].sources["epochs"], Source::Set);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn resolve(
    descriptors: &[&Descriptor],
    given: &Given,
) -> Result<BTreeMap<StageName, Resolved>, Vec<ParameterError>> {
    let all = descriptors.iter().map(|descriptor| descriptor.name.clone()).collect();
    resolve_selected(descriptors, &all, given)
}

/// Resolves the parameters of the selected stages; names are checked against all stages.
///
/// So a values file for the whole workflow serves a run of one group, and a required parameter of a stage that will not
/// run is not asked for.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_selected(
    descriptors: &[&Descriptor],
    selected: &BTreeSet<StageName>,
    given: &Given,
) -> Result<BTreeMap<StageName, Resolved>, Vec<ParameterError>> {
    let mut errors = Vec::new();
    let layers = Layers::read(descriptors, given, &mut errors);
    let mut resolved = BTreeMap::new();
    for descriptor in descriptors.iter().filter(|descriptor| selected.contains(&descriptor.name)) {
        let mut stage = Resolved::default();
        for parameter in &descriptor.parameters {
            match layers.value(descriptor, parameter) {
                Ok(Some((value, source))) => {
                    stage.values.insert(parameter.name.clone(), value);
                    stage.sources.insert(parameter.name.clone(), source);
                }
                Ok(None) => errors.push(ParameterError::Missing {
                    stage: descriptor.name.clone(),
                    parameter: parameter.name.clone(),
                    help: parameter.help.as_str().into(),
                    flag: parameter.flag.clone(),
                    env: parameter.env.clone(),
                }),
                Err(mut found) => errors.append(&mut found),
            }
        }
        resolved.insert(descriptor.name.clone(), stage);
    }
    if errors.is_empty() { Ok(resolved) } else { Err(errors) }
}

/// What was given, by the parameter it is for.
struct Layers<'a> {
    file_stages: BTreeMap<(&'a str, &'a str), &'a Value>,
    file_options: BTreeMap<&'a str, &'a Value>,
    env: &'a BTreeMap<String, String>,
    flags: BTreeMap<&'a str, &'a str>,
    sets: BTreeMap<(&'a str, &'a str), &'a str>,
}

impl<'a> Layers<'a> {
    fn read(descriptors: &[&'a Descriptor], given: &'a Given, errors: &mut Vec<ParameterError>) -> Self {
        let names = Names { descriptors };
        let mut layers = Self {
            file_stages: BTreeMap::new(),
            file_options: BTreeMap::new(),
            env: &given.env,
            flags: BTreeMap::new(),
            sets: BTreeMap::new(),
        };
        if let Some((file, values)) = &given.values_file {
            layers.read_file(file, values, &names, errors);
        }
        for (flag, text) in &given.flags {
            match names.flag(&format!("--{}", crate::text::escaped(flag, 80)), flag) {
                Ok(()) => drop(layers.flags.insert(flag, text)),
                Err(error) => errors.push(error),
            }
        }
        for set in &given.sets {
            match split_set(set) {
                Some((stage, parameter, text)) => match names.parameter("--set", stage, parameter) {
                    Ok(()) => drop(layers.sets.insert((stage, parameter), text)),
                    Err(error) => errors.push(error),
                },
                None => errors.push(ParameterError::MalformedSet { text: set.clone() }),
            }
        }
        layers
    }

    fn read_file(
        &mut self,
        file: &str,
        values: &'a Value,
        names: &Names<'_, '_>,
        errors: &mut Vec<ParameterError>,
    ) {
        if let Err(error) = check_shape(values, file) {
            errors.push(error);
            return;
        }
        let place = format!("values file {}", crate::text::escaped(file, 200));
        for (stage, parameters) in values.get("stages").and_then(Value::as_object).into_iter().flatten() {
            let Some(parameters) = parameters.as_object() else {
                errors.extend(names.stage(&place, stage).err());
                continue;
            };
            if parameters.is_empty() {
                errors.extend(names.stage(&place, stage).err());
            }
            for (parameter, value) in parameters {
                match names.parameter(&place, stage, parameter) {
                    Ok(()) => drop(self.file_stages.insert((stage, parameter), value)),
                    Err(error) if errors.contains(&error) => {}
                    Err(error) => errors.push(error),
                }
            }
        }
        for (flag, value) in values.get("options").and_then(Value::as_object).into_iter().flatten() {
            match names.flag(&place, flag) {
                Ok(()) => drop(self.file_options.insert(flag, value)),
                Err(error) => errors.push(error),
            }
        }
    }

    /// The strongest value for one parameter, valid by its schema.
    fn value(
        &self,
        descriptor: &Descriptor,
        parameter: &Parameter,
    ) -> Result<Option<(Value, Source)>, Vec<ParameterError>> {
        let key = (descriptor.name.as_str(), parameter.name.as_str());
        let from_text = |text: &str, source: Source| match convert(text, &parameter.schema) {
            Ok(value) => Ok((value, source)),
            Err(wanted) => Err(vec![ParameterError::NotConvertible {
                stage: descriptor.name.clone(),
                parameter: parameter.name.clone(),
                from: source,
                text: text.to_owned(),
                wanted: wanted.into(),
            }]),
        };
        let flag = parameter.flag.as_deref();
        let env = parameter
            .env
            .as_deref()
            .and_then(|name| Some((name, self.env.get(name).filter(|text| !text.is_empty())?)));
        let (value, source) = if let Some(text) = self.sets.get(&key) {
            from_text(text, Source::Set)?
        } else if let Some((flag, text)) = flag.and_then(|flag| Some((flag, self.flags.get(flag)?))) {
            from_text(text, Source::Flag(flag.to_owned()))?
        } else if let Some((name, text)) = env {
            from_text(text, Source::Env(name.to_owned()))?
        } else if let Some(value) = self.file_stages.get(&key) {
            ((*value).clone(), Source::ValuesFile)
        } else if let Some(value) = flag.and_then(|flag| self.file_options.get(flag)) {
            ((*value).clone(), Source::ValuesFile)
        } else if let Some(value) = &parameter.default {
            // Checked when the component was loaded.
            return Ok(Some((value.clone(), Source::Default)));
        } else {
            return Ok(None);
        };
        let schema = Schema::compile(&parameter.schema).map_err(|source| {
            vec![ParameterError::Schema {
                stage: descriptor.name.clone(),
                parameter: parameter.name.clone(),
                source,
            }]
        })?;
        let problems = schema.problems(&value);
        if problems.is_empty() {
            return Ok(Some((value, source)));
        }
        Err(problems
            .into_iter()
            .map(|problem| ParameterError::Invalid {
                stage: descriptor.name.clone(),
                parameter: parameter.name.clone(),
                from: source.clone(),
                problem: if problem.is_empty() {
                    format!("{} is not valid", shown(&value, 80))
                } else {
                    problem
                },
            })
            .collect())
    }
}

fn split_set(set: &str) -> Option<(&str, &str, &str)> {
    let (name, text) = set.split_once('=')?;
    let (stage, parameter) = name.trim().split_once('.')?;
    (!stage.is_empty() && !parameter.is_empty()).then_some((stage, parameter, text))
}

/// The names that exist.
struct Names<'a, 'd> {
    descriptors: &'a [&'d Descriptor],
}

impl<'d> Names<'_, 'd> {
    fn stage(&self, place: &str, stage: &str) -> Result<&'d Descriptor, ParameterError> {
        self.descriptors.iter().copied().find(|descriptor| descriptor.name.as_str() == stage).ok_or_else(
            || {
                let valid: Vec<String> =
                    self.descriptors.iter().map(|descriptor| descriptor.name.to_string()).collect();
                ParameterError::UnknownStage {
                    place: place.into(),
                    stage: stage.to_owned(),
                    nearest: nearest(stage, &valid),
                    valid,
                }
            },
        )
    }

    fn parameter(&self, place: &str, stage: &str, parameter: &str) -> Result<(), ParameterError> {
        let descriptor = self.stage(place, stage)?;
        if descriptor.parameters.iter().any(|known| known.name == parameter) {
            return Ok(());
        }
        let valid: Vec<String> = descriptor.parameters.iter().map(|known| known.name.clone()).collect();
        Err(ParameterError::UnknownParameter {
            place: place.into(),
            stage: descriptor.name.clone(),
            parameter: parameter.to_owned(),
            nearest: nearest(parameter, &valid),
            valid,
        })
    }

    fn flag(&self, place: &str, flag: &str) -> Result<(), ParameterError> {
        let known: BTreeSet<&str> = self
            .descriptors
            .iter()
            .flat_map(|descriptor| &descriptor.parameters)
            .filter_map(|parameter| parameter.flag.as_deref())
            .collect();
        if known.contains(flag) {
            return Ok(());
        }
        let valid: Vec<String> = known.into_iter().map(str::to_owned).collect();
        Err(ParameterError::UnknownFlag {
            place: place.into(),
            flag: flag.to_owned(),
            nearest: nearest(flag, &valid),
            valid,
        })
    }
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
