//! Names of what lies in a registry: `oci://HOST[:PORT]/PATH[:TAG][@DIGEST]`.

use crate::RegistryError;
use ilab_core::names::PluginDigest;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;

/// What a reference begins with on a command line and in a lock file.
pub const SCHEME: &str = "oci://";
const DOCKER_HUB: &str = "docker.io";
/// The registry API takes 255 characters for a repository's name with its host.
const LONGEST: usize = 255;

/// The SHA-256 of bytes in a registry: of a manifest, a configuration or a layer.
///
/// ```
/// use ilab_registry::Digest;
/// let digest = Digest::of(b"");
/// assert_eq!(digest.to_string().parse::<Digest>()?, digest);
/// assert!("sha512:00".parse::<Digest>().is_err());
/// # Ok::<(), ilab_registry::RegistryError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::finished(Sha256::new_with_prefix(bytes))
    }

    pub(crate) fn finished(hasher: Sha256) -> Self {
        Self(format!("sha256:{}", hex::encode(hasher.finalize())))
    }

    /// `sha256:` and 64 hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 64 hex digits alone, as in the name of a file.
    #[must_use]
    pub fn hex(&self) -> &str {
        self.0.strip_prefix("sha256:").unwrap_or(&self.0)
    }

    /// `sha256:` and 12 hex digits, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..19).unwrap_or(&self.0)
    }

    /// Whether it is the digest of this component.
    #[must_use]
    pub fn is_of(&self, component: &PluginDigest) -> bool {
        self.0 == component.as_str()
    }
}

impl FromStr for Digest {
    type Err = RegistryError;
    fn from_str(text: &str) -> Result<Self, RegistryError> {
        let sound = text.strip_prefix("sha256:").is_some_and(|hex| {
            hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        });
        if !sound {
            return Err(RegistryError::reference(
                text,
                "is no digest: write sha256: and 64 hex digits in lower case",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Digest {
    type Error = RegistryError;
    fn try_from(text: String) -> Result<Self, RegistryError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where an artifact lies: always a registry and a repository, and a tag, a digest or both.
///
/// The registry is never guessed: a short name means different things on different machines.
///
/// ```
/// use ilab_registry::Reference;
/// let reference: Reference = "oci://registry.example.com:5000/team/eval:1.2".parse()?;
/// assert_eq!(reference.registry(), "registry.example.com:5000");
/// assert_eq!(reference.tag(), Some("1.2"));
/// assert!("team/eval:1.2".parse::<Reference>().is_err());
/// # Ok::<(), ilab_registry::RegistryError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// The registry's host, and its port where one is given.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository's path in the registry.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; none when it is named by digest alone.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The manifest's digest, where it is named by that.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same repository at this digest; the tag stays, for people.
    #[must_use]
    pub fn at_digest(&self, digest: &Digest) -> Self {
        Self { digest: Some(digest.clone()), ..self.clone() }
    }

    /// The same repository at this tag.
    pub(crate) fn at_tag(&self, tag: String) -> Self {
        Self { tag: Some(tag), digest: None, ..self.clone() }
    }

    /// The same repository at this digest, without a tag.
    pub(crate) fn untagged(&self, digest: &Digest) -> Self {
        Self { tag: None, digest: Some(digest.clone()), ..self.clone() }
    }

    /// Without its digest, as it is looked up in a lock; itself when it has no tag.
    #[must_use]
    pub fn unpinned(&self) -> Self {
        match self.tag {
            Some(_) => Self { digest: None, ..self.clone() },
            None => self.clone(),
        }
    }

    /// Registry and repository, as signatures name it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// What the registry's API is asked for: the digest, or else the tag.
    pub(crate) fn wanted(&self) -> &str {
        self.digest.as_ref().map(Digest::as_str).or(self.tag()).unwrap_or("latest")
    }

    /// The host that answers for the registry's name: Docker Hub's has another.
    pub(crate) fn host(&self) -> &str {
        if self.registry == DOCKER_HUB { "registry-1.docker.io" } else { &self.registry }
    }

    /// The name under which docker keeps this registry's credentials.
    pub(crate) fn credential_key(&self) -> &str {
        if self.registry == DOCKER_HUB { "https://index.docker.io/v1/" } else { &self.registry }
    }
}

impl FromStr for Reference {
    type Err = RegistryError;
    fn from_str(text: &str) -> Result<Self, RegistryError> {
        let bad = |problem: &'static str| RegistryError::reference(text, problem);
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| bad("does not begin with oci://"))?;
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse::<Digest>()?)),
            None => (rest, None),
        };
        let (registry, path) =
            rest.split_once('/').ok_or_else(|| bad("names no repository: write oci://HOST/PATH:TAG"))?;
        let (path, tag) = match path.rsplit_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (path, None),
        };
        if !is_host(registry) {
            return Err(bad("names no registry: a host with a dot or a port, or localhost, comes first"));
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(bad("has no valid tag: letters, digits, dots, dashes and underscores, at most 128"));
        }
        if tag.is_none() && digest.is_none() {
            return Err(bad("has no tag and no digest: append :TAG or @sha256:DIGEST"));
        }
        let registry = if registry == "index.docker.io" { DOCKER_HUB } else { registry };
        let path = if registry == DOCKER_HUB && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        if !path.split('/').all(is_component) || registry.len() + path.len() >= LONGEST {
            return Err(bad(
                "has no valid repository: lower-case letters and digits, single dots, dashes and underscores between them",
            ));
        }
        Ok(Self { registry: registry.to_owned(), repository: path, tag: tag.map(str::to_owned), digest })
    }
}

/// A host name or address with an optional port, and none that could be a repository's first part.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            let port = rest.strip_prefix(':');
            if address.parse::<std::net::Ipv6Addr>().is_err() || (port.is_none() && !rest.is_empty()) {
                return false;
            }
            return port.is_none_or(is_port);
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let label = |l: &str| {
        !l.is_empty()
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let named = host == "localhost" || host.contains('.') || port.is_some();
    named && host.len() <= 253 && host.split('.').all(label) && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

fn is_tag(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    text.len() <= 128
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
        && text.bytes().all(inner)
}

/// One part of a repository's path, by the distribution specification.
fn is_component(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let (Some(first), Some(last)) = (text.bytes().next(), text.bytes().last()) else { return false };
    if !plain(first) || !plain(last) {
        return false;
    }
    // Between two plain characters: one dot, one or two underscores, or any number of dashes.
    text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .all(|between| matches!(between, "" | "." | "_" | "__") || between.bytes().all(|b| b == b'-'))
}

impl TryFrom<String> for Reference {
    type Error = RegistryError;
    fn try_from(text: String) -> Result<Self, RegistryError> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_and_written_alike() {
        let digest = Digest::of(b"x");
        for text in [
            "oci://localhost/a:1",
            "oci://localhost:5000/a/b/c:v1.0",
            "oci://127.0.0.1:5000/a:latest",
            "oci://[::1]:5000/a:1",
            "oci://ghcr.io/team/my-stage__x:1.0_rc.1",
            &format!("oci://ghcr.io/team/eval@{digest}"),
            &format!("oci://ghcr.io/team/eval:1@{digest}"),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
        }
        let hub: Reference = "oci://docker.io/eval:1".parse().unwrap();
        assert_eq!((hub.repository(), hub.host()), ("library/eval", "registry-1.docker.io"));
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        let long = format!("oci://ghcr.io/{}:1", "a".repeat(250));
        for text in [
            "",
            "oci://",
            "ghcr.io/a:1",
            "https://ghcr.io/a:1",
            "oci://ghcr.io",
            "oci://ghcr.io/",
            "oci://ghcr.io/a",
            "oci://team/a:1",
            "oci://ghcr.io/A:1",
            "oci://ghcr.io/a//b:1",
            "oci://ghcr.io/../b:1",
            "oci://ghcr.io/a..b:1",
            "oci://ghcr.io/a___b:1",
            "oci://ghcr.io/-a:1",
            "oci://ghcr.io/a:",
            "oci://ghcr.io/a:.1",
            "oci://ghcr.io/a:1@sha256:00",
            "oci://ghcr.io/a@sha512:00",
            "oci://user:password@ghcr.io/a:1",
            "oci://ghcr.io:0/a:1",
            "oci://ghcr.io:99999/a:1",
            "oci://[::1/a:1",
            "oci://[::1]x/a:1",
            "oci://ghcr.io/a:1?x=y",
            "oci://ghcr.io/a:1\u{1b}[2J",
            &long,
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }
}
