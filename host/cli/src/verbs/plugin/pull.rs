//! `plugin pull`: components from registries into the store, and what their tags stand for into the lock.

use crate::args::{LockArgs, PullArgs};
use crate::report::{print_data, write_out};
use crate::sources::{fetch, look_up, open_store, verify};
use crate::{CliError, exit};
use ilab_registry::{Artifact, LOCK_FILE, Lock, Locked, Policy, Reference, Registry, RegistryError, Store};
use std::path::{Path, PathBuf};

/// Pulls them. The lock is written when everything is here.
pub async fn run(args: PullArgs) -> Result<(), CliError> {
    let (registry, store) = (Registry::new(args.registry.options())?, open_store()?);
    let policy = args.policy.read()?;
    let mut lock = args.lock.then(|| Lock::read_or_new(&lock_path(&args.plugins_lock))).transpose()?;
    let wanted = match &lock {
        Some(lock) if args.references.is_empty() => {
            lock.plugins().iter().map(|locked| locked.reference.clone()).collect()
        }
        _ => args.references.clone(),
    };
    if args.file.is_some() && wanted.len() != 1 {
        return Err(CliError::usage(format!("--file takes one component, and {} are pulled", wanted.len())));
    }
    let before = lock.clone();
    let mut pulled = Vec::new();
    for reference in &wanted {
        let locked = lock.as_ref().filter(|_| !args.update).and_then(|lock| lock.find(reference)).cloned();
        let artifact = pull(&registry, &store, reference, locked.as_ref(), policy.as_ref()).await?;
        if locked.is_none()
            && let Some(lock) = &mut lock
        {
            lock.set(Locked::from(&artifact));
        }
        pulled.push(artifact);
    }
    if let (Some(file), [artifact]) = (&args.file, pulled.as_slice()) {
        std::fs::copy(store.path(&artifact.component), file)
            .map_err(|e| CliError::usage(format!("{}: {e}", file.display())))?;
    }
    if let Some(lock) = lock.filter(|lock| Some(lock) != before.as_ref()) {
        lock.write()?;
        eprintln!("wrote {}", lock.path().display());
    }
    if args.output.output.is_some() {
        return print_data(&pulled, args.output.output);
    }
    let lines: Vec<String> = pulled.iter().map(|artifact| format!("{}\n", artifact.reference)).collect();
    write_out(&lines.concat())
}

/// One plugin into the store: what the lock says it is, where there is one that knows it, and only when the policy, where there
/// is one, trusts it.
pub async fn pull(
    registry: &Registry,
    store: &Store,
    reference: &Reference,
    locked: Option<&Locked>,
    policy: Option<&Policy>,
) -> Result<Artifact, CliError> {
    let at = locked.map_or_else(|| reference.clone(), Locked::pinned);
    let (artifact, _) = look_up(registry, store, &at).await?;
    if let Some(locked) = locked.filter(|locked| locked.component != artifact.component) {
        return Err(RegistryError::DigestMismatch {
            what: format!("the component of {at}"),
            expected: locked.component.clone(),
            found: artifact.component,
        }
        .into());
    }
    if let Some(policy) = policy {
        verify(policy, registry, store, &artifact).await?;
    }
    // Also where the store has it already: what is broken there is fetched anew.
    fetch(registry, store, &artifact).await?;
    Ok(artifact)
}

/// The lock that was named, or the one that lies here.
pub fn lock_path(args: &LockArgs) -> PathBuf {
    args.plugins_lock.clone().unwrap_or_else(|| Path::new(LOCK_FILE).to_owned())
}

/// What was named, or else everything that the lock pins.
pub fn or_locked(references: Vec<Reference>, lock: &Lock) -> Result<Vec<Reference>, CliError> {
    if !references.is_empty() {
        return Ok(references);
    }
    if lock.plugins().is_empty() {
        return Err(CliError::new(exit::USAGE, format!("{} pins nothing", lock.path().display()))
            .hint("name references, or pin some with `ilab-host plugin pull --lock`"));
    }
    Ok(lock.plugins().iter().map(|locked| locked.reference.clone()).collect())
}
