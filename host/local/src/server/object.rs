//! What every kind has in common: metadata that only the server writes, and the check of a body against its shape.

use super::request::Request;
use super::resources::Resource;
use super::route::Target;
use super::status::{Cause, Refusal};
use crate::schema::{self, FindingKind};
use serde_json::{Map, Value, json};

/// The current time, in seconds, as Kubernetes writes it.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A fresh version 4 UUID.
pub(crate) fn uid() -> Result<String, Refusal> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| Refusal::internal(format!("no randomness: {error}")))?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex::encode(bytes);
    Ok(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

/// Five characters that make a generated name unique, of the alphabet that Kubernetes uses.
pub(crate) fn suffix() -> Result<String, Refusal> {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut bytes = [0_u8; 5];
    getrandom::fill(&mut bytes).map_err(|error| Refusal::internal(format!("no randomness: {error}")))?;
    Ok(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect())
}

/// A stored object, parsed. What is stored was written by this server.
pub(crate) fn parse(object: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(object)
        .map_err(|error| Refusal::internal(format!("the stored object cannot be read: {error}")))
}

/// `metadata`, made when it is missing.
pub(crate) fn metadata(object: &mut Value) -> &mut Map<String, Value> {
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    match &mut object["metadata"] {
        Value::Object(metadata) => metadata,
        _ => unreachable!("it was made an object just now"),
    }
}

/// A string at a pointer, or nothing.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Whether a list at a pointer has anything in it.
pub(crate) fn filled(object: &Value, pointer: &str) -> bool {
    object.pointer(pointer).and_then(Value::as_array).is_some_and(|items| !items.is_empty())
}

/// Checks apiVersion, kind, namespace and name against the address, and the body against the kind's shape. Unknown
/// fields are dropped, with a warning unless the request says `fieldValidation`. Answers the warnings.
pub(crate) fn admit_body(
    request: &Request,
    target: &Target,
    name: Option<&str>,
    object: &mut Value,
) -> Result<Vec<String>, Refusal> {
    let resource = target.resource;
    let api_version = resource.api_version();
    for (field, wanted) in [("apiVersion", api_version.as_str()), ("kind", resource.kind)] {
        let given = object.get(field).and_then(Value::as_str).unwrap_or_default();
        if given.is_empty() {
            object[field] = json!(wanted);
        } else if given != wanted {
            return Err(Refusal::bad_request(format!(
                "{} in version {:?} cannot be handled as a {}: the {field} in the data ({given}) does not match the expected one ({wanted})",
                text(object, "/kind"),
                text(object, "/apiVersion"),
                resource.kind,
            )));
        }
    }
    let warnings = admit_shape(request, resource, object)?;
    if let Some(namespace) = &target.namespace {
        let given = text(object, "/metadata/namespace");
        if !given.is_empty() && given != namespace {
            return Err(Refusal::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        metadata(object).insert("namespace".into(), json!(namespace));
    } else {
        metadata(object).shift_remove("namespace");
    }
    if let Some(name) = name {
        let given = text(object, "/metadata/name");
        if !given.is_empty() && given != name {
            return Err(Refusal::bad_request(format!(
                "the name of the object ({given}) does not match the name on the URL ({name})"
            )));
        }
        metadata(object).insert("name".into(), json!(name));
    }
    Ok(warnings)
}

/// The part of [`admit_body`] that is about types and unknown fields.
pub(crate) fn admit_shape(
    request: &Request,
    resource: &Resource,
    object: &mut Value,
) -> Result<Vec<String>, Refusal> {
    let strict = match request.param("fieldValidation") {
        Some("Strict") => Some(true),
        Some("Ignore") => None,
        Some("Warn") | None => Some(false),
        Some(other) => {
            return Err(Refusal::bad_request(format!(
                "invalid fieldValidation value {other:?}: the supported values are \"Ignore\", \"Strict\", \"Warn\""
            )));
        }
    };
    let findings = schema::check(schema::shape(resource.shape), object, resource.custom());
    let (unknown, wrong): (Vec<_>, Vec<_>) =
        findings.into_iter().partition(|finding| finding.kind == FindingKind::Unknown);
    if resource.custom() && !wrong.is_empty() {
        let causes: Vec<Cause> = wrong.iter().map(schema::Finding::cause).collect();
        return Err(Refusal::invalid(resource, text(object, "/metadata/name"), &causes));
    }
    if let Some(first) = wrong.first() {
        return Err(Refusal::bad_request(format!(
            "{} in version {:?} cannot be handled as a {}: json: {}",
            resource.kind,
            resource.version,
            resource.kind,
            first.go_message(resource.kind),
        )));
    }
    let texts: Vec<String> =
        unknown.iter().map(|finding| format!("unknown field {:?}", finding.path)).collect();
    match strict {
        Some(true) if !texts.is_empty() => {
            Err(Refusal::bad_request(format!("strict decoding error: {}", texts.join(", "))))
        }
        Some(_) => Ok(texts),
        None => Ok(Vec::new()),
    }
}
