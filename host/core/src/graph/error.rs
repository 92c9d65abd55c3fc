//! What can be wrong with a set of stages, or with what was selected of them.

use crate::descriptor::DescriptorError;
use crate::names::{PluginDigest, StageName};
use crate::nearest::hint;
use crate::text::{escaped, quoted};

/// Why stages make no pipeline, or a selection selects nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// There is no stage at all.
    #[error("no component offers a stage")]
    Empty,
    /// A descriptor is not valid.
    #[error("{}: {}", escaped(.file, 200), .errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Descriptor {
        /// The component's file.
        file: String,
        /// The component.
        digest: PluginDigest,
        /// What is wrong.
        errors: Vec<DescriptorError>,
    },
    /// Two components, or one twice, offer a stage of the same name.
    #[error("stage {stage} is offered twice: by {} and by {}", escaped(.first, 200), escaped(.second, 200))]
    Duplicate {
        /// The stage.
        stage: StageName,
        /// The file that offers it.
        first: String,
        /// The other file.
        second: String,
    },
    /// A stage follows one that is not there.
    #[error("{}: stage {stage} follows {}, which no component offers{}", escaped(.file, 200), quoted(.after, 60), hint(.nearest.as_deref(), .valid))]
    UnknownAfter {
        /// The stage.
        stage: StageName,
        /// Its file.
        file: String,
        /// The stage that is not there.
        after: String,
        /// The stage whose name is nearest.
        nearest: Option<String>,
        /// All stages.
        valid: Vec<String>,
    },
    /// Stages follow one another in a circle.
    #[error("stages wait for each other: {}", circle(.path))]
    Cycle {
        /// The circle, each stage with its file; each follows the one after it, and the last follows the first.
        path: Vec<(StageName, String)>,
    },
    /// A stage reads an output that nobody has.
    #[error("{}: stage {stage} reads {}, which no stage hands on{}", escaped(.file, 200), quoted(.input, 80), hint(.nearest.as_deref(), .valid))]
    UnknownInput {
        /// The stage.
        stage: StageName,
        /// Its file.
        file: String,
        /// The input, as `stage.output`.
        input: String,
        /// The output whose name is nearest.
        nearest: Option<String>,
        /// All outputs.
        valid: Vec<String>,
    },
    /// A stage reads an output of a stage that it does not follow, so it might not be there yet.
    #[error("{}: stage {stage} reads {input} but does not follow {producer}: name {producer} in `after`", escaped(.file, 200))]
    InputNotAfter {
        /// The stage.
        stage: StageName,
        /// Its file.
        file: String,
        /// The input, as `stage.output`.
        input: String,
        /// The stage that hands it on.
        producer: StageName,
    },
    /// Stages name the same flag but do not agree on its schema.
    #[error("--{flag} means different things: {} and {} give it different schemas", .first, .second)]
    FlagSchemas {
        /// The flag without dashes.
        flag: String,
        /// One parameter, as `stage.parameter`.
        first: String,
        /// The other.
        second: String,
    },
    /// A flag sets parameters and also selects stages.
    #[error("--{flag} sets {parameter} and selects stage {stage}: it can only do one")]
    FlagSelects {
        /// The flag without dashes.
        flag: String,
        /// The parameter, as `stage.parameter`.
        parameter: String,
        /// The stage that it selects.
        stage: StageName,
    },
    /// A flag selects stages of two groups.
    #[error("--{flag} selects stages of the groups {first} and {second}: it can only be of one")]
    SelectorGroups {
        /// The flag without dashes.
        flag: String,
        /// One group.
        first: String,
        /// The other.
        second: String,
    },
    /// No stage belongs to this group.
    #[error("no stage belongs to {}{}", quoted(.group, 60), hint(.nearest.as_deref(), .valid))]
    UnknownGroup {
        /// The group as given.
        group: String,
        /// The group whose name is nearest.
        nearest: Option<String>,
        /// All groups.
        valid: Vec<String>,
    },
    /// The flag selects nothing in this group.
    #[error("--{} does not select stages of {group}{}", escaped(.flag, 60), hint(None, .valid))]
    UnknownSelector {
        /// The flag as given.
        flag: String,
        /// The group, or `a whole run`.
        group: String,
        /// The flags that do, with the group each is for.
        valid: Vec<String>,
    },
    /// No stage of the group is selected by this value.
    #[error("--{flag} {}: no such stage in {group}{}", escaped(.value, 60), hint(.nearest.as_deref(), .valid))]
    UnknownValue {
        /// The flag.
        flag: String,
        /// The value as given.
        value: String,
        /// The group.
        group: String,
        /// The value that is nearest.
        nearest: Option<String>,
        /// All values.
        valid: Vec<String>,
    },
}

fn circle(path: &[(StageName, String)]) -> String {
    let mut parts: Vec<String> =
        path.iter().map(|(stage, file)| format!("{stage} ({})", escaped(file, 200))).collect();
    parts.extend(path.first().map(|(stage, _)| stage.to_string()));
    parts.join(" follows ")
}
