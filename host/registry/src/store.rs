//! What was pulled, in a folder: every blob under its digest, and which signatures belong to which manifest.
//!
//! Nothing in it is believed: what is read is hashed, and what has another digest than its name counts as absent.

use crate::{Digest, RegistryError};
use sha2::{Digest as _, Sha256};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// A store. Several processes may use one at the same time.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// Opens the folder and makes it where it is missing, for its owner alone.
    ///
    /// # Errors
    /// [`RegistryError::File`] when it cannot be made.
    pub fn open(folder: PathBuf) -> Result<Self, RegistryError> {
        for part in [Self::BLOBS, Self::SIGNATURES] {
            let part = folder.join(part);
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&part);
            made.map_err(|e| RegistryError::file("make", &part, e))?;
        }
        Ok(Self { folder })
    }

    const BLOBS: &'static str = "blobs/sha256";
    const SIGNATURES: &'static str = "signatures";

    /// Where a blob lies, or would.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(Self::BLOBS).join(digest.hex())
    }

    /// Whether a blob is there, whole.
    #[must_use]
    pub fn holds(&self, digest: &Digest) -> bool {
        let hashed = || -> io::Result<Digest> {
            let mut hasher = Sha256::new();
            let mut file = File::open(self.path(digest))?;
            let mut buffer = [0; 64 << 10];
            loop {
                match file.read(&mut buffer)? {
                    0 => return Ok(Digest::finished(hasher)),
                    n => hasher.update(&buffer[..n]),
                }
            }
        };
        hashed().is_ok_and(|found| found == *digest)
    }

    /// Reads a small blob; none when it is absent, too large or broken.
    pub(crate) fn read(&self, digest: &Digest, limit: u64) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.path(digest)).ok()?.take(limit + 1).read_to_end(&mut bytes).ok()?;
        (bytes.len() as u64 <= limit && Digest::of(&bytes) == *digest).then_some(bytes)
    }

    /// Keeps bytes under their digest.
    pub(crate) fn put(&self, bytes: &[u8]) -> Result<Digest, RegistryError> {
        let digest = Digest::of(bytes);
        let mut file = self.begin()?;
        io::Write::write_all(&mut file, bytes).map_err(|e| RegistryError::file("write", file.path(), e))?;
        self.keep(file, &digest)?;
        Ok(digest)
    }

    /// A file beside the blobs, for one that arrives. Dropped, it is gone.
    pub(crate) fn begin(&self) -> Result<NamedTempFile, RegistryError> {
        let blobs = self.folder.join(Self::BLOBS);
        tempfile::Builder::new()
            .prefix("arriving.")
            .tempfile_in(&blobs)
            .map_err(|e| RegistryError::file("write in", &blobs, e))
    }

    /// Makes a file whose content was checked the blob of this digest.
    pub(crate) fn keep(&self, file: NamedTempFile, digest: &Digest) -> Result<(), RegistryError> {
        let path = self.path(digest);
        file.persist(&path).map(drop).map_err(|e| RegistryError::file("write", &path, e.error))
    }

    /// Remembers that one manifest signs another. Both have to be proven by whoever uses it.
    pub(crate) fn add_signature(&self, of: &Digest, signature: &Digest) -> Result<(), RegistryError> {
        let folder = self.folder.join(Self::SIGNATURES).join(of.hex());
        let made = fs::create_dir_all(&folder).and_then(|()| File::create(folder.join(signature.hex())));
        made.map(drop).map_err(|e| RegistryError::file("write in", &folder, e))
    }

    /// The manifests that are said to sign this one, in the order of their digests.
    pub(crate) fn signatures(&self, of: &Digest) -> Vec<Digest> {
        let folder: &Path = &self.folder.join(Self::SIGNATURES).join(of.hex());
        let names = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut all: Vec<Digest> = names
            .filter_map(|entry| format!("sha256:{}", entry.file_name().to_str()?).parse().ok())
            .collect();
        all.sort();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_behind_its_back_counts_as_absent() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store")).unwrap();
        let digest = store.put(b"component").unwrap();
        assert!(store.holds(&digest));
        assert_eq!(store.read(&digest, 9).as_deref(), Some(&b"component"[..]));
        assert_eq!(store.read(&digest, 8), None);
        fs::write(store.path(&digest), b"Component").unwrap();
        assert!(!store.holds(&digest));
        assert_eq!(store.read(&digest, 9), None);
    }

    #[test]
    fn signatures_are_listed_once_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().to_owned()).unwrap();
        let (of, one) = (Digest::of(b"manifest"), Digest::of(b"signature"));
        assert!(store.signatures(&of).is_empty());
        store.add_signature(&of, &one).unwrap();
        store.add_signature(&of, &one).unwrap();
        fs::write(folder.path().join("signatures").join(of.hex()).join("stray"), b"").unwrap();
        assert_eq!(store.signatures(&of), [one]);
    }
}
