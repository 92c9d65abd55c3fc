//! One plugin of a registry: what its reference stands for, who vouches for it, and its bytes in the store.

use super::Pinned;
use crate::args::{RegistryArgs, TrustArgs};
use crate::report::TransferBar;
use crate::{CliError, exit, folders};
use ilab_core::text::shell_word;
use ilab_objects::Progress;
use ilab_registry::{
    Artifact, Digest, LOCK_FILE, Lock, Policy, Proof, Reference, Registry, RegistryError, Store,
};
use ilab_wasm::Limits;
use std::path::{Path, PathBuf};

/// The store of pulled plugins, in the user's cache folder.
///
/// # Errors
/// When there is no home folder, or the store cannot be made.
pub fn open_store() -> Result<Store, CliError> {
    let folder = folders::cache().ok_or_else(|| {
        CliError::usage("no home folder to keep plugins of registries in").hint("set HOME or XDG_CACHE_HOME")
    })?;
    Ok(Store::open(folder.join("registry"))?)
}

/// Obtains plugins.
pub struct Obtainer {
    registry: Registry,
    store: Store,
    locks: Vec<Lock>,
    policy: Option<Policy>,
    trust: TrustArgs,
}

impl Obtainer {
    /// With these locks, and the one that the options name or that lies here.
    pub fn new(trust: &TrustArgs, mut locks: Vec<Lock>) -> Result<Self, CliError> {
        match &trust.lock.plugins_lock {
            Some(path) => locks.push(Lock::read(path)?),
            None => locks.push(Lock::read_or_new(Path::new(LOCK_FILE))?),
        }
        Ok(Self {
            registry: Registry::new(trust.registry.options())?,
            store: open_store()?,
            locks,
            policy: trust.policy.read()?,
            trust: trust.clone(),
        })
    }

    /// Where a plugin's bytes lie.
    pub fn path(&self, pinned: &Pinned) -> PathBuf {
        self.store.path(&pinned.component)
    }

    /// Brings a plugin into the store, if somebody vouches for it. `grants` is where its grants are looked for.
    pub async fn obtain(&self, reference: &Reference, grants: PathBuf) -> Result<Pinned, CliError> {
        let found = self.locks.iter().find_map(|lock| Some((lock, lock.find(reference)?)));
        let (lock, locked) = found.unzip();
        let at = locked.map_or_else(|| reference.clone(), ilab_registry::Locked::pinned);
        let (artifact, here) = look_up(&self.registry, &self.store, &at).await?;
        match locked {
            Some(locked) if locked.component != artifact.component => {
                return Err(RegistryError::DigestMismatch {
                    what: format!("the component of {at}"),
                    expected: locked.component.clone(),
                    found: artifact.component,
                }
                .into());
            }
            _ => self.vouched_for(reference, &artifact, locked.is_some()).await?,
        }
        if !here {
            fetch(&self.registry, &self.store, &artifact).await?;
        }
        let options = self.options(lock, &artifact);
        Ok(Pinned { reference: artifact.reference, component: artifact.component, options, grants })
    }

    /// The options that let another command have the same plugin.
    fn options(&self, lock: Option<&Lock>, artifact: &Artifact) -> Vec<String> {
        let mut options = Vec::new();
        let path = |path: &Path| shell_word(&path.display().to_string());
        // The lock of this folder is looked at anyhow.
        if let Some(lock) = lock.filter(|lock| lock.path() != Path::new(LOCK_FILE)) {
            options.push(format!("--plugins-lock {}", path(lock.path())));
        }
        options.extend(self.allowed(artifact).map(|digest| format!("--allow-unsigned {digest}")));
        let policy = self.trust.policy.verification_policy.iter();
        options.extend(policy.map(|policy| format!("--verification-policy {}", path(policy))));
        let RegistryArgs { registry_plain_http, registry_ca_file } = &self.trust.registry;
        options.extend(registry_plain_http.then(|| "--registry-plain-http".to_owned()));
        options.extend(registry_ca_file.iter().map(|file| format!("--registry-ca-file {}", path(file))));
        options
    }

    /// The digests by which it is let in without anybody's word.
    fn allowed(&self, artifact: &Artifact) -> impl Iterator<Item = &Digest> {
        let is_it = |digest: &&Digest| **digest == artifact.manifest || **digest == artifact.component;
        self.trust.allow_unsigned.iter().filter(is_it)
    }

    /// A policy decides alone where there is one, and a lock where there is none; who names a digest has looked himself.
    async fn vouched_for(
        &self,
        reference: &Reference,
        artifact: &Artifact,
        locked: bool,
    ) -> Result<(), CliError> {
        if self.allowed(artifact).next().is_some() {
            return Ok(());
        }
        match &self.policy {
            Some(policy) => verify(policy, &self.registry, &self.store, artifact).await.map(drop),
            None if locked => Ok(()),
            None => Err(CliError::new(
                exit::UNTRUSTED,
                format!("nobody vouches for {reference} ({}): no lock pins it", artifact.manifest),
            )
            .hint(format!(
                "pin it with `ilab-host plugin pull --lock {reference}`, have it verified with --verification-policy, or look at it with `ilab-host plugin inspect {reference} --allow-unsigned {manifest}`, which lets it in this once",
                manifest = artifact.manifest
            ))),
        }
    }
}

/// Who has signed a plugin, by the signatures of the store, or else by those that the registry has now.
pub async fn verify(
    policy: &Policy,
    registry: &Registry,
    store: &Store,
    artifact: &Artifact,
) -> Result<Vec<Proof>, CliError> {
    match policy.verify(store, artifact) {
        Ok(proofs) => Ok(proofs),
        Err(before) => {
            // Without the registry, what is in the store has to do.
            if let Err(error) = artifact.fetch_signatures(registry, store).await {
                tracing::info!(error = ilab_core::text::chain(&error), "no newer signatures");
                return Err(before.into());
            }
            Ok(policy.verify(store, artifact)?)
        }
    }
}

/// A plugin's manifest, from the store where it is named by digest and there, else from the registry; and whether its bytes are
/// in the store, too. They are hashed when they are loaded, not here.
pub async fn look_up(
    registry: &Registry,
    store: &Store,
    at: &Reference,
) -> Result<(Artifact, bool), CliError> {
    let limit = Limits::default().component_bytes;
    match Artifact::in_store(store, at, limit)? {
        Some(artifact) => Ok((artifact, true)),
        None => Ok((Artifact::look_up(registry, store, at, limit).await?, false)),
    }
}

/// A plugin's bytes, with a bar while they come.
pub async fn fetch(registry: &Registry, store: &Store, artifact: &Artifact) -> Result<(), CliError> {
    let bar = TransferBar::new("pull");
    let fetched = artifact
        .fetch(registry, store, &|bytes, total| bar.show(Progress { bytes, total: Some(total) }))
        .await;
    bar.finish();
    Ok(fetched?)
}
