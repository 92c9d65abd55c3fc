//! Compiled predicates and the verdict they give.

use super::budget::{Budget, MAX_STEPS};
use super::check::{CONDITION, STEP, WEIGH, compile};
use super::convert::to_cel;
use super::error::{PredicateError, PredicateProblem};
use crate::contract::Target;
use crate::text::escaped;
use cel::common::types::{CelBool, CelList, CelMap, CelString};
use cel::common::value::{CowVal, Val};
use cel::parser::Expression;
use cel::{Context, Env, ExecutionError};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};

/// The longest reason that is kept, in characters.
pub const MAX_REASON_CHARS: usize = 1000;

/// The standard functions, built once.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// Expressions that were found in order before: stages of one SDK say the same few, and parsing them is what a dry run would
/// spend most of its time on.
static KNOWN: LazyLock<Mutex<BTreeMap<String, Arc<Checked>>>> = LazyLock::new(Mutex::default);
/// The most expressions that are remembered; more are compiled each time.
const MAX_KNOWN: usize = 256;

fn known() -> MutexGuard<'static, BTreeMap<String, Arc<Checked>>> {
    // What a panic left behind is still a map of expressions that are in order.
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An expression that is in order. It is compiled when it is first asked, if it has not been.
#[derive(Debug)]
struct Checked {
    source: String,
    expression: OnceLock<Option<Expression>>,
}

impl Checked {
    /// None only if [`trust_expressions`] was told of one that is not in order.
    fn expression(&self) -> Option<&Expression> {
        self.expression.get_or_init(|| compile(&self.source).ok()).as_ref()
    }
}

fn checked(source: &str) -> Result<Arc<Checked>, PredicateProblem> {
    if let Some(checked) = known().get(source) {
        return Ok(Arc::clone(checked));
    }
    let expression = OnceLock::from(Some(compile(source)?));
    let checked = Arc::new(Checked { source: source.to_owned(), expression });
    let mut known = known();
    if known.len() < MAX_KNOWN {
        known.insert(source.to_owned(), Arc::clone(&checked));
    }
    Ok(checked)
}

/// Every expression that was found in order, for [`trust_expressions`] in another process of the same program.
///
/// # Example
/// ```
/// use ilab_core::verdict::{checked_expressions, trust_expressions};
/// trust_expressions(["has(object.status)".to_owned()]);
/// assert!(checked_expressions().contains(&"has(object.status)".to_owned()));
/// ```
#[must_use]
pub fn checked_expressions() -> Vec<String> {
    known().keys().cloned().collect()
}

/// Takes expressions for in order that this very build of the program has checked before. They are compiled only when they
/// are asked, so a dry run, which asks none, need not parse any. One that is not in order after all fails its target.
pub fn trust_expressions(sources: impl IntoIterator<Item = String>) {
    let mut known = known();
    for source in sources.into_iter().take(MAX_KNOWN) {
        let unparsed = || Arc::new(Checked { source: source.clone(), expression: OnceLock::new() });
        known.entry(source.clone()).or_insert_with(unparsed);
    }
}

/// What a watched object's state means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Succeeded,
    /// It will never be done.
    Failed {
        /// Why, on one line, for people.
        reason: String,
    },
    /// It is to be waited for.
    Pending {
        /// What for, on one line, for people.
        why: String,
    },
}

/// A target's predicates, checked and ready to be asked.
#[derive(Debug, Clone)]
pub struct Predicates {
    target: Target,
    succeeded: Arc<Checked>,
    failed: Arc<Checked>,
    reason: Option<Arc<Checked>>,
}

/// What became of one evaluation.
enum Outcome {
    True,
    False,
    Text(String),
    /// It could not be evaluated, for example because a field is missing: not true.
    Unknown,
    /// It gave something that is neither true nor false.
    NotBoolean(String),
    Exhausted,
    /// It was trusted to be an expression, and is none.
    Invalid,
}

impl Predicates {
    /// Checks and compiles the predicates of a target.
    ///
    /// # Errors
    /// [`PredicateError`] when one is too long, no CEL, or uses a variable or function that does not exist.
    ///
    /// ```
    /// use ilab_core::{contract::{ObjectRef, Target}, verdict::{Predicates, Verdict}};
    /// let predicates = Predicates::compile(&Target {
    ///     object: ObjectRef { api_version: "batch/v1".into(), kind: "Job".into(), name: "x".into() },
    ///     succeeded: r#"condition(object, "Complete")"#.into(),
    ///     failed: r#"condition(object, "Failed")"#.into(),
    ///     reason: None,
    ///     timeout_seconds: None,
    /// })?;
    /// let done = serde_json::json!({"status": {"conditions": [{"type": "Complete", "status": "True"}]}});
    /// assert_eq!(predicates.judge(Some(&done)), Verdict::Succeeded);
    /// # Ok::<(), ilab_core::verdict::PredicateError>(())
    /// ```
    pub fn compile(target: &Target) -> Result<Self, PredicateError> {
        let compile = |predicate: &'static str, expression: &str| {
            checked(expression).map_err(|problem| PredicateError {
                object: target.object.to_string(),
                predicate,
                expression: expression.to_owned(),
                problem: Box::new(problem),
            })
        };
        Ok(Self {
            succeeded: compile("succeeded", &target.succeeded)?,
            failed: compile("failed", &target.failed)?,
            reason: target.reason.as_deref().map(|reason| compile("reason", reason)).transpose()?,
            target: target.clone(),
        })
    }

    /// What the predicates are of.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// What the object's state means; none stands for an object that does not exist.
    ///
    /// `failed` is asked first. A predicate that cannot be evaluated, because a field is missing, is not true. One that
    /// exceeds its budget, or gives neither true nor false, fails the target: it would never do otherwise.
    #[must_use]
    pub fn judge(&self, observed: Option<&Value>) -> Verdict {
        let absent = Value::Null;
        let object = observed.unwrap_or(&absent);
        for (name, expression) in [("failed", &self.failed), ("succeeded", &self.succeeded)] {
            match evaluate(expression, object) {
                Outcome::True if name == "succeeded" => return Verdict::Succeeded,
                Outcome::True => {
                    return Verdict::Failed {
                        reason: self.explain(object).unwrap_or_else(|| describe(observed)),
                    };
                }
                Outcome::False | Outcome::Unknown => {}
                Outcome::Text(_) => {
                    return Verdict::Failed {
                        reason: format!("the predicate `{name}` gives a text, not true or false"),
                    };
                }
                Outcome::NotBoolean(kind) => {
                    return Verdict::Failed {
                        reason: format!(
                            "the predicate `{name}` gives a value of type {kind}, not true or false"
                        ),
                    };
                }
                Outcome::Exhausted => return Verdict::Failed { reason: exhausted(name) },
                Outcome::Invalid => {
                    return Verdict::Failed { reason: format!("the predicate `{name}` is no expression") };
                }
            }
        }
        Verdict::Pending { why: self.explain(object).unwrap_or_else(|| describe(observed)) }
    }

    /// What the target's own `reason` says, if it says anything.
    fn explain(&self, object: &Value) -> Option<String> {
        match evaluate(self.reason.as_ref()?, object) {
            Outcome::Text(text) if !text.trim().is_empty() => Some(escaped(text.trim(), MAX_REASON_CHARS)),
            Outcome::Exhausted => Some(exhausted("reason")),
            _ => None,
        }
    }
}

fn exhausted(predicate: &str) -> String {
    format!("the predicate `{predicate}` does more than its budget of {MAX_STEPS} steps allows")
}

/// What can be said of an object whose stage does not say it: its conditions that are true, with their messages.
fn describe(observed: Option<&Value>) -> String {
    let Some(object) = observed else { return "it does not exist yet".into() };
    let Some(status) = object.get("status").filter(|status| !status.is_null()) else {
        return "it has no status yet".into();
    };
    let text = |condition: &Value, key: &str| {
        condition.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let conditions =
        status.get("conditions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let current: Vec<String> = conditions
        .iter()
        .take(50)
        .filter(|condition| condition.get("status").and_then(Value::as_str) == Some("True"))
        .filter_map(|condition| {
            let kind = text(condition, "type")?;
            let detail = text(condition, "message").or_else(|| text(condition, "reason"));
            Some(detail.map_or(kind.clone(), |detail| format!("{kind}: {detail}")))
        })
        .collect();
    if current.is_empty() {
        "none of its conditions is true yet".into()
    } else {
        escaped(&current.join("; "), MAX_REASON_CHARS)
    }
}

fn evaluate(checked: &Checked, object: &Value) -> Outcome {
    let Some(expression) = checked.expression() else { return Outcome::Invalid };
    let budget = Arc::new(Budget::new());
    let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
    add_functions(&mut context, &budget);
    context.add_variable_as_val("object", to_cel(object));
    let result = cel::Value::resolve_val(expression, &context);
    if budget.is_exhausted() {
        return Outcome::Exhausted;
    }
    let Ok(value) = result else { return Outcome::Unknown };
    if let Some(truth) = value.downcast_ref::<CelBool>() {
        return if *truth.inner() { Outcome::True } else { Outcome::False };
    }
    if let Some(text) = value.downcast_ref::<CelString>() {
        return Outcome::Text(text.inner().to_owned());
    }
    match value.get_type().name() {
        // A field that is there but null is like one that is not.
        "null_type" | "null" => Outcome::Unknown,
        kind => Outcome::NotBoolean(kind.to_owned()),
    }
}

fn add_functions(context: &mut Context<'_, '_>, budget: &Arc<Budget>) {
    let (steps, weight, conditions) = (Arc::clone(budget), Arc::clone(budget), Arc::clone(budget));
    let step: Function = Box::new(move |_| steps.step().map(|()| CowVal::owned(CelBool::from(true))));
    let weigh: Function = Box::new(move |call| {
        let value = call.args.pop().ok_or_else(|| ExecutionError::invalid_argument_count(1, 0))?;
        weight.weigh(value.as_ref())?;
        Ok(value)
    });
    let condition: Function = Box::new(move |call| match call.args.as_slice() {
        [object, kind] => {
            Ok(CowVal::owned(CelBool::from(has_condition(object.as_ref(), kind.as_ref(), &conditions)?)))
        }
        other => Err(ExecutionError::invalid_argument_count(2, other.len())),
    });
    for (name, function) in [(STEP, step), (WEIGH, weigh), (CONDITION, condition)] {
        // Cannot fail: it does for names that the standard library declares, and it has none of these.
        let added = context.add_function(name, function);
        debug_assert!(added.is_ok(), "{name}");
    }
}

type Function = Box<
    dyn for<'c, 'v> Fn(&mut cel::FunctionContext<'c, 'v>) -> Result<CowVal<'c, 'v>, ExecutionError>
        + Send
        + Sync,
>;

/// Whether the object has a condition of this type whose status is "True". Order means nothing.
fn has_condition(object: &dyn Val, kind: &dyn Val, budget: &Budget) -> Result<bool, ExecutionError> {
    let Some(kind) = kind.downcast_ref::<CelString>() else { return Ok(false) };
    let Some(conditions) = field(object, "status")
        .and_then(|status| field(status, "conditions"))
        .and_then(|list| list.downcast_ref::<CelList>())
    else {
        return Ok(false);
    };
    for condition in conditions.inner() {
        budget.step()?;
        let is = |name: &str, wanted: &str| {
            field(condition.as_ref(), name)
                .and_then(|value| value.downcast_ref::<CelString>())
                .is_some_and(|value| value.inner() == wanted)
        };
        if is("type", kind.inner()) && is("status", "True") {
            return Ok(true);
        }
    }
    Ok(false)
}

fn field<'b>(value: &'b dyn Val, name: &'b str) -> Option<&'b dyn Val> {
    let map = value.downcast_ref::<CelMap>()?;
    map.inner().get(&cel::common::types::CelMapKey::String(CelString::from(name))).map(AsRef::as_ref)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
