//! Builders for what a stage declares about itself.

use crate::contract::{Credential, Descriptor, Kind, Output, Parameter, Selector, Volume};
use serde_json::{Value, json};

impl Descriptor {
    /// A descriptor with the stage's name, its group (the subcommand of `run`) and one line for people.
    ///
    /// ```
    /// use ilab_stage_sdk::{Descriptor, Output, Parameter, k8s::batch::v1::Job};
    /// let descriptor = Descriptor::new("hello", "demo", "Says hello")
    ///     .parameter(Parameter::string("name", "Whom to greet").default("world").flag("hello-name"))
    ///     .output(Output::string("greeting", "What was said", "hello world"))
    ///     .creates::<Job>();
    /// assert_eq!(descriptor.creates[0].kind, "Job");
    /// ```
    pub fn new(name: &str, group: &str, summary: &str) -> Self {
        Self {
            name: name.into(),
            summary: summary.into(),
            group: group.into(),
            selected_by: None,
            after: Vec::new(),
            parameters: Vec::new(),
            credentials: Vec::new(),
            volumes: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            creates: Vec::new(),
            licence: None,
            homepage: None,
        }
    }

    /// `run GROUP --flag value` runs only this stage of its group.
    #[must_use]
    pub fn selected_by(mut self, flag: &str, value: &str) -> Self {
        self.selected_by = Some(Selector { flag: flag.into(), value: value.into() });
        self
    }

    /// A stage that must have succeeded before; `?name`: only where the pipeline has it.
    #[must_use]
    pub fn after(mut self, stage: &str) -> Self {
        self.after.push(stage.into());
        self
    }

    /// Adds a setting.
    #[must_use]
    pub fn parameter(mut self, parameter: Parameter) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// Adds settings that several stages share.
    #[must_use]
    pub fn parameters(mut self, parameters: impl IntoIterator<Item = Parameter>) -> Self {
        self.parameters.extend(parameters);
        self
    }

    /// Adds access data that the stage's pods need.
    #[must_use]
    pub fn credential(mut self, credential: Credential) -> Self {
        self.credentials.push(credential);
        self
    }

    /// Adds a claim by its logical name, with the size to ask for.
    #[must_use]
    pub fn volume(mut self, name: &str, size: &str) -> Self {
        self.volumes.push(Volume { name: name.into(), size: size.into(), read_only: false });
        self
    }

    /// Adds an output of another stage that this one reads, as `stage.output`; `?stage.output` where it can do
    /// without.
    #[must_use]
    pub fn input(mut self, input: &str) -> Self {
        self.inputs.push(input.into());
        self
    }

    /// Adds a value that the stage hands on.
    #[must_use]
    pub fn output(mut self, output: Output) -> Self {
        self.outputs.push(output);
        self
    }

    /// Adds a kind that the stage may create. The host refuses what is not declared.
    #[must_use]
    pub fn creates<K: k8s_openapi::Resource>(mut self) -> Self {
        self.creates.push(Kind { api_version: K::API_VERSION.into(), kind: K::KIND.into() });
        self
    }

    /// The licence, as an SPDX expression.
    #[must_use]
    pub fn licence(mut self, spdx: &str) -> Self {
        self.licence = Some(spdx.into());
        self
    }

    /// Where source and documentation are.
    #[must_use]
    pub fn homepage(mut self, url: &str) -> Self {
        self.homepage = Some(url.into());
        self
    }
}

impl Parameter {
    /// A setting with a JSON Schema of one's own. Without [`Parameter::default`] the user must give it.
    pub fn new(name: &str, help: &str, schema: Value) -> Self {
        Self { name: name.into(), help: help.into(), schema, default: None, flag: None, env: None }
    }

    /// A whole number.
    pub fn integer(name: &str, help: &str) -> Self {
        Self::new(name, help, json!({"type": "integer"}))
    }

    /// A number.
    pub fn number(name: &str, help: &str) -> Self {
        Self::new(name, help, json!({"type": "number"}))
    }

    /// True or false.
    pub fn boolean(name: &str, help: &str) -> Self {
        Self::new(name, help, json!({"type": "boolean"}))
    }

    /// Text. Give it a [`Parameter::pattern`] when it ends up in a command line.
    pub fn string(name: &str, help: &str) -> Self {
        Self::new(name, help, json!({"type": "string", "maxLength": 1024}))
    }

    /// One of several words.
    pub fn choice(name: &str, help: &str, words: &[&str]) -> Self {
        Self::new(name, help, json!({"type": "string", "enum": words}))
    }

    /// A list of texts.
    pub fn strings(name: &str, help: &str) -> Self {
        Self::new(
            name,
            help,
            json!({"type": "array", "items": {"type": "string", "maxLength": 1024}, "maxItems": 100}),
        )
    }

    /// An absolute path in a pod: no blanks, quotes, commas, `=`, `$` or `..`, which some program on the way would
    /// take for something else.
    pub fn path(name: &str, help: &str) -> Self {
        Self::string(name, help).pattern("^(/[A-Za-z0-9_+@%-][A-Za-z0-9._+@%-]*)+$")
    }

    /// A Kubernetes quantity such as `500m` or `16Gi`; empty for none.
    pub fn quantity(name: &str, help: &str) -> Self {
        Self::string(name, help).pattern("^([0-9]{1,9}(\\.[0-9]{1,9})?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?)?$")
    }

    /// A container image reference.
    pub fn image(name: &str, help: &str) -> Self {
        Self::string(name, help).pattern("^[A-Za-z0-9][A-Za-z0-9._/:@-]{0,511}$")
    }

    fn keyword(mut self, word: &str, value: Value) -> Self {
        if let Value::Object(schema) = &mut self.schema {
            schema.insert(word.into(), value);
        }
        self
    }

    /// The least value.
    #[must_use]
    pub fn minimum(self, value: i64) -> Self {
        self.keyword("minimum", value.into())
    }

    /// The greatest value.
    #[must_use]
    pub fn maximum(self, value: i64) -> Self {
        self.keyword("maximum", value.into())
    }

    /// The value must be greater than this.
    #[must_use]
    pub fn above(self, value: i64) -> Self {
        self.keyword("exclusiveMinimum", value.into())
    }

    /// A regular expression that the text matches (ECMA 262; anchor it with `^` and `$`).
    #[must_use]
    pub fn pattern(self, pattern: &str) -> Self {
        self.keyword("pattern", pattern.into())
    }

    /// Allows the empty text besides what the pattern allows.
    #[must_use]
    pub fn or_empty(self) -> Self {
        let pattern = self.schema.get("pattern").and_then(Value::as_str).map(|p| {
            let inner = p.strip_prefix('^').and_then(|p| p.strip_suffix('$')).unwrap_or(p);
            format!("^({inner})?$")
        });
        match pattern {
            Some(pattern) => self.pattern(&pattern),
            None => self,
        }
    }

    /// The value when nobody gives one.
    #[must_use]
    pub fn default(mut self, value: impl Into<Value>) -> Self {
        self.default = Some(value.into());
        self
    }

    /// The flag of `run` that sets it, without dashes, besides `--set stage.name=value`.
    #[must_use]
    pub fn flag(mut self, flag: &str) -> Self {
        self.flag = Some(flag.into());
        self
    }

    /// The environment variable that sets it when no flag does.
    #[must_use]
    pub fn env(mut self, variable: &str) -> Self {
        self.env = Some(variable.into());
        self
    }
}

impl Output {
    /// A value with a JSON Schema of one's own and a sample for dry runs.
    pub fn new(name: &str, help: &str, schema: Value, sample: impl Into<Value>) -> Self {
        Self { name: name.into(), help: help.into(), schema, sample: sample.into(), sample_parameter: None }
    }

    /// In a dry run the value of this parameter stands in, unless it is an empty text.
    #[must_use]
    pub fn sample_from(mut self, parameter: &str) -> Self {
        self.sample_parameter = Some(parameter.into());
        self
    }

    /// Text.
    pub fn string(name: &str, help: &str, sample: &str) -> Self {
        Self::new(name, help, json!({"type": "string", "minLength": 1, "maxLength": 4096}), sample)
    }

    /// A whole number of at least 0.
    pub fn count(name: &str, help: &str, sample: u64) -> Self {
        Self::new(name, help, json!({"type": "integer", "minimum": 0}), sample)
    }

    /// A number, or null where it was not measured.
    pub fn optional_number(name: &str, help: &str, sample: f64) -> Self {
        Self::new(name, help, json!({"type": ["number", "null"]}), sample)
    }
}

impl Credential {
    /// A credential that must have these keys.
    pub fn new(name: &str, required: &[&str]) -> Self {
        let required_keys = required.iter().map(|&key| key.into()).collect();
        Self { name: name.into(), required_keys, optional_keys: Vec::new(), config_map_keys: Vec::new() }
    }

    /// Keys that are used when they are there.
    #[must_use]
    pub fn optional(mut self, keys: &[&str]) -> Self {
        self.optional_keys.extend(keys.iter().map(|&key| String::from(key)));
        self
    }

    /// Optional keys whose value is the name of a ConfigMap: the stage is bound to that ConfigMap.
    #[must_use]
    pub fn config_maps(mut self, keys: &[&str]) -> Self {
        self.config_map_keys.extend(keys.iter().map(|&key| String::from(key)));
        self
    }
}
