//! The contract's words (`wit/stage.wit`) as Rust types that serialise to JSON.
//!
//! The wasm host converts its generated bindings to these, so that nothing but `host/wasm` knows wasm. JSON texts of
//! the contract are parsed values here: a component that sends text that is no JSON is refused at the boundary.

use crate::names::{GroupName, StageName};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One setting that a stage understands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Parameter {
    /// Kebab-case, unique within the stage.
    pub name: String,
    /// One line for people.
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

/// Access data that the host holds.
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
    #[serde(default)]
    pub config_map_keys: Vec<String>,
}

impl Credential {
    /// Every key, the required ones first.
    pub fn keys(&self) -> impl Iterator<Item = &String> {
        self.required_keys.iter().chain(&self.optional_keys).chain(&self.config_map_keys)
    }
}

/// A claim that the host provides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Volume {
    /// Logical name, for example `data`.
    pub name: String,
    /// A Kubernetes quantity.
    pub size: String,
    /// Whether this stage only reads it.
    pub read_only: bool,
}

/// A value that a stage hands to later stages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Output {
    /// Kebab-case, unique within the stage.
    pub name: String,
    /// One line for people.
    pub help: String,
    /// A JSON Schema fragment that the value satisfies.
    pub schema: Value,
    /// Stands in for the value while nothing has run.
    pub sample: Value,
    /// The parameter whose value stands in instead, unless it is an empty text.
    #[serde(default)]
    pub sample_parameter: Option<String>,
}

/// A kind of Kubernetes object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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

/// What a stage is and asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Descriptor {
    /// Unique in a pipeline.
    pub name: StageName,
    /// One line for people.
    pub summary: String,
    /// The subcommand of `run` that it belongs to.
    pub group: GroupName,
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
    /// Everything it may ever create.
    pub creates: Vec<Kind>,
    /// SPDX expression.
    pub licence: Option<String>,
    /// Where its source is.
    pub homepage: Option<String>,
}

/// The object that holds a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyHolder {
    /// The name of a Secret.
    Secret(String),
    /// The name of a ConfigMap.
    ConfigMap(String),
}

/// One key of a credential and where it is.
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
    /// The keys that are there.
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

/// What a stage is rendered for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Context {
    /// The run's name.
    pub run: String,
    /// The one namespace for its objects.
    pub namespace: String,
    /// Every object's name is this or begins with this and a dash.
    pub prefix: String,
    /// Every parameter with its value.
    pub parameters: Map<String, Value>,
    /// `stage.output` to value.
    pub inputs: Map<String, Value>,
    /// Bound credentials.
    pub credentials: Vec<BoundCredential>,
    /// Bound volumes.
    pub volumes: Vec<BoundVolume>,
}

/// Points at one object of the run's namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ObjectRef {
    /// For example `batch/v1`.
    pub api_version: String,
    /// For example `Job`.
    pub kind: String,
    /// `metadata.name`.
    pub name: String,
}

impl ObjectRef {
    /// The reference of a manifest; none when it lacks apiVersion, kind or name.
    ///
    /// ```
    /// use ilab_core::contract::ObjectRef;
    /// let job = serde_json::json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}});
    /// assert_eq!(ObjectRef::of(&job).unwrap().to_string(), "Job/x");
    /// ```
    #[must_use]
    pub fn of(manifest: &Value) -> Option<Self> {
        Some(Self {
            api_version: manifest.get("apiVersion")?.as_str()?.to_owned(),
            kind: manifest.get("kind")?.as_str()?.to_owned(),
            name: manifest.pointer("/metadata/name")?.as_str()?.to_owned(),
        })
    }
}

impl std::fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// How the host knows that an object is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Target {
    /// The object to wait for.
    pub object: ObjectRef,
    /// CEL: it succeeded.
    pub succeeded: String,
    /// CEL: it failed. Asked first.
    pub failed: String,
    /// CEL, a string for people.
    pub reason: Option<String>,
    /// How long it may take, in seconds from its creation; none: as long as it takes.
    pub timeout_seconds: Option<u64>,
}

/// Text that the host gathers for `collect`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ExcerptSource {
    /// A Job, a PyTorchJob or a Pod.
    pub object: ObjectRef,
    /// The container.
    pub container: String,
    /// The last this many bytes at most.
    pub max_bytes: u32,
}

/// What a stage wants done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Plan {
    /// Complete Kubernetes objects, in the order they are applied.
    pub manifests: Vec<Value>,
    /// What to wait for.
    pub targets: Vec<Target>,
    /// What to read afterwards.
    pub excerpts: Vec<ExcerptSource>,
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

/// What a stage itself says is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum StageError {
    /// A parameter's value that its schema could not rule out.
    #[error("parameter {name}: {message}")]
    InvalidParameter {
        /// The parameter.
        name: String,
        /// What is wrong with it.
        message: String,
    },
    /// Anything else.
    #[error("{message}")]
    Other {
        /// What is wrong.
        message: String,
    },
}
