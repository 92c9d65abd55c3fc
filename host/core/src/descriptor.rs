//! Descriptors come from guests: every word is checked and everything is bounded before it is used.

use crate::contract::{Descriptor, Kind, Parameter};
use crate::names::{StageName, is_kebab};
use crate::quantity;
use crate::schema::Schema;
use crate::text::{escaped, is_plain_line, quoted};
use std::collections::BTreeSet;

/// The most parameters of a stage.
pub const MAX_PARAMETERS: usize = 100;
/// The most entries of each other list of a descriptor.
pub const MAX_ENTRIES: usize = 50;
/// The longest summary or help, in characters.
pub const MAX_LINE: usize = 500;
/// The longest default or sample, in bytes of JSON.
pub const MAX_VALUE_BYTES: usize = 64 * 1024;

/// One thing that is wrong with a descriptor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stage {stage}: {path}: {problem}")]
pub struct DescriptorError {
    /// The stage.
    pub stage: StageName,
    /// Where in the descriptor, for example `parameters[epochs].default`.
    pub path: String,
    /// What is wrong there.
    pub problem: String,
}

/// Checks everything about a descriptor that does not need other stages: names, bounds, schemas, defaults, samples.
///
/// Returns all errors; none means that it is valid.
#[must_use]
pub fn validate_descriptor(descriptor: &Descriptor) -> Vec<DescriptorError> {
    let mut check = Check { stage: &descriptor.name, errors: Vec::new() };
    if check.counts(descriptor) {
        check.head(descriptor);
        check.parameters(&descriptor.parameters);
        check.holdings(descriptor);
        check.dependencies(descriptor);
        check.outputs(descriptor);
        check.kinds(&descriptor.creates);
    }
    check.errors
}

struct Check<'a> {
    stage: &'a StageName,
    errors: Vec<DescriptorError>,
}

impl Check<'_> {
    fn refuse(&mut self, path: impl Into<String>, problem: impl Into<String>) {
        self.errors.push(DescriptorError {
            stage: self.stage.clone(),
            path: path.into(),
            problem: problem.into(),
        });
    }

    /// False when a list is so long that looking at its entries is not worth it.
    fn counts(&mut self, descriptor: &Descriptor) -> bool {
        let before = self.errors.len();
        for (path, count, most) in [
            ("after", descriptor.after.len(), MAX_ENTRIES),
            ("parameters", descriptor.parameters.len(), MAX_PARAMETERS),
            ("credentials", descriptor.credentials.len(), MAX_ENTRIES),
            ("volumes", descriptor.volumes.len(), MAX_ENTRIES),
            ("inputs", descriptor.inputs.len(), MAX_ENTRIES),
            ("outputs", descriptor.outputs.len(), MAX_ENTRIES),
            ("creates", descriptor.creates.len(), MAX_ENTRIES),
        ] {
            if count > most {
                self.refuse(path, format!("{count} entries, more than {most}"));
            }
        }
        self.errors.len() == before
    }

    fn head(&mut self, descriptor: &Descriptor) {
        self.line("summary", &descriptor.summary);
        if let Some(selector) = &descriptor.selected_by {
            self.kebab("selected-by.flag", &selector.flag);
            let value = &selector.value;
            if value.is_empty()
                || value.len() > 40
                || !value.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
            {
                self.refuse(
                    "selected-by.value",
                    format!("{} is not valid: use letters, digits, `-`, `_` and `.`", quoted(value, 60)),
                );
            }
        }
        for (path, text) in [("licence", &descriptor.licence), ("homepage", &descriptor.homepage)] {
            if let Some(text) = text {
                self.line(path, text);
            }
        }
        if let Some(homepage) = &descriptor.homepage
            && !homepage.starts_with("https://")
            && !homepage.starts_with("http://")
        {
            self.refuse("homepage", "it must begin with https:// or http://");
        }
    }

    fn parameters(&mut self, parameters: &[Parameter]) {
        self.unique("parameters", parameters.iter().map(|parameter| parameter.name.as_str()));
        self.unique("parameters.flag", parameters.iter().filter_map(|parameter| parameter.flag.as_deref()));
        for parameter in parameters {
            let at = format!("parameters[{}]", escaped(&parameter.name, 40));
            self.kebab(&at, &parameter.name);
            self.line(&format!("{at}.help"), &parameter.help);
            if let Some(flag) = &parameter.flag {
                self.kebab(&format!("{at}.flag"), flag);
            }
            if let Some(env) = &parameter.env {
                self.env(&format!("{at}.env"), env);
            }
            self.value(&at, "default", &parameter.schema, parameter.default.as_ref());
        }
    }

    fn holdings(&mut self, descriptor: &Descriptor) {
        self.unique("credentials", descriptor.credentials.iter().map(|credential| credential.name.as_str()));
        for credential in &descriptor.credentials {
            let at = format!("credentials[{}]", escaped(&credential.name, 40));
            self.kebab(&at, &credential.name);
            if credential.keys().count() > MAX_ENTRIES {
                self.refuse(&at, format!("more than {MAX_ENTRIES} keys"));
                continue;
            }
            self.unique(&format!("{at}.keys"), credential.keys().map(String::as_str));
            for key in credential.keys() {
                let valid = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
                if key.is_empty() || key.len() > 253 || !key.chars().all(valid) {
                    self.refuse(&at, format!("{} cannot be the key of a Secret", quoted(key, 60)));
                }
            }
        }
        self.unique("volumes", descriptor.volumes.iter().map(|volume| volume.name.as_str()));
        for volume in &descriptor.volumes {
            let at = format!("volumes[{}]", escaped(&volume.name, 40));
            self.kebab(&at, &volume.name);
            if let Err(error) = quantity::bytes(&volume.size) {
                self.refuse(format!("{at}.size"), error.to_string());
            }
        }
    }

    fn dependencies(&mut self, descriptor: &Descriptor) {
        let bare = |name: &str| name.strip_prefix('?').unwrap_or(name).to_owned();
        let after: Vec<String> = descriptor.after.iter().map(|name| bare(name)).collect();
        self.unique("after", after.iter().map(String::as_str));
        for name in &after {
            if StageName::new(name.as_str()).is_err() {
                self.refuse("after", format!("{} is not a stage name", quoted(name, 60)));
            } else if name == self.stage.as_str() {
                self.refuse("after", "a stage cannot follow itself");
            }
        }
        let inputs: Vec<String> = descriptor.inputs.iter().map(|name| bare(name)).collect();
        self.unique("inputs", inputs.iter().map(String::as_str));
        for input in &inputs {
            match input.split_once('.') {
                Some((stage, _)) if stage == self.stage.as_str() => {
                    self.refuse("inputs", format!("{} is its own output", quoted(input, 60)))
                }
                Some((stage, output)) if StageName::new(stage).is_ok() && is_kebab(output) => {}
                _ => self.refuse("inputs", format!("{} is not valid: write stage.output", quoted(input, 60))),
            }
        }
    }

    fn outputs(&mut self, descriptor: &Descriptor) {
        self.unique("outputs", descriptor.outputs.iter().map(|output| output.name.as_str()));
        for output in &descriptor.outputs {
            let at = format!("outputs[{}]", escaped(&output.name, 40));
            self.kebab(&at, &output.name);
            self.line(&format!("{at}.help"), &output.help);
            self.value(&at, "sample", &output.schema, Some(&output.sample));
            if let Some(parameter) = &output.sample_parameter
                && !descriptor.parameters.iter().any(|p| p.name == *parameter)
            {
                let at = format!("{at}.sample-parameter");
                self.refuse(at, format!("there is no parameter {}", quoted(parameter, 60)));
            }
        }
    }

    fn kinds(&mut self, creates: &[Kind]) {
        if creates.is_empty() {
            self.refuse("creates", "a stage that creates nothing has nothing to wait for");
        }
        for Kind { api_version, kind } in creates {
            let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
            let group_valid = group.len() <= 253
                && group.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c));
            let version_valid = version.starts_with('v')
                && version.len() <= 63
                && version.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
            if !group_valid || !version_valid || (group.is_empty() && api_version.contains('/')) {
                self.refuse(
                    "creates",
                    format!("{} is not an apiVersion such as batch/v1", quoted(api_version, 80)),
                );
            }
            if !kind.starts_with(|c: char| c.is_ascii_uppercase())
                || kind.len() > 63
                || !kind.chars().all(|c| c.is_ascii_alphanumeric())
            {
                self.refuse("creates", format!("{} is not a kind such as Job", quoted(kind, 80)));
            }
        }
    }

    fn value(&mut self, at: &str, what: &str, schema: &serde_json::Value, value: Option<&serde_json::Value>) {
        let schema = match Schema::compile(schema) {
            Ok(schema) => schema,
            Err(error) => return self.refuse(format!("{at}.schema"), error.to_string()),
        };
        let Some(value) = value else { return };
        let bytes = value.to_string().len();
        if bytes > MAX_VALUE_BYTES {
            return self
                .refuse(format!("{at}.{what}"), format!("{bytes} bytes, more than {MAX_VALUE_BYTES}"));
        }
        for problem in schema.problems(value) {
            self.refuse(format!("{at}.{what}"), problem);
        }
    }

    fn kebab(&mut self, path: &str, name: &str) {
        if !is_kebab(name) || name.len() > 60 {
            self.refuse(
                path,
                format!(
                    "{} is not valid: use lower-case letters, digits and single dashes, at most 60",
                    quoted(name, 80)
                ),
            );
        }
    }

    fn line(&mut self, path: &str, text: &str) {
        if text.trim().is_empty() {
            self.refuse(path, "it is empty");
        } else if text.chars().count() > MAX_LINE {
            self.refuse(path, format!("longer than {MAX_LINE} characters"));
        } else if !is_plain_line(text) {
            self.refuse(path, "it must be one line without control characters");
        }
    }

    /// What a parameter reads from the environment ends up in a manifest, so a stage may not ask for what looks secret.
    fn env(&mut self, path: &str, name: &str) {
        let valid = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        if name.is_empty()
            || name.len() > 100
            || name.starts_with(|c: char| c.is_ascii_digit())
            || !name.chars().all(valid)
        {
            return self.refuse(
                path,
                format!("{} is not valid: use upper-case letters, digits and `_`", quoted(name, 80)),
            );
        }
        // A proxy's address may have its password in it.
        const SECRET: [&str; 8] =
            ["SECRET", "TOKEN", "PASSWORD", "PASSWD", "CREDENTIAL", "API_KEY", "ACCESS_KEY", "PROXY"];
        const HOST: [&str; 8] =
            ["PATH", "HOME", "USER", "SHELL", "KUBECONFIG", "PWD", "HOSTNAME", "SSH_AUTH_SOCK"];
        if HOST.contains(&name)
            || SECRET.iter().any(|word| name.contains(word))
            || name.contains("PRIVATE_KEY")
        {
            self.refuse(path, format!("{name} may hold something that is not for a stage: declare a credential, or use another name"));
        }
    }

    fn unique<'n>(&mut self, path: &str, names: impl Iterator<Item = &'n str>) {
        let mut seen = BTreeSet::new();
        for name in names {
            if !seen.insert(name) {
                self.refuse(path, format!("{} is there twice", quoted(name, 60)));
            }
        }
    }
}

#[cfg(test)]
#[path = "descriptor_tests.rs"]
mod tests;
