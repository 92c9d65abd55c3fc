//! The contract's words (`wit/stage.wit`) as plain Rust types.
//!
//! The SDK converts them to and from the component's ABI, so that a stage is ordinary Rust that runs, and is
//! tested, on any machine. They serialise to the JSON that the host's tools print and read.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One setting that a stage understands. Built with [`Parameter::integer`] and its siblings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Parameter {
    /// Kebab-case, unique within the stage.
    pub name: String,
    /// One line for people; shown in `run --help`.
    pub help: String,
    /// A JSON Schema fragment.
    pub schema: Value,
    /// The value when nobody gives one; none means that the user must give it.
    pub default: Option<Value>,
    /// The flag of `run` that sets it, without dashes.
    pub flag: Option<String>,
    /// The environment variable that sets it.
    pub env: Option<String>,
}

/// Access data that the host holds. The stage learns which keys there are, never a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Credential {
    /// Logical name, for example `object-store`.
    pub name: String,
    /// Keys without which the stage cannot run.
    pub required_keys: Vec<String>,
    /// Keys that it uses when they are there.
    pub optional_keys: Vec<String>,
    /// Optional keys whose value is the name of a ConfigMap, which the stage is bound to instead.
    pub config_map_keys: Vec<String>,
}

/// A claim that the host provides and shares between stages by its logical name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Volume {
    /// Logical name, for example `data`.
    pub name: String,
    /// A Kubernetes quantity, for example `200Gi`.
    pub size: String,
    /// Whether this stage only reads it.
    pub read_only: bool,
}

/// A value that a stage hands to later stages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Output {
    /// Kebab-case, unique within the stage. Others read it as `stage.output`.
    pub name: String,
    /// One line for people.
    pub help: String,
    /// A JSON Schema fragment that the value satisfies.
    pub schema: Value,
    /// Stands in for the value while nothing has run yet.
    pub sample: Value,
    /// The parameter whose value stands in instead, unless it is an empty text.
    pub sample_parameter: Option<String>,
}

/// A kind of Kubernetes object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Kind {
    /// For example `batch/v1`.
    pub api_version: String,
    /// For example `Job`.
    pub kind: String,
}

/// How `run GROUP --FLAG VALUE` picks a stage out of its group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Selector {
    /// The flag, without dashes.
    pub flag: String,
    /// The value that picks the stage.
    pub value: String,
}

/// What a stage is and asks for. Constant: it may not depend on anything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Descriptor {
    /// Kebab-case, at most 40 characters, unique in a pipeline.
    pub name: String,
    /// One line for people.
    pub summary: String,
    /// The subcommand of `run` that it belongs to.
    pub group: String,
    /// How it is picked out of its group.
    pub selected_by: Option<Selector>,
    /// Stages that must have succeeded before; `?name`: only where the pipeline has it.
    pub after: Vec<String>,
    /// Its settings.
    pub parameters: Vec<Parameter>,
    /// Access data that it needs.
    pub credentials: Vec<Credential>,
    /// Claims that it mounts.
    pub volumes: Vec<Volume>,
    /// Outputs that it reads, as `stage.output`; `?stage.output` where it can do without.
    pub inputs: Vec<String>,
    /// Values that it hands on.
    pub outputs: Vec<Output>,
    /// Everything it may ever create. The host refuses the rest.
    pub creates: Vec<Kind>,
    /// SPDX expression.
    pub licence: Option<String>,
    /// Where its source and documentation are.
    pub homepage: Option<String>,
}

/// The object that holds a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyHolder {
    /// The name of a Secret.
    Secret(String),
    /// The name of a ConfigMap.
    ConfigMap(String),
}

/// One key of a credential, and where it is to be read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BoundKey {
    /// The key's name in its holder.
    pub key: String,
    /// What holds it.
    pub holder: KeyHolder,
}

/// A credential with the keys that are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BoundCredential {
    /// The credential's logical name.
    pub name: String,
    /// The keys that are there. A key that was only declared optional may be missing.
    pub keys: Vec<BoundKey>,
}

/// A volume with the claim that stands for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BoundVolume {
    /// The volume's logical name.
    pub name: String,
    /// The PersistentVolumeClaim.
    pub claim: String,
}

/// Points at one object of the run's namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ObjectRef {
    /// For example `batch/v1`.
    pub api_version: String,
    /// For example `Job`.
    pub kind: String,
    /// `metadata.name`.
    pub name: String,
}

/// How the host knows that an object is done. See [`crate::targets`] for the usual ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Target {
    /// The object to wait for.
    pub object: ObjectRef,
    /// CEL over `object`: it succeeded.
    pub succeeded: String,
    /// CEL over `object`: it failed. Asked first.
    pub failed: String,
    /// CEL over `object`, a string for people: why it failed, or what it waits for.
    pub reason: Option<String>,
    /// How long it may take, in seconds from its creation; none: as long as it takes.
    pub timeout_seconds: Option<u64>,
}

/// Text that the host gathers for `collect` when all targets have succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ExcerptSource {
    /// A Job, a PyTorchJob or a Pod; of several pods, the first that has succeeded (for a PyTorchJob, its master).
    pub object: ObjectRef,
    /// The container.
    pub container: String,
    /// The last this many bytes at most. The host caps it at 1 MiB.
    pub max_bytes: u32,
}

/// Text of one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Excerpt {
    /// The object it came from.
    pub source: ObjectRef,
    /// The container.
    pub container: String,
    /// What it printed, the end of it.
    pub text: String,
}

/// What a stage says is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A parameter's value that its schema could not rule out.
    #[error("parameter {name}: {message}")]
    InvalidParameter {
        /// The parameter.
        name: String,
        /// What is wrong with it, as a fragment.
        message: String,
    },
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// A parameter's value that cannot work.
    pub fn parameter(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self::InvalidParameter { name: name.into(), message: message.into() }
    }

    /// Anything else that is wrong, as a lower-case fragment.
    pub fn other(message: impl Into<String>) -> Self {
        Self::Other(message.into())
    }
}
