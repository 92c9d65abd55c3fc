//! What can be wrong with what the user gave.

use super::Source;
use crate::names::StageName;
use crate::nearest::hint;
use crate::text::{escaped, quoted};

/// Something that the user gave, or did not give, and that stops a run before it begins.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// The values file is no YAML, too long, or of another shape than documented.
    #[error("values file: {problem}")]
    ValuesFile {
        /// What is wrong with it.
        problem: String,
    },
    /// A key of the values file that does not exist.
    #[error("values file {}: unknown key {}{}", escaped(.file, 200), quoted(.key, 80), hint(.nearest.as_deref(), .valid))]
    UnknownKey {
        /// The file's name, for messages.
        file: String,
        /// The key as written.
        key: String,
        /// The valid key that is nearest.
        nearest: Option<String>,
        /// All valid keys.
        valid: Vec<String>,
    },
    /// No stage has this name.
    #[error("{place}: no stage is named {}{}", quoted(.stage, 80), hint(.nearest.as_deref(), .valid))]
    UnknownStage {
        /// Where it was named, for example `--set` or `values file x.yaml`.
        place: Box<str>,
        /// The name as given.
        stage: String,
        /// The stage whose name is nearest.
        nearest: Option<String>,
        /// All stages.
        valid: Vec<String>,
    },
    /// The stage has no such parameter.
    #[error("{place}: stage {stage} has no parameter {}{}", quoted(.parameter, 80), hint(.nearest.as_deref(), .valid))]
    UnknownParameter {
        /// Where it was named.
        place: Box<str>,
        /// The stage.
        stage: StageName,
        /// The name as given.
        parameter: String,
        /// The parameter whose name is nearest.
        nearest: Option<String>,
        /// All parameters of the stage.
        valid: Vec<String>,
    },
    /// No stage answers to this flag.
    #[error("{place}: no stage has an option {}{}", quoted(.flag, 80), hint(.nearest.as_deref(), .valid))]
    UnknownFlag {
        /// Where it was named.
        place: Box<str>,
        /// The flag without dashes.
        flag: String,
        /// The flag that is nearest.
        nearest: Option<String>,
        /// All flags.
        valid: Vec<String>,
    },
    /// `--set` without a stage, a dot, a name or an equals sign.
    #[error("--set {}: write it as --set stage.parameter=value", quoted(.text, 80))]
    MalformedSet {
        /// What was given.
        text: String,
    },
    /// Text that cannot be read as what the parameter is.
    #[error("{stage}.{parameter}: {} (from {from}) is not {wanted}", quoted(.text, 80))]
    NotConvertible {
        /// The stage.
        stage: StageName,
        /// The parameter.
        parameter: String,
        /// Where the text came from.
        from: Source,
        /// The text.
        text: String,
        /// What was wanted, for example `an integer`.
        wanted: Box<str>,
    },
    /// A value that the parameter's schema refuses.
    #[error("{stage}.{parameter} (from {from}): {problem}")]
    Invalid {
        /// The stage.
        stage: StageName,
        /// The parameter.
        parameter: String,
        /// Where the value came from.
        from: Source,
        /// What the schema says.
        problem: String,
    },
    /// Nobody gave a value and there is no default.
    #[error("{stage}.{parameter} is required ({}): give {}", escaped(.help, 120), ways(.stage, .parameter, .flag.as_deref(), .env.as_deref()))]
    Missing {
        /// The stage.
        stage: StageName,
        /// The parameter.
        parameter: String,
        /// What it is for.
        help: Box<str>,
        /// The flag that sets it.
        flag: Option<String>,
        /// The environment variable that sets it.
        env: Option<String>,
    },
    /// The descriptor's own schema is unusable; [`validate_descriptor`](super::validate_descriptor) tells this earlier.
    #[error("{stage}.{parameter}: {source}")]
    Schema {
        /// The stage.
        stage: StageName,
        /// The parameter.
        parameter: String,
        /// What is wrong with the schema.
        source: crate::schema::SchemaError,
    },
}

fn ways(stage: &StageName, parameter: &str, flag: Option<&str>, env: Option<&str>) -> String {
    let mut ways = Vec::new();
    ways.extend(flag.map(|flag| format!("--{flag} VALUE")));
    ways.extend(env.map(|env| format!("the environment variable {env}")));
    ways.push(format!("--set {stage}.{parameter}=VALUE"));
    ways.join(" or ")
}
