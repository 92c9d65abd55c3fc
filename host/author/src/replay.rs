//! Holding a component against a case.

use crate::case::{Case, CaseError, Observation, Saw, read, write};
use crate::sample::sample_context;
use ilab_core::contract::{Context, Descriptor, Excerpt, Plan};
use ilab_core::names::StageName;
use ilab_core::plan::{check_outputs, check_plan};
use ilab_core::verdict::Predicates;
use ilab_wasm::Plugin;
use serde_json::{Value, json};
use similar::TextDiff;
use std::path::Path;
use thiserror::Error;

/// What became of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is as it must be.
    Held,
    /// The plan's file was written, because it was asked for and was another or not there.
    Blessed,
    /// Something is not; a diff where there is one.
    Differs(String),
}

/// A case cannot be held against the component.
#[derive(Debug, Error)]
pub enum Wrong {
    /// The case.
    #[error(transparent)]
    Case(#[from] CaseError),
    /// It is about a stage that the component does not offer.
    #[error("the component offers no stage {stage}; it offers {}", offers.join(", "))]
    Stage {
        /// The stage, or none when it is not said which.
        stage: String,
        /// Those that it offers.
        offers: Vec<String>,
    },
}

/// What a stage says of a context: a plan that the host takes, or why there is none.
fn rendered(plugin: &Plugin, descriptor: &Descriptor, context: &Context) -> Result<Plan, String> {
    let plan = plugin.render(&descriptor.name, context).map_err(|error| error.to_string())?;
    check_plan(&plan, context, descriptor).map_err(|error| error.to_string())?;
    Ok(plan)
}

/// Holds a component against the case in a folder. With `bless`, a plan that is another than the file's is written there.
///
/// # Errors
/// [`Wrong`] when the case itself cannot be used. That something differs is an [`Outcome`].
pub fn replay(plugin: &Plugin, stages: &[Descriptor], folder: &Path, bless: bool) -> Result<Outcome, Wrong> {
    let case = Case::read(folder)?;
    let descriptor = find(stages, case.stage.as_ref())?;
    let context = match &case.context {
        Some(context) => Ok(context.clone()),
        None => {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let sets: Vec<String> = case.set.iter().map(|(name, v)| format!("{name}={}", text(v))).collect();
            sample_context(descriptor, &sets, &case.inputs)
        }
    };
    let got = match context {
        Ok(context) => rendered(plugin, descriptor, &context).map(|plan| (context, plan)),
        Err(error) => Err(error.to_string()),
    };
    let (context, plan) = match (got, &case.error, &case.logs) {
        (Ok(got), _, Some(_)) | (Ok(got), None, None) => got,
        (Ok(_), Some(wanted), None) => {
            return Ok(Outcome::Differs(format!("it must be refused ({wanted}), and was rendered")));
        }
        (Err(why), Some(wanted), None) if why.contains(wanted.as_str()) => return Ok(Outcome::Held),
        (Err(why), Some(wanted), _) => {
            return Ok(Outcome::Differs(format!("it must be refused with: {wanted}\nit says: {why}")));
        }
        (Err(why), None, _) => return Ok(Outcome::Differs(format!("it is refused: {why}"))),
    };
    let outcome = compare_plan(folder, &plan, case.context.is_some(), bless)?;
    if let Outcome::Differs(_) = outcome {
        return Ok(outcome);
    }
    if let Some(differs) = observed(folder, &plan)? {
        return Ok(Outcome::Differs(differs));
    }
    let differs =
        case.logs.as_ref().and_then(|logs| collected(plugin, descriptor, &context, &plan, logs, &case));
    Ok(differs.map_or(outcome, Outcome::Differs))
}

fn find<'a>(stages: &'a [Descriptor], wanted: Option<&StageName>) -> Result<&'a Descriptor, Wrong> {
    let wrong = |stage: &str| Wrong::Stage {
        stage: stage.to_owned(),
        offers: stages.iter().map(|d| d.name.to_string()).collect(),
    };
    match (wanted, stages) {
        (Some(name), _) => stages.iter().find(|d| d.name == *name).ok_or_else(|| wrong(name.as_str())),
        (None, [one]) => Ok(one),
        (None, _) => Err(wrong("(the case names none)")),
    }
}

/// The plan with files' texts left out: they are files of their own, and a change of one is no change of the plan.
#[must_use]
pub fn elided(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    for manifest in plan.manifests.iter_mut().filter(|m| m["kind"] == "ConfigMap") {
        for text in manifest["data"].as_object_mut().into_iter().flat_map(|data| data.values_mut()) {
            if text.as_str().is_some_and(|text| text.contains('\n')) {
                *text = json!("(the file)");
            }
        }
    }
    plan
}

/// Fields have no order: languages write them in their own.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut names: Vec<&String> = fields.keys().collect();
            names.sort();
            names.into_iter().map(|name| (name.clone(), sorted(&fields[name]))).collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        // 1 and 1.0 are one number.
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 1e15 => {
                json!(float as i64)
            }
            _ => value.clone(),
        },
        other => other.clone(),
    }
}

fn compare_plan(folder: &Path, plan: &Plan, recorded: bool, bless: bool) -> Result<Outcome, Wrong> {
    let path = folder.join("plan.yaml");
    let plan = if recorded { plan.clone() } else { elided(plan) };
    let now = sorted(&serde_json::to_value(&plan).unwrap_or_default());
    let known: Option<Value> = if path.is_file() { Some(sorted(&read(&path)?)) } else { None };
    if known.as_ref() == Some(&now) {
        return Ok(Outcome::Held);
    }
    if bless {
        write(&path, &now)?;
        return Ok(Outcome::Blessed);
    }
    let Some(known) = known else {
        return Ok(Outcome::Differs("there is no plan.yaml; --bless writes it".to_owned()));
    };
    Ok(Outcome::Differs(diff("plan.yaml", &known, &now)))
}

fn diff(name: &str, wanted: &Value, got: &Value) -> String {
    let text = |value: &Value| serde_saphyr::to_string(value).unwrap_or_else(|_| value.to_string());
    let (wanted, got) = (text(wanted), text(got));
    TextDiff::from_lines(&wanted, &got).unified_diff().header(name, "the component").to_string()
}

/// What the predicates say of what was seen, where it is another than was recorded.
fn observed(folder: &Path, plan: &Plan) -> Result<Option<String>, Wrong> {
    let path = folder.join("observed.yaml");
    if !path.is_file() {
        return Ok(None);
    }
    let observations: Vec<Observation> = read(&path)?;
    for (index, seen) in observations.iter().enumerate() {
        let Some(target) = plan.targets.iter().find(|target| target.object == seen.object) else {
            return Ok(Some(format!("observed.yaml {index}: the plan does not wait for {}", seen.object)));
        };
        let verdict = match Predicates::compile(target) {
            Ok(predicates) => Saw::from(predicates.judge(seen.state.as_ref())),
            Err(error) => return Ok(Some(error.to_string())),
        };
        if verdict != seen.verdict {
            return Ok(Some(format!(
                "observed.yaml {index}: {} must be {:?}, and is {verdict:?}",
                seen.object, seen.verdict
            )));
        }
    }
    Ok(None)
}

/// What is wrong with the outputs; none when nothing is.
fn collected(
    plugin: &Plugin,
    descriptor: &Descriptor,
    context: &Context,
    plan: &Plan,
    logs: &[String],
    case: &Case,
) -> Option<String> {
    if plan.excerpts.len() != logs.len() {
        return Some(format!("the plan reads {} logs, the case has {}", plan.excerpts.len(), logs.len()));
    }
    let excerpts: Vec<Excerpt> = plan
        .excerpts
        .iter()
        .zip(logs)
        .map(|(source, text)| Excerpt {
            source: source.object.clone(),
            container: source.container.clone(),
            text: text.clone(),
        })
        .collect();
    let got = plugin
        .collect(&descriptor.name, context, &excerpts)
        .map_err(|error| error.to_string())
        .and_then(|outputs| check_outputs(descriptor, &outputs).map_err(|error| error.to_string()));
    match (got, &case.outputs, &case.error) {
        (Ok(outputs), Some(wanted), _) => {
            let (wanted, got) = (sorted(&json!(wanted)), sorted(&json!(outputs)));
            (wanted != got).then(|| diff("outputs", &wanted, &got))
        }
        (Ok(_), None, Some(wanted)) => Some(format!("its logs must be refused ({wanted}), and were not")),
        (Ok(_), None, None) => None,
        (Err(why), None, Some(wanted)) if why.contains(wanted.as_str()) => None,
        (Err(why), _, Some(wanted)) => {
            Some(format!("its logs must be refused with: {wanted}\nit says: {why}"))
        }
        (Err(why), _, None) => Some(format!("its logs are refused: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_fields_is_nobodys() {
        let one = sorted(&json!({"b": [{"y": 1, "x": 2.0}], "a": null}));
        assert_eq!(one.to_string(), r#"{"a":null,"b":[{"x":2,"y":1}]}"#);
    }

    #[test]
    fn files_are_left_out_and_values_are_not() {
        let manifest = |text: &str| json!({"kind": "ConfigMap", "data": {"f": text, "v": "one line"}});
        let plan = |text: &str| Plan { manifests: vec![manifest(text)], targets: vec![], excerpts: vec![] };
        assert_eq!(elided(&plan("a\nb\n")), plan("(the file)"));
    }
}
