//! JSON patch, JSON merge patch, and the part of strategic merge patch that clients use.

use super::typed;
use crate::schema::{ListKind, Shape};
use serde_json::{Map, Value};

/// Why a patch was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PatchError {
    /// It is of a kind that is not served.
    #[error("the patch type {0:?} is not supported")]
    MediaType(String),
    /// It cannot be read.
    #[error("error decoding patch: {0}")]
    Malformed(String),
    /// It does not fit the object.
    #[error("{0}")]
    Failed(String),
}

/// One operation of a JSON patch.
#[derive(Debug, serde::Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(crate) enum Operation {
    Add { path: String, value: Value },
    Remove { path: String },
    Replace { path: String, value: Value },
    Move { from: String, path: String },
    Copy { from: String, path: String },
    Test { path: String, value: Value },
}

/// A patch that has been read.
#[derive(Debug)]
pub(crate) enum Patch {
    /// RFC 6902.
    Json(Vec<Operation>),
    /// RFC 7386.
    Merge(Value),
    /// Kubernetes' own.
    Strategic(Value),
}

/// As upstream.
const MAX_OPERATIONS: usize = 10_000;
/// What all copies of one patch may amount to, in bytes.
const MAX_COPIED: usize = 3 << 20;

impl Patch {
    /// Reads a body of this content type.
    pub(crate) fn read(kind: &str, body: &[u8]) -> Result<Self, PatchError> {
        let malformed = |error: serde_json::Error| PatchError::Malformed(error.to_string());
        match kind {
            "application/json-patch+json" => {
                let operations: Vec<Operation> = serde_json::from_slice(body).map_err(malformed)?;
                if operations.len() > MAX_OPERATIONS {
                    return Err(PatchError::Malformed(format!(
                        "it has {} operations, of {MAX_OPERATIONS} allowed",
                        operations.len()
                    )));
                }
                Ok(Self::Json(operations))
            }
            "application/merge-patch+json" | "application/strategic-merge-patch+json" => {
                let patch: Value = serde_json::from_slice(body).map_err(malformed)?;
                if !patch.is_object() {
                    return Err(PatchError::Malformed("it must be an object".to_owned()));
                }
                Ok(if kind.contains("strategic") { Self::Strategic(patch) } else { Self::Merge(patch) })
            }
            other => Err(PatchError::MediaType(other.chars().take(128).collect())),
        }
    }

    /// The object with the patch.
    pub(crate) fn patched(&self, shape: &Shape, live: &Value) -> Result<Value, PatchError> {
        let mut object = live.clone();
        match self {
            Self::Json(operations) => {
                // Copies of copies double: without a bound, a short patch fills the memory.
                let mut copied = 0;
                for operation in operations {
                    if let Operation::Copy { from, .. } = operation {
                        copied += object.pointer(from).map_or(0, |value| value.to_string().len());
                        if copied > MAX_COPIED {
                            return Err(PatchError::Failed("the patch copies too much".to_owned()));
                        }
                    }
                    operate(&mut object, operation)?;
                }
            }
            Self::Merge(patch) => merge(&mut object, patch),
            Self::Strategic(patch) => strategic(shape, &mut object, patch, "")?,
        }
        if object.is_object() {
            Ok(object)
        } else {
            Err(PatchError::Failed("the result is not an object".into()))
        }
    }
}

fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    let Value::Object(fields) = into else { return };
    for (name, value) in patch {
        if value.is_null() {
            fields.shift_remove(name);
        } else {
            merge(fields.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

/// The field that tells a list's items apart in a strategic merge patch.
fn merge_key<'a>(field: &str, shape: &'a Shape) -> Option<&'a str> {
    match shape.resolve() {
        Shape::List(_, ListKind::Keyed(keys)) => keys.first().map(String::as_str),
        // Job's conditions are atomic for server-side apply, but merged by type here.
        Shape::List(..) if field == "conditions" => Some("type"),
        _ => None,
    }
}

fn strategic(shape: &Shape, into: &mut Value, patch: &Value, field: &str) -> Result<(), PatchError> {
    match patch {
        Value::Object(patch) => {
            if let Some(directive) = patch.get("$patch") {
                return match directive.as_str() {
                    Some("replace") => {
                        let mut whole = patch.clone();
                        whole.shift_remove("$patch");
                        *into = Value::Object(whole);
                        Ok(())
                    }
                    Some("delete") => {
                        *into = Value::Object(Map::new());
                        Ok(())
                    }
                    Some("merge") => {
                        let mut rest = patch.clone();
                        rest.shift_remove("$patch");
                        strategic(shape, into, &Value::Object(rest), field)
                    }
                    _ => Err(PatchError::Malformed(format!("unknown patch directive {directive}"))),
                };
            }
            if !into.is_object() {
                *into = Value::Object(Map::new());
            }
            let Value::Object(fields) = into else { return Ok(()) };
            for (name, value) in patch {
                if let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/") {
                    let gone = value.as_array().cloned().unwrap_or_default();
                    if let Some(Value::Array(items)) = fields.get_mut(list) {
                        items.retain(|item| !gone.contains(item));
                    }
                } else if name.starts_with("$setElementOrder/") {
                    // Only the order of a list: items keep theirs.
                } else if name == "$retainKeys" {
                    let kept = value.as_array().cloned().unwrap_or_default();
                    fields.retain(|name, _| kept.iter().any(|kept| kept == name));
                } else if name.starts_with('$') {
                    return Err(PatchError::Malformed(format!("unknown patch directive {name:?}")));
                } else if value.is_null() {
                    fields.shift_remove(name);
                } else {
                    let inner = shape.field(name).unwrap_or(&Shape::Any);
                    let entry = fields.entry(name.clone()).or_insert(Value::Null);
                    strategic(inner, entry, value, name)?;
                }
            }
            Ok(())
        }
        Value::Array(items) => strategic_list(shape, into, items, field),
        other => {
            *into = other.clone();
            Ok(())
        }
    }
}

fn strategic_list(shape: &Shape, into: &mut Value, items: &[Value], field: &str) -> Result<(), PatchError> {
    if let Shape::List(_, kind @ ListKind::Set) = shape.resolve() {
        let list = into.as_array().cloned().unwrap_or_default();
        let mut list = list;
        for item in items {
            let known = typed::name(kind, item);
            if !list.iter().any(|old| typed::name(kind, old) == known) {
                list.push(item.clone());
            }
        }
        *into = Value::Array(list);
        return Ok(());
    }
    let (Some(key), Shape::List(inner, _)) = (merge_key(field, shape), shape.resolve()) else {
        *into = Value::Array(items.to_vec());
        return Ok(());
    };
    let replace = items.iter().any(|item| item["$patch"] == "replace" && item.get(key).is_none());
    let mut list = if replace { Vec::new() } else { into.as_array().cloned().unwrap_or_default() };
    for item in items {
        let Some(name) = item.get(key) else {
            if item["$patch"] == "replace" {
                continue;
            }
            return Err(PatchError::Failed(format!(
                "map: {item} does not contain declared merge key: {key}"
            )));
        };
        if item["$patch"] == "delete" {
            list.retain(|old| old.get(key) != Some(name));
            continue;
        }
        match list.iter_mut().find(|old| old.get(key) == Some(name)) {
            Some(old) => strategic(inner, old, item, "")?,
            None => list.push(item.clone()),
        }
    }
    *into = Value::Array(list);
    Ok(())
}

/// The container of the last step of a pointer, and that step.
fn parent<'a>(object: &'a mut Value, path: &str) -> Result<(&'a mut Value, String), PatchError> {
    let gone = || {
        PatchError::Failed(format!(
            "the server rejected our request due to an error in our request: path {path:?} is not there"
        ))
    };
    let (parent, last) = path.rsplit_once('/').ok_or_else(gone)?;
    let parent = object.pointer_mut(parent).ok_or_else(gone)?;
    Ok((parent, last.replace("~1", "/").replace("~0", "~")))
}

fn operate(object: &mut Value, operation: &Operation) -> Result<(), PatchError> {
    let missing = |path: &str| PatchError::Failed(format!("path {path:?} is not there"));
    match operation {
        Operation::Add { path, value } => add(object, path, value.clone()),
        Operation::Remove { path } => take(object, path).map(|_| ()),
        Operation::Replace { path, value } => {
            *object.pointer_mut(path).ok_or_else(|| missing(path))? = value.clone();
            Ok(())
        }
        Operation::Move { from, path } => {
            if path.starts_with(&format!("{from}/")) {
                return Err(PatchError::Failed(format!("{from:?} cannot be moved into itself")));
            }
            let value = take(object, from)?;
            add(object, path, value)
        }
        Operation::Copy { from, path } => {
            let value = object.pointer(from).cloned().ok_or_else(|| missing(from))?;
            add(object, path, value)
        }
        Operation::Test { path, value } => match object.pointer(path) {
            Some(found) if found == value => Ok(()),
            None if value.is_null() => Ok(()),
            _ => Err(PatchError::Failed(format!("testing path {path:?} failed"))),
        },
    }
}

fn index(text: &str, length: usize) -> Option<usize> {
    let fits = text == "0" || !text.starts_with(['0', '+']);
    text.parse().ok().filter(|at| fits && *at <= length)
}

fn add(object: &mut Value, path: &str, value: Value) -> Result<(), PatchError> {
    if path.is_empty() {
        *object = value;
        return Ok(());
    }
    let (parent, last) = parent(object, path)?;
    match parent {
        Value::Object(fields) => {
            fields.insert(last, value);
            Ok(())
        }
        Value::Array(items) => {
            let at = if last == "-" { Some(items.len()) } else { index(&last, items.len()) };
            let at = at.ok_or_else(|| PatchError::Failed(format!("{path:?} is outside of its list")))?;
            items.insert(at, value);
            Ok(())
        }
        _ => Err(PatchError::Failed(format!("{path:?} is not within an object or list"))),
    }
}

fn take(object: &mut Value, path: &str) -> Result<Value, PatchError> {
    let (parent, last) = parent(object, path)?;
    let taken = match parent {
        Value::Object(fields) => fields.shift_remove(&last),
        Value::Array(items) => {
            index(&last, items.len()).filter(|at| *at < items.len()).map(|at| items.remove(at))
        }
        _ => None,
    };
    taken.ok_or_else(|| PatchError::Failed(format!("path {path:?} is not there")))
}
