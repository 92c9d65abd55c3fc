//! A component's file: which component it is, and its bytes.
//!
//! To hash megabytes at every start would be a good part of what a start costs. So files that had not been touched for a
//! while when they were hashed are remembered with their inode and times, as git's index does. What runs is never in
//! doubt: code is looked up by the digest, and compiled from bytes that have it.

use crate::cache::{hash, settled};
use crate::check;
use crate::error::LoadProblem;
use crate::memory::Memory;
use crate::record::stamp;
use ilab_core::names::PluginDigest;
use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// How many files are remembered; with more, it begins anew.
const MOST: usize = 256;

/// The digests of files that are as they were when they were hashed.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    memory: Option<Memory>,
    files: Mutex<Files>,
}

#[derive(Debug, Default)]
struct Files {
    known: BTreeMap<String, PluginDigest>,
    changed: bool,
}

impl Seen {
    pub(crate) fn open(memory: Option<Memory>) -> Self {
        let known = memory.as_ref().and_then(Memory::read).unwrap_or_default();
        Self { memory, files: Mutex::new(Files { known, changed: false }) }
    }

    fn digest(&self, stamp: &str) -> Option<PluginDigest> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).known.get(stamp).cloned()
    }

    fn note(&self, meta: &Metadata, digest: &PluginDigest, now: SystemTime) {
        if self.memory.is_some() && settled(meta, now) {
            let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            if files.known.len() >= MOST {
                files.known.clear();
            }
            files.known.insert(stamp(meta), digest.clone());
            files.changed = true;
        }
    }

    /// Writes down what is new.
    pub(crate) fn keep(&self) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut files.changed)
            && let Some(Err(error)) = self.memory.as_ref().map(|memory| memory.write(&files.known))
        {
            tracing::debug!(%error, "components have to be hashed at the next start again");
        }
    }
}

/// Opens a component's file after a look at its size and its first bytes.
fn open(path: &Path, limit: u64) -> Result<(File, Metadata), LoadProblem> {
    let regular = |meta: &Metadata| match meta.is_file() {
        true => Ok(()),
        false => Err(LoadProblem::Io(io::Error::other("not a regular file"))),
    };
    // Before it is opened, too: to open a pipe is to wait for who writes to it.
    regular(&std::fs::metadata(path).map_err(LoadProblem::Io)?)?;
    let mut file = File::open(path).map_err(LoadProblem::Io)?;
    let meta = file.metadata().map_err(LoadProblem::Io)?;
    regular(&meta)?;
    if meta.len() > limit {
        return Err(LoadProblem::TooLarge { size: meta.len(), limit });
    }
    let mut head = Vec::with_capacity(8);
    (&mut file).take(8).read_to_end(&mut head).map_err(LoadProblem::Io)?;
    check::header(&head)?;
    file.rewind().map_err(LoadProblem::Io)?;
    Ok((file, meta))
}

/// The digest of the component in a file.
pub(crate) fn digest(path: &Path, limit: u64, seen: &Seen) -> Result<PluginDigest, LoadProblem> {
    let (file, meta) = open(path, limit)?;
    if let Some(known) = seen.digest(&stamp(&meta)) {
        return Ok(known);
    }
    let (sha256, size) = hash(file.take(limit + 1)).map_err(LoadProblem::Io)?;
    if size > limit {
        return Err(LoadProblem::TooLarge { size, limit });
    }
    let digest = serde_json::from_value(format!("sha256:{sha256}").into())
        .map_err(|error| LoadProblem::Host { detail: error.to_string() })?;
    seen.note(&meta, &digest, SystemTime::now());
    Ok(digest)
}

/// The bytes of the component in a file, which must have a digest.
pub(crate) fn bytes(path: &Path, limit: u64, digest: &PluginDigest) -> Result<Vec<u8>, LoadProblem> {
    let (file, _) = open(path, limit)?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(LoadProblem::Io)?;
    if PluginDigest::of(&bytes) != *digest {
        return Err(LoadProblem::Changed);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;
    use std::time::Duration;

    const HEAD: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn a_settled_file_is_hashed_once_and_a_touched_one_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.wasm");
        std::fs::write(&path, HEAD).unwrap();
        let memory = || Some(Memory::at(folder.path().join("files"), "this build".to_owned()));
        let seen = Seen::open(memory());
        let first = digest(&path, 100, &seen).unwrap();
        seen.keep();
        assert_eq!(seen.files.lock().unwrap().known.len(), 0, "it may still change within its clock's tick");

        let meta = std::fs::metadata(&path).unwrap();
        let later = SystemTime::now() + Duration::from_secs(10);
        // Another digest shows where an answer comes from.
        let other = PluginDigest::of(b"other");
        seen.note(&meta, &other, later);
        seen.keep();
        let again = Seen::open(memory());
        assert_eq!(digest(&path, 100, &again).unwrap(), other, "not hashed");

        // The same size and mtime, written again.
        std::fs::write(&path, HEAD).unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(meta.modified().unwrap()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mtime(), meta.mtime());
        assert_eq!(digest(&path, 100, &again).unwrap(), first);
        assert!(matches!(bytes(&path, 100, &other), Err(LoadProblem::Changed)));
    }
}
