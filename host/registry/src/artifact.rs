//! A stage component as an artifact: the CNCF's WebAssembly format, as wkg and others push and pull it.

use crate::manifest::{
    Annotations, CONFIG_LIMIT, Descriptor, MANIFEST, Manifest, WASM_CONFIG, WASM_LAYER, WasmConfig,
};
use crate::manifest::{Interface, MANIFEST_LIMIT};
use crate::{Digest, Reference, Registry, RegistryError, Store, signatures};
use bytes::Bytes;
use serde::Serialize;

/// Bytes so far, and of how many.
pub type OnProgress<'a> = &'a (dyn Fn(u64, u64) + Send + Sync);

/// A component that is to be pushed.
#[derive(Debug, Clone)]
pub struct Component {
    /// The file's content.
    pub bytes: Bytes,
    /// What it exports and imports.
    pub interface: Interface,
    /// What the manifest says besides, under keys such as `org.opencontainers.image.licenses`.
    pub annotations: Annotations,
    /// When it was made, by RFC 3339. One moment for all times makes one digest of one component.
    pub created: String,
}

/// A component that was pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pushed {
    /// Where it lies, by tag and digest.
    pub reference: Reference,
    /// The digest of its manifest.
    pub manifest: Digest,
    /// The digest of its bytes.
    pub component: Digest,
    /// Whether its bytes had to be sent; the repository may have had them.
    pub sent: bool,
}

/// Pushes a component under a tag.
///
/// # Errors
/// [`RegistryError::Reference`] for a reference by digest, which nobody can choose; those of the registry.
pub async fn push(
    registry: &Registry,
    at: &Reference,
    component: &Component,
) -> Result<Pushed, RegistryError> {
    if at.digest().is_some() {
        return Err(RegistryError::reference(&at.to_string(), "names a digest: what is pushed gets a tag"));
    }
    let layer = Descriptor::of(WASM_LAYER, &component.bytes);
    let config =
        WasmConfig::of(&layer.digest, component.interface.clone(), component.created.clone()).bytes();
    let mut manifest = Manifest::new(Descriptor::of(WASM_CONFIG, &config), vec![layer.clone()]);
    manifest.annotations.clone_from(&component.annotations);
    let bytes = manifest.bytes();
    let sent = registry.put_blob(at, &layer.digest, &component.bytes).await?;
    registry.put_blob(at, &manifest.config.digest, &Bytes::from(config)).await?;
    registry.put_manifest(at, MANIFEST, &bytes).await?;
    let digest = Digest::of(&bytes);
    Ok(Pushed { reference: at.at_digest(&digest), manifest: digest, component: layer.digest, sent })
}

/// A component that lies in a registry or in the store, by its manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    /// Where it lies, with the digest of its manifest.
    pub reference: Reference,
    /// The digest of its manifest: what a lock pins and a signature signs.
    pub manifest: Digest,
    /// The digest of its bytes: what it is granted by.
    pub component: Digest,
    /// Its size in bytes.
    pub size: u64,
    #[serde(skip)]
    pub(crate) manifest_size: u64,
    #[serde(skip)]
    layer: Descriptor,
}

impl Artifact {
    fn of(at: &Reference, bytes: &[u8], limit: u64) -> Result<(Self, Manifest), RegistryError> {
        let manifest = Manifest::parse(&at.to_string(), bytes)?;
        let layer = manifest.component(at, limit)?.clone();
        let digest = Digest::of(bytes);
        let artifact = Self {
            reference: at.at_digest(&digest),
            manifest: digest,
            component: layer.digest.clone(),
            size: layer.size,
            manifest_size: bytes.len() as u64,
            layer,
        };
        Ok((artifact, manifest))
    }

    /// Reads the manifest of a component.
    pub(crate) fn read(at: &Reference, bytes: &[u8], limit: u64) -> Result<Self, RegistryError> {
        Self::of(at, bytes, limit).map(|(artifact, _)| artifact)
    }

    /// Finds a component of this digest in the store, without asking anybody. None when any part of it is missing.
    ///
    /// # Errors
    /// [`RegistryError::NotAComponent`] and [`RegistryError::TooLarge`], as for a registry.
    pub fn in_store(store: &Store, at: &Reference, limit: u64) -> Result<Option<Self>, RegistryError> {
        let Some(bytes) = at.digest().and_then(|digest| store.read(digest, MANIFEST_LIMIT)) else {
            return Ok(None);
        };
        let (artifact, _) = Self::of(at, &bytes, limit)?;
        // Its bytes are hashed when they are loaded.
        let there =
            std::fs::metadata(store.path(&artifact.component)).is_ok_and(|meta| meta.len() == artifact.size);
        Ok(there.then_some(artifact))
    }

    /// Asks the registry for a component's manifest, and keeps it, its configuration and its signatures in the store. The
    /// component itself is not fetched yet, so that its signatures can be looked at before.
    ///
    /// # Errors
    /// Those of the registry, and of what it holds.
    pub async fn look_up(
        registry: &Registry,
        store: &Store,
        at: &Reference,
        limit: u64,
    ) -> Result<Self, RegistryError> {
        let fetched = registry.manifest(at).await?;
        let (artifact, manifest) = Self::of(at, &fetched.bytes, limit)?;
        let config = registry.small_blob(at, &manifest.config, CONFIG_LIMIT).await?;
        store.put(&config)?;
        signatures::fetch(registry, store, &artifact.reference, &artifact.manifest).await?;
        // Last: who finds the manifest in the store finds what belongs to it.
        store.put(&fetched.bytes)?;
        Ok(artifact)
    }

    /// Asks the registry again who has signed it: somebody may have since it was pulled.
    ///
    /// # Errors
    /// Those of the registry.
    pub async fn fetch_signatures(&self, registry: &Registry, store: &Store) -> Result<(), RegistryError> {
        signatures::fetch(registry, store, &self.reference, &self.manifest).await
    }

    /// Fetches the component's bytes into the store, unless they are there.
    ///
    /// # Errors
    /// Those of the registry; [`RegistryError::DigestMismatch`] when other bytes come than the manifest says.
    pub async fn fetch(
        &self,
        registry: &Registry,
        store: &Store,
        progress: OnProgress<'_>,
    ) -> Result<(), RegistryError> {
        if store.holds(&self.component) {
            return Ok(());
        }
        let mut arriving = store.begin()?;
        let path = arriving.path().to_owned();
        let size = self.size;
        registry
            .blob(&self.reference, &self.layer, arriving.as_file_mut(), &path, &|bytes| progress(bytes, size))
            .await?;
        store.keep(arriving, &self.component)
    }
}
