//! Image references, written out in full so that two spellings of one image are one image.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A reference that names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("image reference {reference:?} is not valid: {rule}")]
pub struct BadReference {
    /// As given.
    pub reference: String,
    /// What is wrong with it, as a fragment.
    pub rule: &'static str,
}

/// A normalised image reference: registry, repository, and a tag or a digest.
///
/// ```
/// use ilab_local::node::Reference;
/// assert_eq!("busybox".parse::<Reference>()?.as_str(), "docker.io/library/busybox:latest");
/// assert_eq!("quay.io/a/b:1".parse::<Reference>()?.as_str(), "quay.io/a/b:1");
/// # Ok::<(), ilab_local::node::BadReference>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference(String);

impl Reference {
    /// The reference in full.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Reference {
    type Err = BadReference;

    fn from_str(given: &str) -> Result<Self, BadReference> {
        let bad = |rule| BadReference { reference: given.chars().take(256).collect(), rule };
        if given.is_empty() || given.len() > 512 {
            return Err(bad("it must have 1 to 512 characters"));
        }
        let (rest, digest) = match given.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (given, None),
        };
        if digest.is_some_and(|digest| !is_digest(digest)) {
            return Err(bad("the digest must be sha256: and 64 hexadecimal digits"));
        }
        // A colon after the last slash begins the tag; one before it is a registry's port.
        let slash = rest.rfind('/').map_or(0, |at| at + 1);
        let (name, tag) = match rest[slash..].split_once(':') {
            Some((last, tag)) => (&rest[..slash + last.len()], Some(tag)),
            None => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(bad("the tag may have letters, digits, `_`, `.` and `-`, at most 128"));
        }
        let (registry, path) = match name.split_once('/') {
            Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => {
                (first, path.to_owned())
            }
            Some(_) => ("docker.io", name.to_owned()),
            None => ("docker.io", format!("library/{name}")),
        };
        let registry = if registry == "index.docker.io" { "docker.io" } else { registry };
        let registry_ok = registry.starts_with(|c: char| c.is_ascii_alphanumeric())
            && registry.chars().all(|c| c.is_ascii_alphanumeric() || ".-:".contains(c));
        if registry.is_empty() || !registry_ok {
            return Err(bad("the registry must be a host name"));
        }
        if path.split('/').any(|part| !is_part(part)) {
            return Err(bad(
                "each part of the repository takes lower-case letters and digits, separated by `.`, `_` or `-`",
            ));
        }
        Ok(Self(match (tag, digest) {
            (_, Some(digest)) => format!("{registry}/{path}@{digest}"),
            (tag, None) => format!("{registry}/{path}:{}", tag.unwrap_or("latest")),
        }))
    }
}

fn is_digest(digest: &str) -> bool {
    digest
        .strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')))
}

fn is_tag(tag: &str) -> bool {
    (1..=128).contains(&tag.len())
        && !tag.starts_with(['.', '-'])
        && tag.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

fn is_part(part: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.starts_with(alphanumeric)
        && part.ends_with(alphanumeric)
        && part.chars().all(|c| alphanumeric(c) || "._-".contains(c))
}

impl TryFrom<String> for Reference {
    type Error = BadReference;
    fn try_from(given: String) -> Result<Self, BadReference> {
        given.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.0
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_image_are_one() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (given, full) in [
            ("busybox", "docker.io/library/busybox:latest".to_owned()),
            ("busybox:1.35", "docker.io/library/busybox:1.35".to_owned()),
            ("docker.io/library/busybox", "docker.io/library/busybox:latest".to_owned()),
            ("index.docker.io/library/busybox", "docker.io/library/busybox:latest".to_owned()),
            ("user/app", "docker.io/user/app:latest".to_owned()),
            ("localhost/app", "localhost/app:latest".to_owned()),
            ("localhost:5000/a/b:v1", "localhost:5000/a/b:v1".to_owned()),
            (&format!("quay.io/a/b:v1@{digest}"), format!("quay.io/a/b@{digest}")),
        ] {
            assert_eq!(given.parse::<Reference>().unwrap().as_str(), full, "{given}");
            assert_eq!(full.parse::<Reference>().unwrap().as_str(), full, "{given}");
        }
    }

    #[test]
    fn what_names_no_image_is_refused() {
        for bad in [
            "",
            "A",
            "a b",
            "a:",
            "a:b c",
            "../etc",
            "a//b",
            "quay.io/",
            "a@sha256:1",
            "a@md5:x",
            "/a",
            "a\u{0}b",
            "-a",
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }
}
