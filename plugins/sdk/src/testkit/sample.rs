//! A context like the host's, made from a stage's descriptor.

use super::golden::yaml;
use crate::contract::{BoundCredential, BoundKey, BoundVolume, KeyHolder, ObjectRef};
use crate::{Ctx, Descriptor, Error, Excerpt, Plan, Stage};
use serde_json::{Map, Value, json};

/// A stage with a context in which every parameter has its default, every credential its required and optional keys in a
/// Secret of the credential's name and no ConfigMap, and every volume the claim `ilab-VOLUME`.
#[derive(Clone)]
pub struct Sample<'a> {
    stage: &'a dyn Stage,
    descriptor: Descriptor,
    parameters: Map<String, Value>,
    inputs: Map<String, Value>,
    credentials: Vec<BoundCredential>,
    volumes: Vec<BoundVolume>,
}

impl<'a> Sample<'a> {
    /// The sample of a stage. Inputs are not known until [`Sample::input`] names them.
    #[must_use]
    pub fn of(stage: &'a dyn Stage) -> Self {
        let descriptor = stage.descriptor();
        let parameters =
            descriptor.parameters.iter().filter_map(|p| Some((p.name.clone(), p.default.clone()?))).collect();
        let credentials = descriptor
            .credentials
            .iter()
            .map(|credential| BoundCredential {
                name: credential.name.clone(),
                keys: credential
                    .required_keys
                    .iter()
                    .chain(&credential.optional_keys)
                    .map(|key| BoundKey {
                        key: key.clone(),
                        holder: KeyHolder::Secret(credential.name.clone()),
                    })
                    .collect(),
            })
            .collect();
        let volumes = descriptor
            .volumes
            .iter()
            .map(|volume| BoundVolume { name: volume.name.clone(), claim: format!("ilab-{}", volume.name) })
            .collect();
        Self { stage, descriptor, parameters, inputs: Map::new(), credentials, volumes }
    }

    /// Sets a parameter.
    ///
    /// # Panics
    /// When the stage has none of that name.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl Into<Value>) -> Self {
        assert!(self.descriptor.parameters.iter().any(|p| p.name == name), "there is no parameter {name}");
        self.parameters.insert(name.into(), value.into());
        self
    }

    /// Makes an input known.
    ///
    /// # Panics
    /// When the stage does not declare it.
    #[must_use]
    pub fn input(mut self, name: &str, value: impl Into<Value>) -> Self {
        let declared = self.descriptor.inputs.iter().any(|input| input.trim_start_matches('?') == name);
        assert!(declared, "there is no input {name}");
        self.inputs.insert(name.into(), value.into());
        self
    }

    /// Binds a key of a credential to another holder.
    ///
    /// # Panics
    /// When the stage has no such credential.
    #[must_use]
    pub fn bind(mut self, credential: &str, key: &str, holder: KeyHolder) -> Self {
        let keys = self.keys(credential);
        keys.retain(|bound| bound.key != key);
        keys.push(BoundKey { key: key.into(), holder });
        self
    }

    /// Takes a key of a credential away.
    ///
    /// # Panics
    /// When the stage has no such credential.
    #[must_use]
    pub fn unbind(mut self, credential: &str, key: &str) -> Self {
        self.keys(credential).retain(|bound| bound.key != key);
        self
    }

    fn keys(&mut self, credential: &str) -> &mut Vec<BoundKey> {
        let bound = self.credentials.iter_mut().find(|bound| bound.name == credential);
        &mut bound.unwrap_or_else(|| panic!("there is no credential {credential}")).keys
    }

    /// The stage's descriptor.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn prefix(&self) -> String {
        format!("ilab-{}", self.descriptor.name)
    }

    /// The context.
    ///
    /// # Panics
    /// Never, unless JSON objects cannot be written.
    #[must_use]
    pub fn ctx(&self) -> Ctx {
        let json = |map: &Map<String, Value>| Value::Object(map.clone()).to_string();
        Ctx::new(
            ("ilab".into(), "demo".into(), self.prefix()),
            json(&self.parameters),
            &json(&self.inputs),
            self.credentials.clone(),
            self.volumes.clone(),
        )
        .unwrap_or_else(|e| panic!("{e}"))
    }

    /// The context as the host has it.
    #[must_use]
    pub fn context(&self) -> Value {
        json!({
            "run": "ilab",
            "namespace": "demo",
            "prefix": self.prefix(),
            "parameters": self.parameters,
            "inputs": self.inputs,
            "credentials": self.credentials,
            "volumes": self.volumes,
        })
    }

    /// Renders the stage.
    ///
    /// # Errors
    /// What the stage says.
    pub fn try_render(&self) -> Result<Plan, Error> {
        self.stage.render(&self.ctx())
    }

    /// Renders the stage.
    ///
    /// # Panics
    /// When it refuses.
    #[must_use]
    pub fn render(&self) -> Plan {
        self.try_render().unwrap_or_else(|e| panic!("{}: {e}", self.descriptor.name))
    }

    /// The plan's object of this kind.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn object(&self, kind: &str) -> Value {
        self.render()
            .values()
            .into_iter()
            .find(|manifest| manifest["kind"] == kind)
            .unwrap_or_else(|| panic!("the plan has no {kind}"))
    }

    /// The whole plan for a golden file: its objects, then what is waited for and read. The texts of ConfigMaps are
    /// left out, because they are files of their own.
    ///
    /// # Panics
    /// When the stage refuses.
    #[must_use]
    pub fn yaml(&self) -> String {
        let plan = self.render();
        let mut text = String::new();
        for mut manifest in plan.values() {
            if manifest["kind"] == "ConfigMap"
                && let Some(data) = manifest["data"].as_object_mut()
            {
                data.values_mut().for_each(|file| *file = json!("(the file)"));
            }
            text.push_str(&yaml(&manifest));
            text.push_str("---\n");
        }
        text + &yaml(&json!({"targets": plan.targets, "excerpts": plan.excerpts}))
    }

    /// Collects outputs from logs, one for each excerpt that the plan asks for.
    ///
    /// # Errors
    /// What the stage says.
    ///
    /// # Panics
    /// When there are not as many.
    pub fn collect(&self, logs: &[&str]) -> Result<Map<String, Value>, Error> {
        let sources = self.render().excerpts;
        assert_eq!(sources.len(), logs.len(), "the plan reads {} logs", sources.len());
        let excerpts: Vec<Excerpt> = sources
            .into_iter()
            .zip(logs)
            .map(|(source, &text)| Excerpt {
                source: source.object,
                container: source.container,
                text: text.into(),
            })
            .collect();
        self.stage.collect(&self.ctx(), &excerpts)
    }
}

impl Plan {
    /// The manifests as values.
    ///
    /// # Panics
    /// When one is no JSON.
    #[must_use]
    pub fn values(&self) -> Vec<Value> {
        self.manifests
            .iter()
            .map(|manifest| {
                let ObjectRef { kind, name, .. } = &manifest.object;
                serde_json::from_str(&manifest.json).unwrap_or_else(|e| panic!("{kind} {name}: {e}"))
            })
            .collect()
    }

    /// The plan as the host has it.
    ///
    /// # Panics
    /// When a manifest is no JSON.
    #[must_use]
    pub fn to_value(&self) -> Value {
        json!({"manifests": self.values(), "targets": self.targets, "excerpts": self.excerpts})
    }
}
