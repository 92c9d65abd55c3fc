//! What a host or a cluster would refuse of a component, and what its author may want to know.

use crate::sample::sample_context;
use ilab_core::contract::{Context, Descriptor, Kind, ObjectRef, Plan};
use ilab_core::grants::Allowance;
use ilab_core::graph::{GraphError, Offer};
use ilab_core::guard::{Grant, Level, Policy, harden};
use ilab_core::names::StageName;
use ilab_core::plan::check_plan;
use ilab_wasm::{Plugin, World};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// A host or a cluster refuses it.
    Error,
    /// Some do, or it is probably a mistake.
    Warning,
    /// Worth knowing: it was not looked at.
    Note,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The rule's stable name.
    pub rule: &'static str,
    /// The stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<StageName>,
    /// The object, for example `Job/x`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// What, for people; with the field's path where it is about one.
    pub message: String,
}

/// Worlds in which a pure stage says the same.
const WORLDS: [World; 3] = [
    World { wall_seconds: 0, step_nanos: 1_000_000, seed: 0 },
    World { wall_seconds: 1_800_000_000, step_nanos: 17, seed: 1 },
    World { wall_seconds: 4_000_000_000, step_nanos: 3_000_000_000, seed: 0x5eed_5eed_5eed_5eed },
];

/// What is wrong with a manifest by the cluster's own schema: the findings, or nothing for a kind that it does not know.
pub type Schemas<'a> = &'a dyn Fn(&Value) -> Option<Vec<String>>;

struct Examination<'a> {
    plugin: &'a Plugin,
    schemas: Schemas<'a>,
    found: Vec<Finding>,
}

/// Examines a component: its descriptors, and what each stage renders for its defaults, for `sets` (`name=value`) and for
/// the contexts that are given.
///
/// # Errors
/// None: what cannot be done is a finding. An empty list means that there is nothing to say.
#[must_use]
pub fn examine(
    plugin: &Plugin,
    sets: &[String],
    contexts: &[(StageName, Context)],
    schemas: Schemas<'_>,
) -> Vec<Finding> {
    let mut examination = Examination { plugin, schemas, found: Vec::new() };
    examination.component(sets, contexts);
    examination.found.sort_by(|a, b| (a.severity, &a.stage).cmp(&(b.severity, &b.stage)));
    examination.found
}

impl Examination<'_> {
    fn find(
        &mut self,
        severity: Severity,
        rule: &'static str,
        stage: Option<&StageName>,
        object: Option<String>,
        message: impl Into<String>,
    ) {
        let finding = Finding { severity, rule, stage: stage.cloned(), object, message: message.into() };
        if !self.found.contains(&finding) {
            self.found.push(finding);
        }
    }

    fn component(&mut self, sets: &[String], contexts: &[(StageName, Context)]) {
        let described = WORLDS.map(|world| self.plugin.in_world(world).describe());
        let stages = match &described[0] {
            Ok(stages) => stages.clone(),
            Err(error) => return self.find(Severity::Error, "describes", None, None, error.to_string()),
        };
        if described[1..].iter().any(|other| other.as_ref().ok() != Some(&stages)) {
            let message = "stages() says something else under another clock and other random numbers";
            self.find(Severity::Error, "pure", None, None, message);
        }
        for descriptor in &stages {
            self.descriptor(descriptor);
            let given = contexts.iter().filter(|(stage, _)| *stage == descriptor.name);
            let given: Vec<Context> = given.map(|(_, context)| context.clone()).collect();
            if !given.is_empty() {
                given.iter().for_each(|context| self.rendered(descriptor, context));
                continue;
            }
            match sample_context(descriptor, sets, &Map::new()) {
                Ok(context) => self.rendered(descriptor, &context),
                Err(error) => {
                    let message = format!("not rendered: {error}; give --set NAME=VALUE or --context FILE");
                    self.find(Severity::Note, "renders", Some(&descriptor.name), None, message);
                }
            }
        }
    }

    fn descriptor(&mut self, descriptor: &Descriptor) {
        let name = &descriptor.name;
        let offer = Offer {
            descriptor: descriptor.clone(),
            file: self.plugin.file().display().to_string(),
            digest: self.plugin.digest().clone(),
        };
        match offer.validate() {
            Ok(()) => {}
            Err(GraphError::Descriptor { errors, .. }) => {
                for error in errors {
                    self.find(Severity::Error, "descriptor", Some(name), None, error.to_string());
                }
            }
            Err(other) => self.find(Severity::Error, "descriptor", Some(name), None, other.to_string()),
        }
        if descriptor.licence.is_none() {
            self.find(Severity::Warning, "licence", Some(name), None, "the descriptor names no licence");
        }
        if descriptor.creates.is_empty() {
            let message = "the descriptor creates nothing: the host will refuse whatever it renders";
            self.find(Severity::Error, "creates", Some(name), None, message);
        }
    }

    fn rendered(&mut self, descriptor: &Descriptor, context: &Context) {
        let name = &descriptor.name;
        let plans = WORLDS.map(|world| self.plugin.in_world(world).render(name, context));
        let plan = match &plans[0] {
            Ok(plan) => plan.clone(),
            Err(error) => {
                return self.find(Severity::Error, "renders", Some(name), None, error.problem.to_string());
            }
        };
        for other in &plans[1..] {
            match other {
                Ok(other) if *other == plan => {}
                Ok(other) => {
                    let message = format!(
                        "it renders something else under another clock and other random numbers: {}",
                        difference(&plan, other)
                    );
                    self.find(Severity::Error, "pure", Some(name), None, message);
                }
                Err(error) => {
                    let message = format!("under another clock it does not render: {}", error.problem);
                    self.find(Severity::Error, "pure", Some(name), None, message);
                }
            }
        }
        if let Err(error) = check_plan(&plan, context, descriptor) {
            self.find(Severity::Error, "plan", Some(name), None, error.to_string());
        }
        // As if everything that it asks for was granted: what then is refused is refused everywhere.
        let offer = Offer {
            descriptor: descriptor.clone(),
            file: self.plugin.file().display().to_string(),
            digest: self.plugin.digest().clone(),
        };
        let asked = Allowance { kinds: descriptor.creates.clone(), ..Allowance::default() };
        let grant = Grant::of(&offer, context, asked);
        for manifest in &plan.manifests {
            self.manifest(name, manifest, &grant);
        }
        self.unused(descriptor, &plan);
    }

    fn manifest(&mut self, stage: &StageName, manifest: &Value, grant: &Grant) {
        let object = ObjectRef::of(manifest).map(|object| object.to_string());
        let mut hardened = manifest.clone();
        harden(&mut hardened);
        let baseline = Policy::default().check(&hardened, grant);
        let restricted = Policy { level: Level::Restricted, ..Policy::default() }.check(&hardened, grant);
        for violation in &baseline {
            self.find(Severity::Error, violation.rule, Some(stage), object.clone(), violation.to_string());
        }
        for violation in restricted.iter().filter(|v| !baseline.contains(v)) {
            let message = format!("{violation}; hosts that ask for restricted pods refuse it");
            self.find(Severity::Warning, violation.rule, Some(stage), object.clone(), message);
        }
        match (self.schemas)(manifest) {
            Some(problems) => {
                for problem in problems {
                    self.find(Severity::Error, "schema", Some(stage), object.clone(), problem);
                }
            }
            None => {
                let kind = manifest["kind"].as_str().unwrap_or_default();
                let version = manifest["apiVersion"].as_str().unwrap_or_default();
                let message = format!("{kind} of {version} is not checked: this host has no schema of it");
                self.find(Severity::Note, "schema", Some(stage), object, message);
            }
        }
    }

    /// A right that is never used is one that nobody will grant gladly.
    fn unused(&mut self, descriptor: &Descriptor, plan: &Plan) {
        let made: BTreeSet<Kind> = plan
            .manifests
            .iter()
            .filter_map(ObjectRef::of)
            .map(|object| Kind { api_version: object.api_version, kind: object.kind })
            .collect();
        for kind in descriptor.creates.iter().filter(|kind| !made.contains(kind)) {
            let message = format!("{} of {} is declared, and not made here", kind.kind, kind.api_version);
            self.find(Severity::Note, "creates", Some(&descriptor.name), None, message);
        }
    }
}

/// The first thing in which two plans differ.
fn difference(one: &Plan, two: &Plan) -> String {
    fn at(path: &str, one: &Value, two: &Value) -> Option<String> {
        match (one, two) {
            (Value::Object(a), Value::Object(b)) => {
                let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
                names.into_iter().find_map(|name| {
                    let null = Value::Null;
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    at(&path, a.get(name).unwrap_or(&null), b.get(name).unwrap_or(&null))
                })
            }
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                a.iter().zip(b).enumerate().find_map(|(i, (a, b))| at(&format!("{path}[{i}]"), a, b))
            }
            (a, b) if a == b => None,
            (a, b) => {
                let short = |value: &Value| {
                    let text = value.to_string();
                    text[..text.floor_char_boundary(60)].to_owned()
                };
                Some(format!("{path} is {} and {}", short(a), short(b)))
            }
        }
    }
    let value = |plan: &Plan| serde_json::to_value(plan).unwrap_or_default();
    at("", &value(one), &value(two)).unwrap_or_else(|| "the order of fields".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_difference_is_named() {
        let plan = |name: &str| Plan {
            manifests: vec![json!({"kind": "Job", "spec": {"a": [1, name]}})],
            targets: vec![],
            excerpts: vec![],
        };
        assert_eq!(difference(&plan("x"), &plan("y")), "manifests[0].spec.a[1] is \"x\" and \"y\"");
    }
}
