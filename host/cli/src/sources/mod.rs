//! From `--plugins` to files: what lies in folders as it is, what lies in registries pinned and checked.

mod obtain;

pub use obtain::{Obtainer, fetch, look_up, open_store, verify};

use crate::CliError;
use crate::args::{Source, TrustArgs};
use crate::grants::place;
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
    /// The options under which it was let in, as words of a shell, so that another command can be told of it.
    pub options: Vec<String>,
    /// Where its grants are looked for.
    pub grants: PathBuf,
}

impl Pinned {
    /// What names it to another command, from this folder.
    #[must_use]
    pub fn words(&self) -> String {
        let reference = std::iter::once(self.reference.to_string());
        reference.chain(self.options.iter().cloned()).collect::<Vec<_>>().join(" ")
    }
}

/// Finds everything that is named, and pulls what is not here yet.
///
/// # Errors
/// A reference that nothing vouches for, and what a lock or a registry has to say.
pub fn find(sources: Vec<Source>, trust: &TrustArgs) -> Result<Vec<Found>, CliError> {
    let mut found = Vec::new();
    let mut wanted: Vec<(Reference, PathBuf)> = Vec::new();
    let mut locks: Vec<Lock> = Vec::new();
    for source in sources {
        let grants = place(&source);
        match source {
            Source::Path(path) => found.push(Found { path, pinned: None }),
            Source::Registry(reference) => wanted.push((reference, grants)),
            Source::Lock(path) => {
                let lock = Lock::read(&path)?;
                let pinned = lock.plugins().iter();
                wanted.extend(pinned.map(|locked| (locked.reference.clone(), grants.clone())));
                locks.push(lock);
            }
        }
    }
    if wanted.is_empty() {
        return Ok(found);
    }
    let obtainer = Obtainer::new(trust, locks)?;
    crate::block_on(async {
        for (reference, grants) in wanted {
            let more = obtainer.obtain(&reference, grants).await?;
            let known = |f: &Found| f.pinned.as_ref().is_some_and(|p| p.component == more.component);
            if !found.iter().any(known) {
                found.push(Found { path: obtainer.path(&more), pinned: Some(more) });
            }
        }
        Ok(found)
    })
}
