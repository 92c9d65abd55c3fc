//! `plugins.lock`: which bytes a reference stands for, until somebody decides otherwise.

use crate::{Artifact, Digest, Reference, RegistryError};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The name of a lock file that nobody named otherwise.
pub const LOCK_FILE: &str = "plugins.lock";
/// More than a lock of ten thousand plugins has.
const LIMIT: u64 = 4 << 20;
const API_VERSION: &str = "ilab.dev/v1";
const KIND: &str = "PluginLock";
const HEAD: &str = "# Written by ilab-host plugin pull --lock; keep it under version control.\n";

/// One plugin of a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Locked {
    /// The reference that people use: by tag, or by digest when it never had one.
    pub reference: Reference,
    /// The digest of the manifest that it stands for.
    pub manifest: Digest,
    /// The digest of the component's bytes.
    pub component: Digest,
}

impl Locked {
    /// The reference with the digest that it stands for.
    #[must_use]
    pub fn pinned(&self) -> Reference {
        self.reference.at_digest(&self.manifest)
    }
}

impl From<&Artifact> for Locked {
    fn from(artifact: &Artifact) -> Self {
        Self {
            reference: artifact.reference.unpinned(),
            manifest: artifact.manifest.clone(),
            component: artifact.component.clone(),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    api_version: String,
    kind: String,
    plugins: Vec<Locked>,
}

/// A lock file that was read, or is yet to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    path: PathBuf,
    plugins: Vec<Locked>,
}

impl Lock {
    /// Reads a lock.
    ///
    /// # Errors
    /// [`RegistryError::File`] when it cannot be read, [`RegistryError::Content`] for unknown words, another version, or one
    /// reference twice.
    pub fn read(path: &Path) -> Result<Self, RegistryError> {
        Self::of(path, crate::yaml::read(path, LIMIT)?)
    }

    /// Reads the text of one. `path` is for messages, and for [`write`](Self::write).
    ///
    /// # Errors
    /// [`RegistryError::Content`] as for [`read`](Self::read).
    ///
    /// ```
    /// use ilab_registry::Lock;
    /// let lock = Lock::parse("plugins.lock".as_ref(), "apiVersion: ilab.dev/v1\nkind: PluginLock\nplugins: []\n")?;
    /// assert!(lock.plugins().is_empty());
    /// # Ok::<(), ilab_registry::RegistryError>(())
    /// ```
    pub fn parse(path: &Path, text: &str) -> Result<Self, RegistryError> {
        Self::of(path, crate::yaml::parse(path, text)?)
    }

    fn of(path: &Path, document: Document) -> Result<Self, RegistryError> {
        let refuse = |problem: String| Err(RegistryError::content(path, problem));
        if document.api_version != API_VERSION || document.kind != KIND {
            return refuse(format!(
                "is no lock of this host: it needs apiVersion: {API_VERSION} and kind: {KIND}"
            ));
        }
        let mut plugins: Vec<Locked> = Vec::new();
        for locked in document.plugins {
            if locked.reference.unpinned() != locked.reference {
                return refuse(format!(
                    "{} names a tag and a digest: the digest goes under manifest",
                    locked.reference
                ));
            }
            if locked.reference.digest().is_some_and(|digest| *digest != locked.manifest) {
                return refuse(format!("{} is locked to another digest than its own", locked.reference));
            }
            if plugins.iter().any(|known| known.reference == locked.reference) {
                return refuse(format!("{} is there twice", locked.reference));
            }
            plugins.push(locked);
        }
        Ok(Self { path: path.to_owned(), plugins })
    }

    /// Reads a lock, or begins one where there is no such file.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub fn read_or_new(path: &Path) -> Result<Self, RegistryError> {
        match Self::read(path) {
            Err(RegistryError::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Ok(Self { path: path.to_owned(), plugins: Vec::new() })
            }
            other => other,
        }
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All of it, in the order of the file.
    #[must_use]
    pub fn plugins(&self) -> &[Locked] {
        &self.plugins
    }

    /// What a reference stands for. One by tag and digest has to agree with the lock in both.
    #[must_use]
    pub fn find(&self, reference: &Reference) -> Option<&Locked> {
        self.plugins.iter().find(|locked| {
            let named = locked.reference == reference.unpinned() || locked.pinned() == *reference;
            let same = locked.reference.name() == reference.name() && reference.tag().is_none();
            (named || same) && reference.digest().is_none_or(|digest| *digest == locked.manifest)
        })
    }

    /// Puts a plugin in, in the place of what its reference stood for before.
    pub fn set(&mut self, locked: Locked) {
        match self.plugins.iter_mut().find(|known| known.reference == locked.reference) {
            Some(known) => *known = locked,
            None => self.plugins.push(locked),
        }
        self.plugins.sort_by(|a, b| a.reference.cmp(&b.reference));
    }

    /// What the file says.
    ///
    /// # Errors
    /// [`RegistryError::Content`] for what has no YAML form; everything that was read has one.
    pub fn text(&self) -> Result<String, RegistryError> {
        let document = Document {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            plugins: self.plugins.clone(),
        };
        let text = serde_saphyr::to_string(&document)
            .map_err(|e| RegistryError::content(&self.path, format!("has no YAML form: {e}")))?;
        Ok(format!("{HEAD}{text}"))
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// [`RegistryError::File`].
    pub fn write(&self) -> Result<(), RegistryError> {
        let fail = |e| RegistryError::file("write", &self.path, e);
        let text = self.text()?;
        let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Not for the owner alone, as a temporary file is: a lock is a file like any other in a repository.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        let mut file = tempfile::Builder::new().permissions(mode).tempfile_in(folder).map_err(fail)?;
        file.write_all(text.as_bytes()).map_err(fail)?;
        file.persist(&self.path).map(drop).map_err(|e| fail(e.error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked(reference: &str, content: &[u8]) -> Locked {
        Locked {
            reference: reference.parse().unwrap(),
            manifest: Digest::of(content),
            component: Digest::of(b"c"),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LOCK_FILE);
        let mut lock = Lock::read_or_new(&path).unwrap();
        lock.set(locked("oci://localhost/b:1", b"1"));
        lock.set(locked("oci://localhost/a:1", b"2"));
        lock.set(locked("oci://localhost/b:1", b"3"));
        lock.write().unwrap();
        let again = Lock::read(&path).unwrap();
        assert_eq!(again, lock);
        let names: Vec<_> = again.plugins().iter().map(|l| l.reference.to_string()).collect();
        assert_eq!(names, ["oci://localhost/a:1", "oci://localhost/b:1"]);
        assert_eq!(again.plugins()[1].manifest, Digest::of(b"3"));
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("# Written by"));
    }

    #[test]
    fn references_are_found_by_tag_and_by_digest() {
        let folder = tempfile::tempdir().unwrap();
        let mut lock = Lock::read_or_new(&folder.path().join("x")).unwrap();
        lock.set(locked("oci://localhost/a:1", b"1"));
        let (right, wrong) = (Digest::of(b"1"), Digest::of(b"2"));
        let found = |text: String| lock.find(&text.parse().unwrap()).is_some();
        assert!(found("oci://localhost/a:1".into()));
        assert!(found(format!("oci://localhost/a:1@{right}")));
        assert!(found(format!("oci://localhost/a@{right}")));
        assert!(!found(format!("oci://localhost/a:1@{wrong}")));
        assert!(!found(format!("oci://localhost/a@{wrong}")));
        assert!(!found(format!("oci://localhost/b@{right}")));
        assert!(!found("oci://localhost/a:2".into()));
    }

    #[test]
    fn what_is_no_lock_is_refused_with_what_would_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LOCK_FILE);
        let d = Digest::of(b"x");
        let entry = format!("- {{reference: 'oci://localhost/a:1', manifest: '{d}', component: '{d}'}}\n");
        let head = "apiVersion: ilab.dev/v1\nkind: PluginLock\nplugins:\n";
        for (text, says) in [
            (format!("{head}{entry}{entry}"), "there twice"),
            (format!("{head}{}", entry.replace("component", "componnt")), "componnt"),
            (format!("{head}{}", entry.replace(":1'", &format!(":1@{d}'"))), "under manifest"),
            (format!("{head}{}", entry.replace("a:1", &format!("a@{}", Digest::of(b"y")))), "another digest"),
            (format!("{head}{}", entry.replace("oci://", "https://")), "oci://"),
            (format!("{head}{}", entry.replace("sha256:", "sha256:0")), "digest"),
            (format!("{}{entry}", head.replace("/v1", "/v9")), "ilab.dev/v1"),
            (format!("{}{entry}", head.replace("PluginLock", "Lock")), "PluginLock"),
            (format!("{head}{entry}extra: 1\n"), "extra"),
            ("[".to_owned(), "plugins.lock"),
        ] {
            std::fs::write(&path, &text).unwrap();
            let error = Lock::read(&path).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("plugins.lock"), "{text}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
