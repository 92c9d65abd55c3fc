//! Objects seen through their shapes: which fields they have, how two differ, how one is merged into another.

use super::set::{Set, Step};
use crate::schema::{ListKind, Shape};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap, HashSet};

/// How a value takes part in merging.
enum View<'a> {
    /// Replaced as a whole.
    Whole,
    /// Field by field; with whether its keys are free.
    Object(bool),
    /// Item by item.
    Items(&'a Shape, &'a ListKind),
}

fn view(shape: &Shape) -> View<'_> {
    match shape.resolve() {
        Shape::Struct(fields) if !fields.atomic => View::Object(false),
        Shape::Map { atomic: false, .. } => View::Object(true),
        Shape::List(item, kind @ (ListKind::Set | ListKind::Keyed(_))) => View::Items(item, kind),
        _ => View::Whole,
    }
}

/// What an item of a list is called.
pub(super) fn name(kind: &ListKind, item: &Value) -> Result<Step, String> {
    match kind {
        ListKind::Keyed(keys) => {
            let mut made = BTreeMap::new();
            for key in keys {
                match item.get(key) {
                    Some(value) if !value.is_null() => made.insert(key.as_str(), value.clone()),
                    // The one key that upstream's schemas have a default for.
                    _ if key == "protocol" => made.insert("protocol", Value::from("TCP")),
                    _ => {
                        return Err(format!(
                            "element 0: associative list with keys has an element that omits key field {key:?} (and doesn't have default value)"
                        ));
                    }
                };
            }
            serde_json::to_string(&made).map(Step::Key).map_err(|error| error.to_string())
        }
        _ => Ok(Step::Value(item.to_string())),
    }
}

/// The items of a list by name, in order. Of items without a name, which only old objects have, none.
fn named<'a>(kind: &ListKind, list: &'a Value) -> Vec<(Step, &'a Value)> {
    list.as_array().into_iter().flatten().filter_map(|item| Some((name(kind, item).ok()?, item))).collect()
}

/// Checks that the items of every list that is merged have names of their own.
pub(super) fn check_items(shape: &Shape, value: &Value, at: &str) -> Result<(), String> {
    match (view(shape), value) {
        (View::Object(_), Value::Object(fields)) => fields.iter().try_for_each(|(field, value)| {
            let inner = shape.field(field).unwrap_or(&Shape::Any);
            check_items(inner, value, &format!("{at}.{field}"))
        }),
        (View::Items(item, kind), Value::Array(items)) => {
            let mut seen = HashSet::new();
            for value in items {
                let step = name(kind, value).map_err(|error| format!("{at}: {error}"))?;
                if !seen.insert(format!("{step:?}")) {
                    let mut one = Set::default();
                    one.insert(step);
                    let shown = one.paths().pop().unwrap_or_default();
                    return Err(format!("{at}: duplicate entries for key {shown}"));
                }
                check_items(item, value, &format!("{at}[]"))?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn hollow(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// The fields that an object sets.
pub(super) fn fields(shape: &Shape, value: &Value) -> Set {
    let mut set = Set::default();
    match (view(shape), value) {
        (View::Object(free), Value::Object(fields)) => {
            for (name, value) in fields {
                let inner = shape.field(name).unwrap_or(&Shape::Any);
                let below = self::fields(inner, value);
                let member = free || hollow(value) || below.is_empty();
                set.attach(Step::Field(name.clone()), member, below);
            }
        }
        (View::Items(item, kind), Value::Array(_)) => {
            for (step, value) in named(kind, value) {
                set.attach(step, true, fields(item, value));
            }
        }
        _ => {}
    }
    set
}

/// How two states of an object differ.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// What is new or has another value.
    pub(super) changed: Set,
    /// What is gone.
    pub(super) removed: Set,
}

/// Every path of a value, with the containers.
fn every(shape: &Shape, value: &Value) -> Set {
    let mut set = Set::default();
    match (view(shape), value) {
        (View::Object(_), Value::Object(fields)) => {
            for (name, value) in fields {
                let inner = shape.field(name).unwrap_or(&Shape::Any);
                set.attach(Step::Field(name.clone()), true, every(inner, value));
            }
        }
        (View::Items(item, kind), Value::Array(_)) => {
            for (step, value) in named(kind, value) {
                set.attach(step, true, every(item, value));
            }
        }
        _ => {}
    }
    set
}

fn child(shape: &Shape, step: Step, old: Option<&Value>, new: Option<&Value>, into: &mut Difference) {
    match (old, new) {
        (None, None) => {}
        (None, Some(new)) => into.changed.attach(step, true, every(shape, new)),
        (Some(old), None) => into.removed.attach(step, true, every(shape, old)),
        (Some(old), Some(new)) if old == new => {}
        (Some(old), Some(new)) => {
            let whole = matches!(view(shape), View::Whole)
                || !matches!(
                    (old, new),
                    (Value::Object(_), Value::Object(_)) | (Value::Array(_), Value::Array(_))
                );
            if whole {
                into.changed.insert(step);
            } else {
                let below = difference(shape, old, new);
                into.changed.attach(step.clone(), false, below.changed);
                into.removed.attach(step, false, below.removed);
            }
        }
    }
}

/// How `new` differs from `old`.
pub(super) fn difference(shape: &Shape, old: &Value, new: &Value) -> Difference {
    let mut made = Difference::default();
    match (view(shape), old, new) {
        (View::Object(_), Value::Object(old), Value::Object(new)) => {
            let names: HashSet<&String> = old.keys().chain(new.keys()).collect();
            for name in names {
                let inner = shape.field(name).unwrap_or(&Shape::Any);
                child(inner, Step::Field(name.clone()), old.get(name), new.get(name), &mut made);
            }
        }
        (View::Items(item, kind), Value::Array(_), Value::Array(_)) => {
            let olds: BTreeMap<Step, &Value> = named(kind, old).into_iter().collect();
            let news: BTreeMap<Step, &Value> = named(kind, new).into_iter().collect();
            for (step, old) in &olds {
                child(item, step.clone(), Some(old), news.get(step).copied(), &mut made);
            }
            for (step, new) in &news {
                if !olds.contains_key(step) {
                    child(item, step.clone(), None, Some(new), &mut made);
                }
            }
        }
        _ => {}
    }
    made
}

/// `live` with what `config` says.
pub(super) fn merge(shape: &Shape, live: &Value, config: &Value) -> Value {
    match (view(shape), live, config) {
        (_, _, Value::Null) => live.clone(),
        (View::Object(_), Value::Object(live), Value::Object(config)) => {
            let mut made = live.clone();
            for (name, value) in config {
                let inner = shape.field(name).unwrap_or(&Shape::Any);
                let merged = match live.get(name) {
                    Some(live) => merge(inner, live, value),
                    None if value.is_null() => continue,
                    None => value.clone(),
                };
                made.insert(name.clone(), merged);
            }
            Value::Object(made)
        }
        (View::Items(item, kind), Value::Array(_), Value::Array(_)) => {
            let lives = named(kind, live);
            let configs = named(kind, config);
            let known: HashMap<String, &Value> =
                lives.iter().map(|(step, value)| (format!("{step:?}"), *value)).collect();
            let wanted: HashSet<String> = configs.iter().map(|(step, _)| format!("{step:?}")).collect();
            let mut made = Vec::new();
            let mut rest = configs.iter().peekable();
            let emit = |(step, value): &(Step, &Value), made: &mut Vec<Value>| {
                made.push(match known.get(&format!("{step:?}")) {
                    Some(live) => merge(item, live, value),
                    None => (*value).clone(),
                });
            };
            // The applied order wins; what only the live list has keeps its place between its neighbours.
            for (step, value) in &lives {
                if !wanted.contains(&format!("{step:?}")) {
                    made.push((*value).clone());
                } else if rest.clone().any(|(other, _)| other == step) {
                    for next in rest.by_ref() {
                        emit(next, &mut made);
                        if next.0 == *step {
                            break;
                        }
                    }
                }
            }
            for next in rest {
                emit(next, &mut made);
            }
            Value::Array(made)
        }
        _ => config.clone(),
    }
}

/// Takes out what `last` owns and nobody in `keep` has.
pub(super) fn prune(shape: &Shape, value: &mut Value, last: &Set, keep: &[&Set]) {
    for (step, node) in &last.steps {
        let kept: Vec<&Set> =
            keep.iter().filter_map(|set| set.steps.get(step)).map(|node| &node.below).collect();
        if kept.is_empty() {
            remove(shape, value, step);
        } else if let Some((inner, value)) = step_into(shape, value, step) {
            prune(inner, value, &node.below, &kept);
        }
    }
}

fn remove(shape: &Shape, value: &mut Value, step: &Step) {
    match (view(shape), value, step) {
        (View::Object(_), Value::Object(fields), Step::Field(name)) => {
            fields.shift_remove(name);
        }
        (View::Items(_, kind), Value::Array(items), step) => {
            items.retain(|item| name(kind, item).as_ref() != Ok(step));
        }
        _ => {}
    }
}

fn step_into<'a, 'v>(
    shape: &'a Shape,
    value: &'v mut Value,
    step: &Step,
) -> Option<(&'a Shape, &'v mut Value)> {
    match (view(shape), value, step) {
        (View::Object(_), Value::Object(fields), Step::Field(name)) => {
            Some((shape.field(name)?, fields.get_mut(name)?))
        }
        (View::Items(item, kind), Value::Array(items), step) => {
            let found = items.iter_mut().find(|value| name(kind, value).as_ref() == Ok(step))?;
            Some((item, found))
        }
        _ => None,
    }
}

/// An object without the fields of null and the hollow ones that pruning may leave behind in maps.
pub(super) fn tidy(object: &mut Map<String, Value>, names: &[&str]) {
    for name in names {
        if object.get(*name).is_some_and(hollow) {
            object.shift_remove(*name);
        }
    }
}
