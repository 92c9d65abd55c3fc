//! Signing with a key: cosign's payload under its tag, which every cosign reads, and a bundle as a referrer, which new ones
//! and those who keep to OCI read.

use super::bundle::{BUNDLE_TYPE, bundle, encoded};
use super::keys::PrivateKey;
use super::statement::{SIGN, simple, statement};
use crate::manifest::{Descriptor, MANIFEST, Manifest};
use crate::signatures::{SIGNATURE, SIMPLE_SIGNING, tag};
use crate::{Artifact, Digest, Reference, Registry, RegistryError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;

const EMPTY_CONFIG: &str = "application/vnd.oci.empty.v1+json";
const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// A component that was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Signed {
    /// What was signed, by tag and digest.
    pub reference: Reference,
    /// The manifest's digest: that is what the signatures are over.
    pub manifest: Digest,
    /// Where cosign's payload lies.
    pub signature: Reference,
    /// Where the bundle lies.
    pub bundle: Reference,
}

/// Signs a component that lies in its registry. What others have signed stays.
///
/// # Errors
/// Those of the registry. After one, there may be one of the two signatures.
pub async fn sign(
    registry: &Registry,
    artifact: &Artifact,
    key: &PrivateKey,
    annotations: &BTreeMap<String, String>,
) -> Result<Signed, RegistryError> {
    let at = &artifact.reference;
    let signature = put_simple(registry, artifact, key, annotations).await?;
    let bundle = put_bundle(registry, artifact, key, annotations).await?;
    Ok(Signed { reference: at.clone(), manifest: artifact.manifest.clone(), signature, bundle })
}

fn signature_of(key: &PrivateKey, bytes: &[u8]) -> Result<String, RegistryError> {
    let signature = key.sign(bytes).ok_or_else(|| {
        let source = std::io::Error::other("the system has no random numbers");
        RegistryError::file("read", std::path::Path::new("/dev/urandom"), source)
    })?;
    Ok(STANDARD.encode(signature))
}

async fn put_simple(
    registry: &Registry,
    artifact: &Artifact,
    key: &PrivateKey,
    annotations: &BTreeMap<String, String>,
) -> Result<Reference, RegistryError> {
    let at = artifact.reference.at_tag(tag(&artifact.manifest));
    let payload = simple(&artifact.reference, &artifact.manifest, annotations);
    let layer = Descriptor::of(SIMPLE_SIGNING, &payload).annotated(SIGNATURE, signature_of(key, &payload)?);
    registry.put_blob(&at, &layer.digest, &Bytes::from(payload)).await?;
    let (mut layers, others) = match registry.manifest_if_any(&at).await? {
        Some(fetched) => {
            let manifest = Manifest::parse(&at.to_string(), &fetched.bytes)?;
            (manifest.layers, manifest.annotations)
        }
        None => (Vec::new(), BTreeMap::new()),
    };
    layers.push(layer);
    let config = json!({
        "architecture": "", "created": "0001-01-01T00:00:00Z", "os": "", "config": {},
        "rootfs": {"type": "layers", "diff_ids": layers.iter().map(|l| &l.digest).collect::<Vec<_>>()},
    })
    .to_string()
    .into_bytes();
    let mut manifest = Manifest::new(Descriptor::of(IMAGE_CONFIG, &config), layers);
    manifest.annotations = others;
    registry.put_blob(&at, &manifest.config.digest, &Bytes::from(config)).await?;
    registry.put_manifest(&at, MANIFEST, &manifest.bytes()).await?;
    Ok(at)
}

async fn put_bundle(
    registry: &Registry,
    artifact: &Artifact,
    key: &PrivateKey,
    annotations: &BTreeMap<String, String>,
) -> Result<Reference, RegistryError> {
    let payload = statement(&artifact.manifest, annotations);
    let bundle = bundle(key.public(), &payload, &signature_of(key, &encoded(&payload))?);
    let layer = Descriptor::of(BUNDLE_TYPE, &bundle);
    let config = Descriptor::of(EMPTY_CONFIG, b"{}");
    let mut manifest = Manifest::new(config.clone(), vec![layer.clone()]);
    manifest.artifact_type = Some(BUNDLE_TYPE.to_owned());
    manifest.subject = Some(Descriptor {
        media_type: MANIFEST.to_owned(),
        digest: artifact.manifest.clone(),
        size: artifact.manifest_size,
        artifact_type: None,
        annotations: BTreeMap::new(),
    });
    manifest.annotations =
        [("dev.sigstore.bundle.content", "dsse-envelope"), ("dev.sigstore.bundle.predicateType", SIGN)]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
    let bytes = manifest.bytes();
    let digest = Digest::of(&bytes);
    let at = artifact.reference.untagged(&digest);
    registry.put_blob(&at, &layer.digest, &Bytes::from(bundle)).await?;
    registry.put_blob(&at, &config.digest, &Bytes::from_static(b"{}")).await?;
    if !registry.put_manifest(&at, MANIFEST, &bytes).await? {
        let mut referrer = Descriptor::of(MANIFEST, &bytes);
        referrer.artifact_type = Some(BUNDLE_TYPE.to_owned());
        referrer.annotations = manifest.annotations;
        registry.add_referrer(&at, &artifact.manifest, referrer).await?;
    }
    Ok(at)
}
