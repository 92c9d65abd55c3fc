//! Signatures as artifacts beside what they sign: where they lie, and how they come into the store.

use crate::manifest::{Descriptor, MANIFEST_LIMIT, Manifest};
use crate::{Digest, Reference, Registry, RegistryError, Store};

/// The payload that cosign signs with a key, and its media type.
pub(crate) const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation that holds the signature of such a payload.
pub(crate) const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// What cosign writes beside it when an authority has certified the key: the certificate and those above it, in PEM, and the
/// log's promise.
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const CHAIN: &str = "dev.sigstore.cosign/chain";
const LOG_ENTRY: &str = "dev.sigstore.cosign/bundle";
/// A Sigstore bundle, up to its version.
pub(crate) const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.";
/// More than a payload or a bundle is long.
const SIGNATURE_LIMIT: u64 = 1 << 20;
/// How many manifests of signatures, and how many signatures of one, are looked at.
const MANY: usize = 50;

/// The tag under which cosign puts the signatures of a manifest.
pub(crate) fn tag(digest: &Digest) -> String {
    format!("{}.sig", digest.as_str().replace(':', "-"))
}

/// Fetches all signatures of a manifest into the store. None is no error: whoever wants one will say so.
pub(crate) async fn fetch(
    registry: &Registry,
    store: &Store,
    at: &Reference,
    signed: &Digest,
) -> Result<(), RegistryError> {
    let mut found: Vec<Vec<u8>> = Vec::new();
    found.extend(registry.manifest_if_any(&at.at_tag(tag(signed))).await?.map(|fetched| fetched.bytes));
    for referrer in registry.referrers(at, signed).await?.iter().take(MANY) {
        // Some registries do not tell the type; then the manifest does.
        if referrer.artifact_type.as_deref().is_some_and(|t| !t.starts_with(BUNDLE)) {
            continue;
        }
        found.extend(
            registry.manifest_if_any(&at.at_digest(&referrer.digest)).await?.map(|fetched| fetched.bytes),
        );
    }
    for bytes in found {
        let Ok(manifest) = Manifest::parse("a signature", &bytes) else { continue };
        let layers: Vec<&Descriptor> = layers(&manifest).collect();
        if layers.is_empty() {
            continue;
        }
        for layer in layers {
            let blob = registry.small_blob(at, layer, SIGNATURE_LIMIT).await?;
            store.put(&blob)?;
        }
        if let Ok(config) = registry.small_blob(at, &manifest.config, SIGNATURE_LIMIT).await {
            store.put(&config)?;
        }
        let signature = store.put(&bytes)?;
        store.add_signature(signed, &signature)?;
    }
    Ok(())
}

/// The layers that are signatures of a kind that is understood here.
pub(crate) fn layers(manifest: &Manifest) -> impl Iterator<Item = &Descriptor> {
    let known =
        |layer: &&Descriptor| layer.media_type == SIMPLE_SIGNING || layer.media_type.starts_with(BUNDLE);
    manifest.layers.iter().filter(known).take(MANY)
}

/// One signature, not proven yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Signature {
    /// Over cosign's payload: by a key, or by a certificate.
    Simple {
        /// The payload.
        payload: Vec<u8>,
        /// The signature in base64.
        signature: String,
        /// Whose key it is, by an authority's word.
        certified: Option<Certified>,
    },
    /// A Sigstore bundle: by a key, or by a certificate.
    Bundle(Vec<u8>),
}

/// What proves who has signed a payload, as cosign writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certified {
    /// The certificate in PEM.
    pub(crate) certificate: String,
    /// Those above it, in PEM.
    pub(crate) chain: Option<String>,
    /// The log's promise, as JSON.
    pub(crate) log_entry: Option<String>,
}

impl Certified {
    fn of(layer: &Descriptor) -> Option<Self> {
        let read = |key: &str| layer.annotations.get(key).filter(|text| !text.is_empty()).cloned();
        Some(Self { certificate: read(CERTIFICATE)?, chain: read(CHAIN), log_entry: read(LOG_ENTRY) })
    }
}

/// The signatures of a manifest that the store has, whole.
pub(crate) fn stored(store: &Store, signed: &Digest) -> Vec<Signature> {
    let mut all = Vec::new();
    for digest in store.signatures(signed).iter().take(MANY) {
        let Some(bytes) = store.read(digest, MANIFEST_LIMIT) else { continue };
        let Ok(manifest) = Manifest::parse("a signature", &bytes) else { continue };
        for layer in layers(&manifest) {
            let Some(blob) = store.read(&layer.digest, SIGNATURE_LIMIT) else { continue };
            if layer.media_type.starts_with(BUNDLE) {
                all.push(Signature::Bundle(blob));
            } else if let Some(signature) = layer.annotations.get(SIGNATURE) {
                let (signature, certified) = (signature.clone(), Certified::of(layer));
                all.push(Signature::Simple { payload: blob, signature, certified });
            }
        }
    }
    all
}
