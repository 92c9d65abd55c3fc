//! Newtypes for the names that cross crate boundaries, so that one cannot be taken for another.

use crate::text::quoted;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A name that breaks the rules of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {} is not valid: {rule}", quoted(.name, 100))]
pub struct InvalidName {
    /// What was to be named, for example `run name`.
    pub what: &'static str,
    /// The name as given.
    pub name: String,
    /// The rule it breaks, as a fragment.
    pub rule: &'static str,
}

const KEBAB: &str =
    "use lower-case letters, digits and single dashes, starting with a letter and not ending with a dash";

/// Whether Kubernetes takes it for the name of an object of most kinds: a DNS subdomain by RFC 1123.
///
/// ```
/// use ilab_core::names::is_object_name;
/// assert!(is_object_name("judge-ca.v2"));
/// assert!(!is_object_name("../secrets/judge") && !is_object_name("Judge") && !is_object_name(""));
/// ```
#[must_use]
pub fn is_object_name(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_label)
}

pub(crate) fn is_kebab(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && !name.contains("--")
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn is_label(label: &str) -> bool {
    let sound = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.chars().all(sound)
}

/// Checks a name that Kubernetes wants as an RFC 1123 label, for example of a namespace or of an object whose name
/// becomes a label. `what` says what is named.
///
/// # Errors
/// [`InvalidName`] with the rule that it breaks.
///
/// ```
/// use ilab_core::names::check_label;
/// assert!(check_label("namespace", "123").is_ok());
/// assert!(check_label("namespace", "my.ns").is_err());
/// ```
pub fn check_label(what: &'static str, name: &str) -> Result<(), InvalidName> {
    let rule = if name.len() > 63 {
        "it may have 63 characters at most"
    } else if !is_label(name) {
        "use lower-case letters, digits and dashes, beginning and ending with a letter or digit"
    } else {
        return Ok(());
    };
    Err(InvalidName { what, name: name.to_owned(), rule })
}

/// Checks a name that Kubernetes wants as an RFC 1123 subdomain: labels with dots between, for example of a Secret.
///
/// # Errors
/// [`InvalidName`] with the rule that it breaks.
///
/// ```
/// use ilab_core::names::check_subdomain;
/// assert!(check_subdomain("Secret", "s3.team-a").is_ok());
/// assert!(check_subdomain("Secret", "s3..a").is_err());
/// ```
pub fn check_subdomain(what: &'static str, name: &str) -> Result<(), InvalidName> {
    let rule = if name.len() > 253 {
        "it may have 253 characters at most"
    } else if !is_object_name(name) {
        "use lower-case letters, digits, dashes and dots, beginning and ending with a letter or digit"
    } else {
        return Ok(());
    };
    Err(InvalidName { what, name: name.to_owned(), rule })
}

macro_rules! kebab_name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal, $too_long:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks and wraps a name.
            ///
            /// # Errors
            /// [`InvalidName`] when it is not kebab-case or too long.
            pub fn new(name: impl Into<String>) -> Result<Self, InvalidName> {
                let name = name.into();
                if !is_kebab(&name) {
                    return Err(InvalidName { what: $what, name, rule: KEBAB });
                }
                if name.len() > $max {
                    return Err(InvalidName { what: $what, name, rule: $too_long });
                }
                Ok(Self(name))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(name: String) -> Result<Self, InvalidName> {
                Self::new(name)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidName;
            fn from_str(name: &str) -> Result<Self, InvalidName> {
                Self::new(name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

kebab_name!(
    /// A stage's name: kebab-case, unique in a pipeline, at most 40 characters.
    ///
    /// ```
    /// use ilab_core::names::StageName;
    /// assert_eq!(StageName::new("train-phase-1")?.as_str(), "train-phase-1");
    /// assert!(StageName::new("Train").is_err());
    /// # Ok::<(), ilab_core::names::InvalidName>(())
    /// ```
    StageName, "stage name", 40, "it may have 40 characters at most"
);
kebab_name!(
    /// A run's name. It begins the name of every object of the run, so it is short: at most 30 characters.
    RunId, "run name", 30, "it may have 30 characters at most"
);
kebab_name!(
    /// The part of the workflow that a stage belongs to: a subcommand of `run`.
    GroupName, "group name", 40, "it may have 40 characters at most"
);

impl RunId {
    /// What the name of every object of one stage of this run is, or begins with (and a dash).
    ///
    /// At most 50 characters, so that there is room for what controllers append. Longer ones are cut and made
    /// unique again by eight digits of a hash of the whole.
    #[must_use]
    pub fn prefix(&self, stage: &StageName) -> String {
        use sha2::Digest;
        let whole = format!("{self}-{stage}");
        if whole.len() <= 50 {
            return whole;
        }
        let hash = hex::encode(sha2::Sha256::digest(whole.as_bytes()));
        let cut = whole[..41].trim_end_matches('-');
        format!("{cut}-{}", &hash[..8])
    }
}

/// The SHA-256 of a component's bytes, printed as `sha256:` and 64 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PluginDigest(String);

impl PluginDigest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest;
        Self(format!("sha256:{}", hex::encode(sha2::Sha256::digest(bytes))))
    }

    /// `sha256:` and 64 hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `sha256:` and 12 hex digits, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..19).unwrap_or(&self.0)
    }
}

impl fmt::Display for PluginDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `metadata.uid` of an object: its identity. A recreated object of the same name has another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ObjectUid(pub String);

impl fmt::Display for ObjectUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kebab_case_and_bounded() {
        for good in ["a", "train-phase-1", "mt-bench"] {
            assert!(StageName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "a--b", "A", "1a", "a_b", "a.b", "ä", &"a".repeat(41)] {
            assert!(StageName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn kubernetes_names_are_checked_as_the_api_server_does() {
        for good in ["123", "a", "a-b", &"a".repeat(63)] {
            assert!(check_label("namespace", good).is_ok(), "{good}");
            assert!(check_subdomain("Secret", good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a b", "ä", "a: b", "a\n"] {
            assert!(check_label("namespace", bad).is_err(), "{bad:?}");
            assert!(check_subdomain("Secret", bad).is_err(), "{bad:?}");
        }
        assert!(check_label("namespace", &"a".repeat(64)).is_err());
        assert!(check_label("namespace", "a.b").is_err() && check_subdomain("Secret", "a.b").is_ok());
        for bad in [".a", "a.", "a..b", &"a.".repeat(127)] {
            assert!(check_subdomain("Secret", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn prefixes_stay_short_and_distinct() {
        let run = RunId::new("a".repeat(30)).unwrap();
        let one = run.prefix(&StageName::new("b".repeat(40)).unwrap());
        let two = run.prefix(&StageName::new(format!("{}c", "b".repeat(39))).unwrap());
        assert!(one.len() <= 50 && two.len() <= 50);
        assert_ne!(one, two);
        let plain = RunId::new("ilab").unwrap().prefix(&StageName::new("fetch").unwrap());
        assert_eq!(plain, "ilab-fetch");
    }
}
