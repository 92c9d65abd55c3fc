//! What a stage is rendered for.

use crate::contract::{BoundCredential, BoundVolume, Error, KeyHolder};
use k8s_openapi::api::core::v1::{ConfigMapKeySelector, EnvVar, EnvVarSource, SecretKeySelector};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The run, the parameters, the inputs and the bound credentials and claims that a stage is rendered for.
#[derive(Debug, Clone)]
pub struct Ctx {
    run: String,
    namespace: String,
    prefix: String,
    // Text, because each stage reads it straight into a struct of its own.
    parameters: String,
    inputs: Map<String, Value>,
    credentials: Vec<BoundCredential>,
    volumes: Vec<BoundVolume>,
}

impl Ctx {
    /// A context; `parameters` and `inputs` are the JSON texts of the contract.
    ///
    /// # Errors
    /// When `inputs` is no JSON object.
    pub fn new(
        (run, namespace, prefix): (String, String, String),
        parameters: String,
        inputs: &str,
        credentials: Vec<BoundCredential>,
        volumes: Vec<BoundVolume>,
    ) -> Result<Self, Error> {
        let inputs = serde_json::from_str(inputs)
            .map_err(|e| Error::other(format!("the inputs are no JSON object: {e}")))?;
        Ok(Self { run, namespace, prefix, parameters, inputs, credentials, volumes })
    }

    /// The run's name.
    #[must_use]
    pub fn run(&self) -> &str {
        &self.run
    }

    /// The one namespace that the stage may create objects in. Manifests need not name it: the host puts them there.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name for the stage's main object: the prefix itself.
    #[must_use]
    pub fn name(&self) -> String {
        self.prefix.clone()
    }

    /// The name for a further object: the prefix, a dash and `suffix`.
    #[must_use]
    pub fn name_with(&self, suffix: &str) -> String {
        format!("{}-{suffix}", self.prefix)
    }

    /// The parameters as a struct of the stage's own (`#[serde(rename_all = "kebab-case")]`). Several structs may
    /// each take their part.
    ///
    /// # Errors
    /// When a field has no parameter or the types disagree: a defect of the stage, because the host has validated
    /// the parameters by their schemas.
    pub fn parameters<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_str(&self.parameters)
            .map_err(|e| Error::other(format!("the parameters do not fit: {e}")))
    }

    /// An output of another stage, as `stage.output`; none when it is not known.
    #[must_use]
    pub fn input(&self, name: &str) -> Option<&Value> {
        self.inputs.get(name)
    }

    /// An input that is the absolute path of a file or folder below `root`.
    ///
    /// It came from another stage's log, so it is checked like any foreign text.
    ///
    /// # Errors
    /// When it is there but is no such path.
    pub fn path_input(&self, name: &str, root: &str) -> Result<Option<&str>, Error> {
        let Some(value) = self.input(name) else { return Ok(None) };
        let path = value.as_str().ok_or_else(|| Error::other(format!("input {name} is no text")))?;
        match path_problem(path, root) {
            None => Ok(Some(path)),
            Some(problem) => Err(Error::other(format!("input {name} ({path:?}) {problem}"))),
        }
    }

    /// An input without which the stage cannot do, as a path below `root`.
    ///
    /// # Errors
    /// When it is missing or no such path.
    pub fn required_path_input(&self, name: &str, root: &str) -> Result<&str, Error> {
        self.path_input(name, root)?.ok_or_else(|| {
            let stage = name.split('.').next().unwrap_or(name);
            Error::other(format!("input {name} is not known: run {stage} first"))
        })
    }

    /// The claim that stands for a declared volume.
    ///
    /// # Errors
    /// When the host bound none.
    pub fn claim(&self, volume: &str) -> Result<&str, Error> {
        self.volumes
            .iter()
            .find(|bound| bound.name == volume)
            .map(|bound| bound.claim.as_str())
            .ok_or_else(|| Error::other(format!("volume {volume} is not bound to a claim")))
    }

    /// A declared credential; none when the host bound none.
    #[must_use]
    pub fn credential(&self, name: &str) -> Option<&BoundCredential> {
        self.credentials.iter().find(|bound| bound.name == name)
    }

    /// Environment variables that read keys of a credential: `(variable, key, required)` each. Optional keys that are
    /// not bound are left out.
    ///
    /// # Errors
    /// When the credential or a required key is not bound.
    pub fn credential_env(&self, name: &str, keys: &[(&str, &str, bool)]) -> Result<Vec<EnvVar>, Error> {
        let bound =
            self.credential(name).ok_or_else(|| Error::other(format!("credential {name} is not bound")))?;
        let mut variables = Vec::with_capacity(keys.len());
        for &(variable, key, required) in keys {
            match bound.env(variable, key) {
                Some(found) => variables.push(found),
                None if required => {
                    return Err(Error::other(format!("credential {name} has no key {key}")));
                }
                None => {}
            }
        }
        Ok(variables)
    }
}

impl BoundCredential {
    /// What holds a key; none when it is not bound.
    #[must_use]
    pub fn holder(&self, key: &str) -> Option<&KeyHolder> {
        self.keys.iter().find(|bound| bound.key == key).map(|bound| &bound.holder)
    }

    /// An environment variable that reads a key from whatever holds it; none when it is not bound.
    #[must_use]
    pub fn env(&self, variable: &str, key: &str) -> Option<EnvVar> {
        let source = match self.holder(key)? {
            KeyHolder::Secret(name) => EnvVarSource {
                secret_key_ref: Some(SecretKeySelector {
                    name: name.clone(),
                    key: key.into(),
                    optional: None,
                }),
                ..EnvVarSource::default()
            },
            KeyHolder::ConfigMap(name) => EnvVarSource {
                config_map_key_ref: Some(ConfigMapKeySelector {
                    name: name.clone(),
                    key: key.into(),
                    optional: None,
                }),
                ..EnvVarSource::default()
            },
        };
        Some(EnvVar { name: variable.into(), value: None, value_from: Some(source) })
    }
}

/// What is wrong with a path, as a fragment that follows it; none when it is a plain absolute path below `root`.
///
/// Plain: no blanks, quotes, `$`, `,`, `=` or hidden segments, because some program on the way would take them for
/// something else.
///
/// ```
/// use ilab_stage_sdk::path_problem;
/// assert_eq!(path_problem("/data/model", "/data"), None);
/// assert!(path_problem("/data/../etc", "/data").is_some());
/// assert!(path_problem("/database", "/data").is_some());
/// ```
#[must_use]
pub fn path_problem(path: &str, root: &str) -> Option<String> {
    let Some(rest) = path.strip_prefix(root).and_then(|rest| rest.strip_prefix('/')) else {
        return Some(format!("is not below {root}"));
    };
    if path.len() > 1024 {
        return Some("is longer than 1024 bytes".into());
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "._+@%-".contains(c);
    if rest
        .split('/')
        .any(|segment| segment.is_empty() || segment.starts_with('.') || !segment.chars().all(plain))
    {
        return Some(
            "is not a plain path: use letters, digits and . _ + @ % - and no hidden or empty segment".into(),
        );
    }
    None
}
