//! From `--plugins` to files: what lies in folders as it is, what lies in registries pinned and checked.

mod obtain;

pub use obtain::{Obtainer, fetch, look_up, open_store, verify};

use crate::CliError;
use crate::args::{Source, SourceArgs};
use ilab_registry::{Digest, Lock, Reference};
use std::path::PathBuf;

/// A folder or file to load components from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it lies.
    pub path: PathBuf,
    /// What it must be; none for what people keep in folders themselves.
    pub pinned: Option<Pinned>,
}

/// A component that came from a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// Its name there, for people.
    pub reference: Reference,
    /// The digest that its bytes must have.
    pub component: Digest,
}

/// Finds everything that the options name, and pulls what is not here yet.
///
/// # Errors
/// A reference that nothing vouches for, and what a lock or a registry has to say.
pub fn find(args: &SourceArgs) -> Result<Vec<Found>, CliError> {
    let mut found = Vec::new();
    let mut wanted: Vec<Reference> = Vec::new();
    let mut locks: Vec<Lock> = Vec::new();
    for source in args.sources()? {
        match source {
            Source::Path(path) => found.push(Found { path, pinned: None }),
            Source::Registry(reference) => wanted.push(reference),
            Source::Lock(path) => {
                let lock = Lock::read(&path)?;
                wanted.extend(lock.plugins().iter().map(|locked| locked.reference.clone()));
                locks.push(lock);
            }
        }
    }
    if wanted.is_empty() {
        return Ok(found);
    }
    let obtainer = Obtainer::new(args, locks)?;
    crate::block_on(async {
        for reference in wanted {
            let more = obtainer.obtain(&reference).await?;
            let known = |f: &Found| f.pinned.as_ref().is_some_and(|p| p.component == more.component);
            if !found.iter().any(known) {
                found.push(Found { path: obtainer.path(&more), pinned: Some(more) });
            }
        }
        Ok(found)
    })
}
