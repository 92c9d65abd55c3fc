//! Manifests: fetched whole and held against their digest, and put under a tag.

use super::client::{Action, Registry, bounded};
use crate::manifest::{Descriptor, INDEX, Index, MANIFEST, MANIFEST_LIMIT};
use crate::{Digest, Reference, RegistryError};
use reqwest::header::{ACCEPT, CONTENT_TYPE};

/// A manifest as it came, and its digest as it was counted here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Their digest.
    pub digest: Digest,
}

impl Registry {
    /// Fetches the manifest of a reference, an index too.
    ///
    /// # Errors
    /// Those of the registry; [`RegistryError::DigestMismatch`] when it is not what the reference or the registry's own
    /// header says.
    pub async fn manifest(&self, at: &Reference) -> Result<Fetched, RegistryError> {
        let path = format!("{}/manifests/{}", at.repository(), at.wanted());
        let response = self
            .send(at, Action::Pull, |http, base| {
                http.get(joined(base, &path)).header(ACCEPT, format!("{MANIFEST}, {INDEX}"))
            })
            .await?;
        let told =
            response.headers().get("docker-content-digest").and_then(|d| d.to_str().ok()?.parse().ok());
        let what = format!("the manifest of {at}");
        let bytes = bounded(at, &what, response, MANIFEST_LIMIT).await?;
        let digest = Digest::of(&bytes);
        for expected in [at.digest().cloned(), told].into_iter().flatten() {
            if digest != expected {
                return Err(RegistryError::DigestMismatch { what, expected, found: digest });
            }
        }
        Ok(Fetched { bytes, digest })
    }

    /// The same, and none where there is no such thing.
    pub(crate) async fn manifest_if_any(&self, at: &Reference) -> Result<Option<Fetched>, RegistryError> {
        match self.manifest(at).await {
            Ok(fetched) => Ok(Some(fetched)),
            Err(RegistryError::NotFound { .. }) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// Puts a manifest under the reference's digest or tag. Answers whether the registry takes note of its subject.
    pub(crate) async fn put_manifest(
        &self,
        at: &Reference,
        media_type: &'static str,
        bytes: &[u8],
    ) -> Result<bool, RegistryError> {
        let path = format!("{}/manifests/{}", at.repository(), at.wanted());
        let response = self
            .send(at, Action::Push, |http, base| {
                http.put(joined(base, &path)).header(CONTENT_TYPE, media_type).body(bytes.to_vec())
            })
            .await?;
        Ok(response.headers().contains_key("oci-subject"))
    }

    /// What refers to a manifest, by the registry's list, or by the tag that stands in for it where it keeps none.
    pub(crate) async fn referrers(
        &self,
        at: &Reference,
        digest: &Digest,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        let path = format!("{}/referrers/{digest}", at.repository());
        let listed = self
            .send(at, Action::Pull, |http, base| http.get(joined(base, &path)).header(ACCEPT, INDEX))
            .await;
        let bytes = match listed {
            Ok(response) => bounded(at, "a list of referrers", response, MANIFEST_LIMIT).await?,
            Err(
                RegistryError::NotFound { .. }
                | RegistryError::Refused { .. }
                | RegistryError::MediaTypeRefused { .. },
            ) => match self.manifest_if_any(&referrers_tag(at, digest)).await? {
                Some(fetched) => fetched.bytes,
                None => return Ok(Vec::new()),
            },
            Err(other) => return Err(other),
        };
        let index: Index = serde_json::from_slice(&bytes).map_err(|_| {
            RegistryError::protocol(at.registry(), "a list of referrers that is no OCI index")
        })?;
        Ok(index.manifests)
    }

    /// Adds to the tag that stands in for the list of referrers, for a registry that keeps none.
    pub(crate) async fn add_referrer(
        &self,
        at: &Reference,
        subject: &Digest,
        referrer: Descriptor,
    ) -> Result<(), RegistryError> {
        let tag = referrers_tag(at, subject);
        let mut all = match self.manifest_if_any(&tag).await? {
            Some(fetched) => {
                serde_json::from_slice::<Index>(&fetched.bytes)
                    .map_err(|_| {
                        RegistryError::protocol(at.registry(), format!("{tag} is no list of referrers"))
                    })?
                    .manifests
            }
            None => Vec::new(),
        };
        if all.iter().any(|known| known.digest == referrer.digest) {
            return Ok(());
        }
        all.push(referrer);
        self.put_manifest(&tag, INDEX, &Index::new(all).bytes()).await.map(drop)
    }
}

fn referrers_tag(at: &Reference, digest: &Digest) -> Reference {
    at.at_tag(digest.as_str().replace(':', "-"))
}

/// A path below the API's root. Its parts were checked when the reference was read, so nothing in it needs escaping.
pub(super) fn joined(base: &reqwest::Url, path: &str) -> reqwest::Url {
    let mut url = base.clone();
    url.set_path(&format!("/v2/{path}"));
    url
}
