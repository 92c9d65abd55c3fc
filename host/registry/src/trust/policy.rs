//! The policy file: whose signatures a component needs.

use super::error::TrustError;
use super::identity::{Identity, Name};
use super::keys::PublicKey;
use super::requirement::{Requirement, Signer};
use super::roots::Roots;
use crate::RegistryError;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// More than a policy of a thousand signers has.
const LIMIT: u64 = 1 << 20;
const API_VERSION: &str = "ilab.dev/v1";
const KIND: &str = "VerificationPolicy";

/// Whose signatures a component needs.
#[derive(Debug)]
pub struct Policy {
    pub(super) all_of: Vec<Requirement>,
    /// How many of which at least.
    pub(super) any_of: Option<(usize, Vec<Requirement>)>,
    /// Who may certify, where somebody has to be certified.
    pub(super) roots: Option<Roots>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    api_version: String,
    kind: String,
    trusted_root: Option<PathBuf>,
    #[serde(default)]
    all_of: Vec<Wanted>,
    any_of: Option<AnyOf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AnyOf {
    #[serde(default = "one")]
    minimum_matches: usize,
    signatures: Vec<Wanted>,
}

fn one() -> usize {
    1
}

/// One signer, in the words of kwctl's verification configuration.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
enum Wanted {
    PubKey {
        key: Option<String>,
        key_file: Option<PathBuf>,
        #[serde(default)]
        annotations: BTreeMap<String, String>,
    },
    #[serde(alias = "keyless")]
    GenericIssuer {
        issuer: String,
        subject: Subject,
        #[serde(default)]
        annotations: BTreeMap<String, String>,
    },
    GithubAction {
        owner: String,
        repo: Option<String>,
        #[serde(default)]
        annotations: BTreeMap<String, String>,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Subject {
    equal: Option<String>,
    url_prefix: Option<String>,
    regex: Option<String>,
}

impl Policy {
    /// Reads a policy; files that it names are seen from its folder.
    ///
    /// # Errors
    /// [`TrustError::Policy`] for unknown words, another version, a policy that would trust everybody, and signers that cannot
    /// be meant.
    pub fn read(path: &Path) -> Result<Self, TrustError> {
        let refuse = |problem: String| TrustError::policy(path, problem);
        let document: Document = crate::yaml::read(path, LIMIT).map_err(|error| match error {
            RegistryError::Content { problem, .. } => refuse(problem),
            other => refuse(ilab_core::text::chain(&other)),
        })?;
        if document.api_version != API_VERSION || document.kind != KIND {
            return Err(refuse(format!(
                "is no policy of this host: it needs apiVersion: {API_VERSION} and kind: {KIND}"
            )));
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        let all = |wanted: Vec<Wanted>, at: &str| -> Result<Vec<Requirement>, TrustError> {
            let each = wanted.into_iter().enumerate();
            each.map(|(n, wanted)| {
                requirement(wanted, folder).map_err(|problem| refuse(format!("{at}[{n}] {problem}")))
            })
            .collect()
        };
        let all_of = all(document.all_of, "allOf")?;
        let any_of = match document.any_of {
            Some(AnyOf { minimum_matches, signatures }) => {
                if minimum_matches == 0 || minimum_matches > signatures.len() {
                    let count = signatures.len();
                    return Err(refuse(format!(
                        "anyOf.minimumMatches is {minimum_matches}, and there are {count} signatures"
                    )));
                }
                Some((minimum_matches, all(signatures, "anyOf.signatures")?))
            }
            None => None,
        };
        if all_of.is_empty() && any_of.is_none() {
            return Err(refuse(
                "wants no signature, and so would trust everybody: write allOf or anyOf".into(),
            ));
        }
        let mut signers = all_of.iter().chain(any_of.iter().flat_map(|(_, any_of)| any_of));
        let certified = signers.any(|wanted| matches!(wanted.signer, Signer::Certified(_)));
        let roots = match (certified, document.trusted_root) {
            (true, file) => Some(Roots::read(file.map(|file| folder.join(file)).as_deref())?),
            (false, Some(_)) => {
                return Err(refuse("has a trustedRoot, and wants no signature by certificate".into()));
            }
            (false, None) => None,
        };
        Ok(Self { all_of, any_of, roots })
    }
}

/// A signer as it is checked. The error is a fragment.
fn requirement(wanted: Wanted, folder: &Path) -> Result<Requirement, String> {
    let (signer, annotations) = match wanted {
        Wanted::PubKey { key, key_file, annotations } => {
            let key = match (key, key_file) {
                (Some(pem), None) => PublicKey::parse(&pem)?,
                (None, Some(file)) => PublicKey::read(&folder.join(file)).map_err(|e| e.to_string())?,
                _ => return Err("needs either key or keyFile".into()),
            };
            (Signer::Key(key), annotations)
        }
        Wanted::GenericIssuer { issuer, subject, annotations } => {
            let issuer = Name::equal(&issuer).map_err(|e| format!("has an issuer that {e}"))?;
            let (subject, what) = match (subject.equal, subject.url_prefix, subject.regex) {
                (Some(equal), None, None) => (Name::equal(&equal), "subject"),
                (None, Some(prefix), None) => (Name::below(&prefix), "urlPrefix"),
                (None, None, Some(regex)) => (Name::matching(&regex), "regex"),
                _ => return Err("needs a subject with one of equal, urlPrefix and regex".into()),
            };
            let subject = subject.map_err(|e| format!("has a {what} that {e}"))?;
            (Signer::Certified(Identity::new(issuer, subject)), annotations)
        }
        Wanted::GithubAction { owner, repo, annotations } => {
            (Signer::Certified(Identity::github(&owner, repo.as_deref())?), annotations)
        }
    };
    Ok(Requirement { signer, annotations })
}
