//! What is signed: cosign's payload for keys, and the in-toto statement in bundles.

use crate::{Digest, Reference};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What a statement of cosign's says of its subject: that it is signed, and no more.
pub(crate) const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";
/// What a build says of what it has built. Who trusts the builder trusts what it has built.
const PROVENANCE: [&str; 2] = ["https://slsa.dev/provenance/v1", "https://slsa.dev/provenance/v0.2"];
pub(crate) const STATEMENT: &str = "application/vnd.in-toto+json";
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
const SIMPLE_TYPE: &str = "cosign container image signature";

/// Cosign's payload, a "simple signing" document.
pub(crate) fn simple(at: &Reference, digest: &Digest, annotations: &BTreeMap<String, String>) -> Vec<u8> {
    json!({
        "critical": {
            "identity": {"docker-reference": at.name()},
            "image": {"docker-manifest-digest": digest},
            "type": SIMPLE_TYPE,
        },
        "optional": (!annotations.is_empty()).then_some(annotations),
    })
    .to_string()
    .into_bytes()
}

/// The statement of a bundle.
pub(crate) fn statement(digest: &Digest, annotations: &BTreeMap<String, String>) -> Vec<u8> {
    let mut subject = json!({"digest": {"sha256": digest.hex()}});
    if let (false, Some(subject)) = (annotations.is_empty(), subject.as_object_mut()) {
        subject.insert("annotations".into(), json!(annotations));
    }
    json!({"_type": STATEMENT_TYPE, "subject": [subject], "predicateType": SIGN, "predicate": {}})
        .to_string()
        .into_bytes()
}

/// What of a signed document matters here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Claims {
    pub(crate) annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Simple {
    critical: Critical,
    optional: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Critical {
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: Digest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    predicate_type: String,
    subject: Vec<Subject>,
}

#[derive(Deserialize)]
struct Subject {
    digest: BTreeMap<String, String>,
    annotations: Option<Map<String, Value>>,
}

/// What a payload says of a manifest. The error is a fragment.
pub(crate) fn read_simple(payload: &[u8], digest: &Digest) -> Result<Claims, String> {
    let simple: Simple =
        serde_json::from_slice(payload).map_err(|_| "its payload is none of cosign's".to_owned())?;
    if simple.critical.kind != SIMPLE_TYPE {
        return Err("its payload is none of cosign's".into());
    }
    if simple.critical.image.digest != *digest {
        return Err(format!("it signs {}, not this", simple.critical.image.digest));
    }
    Ok(Claims { annotations: texts(simple.optional) })
}

/// What a statement says of a manifest. The error is a fragment.
pub(crate) fn read_statement(payload: &[u8], digest: &Digest) -> Result<Claims, String> {
    let statement: Statement =
        serde_json::from_slice(payload).map_err(|_| "its statement cannot be read".to_owned())?;
    let kind = &statement.predicate_type;
    // A report of weaknesses is about its subject, too, and no word for it.
    if kind != SIGN && !PROVENANCE.contains(&kind.as_str()) {
        return Err(format!(
            "its statement is a {}, neither a signature nor a provenance",
            ilab_core::text::quoted(kind, 100)
        ));
    }
    let subject = statement
        .subject
        .into_iter()
        .find(|subject| subject.digest.get("sha256").is_some_and(|hex| hex == digest.hex()))
        .ok_or("its statement is about something else")?;
    Ok(Claims { annotations: texts(subject.annotations) })
}

fn texts(map: Option<Map<String, Value>>) -> BTreeMap<String, String> {
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    map.unwrap_or_default().into_iter().map(|(key, value)| (key, text(value))).collect()
}
