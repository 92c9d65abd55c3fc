//! The grants file: YAML documents of kind `Grant` and `Ceiling`.

use crate::contract::Kind;
use crate::guard::{ANY_IMAGE, Level, exemptable, repository};
use crate::names::{PluginDigest, check_subdomain};
use crate::nearest::{hint, nearest};
use crate::quantity::milli;
use crate::text::{escaped, quoted, yaml_problem};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// What `apiVersion` of every document must be.
pub const API_VERSION: &str = "ilab.dev/v1";
/// The longest grants file, in bytes.
pub const MAX_GRANTS_BYTES: usize = 1024 * 1024;

const KINDS: [&str; 2] = ["Grant", "Ceiling"];
const GRANT_KEYS: [&str; 11] = [
    "apiVersion",
    "kind",
    "digest",
    "plugin",
    "kinds",
    "credentials",
    "volumes",
    "configMaps",
    "images",
    "limits",
    "exemptions",
];
const CEILING_KEYS: [&str; 11] = [
    "apiVersion",
    "kind",
    "podSecurity",
    "requireDigests",
    "kinds",
    "credentials",
    "volumes",
    "configMaps",
    "images",
    "limits",
    "exemptions",
];
const KIND_KEYS: [&str; 2] = ["apiVersion", "kind"];
const EXEMPTION_KEYS: [&str; 3] = ["rule", "value", "reason"];

/// Why a grants file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantsError {
    /// It is too long to be one.
    #[error("it has {bytes} bytes, more than {MAX_GRANTS_BYTES}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// A document is not what it should be.
    #[error("document {document}{}: {problem}", path_of(.path))]
    Document {
        /// Which, counted from 1.
        document: usize,
        /// Where in it, for example `kinds[0].kind`.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// A word that means nothing there.
    #[error("document {document}{}: unknown word {}{}", path_of(.path), quoted(.word, 60), hint(.nearest.as_deref(), .valid))]
    UnknownWord {
        /// Which document, counted from 1.
        document: usize,
        /// Where in it.
        path: String,
        /// The word.
        word: String,
        /// The word that is nearest.
        nearest: Option<String>,
        /// All words that are valid there.
        valid: Vec<String>,
    },
    /// Two grants for one component.
    #[error("documents {first} and {second} are both for {}", .digest.short())]
    Twice {
        /// The first, counted from 1.
        first: usize,
        /// The other.
        second: usize,
        /// The component.
        digest: PluginDigest,
    },
    /// Two ceilings in one file: it would not be plain which one counts.
    #[error("documents {first} and {second} are both a Ceiling")]
    TwoCeilings {
        /// The first, counted from 1.
        first: usize,
        /// The other.
        second: usize,
    },
}

fn path_of(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(", {}", escaped(path, 160)) }
}

/// A kind of Kubernetes object, as a grants file writes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GrantedKind {
    /// For example `batch/v1`.
    pub api_version: String,
    /// For example `Job`.
    pub kind: String,
}

impl From<&Kind> for GrantedKind {
    fn from(kind: &Kind) -> Self {
        Self { api_version: kind.api_version.clone(), kind: kind.kind.clone() }
    }
}

impl GrantedKind {
    /// Whether it is this one.
    #[must_use]
    pub fn is(&self, kind: &Kind) -> bool {
        self.api_version == kind.api_version && self.kind == kind.kind
    }
}

/// A rule of the guard that is lifted for one value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GrantedExemption {
    /// The rule, as violations name it.
    pub rule: String,
    /// For what, for example `IPC_LOCK`.
    pub value: String,
    /// Why: shown whenever it is used. In a ceiling it may be left out.
    #[serde(default)]
    pub reason: String,
}

/// What one component is granted. What is not named is not granted, but for `limits`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PluginGrant {
    /// The component.
    pub digest: PluginDigest,
    /// Its file, for people.
    #[serde(default)]
    pub plugin: String,
    /// The kinds of objects that it may create.
    #[serde(default)]
    pub kinds: Vec<GrantedKind>,
    /// The credentials that its stages may be bound to, by their logical names.
    #[serde(default)]
    pub credentials: BTreeSet<String>,
    /// The volumes that its stages may mount, by their logical names.
    #[serde(default)]
    pub volumes: BTreeSet<String>,
    /// ConfigMaps of the namespace that its pods may read besides those of the run.
    #[serde(default)]
    pub config_maps: BTreeSet<String>,
    /// The images that its pods may run: a registry, or registry and path; `*` for any.
    #[serde(default)]
    pub images: Vec<String>,
    /// What all pods of one of its stages may take together; none: no bound but the ceiling's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<BTreeMap<String, String>>,
    /// Rules of the guard that are lifted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exemptions: Vec<GrantedExemption>,
}

/// What nobody is granted more than. What it does not name it does not bound.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ceiling {
    /// The least level of the Pod Security Standards.
    pub pod_security: Option<Level>,
    /// Whether images must be named by digest.
    #[serde(default)]
    pub require_digests: bool,
    /// The kinds that may be granted.
    pub kinds: Option<Vec<GrantedKind>>,
    /// The credentials that may be granted.
    pub credentials: Option<BTreeSet<String>>,
    /// The volumes that may be granted.
    pub volumes: Option<BTreeSet<String>>,
    /// The ConfigMaps that may be granted.
    pub config_maps: Option<BTreeSet<String>>,
    /// The images that may be granted.
    pub images: Option<Vec<String>>,
    /// What all pods of any one stage may take together.
    pub limits: Option<BTreeMap<String, String>>,
    /// The exemptions that may be granted.
    pub exemptions: Option<Vec<GrantedExemption>>,
}

/// A grants file, checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GrantsFile {
    /// Where it came from, for messages.
    pub name: String,
    /// The ceiling, where it has one.
    pub ceiling: Option<Ceiling>,
    /// The grants.
    pub grants: Vec<PluginGrant>,
}

/// Reads a grants file. `name` is for messages.
///
/// # Errors
/// [`GrantsError`] with the document, the place in it and, for an unknown word, the valid ones.
///
/// ```
/// use ilab_core::grants::parse_grants;
/// let error = parse_grants("grants.yaml", "apiVersion: ilab.dev/v1\nkind: Ceiling\nimage: [quay.io]\n").unwrap_err();
/// assert!(error.to_string().starts_with("document 1: unknown word \"image\"; did you mean images?"));
/// ```
pub fn parse_grants(name: &str, text: &str) -> Result<GrantsFile, GrantsError> {
    if text.len() > MAX_GRANTS_BYTES {
        return Err(GrantsError::TooLong { bytes: text.len() });
    }
    let mut file = GrantsFile { name: name.to_owned(), ..GrantsFile::default() };
    let mut ceiling = None;
    let mut known: BTreeMap<PluginDigest, usize> = BTreeMap::new();
    for (index, part) in super::text::documents(text).enumerate() {
        let document = index + 1;
        let Some(value) = read(part).map_err(|problem| at(document, "", problem))? else { continue };
        match kind_of(&value, document)? {
            "Grant" => {
                let grant = grant(value, document)?;
                if let Some(first) = known.insert(grant.digest.clone(), document) {
                    return Err(GrantsError::Twice { first, second: document, digest: grant.digest });
                }
                file.grants.push(grant);
            }
            _ => {
                file.ceiling = Some(self::ceiling(value, document)?);
                if let Some(first) = ceiling.replace(document) {
                    return Err(GrantsError::TwoCeilings { first, second: document });
                }
            }
        }
    }
    Ok(file)
}

/// One document; none when it is empty.
pub(super) fn read(text: &str) -> Result<Option<Value>, String> {
    let bare = text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
    if bare {
        return Ok(None);
    }
    let value: Value = serde_saphyr::from_str(text).map_err(|error| yaml_problem(&error))?;
    Ok(Some(value).filter(|value| !value.is_null()))
}

fn at(document: usize, path: &str, problem: impl Into<String>) -> GrantsError {
    GrantsError::Document { document, path: path.to_owned(), problem: problem.into() }
}

fn unknown(document: usize, path: &str, word: &str, valid: &[&str]) -> GrantsError {
    GrantsError::UnknownWord {
        document,
        path: path.to_owned(),
        word: word.to_owned(),
        nearest: nearest(word, valid),
        valid: valid.iter().map(|word| (*word).to_owned()).collect(),
    }
}

fn kind_of(value: &Value, document: usize) -> Result<&str, GrantsError> {
    let Some(map) = value.as_object() else {
        return Err(at(document, "", "it must be a mapping of kind Grant or Ceiling"));
    };
    match map.get("apiVersion").map(|version| version.as_str().unwrap_or("")) {
        Some(API_VERSION) => {}
        Some(other) => {
            let problem = format!("{} is not known; this host knows {API_VERSION}", quoted(other, 60));
            return Err(at(document, "apiVersion", problem));
        }
        None => return Err(at(document, "", format!("it needs the line `apiVersion: {API_VERSION}`"))),
    }
    let kind = map.get("kind").map_or("", |kind| kind.as_str().unwrap_or(""));
    let keys: &[&str] = match kind {
        "Grant" => &GRANT_KEYS,
        "Ceiling" => &CEILING_KEYS,
        "" => return Err(at(document, "", "it needs the line `kind: Grant` or `kind: Ceiling`")),
        other => return Err(unknown(document, "kind", other, &KINDS)),
    };
    if let Some(key) = map.keys().find(|key| !keys.contains(&key.as_str())) {
        return Err(unknown(document, "", key, keys));
    }
    for (list, keys) in [("kinds", &KIND_KEYS[..]), ("exemptions", &EXEMPTION_KEYS)] {
        for (index, item) in map.get(list).and_then(Value::as_array).into_iter().flatten().enumerate() {
            let path = format!("{list}[{index}]");
            let Some(item) = item.as_object() else {
                return Err(at(document, &path, format!("it must be a mapping of {}", keys.join(", "))));
            };
            if let Some(key) = item.keys().find(|key| !keys.contains(&key.as_str())) {
                return Err(unknown(document, &path, key, keys));
            }
        }
    }
    Ok(kind)
}

/// Without the two words that say what it is.
fn typed<T: serde::de::DeserializeOwned>(mut value: Value, document: usize) -> Result<T, GrantsError> {
    if let Some(map) = value.as_object_mut() {
        map.retain(|key, value| key != "apiVersion" && key != "kind" && !value.is_null());
        // A quantity is a text or a number.
        for quantity in
            map.get_mut("limits").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut)
        {
            if quantity.is_number() {
                *quantity = Value::String(quantity.to_string());
            }
        }
    }
    serde_json::from_value(value).map_err(|error| at(document, "", escaped(&error.to_string(), 300)))
}

fn grant(value: Value, document: usize) -> Result<PluginGrant, GrantsError> {
    let grant: PluginGrant = typed(value, document)?;
    let hex = grant.digest.as_str().strip_prefix("sha256:").unwrap_or("");
    if hex.len() != 64 || !hex.chars().all(|c| c.is_ascii_digit() || matches!(c, 'a'..='f')) {
        let problem = format!("{} is not sha256: and 64 hex digits", quoted(grant.digest.as_str(), 80));
        return Err(at(document, "digest", problem));
    }
    check_names(document, "configMaps", &grant.config_maps)?;
    check_images(document, &grant.images)?;
    check_limits(document, grant.limits.as_ref())?;
    for (index, exemption) in grant.exemptions.iter().enumerate() {
        check_exemption(document, index, exemption)?;
        if exemption.reason.trim().is_empty() {
            return Err(at(document, &format!("exemptions[{index}]"), "it needs a reason"));
        }
    }
    Ok(grant)
}

fn ceiling(value: Value, document: usize) -> Result<Ceiling, GrantsError> {
    if let Some(level) = value.get("podSecurity").filter(|level| !level.is_null()) {
        let word = level.as_str().unwrap_or("");
        if !["baseline", "restricted"].contains(&word) {
            return Err(unknown(document, "podSecurity", word, &["baseline", "restricted"]));
        }
    }
    let ceiling: Ceiling = typed(value, document)?;
    check_names(document, "configMaps", ceiling.config_maps.iter().flatten())?;
    check_images(document, ceiling.images.iter().flatten())?;
    check_limits(document, ceiling.limits.as_ref())?;
    for (index, exemption) in ceiling.exemptions.iter().flatten().enumerate() {
        check_exemption(document, index, exemption)?;
    }
    Ok(ceiling)
}

fn check_exemption(document: usize, index: usize, exemption: &GrantedExemption) -> Result<(), GrantsError> {
    exemptable(&exemption.rule, &exemption.value)
        .map(|_| ())
        .map_err(|problem| at(document, &format!("exemptions[{index}]"), problem))
}

fn check_names<'a>(
    document: usize,
    path: &str,
    names: impl IntoIterator<Item = &'a String>,
) -> Result<(), GrantsError> {
    for name in names {
        check_subdomain("ConfigMap", name).map_err(|error| at(document, path, error.to_string()))?;
    }
    Ok(())
}

fn check_images<'a>(
    document: usize,
    images: impl IntoIterator<Item = &'a String>,
) -> Result<(), GrantsError> {
    for image in images {
        let bare = image.trim_end_matches('/');
        // A tag would never match: lists name where images come from.
        let plain = repository(bare).is_some_and(|name| name.ends_with(&bare.to_ascii_lowercase()));
        if image != ANY_IMAGE && !plain {
            let problem =
                format!("{} is no registry, nor registry and path; `{ANY_IMAGE}` is any", quoted(image, 80));
            return Err(at(document, "images", problem));
        }
    }
    Ok(())
}

fn check_limits(document: usize, limits: Option<&BTreeMap<String, String>>) -> Result<(), GrantsError> {
    const PLAIN: [&str; 5] = ["cpu", "memory", "ephemeral-storage", "pods", "storage"];
    for (name, quantity) in limits.into_iter().flatten() {
        if !PLAIN.contains(&name.as_str()) && !name.contains('/') && !name.starts_with("hugepages-") {
            let mut error = unknown(document, "limits", name, &PLAIN);
            if let GrantsError::UnknownWord { valid, .. } = &mut error {
                valid.push("an extended resource such as nvidia.com/gpu".to_owned());
            }
            return Err(error);
        }
        milli(quantity).map_err(|error| at(document, &format!("limits.{name}"), error.to_string()))?;
    }
    Ok(())
}
