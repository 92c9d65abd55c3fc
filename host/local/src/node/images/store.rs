//! The images of a state folder: one small file a reference, and the root file systems that were copied in.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::archive::{self, ArchiveError};
use super::reference::{BadReference, Reference};
use crate::node::files;

/// What goes wrong with images.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// No image by this name; the message names the command that imports one.
    #[error(
        "image {reference} is not imported; run: ilab-host local image import {reference} DIR-OR-ARCHIVE"
    )]
    Missing {
        /// Which.
        reference: Reference,
    },
    /// It was imported, but its folder is gone.
    #[error(
        "the root file system of image {reference} is gone from {path}; import it again: ilab-host local image import {reference} DIR-OR-ARCHIVE"
    )]
    Gone {
        /// Which.
        reference: Reference,
        /// Where it was.
        path: PathBuf,
    },
    /// The reference itself.
    #[error(transparent)]
    Reference(#[from] BadReference),
    /// The folder to import is none.
    #[error("{path} is not a root file system: {why}")]
    NotARootfs {
        /// Which folder.
        path: PathBuf,
        /// What is missing, as a fragment.
        why: &'static str,
    },
    /// What to import is no file: a pipe or a device, which may have no end.
    #[error("{path} is neither a folder nor an archive file")]
    NotAFile {
        /// What.
        path: PathBuf,
    },
    /// The archive to import.
    #[error("cannot import {path}")]
    Archive {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: ArchiveError,
    },
    /// A file of the store.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

fn failed(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> ImageError {
    let path = path.into();
    move |source| ImageError::Io { action, path, source }
}

/// What an image says about how it is run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageConfig {
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// More arguments, which a container's `args` replace.
    pub cmd: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Where it starts.
    pub working_dir: Option<String>,
    /// `user` or `user:group`, names or numbers.
    pub user: Option<String>,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its name in full.
    pub reference: Reference,
    /// Its root file system.
    pub rootfs: PathBuf,
    /// Whether the root file system is the store's own and goes with the image.
    pub owned: bool,
    /// How it is run.
    #[serde(default)]
    pub config: ImageConfig,
    /// When it was imported.
    pub imported_at: Timestamp,
}

/// Where an image comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageSource {
    /// A root file system, used where it is: nothing is copied, and later changes are seen.
    Folder(PathBuf),
    /// A root file system, copied into the store.
    Copy(PathBuf),
    /// A `.tar` or `.tar.gz`: of a root file system, or as `docker save` and `podman save` write it.
    Archive(PathBuf),
}

impl ImageSource {
    /// A folder, used in place, or an archive.
    ///
    /// # Errors
    /// [`ImageError::Io`] when there is nothing there, [`ImageError::NotAFile`] when it is something else: an archive is
    /// read more than once, and a pipe that nobody writes to would be waited for without end.
    pub fn detect(path: &Path) -> Result<Self, ImageError> {
        let metadata = fs::metadata(path).map_err(failed("open", path))?;
        let path = path.to_owned();
        match metadata {
            folder if folder.is_dir() => Ok(Self::Folder(path)),
            file if file.is_file() => Ok(Self::Archive(path)),
            _ => Err(ImageError::NotAFile { path }),
        }
    }
}

/// When a container's image would be pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullPolicy {
    /// `Always`; here as good as `IfNotPresent`, because there is no registry behind the store.
    Always,
    /// `IfNotPresent`.
    IfNotPresent,
    /// `Never`.
    Never,
}

impl PullPolicy {
    /// From `imagePullPolicy`; what Kubernetes takes when there is none: by tag.
    #[must_use]
    pub fn of(policy: Option<&str>, reference: &Reference) -> Self {
        match policy {
            Some("Never") => Self::Never,
            Some("IfNotPresent") => Self::IfNotPresent,
            Some(_) => Self::Always,
            None if reference.as_str().ends_with(":latest") => Self::Always,
            None => Self::IfNotPresent,
        }
    }

    /// The waiting reason that the kubelet gives when the image is missing.
    #[must_use]
    pub fn missing_reason(self) -> &'static str {
        match self {
            Self::Never => "ErrImageNeverPull",
            Self::Always | Self::IfNotPresent => "ImagePullBackOff",
        }
    }
}

/// The images of one state folder.
///
/// Several processes may use one store: each image is one file, replaced whole.
#[derive(Debug, Clone)]
pub struct ImageStore {
    dir: PathBuf,
}

impl ImageStore {
    /// Opens the store in this folder, and makes it when there is none. `LocalOptions.state` has it under `images`.
    ///
    /// # Errors
    /// [`ImageError::Io`].
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, ImageError> {
        let dir = dir.into();
        for folder in [dir.clone(), dir.join("refs"), dir.join("rootfs")] {
            files::private_dir(&folder).map_err(failed("make", folder))?;
        }
        Ok(Self { dir })
    }

    /// The folder whose changes mean that an image came or went.
    pub(crate) fn refs(&self) -> PathBuf {
        self.dir.join("refs")
    }

    fn file(&self, reference: &Reference) -> PathBuf {
        let name = hex::encode(Sha256::digest(reference.as_str().as_bytes()));
        self.refs().join(format!("{name}.json"))
    }

    /// Imports an image under a name; another image of that name is replaced.
    ///
    /// `config` overrides what an archive says about how the image is run.
    ///
    /// # Errors
    /// Everything but [`ImageError::Missing`] and [`ImageError::Gone`]. The store is as before then.
    pub fn import(
        &self,
        reference: &str,
        source: &ImageSource,
        config: Option<ImageConfig>,
    ) -> Result<Image, ImageError> {
        let reference: Reference = reference.parse()?;
        let (rootfs, owned, found) = match source {
            ImageSource::Folder(path) => {
                let path = fs::canonicalize(path).map_err(failed("open", path))?;
                check_rootfs(&path)?;
                (path, false, ImageConfig::default())
            }
            ImageSource::Copy(path) => {
                check_rootfs(path)?;
                let new = self.new_rootfs()?;
                archive::copy_tree(path, new.path())
                    .map_err(|source| ImageError::Archive { path: path.clone(), source })?;
                (new.keep(), true, ImageConfig::default())
            }
            ImageSource::Archive(path) => {
                let new = self.new_rootfs()?;
                let config = archive::unpack(path, new.path())
                    .map_err(|source| ImageError::Archive { path: path.clone(), source })?;
                check_rootfs(new.path())?;
                (new.keep(), true, config)
            }
        };
        let image = Image {
            reference,
            rootfs,
            owned,
            config: config.unwrap_or(found),
            imported_at: Timestamp::now(),
        };
        let before = self.read(&image.reference)?;
        let file = self.file(&image.reference);
        files::write_json_durably(&file, &image).map_err(failed("write", file))?;
        if let Some(before) = before.filter(|before| before.rootfs != image.rootfs) {
            self.drop_rootfs(&before)?;
        }
        Ok(image)
    }

    fn new_rootfs(&self) -> Result<tempfile::TempDir, ImageError> {
        use std::os::unix::fs::PermissionsExt;
        let dir = self.dir.join("rootfs");
        let new = tempfile::Builder::new()
            .prefix("image-")
            .tempdir_in(&dir)
            .map_err(failed("make a folder in", &dir))?;
        fs::set_permissions(new.path(), fs::Permissions::from_mode(0o755))
            .map_err(failed("open up", new.path()))?;
        Ok(new)
    }

    fn drop_rootfs(&self, image: &Image) -> Result<(), ImageError> {
        // Only below the store, whatever the file says.
        if image.owned && image.rootfs.parent() == Some(&self.dir.join("rootfs")) {
            files::remove_tree(&image.rootfs).map_err(failed("remove", &image.rootfs))?;
        }
        Ok(())
    }

    fn read(&self, reference: &Reference) -> Result<Option<Image>, ImageError> {
        let file = self.file(reference);
        files::read_json(&file).map_err(failed("read", file))
    }

    /// The image of this name. There is no registry behind the store, so a policy only changes what a missing image is
    /// called: see [`PullPolicy::missing_reason`].
    ///
    /// # Errors
    /// [`ImageError::Missing`], [`ImageError::Gone`], [`ImageError::Reference`], [`ImageError::Io`].
    pub fn resolve(&self, reference: &str) -> Result<Image, ImageError> {
        let reference: Reference = reference.parse()?;
        let image = self.read(&reference)?.ok_or(ImageError::Missing { reference })?;
        if !image.rootfs.is_dir() {
            return Err(ImageError::Gone { reference: image.reference, path: image.rootfs });
        }
        Ok(image)
    }

    /// All images, by name.
    ///
    /// # Errors
    /// [`ImageError::Io`].
    pub fn list(&self) -> Result<Vec<Image>, ImageError> {
        let refs = self.refs();
        let mut images = Vec::new();
        for entry in fs::read_dir(&refs).map_err(failed("list", &refs))? {
            let path = entry.map_err(failed("list", &refs))?.path();
            if path.extension().is_some_and(|extension| extension == "json")
                && let Some(image) = files::read_json::<Image>(&path).map_err(failed("read", &path))?
            {
                images.push(image);
            }
        }
        images.sort_by(|one: &Image, other| one.reference.cmp(&other.reference));
        Ok(images)
    }

    /// Forgets an image; a root file system that was used in place stays.
    ///
    /// # Errors
    /// [`ImageError::Missing`], [`ImageError::Reference`], [`ImageError::Io`].
    pub fn remove(&self, reference: &str) -> Result<Image, ImageError> {
        let reference: Reference = reference.parse()?;
        let image =
            self.read(&reference)?.ok_or_else(|| ImageError::Missing { reference: reference.clone() })?;
        let file = self.file(&reference);
        fs::remove_file(&file).map_err(failed("remove", file))?;
        self.drop_rootfs(&image)?;
        Ok(image)
    }
}

fn check_rootfs(path: &Path) -> Result<(), ImageError> {
    let wrong = |why| ImageError::NotARootfs { path: path.to_owned(), why };
    if !path.is_dir() {
        return Err(wrong("it is no folder"));
    }
    if !["bin", "usr", "sbin", "lib", "app", "etc"]
        .iter()
        .any(|name| path.join(name).symlink_metadata().is_ok())
    {
        return Err(wrong("it has none of bin, usr, sbin, lib, app, etc"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rootfs(dir: &Path) -> PathBuf {
        let rootfs = dir.join("fs");
        fs::create_dir_all(rootfs.join("bin")).unwrap();
        fs::write(rootfs.join("bin/true"), "x").unwrap();
        rootfs
    }

    #[test]
    fn a_folder_is_used_in_place_and_stays_when_the_image_goes() {
        let dir = tempfile::tempdir().unwrap();
        let rootfs = rootfs(dir.path());
        let store = ImageStore::open(dir.path().join("images")).unwrap();
        let missing = store.resolve("app:1").unwrap_err().to_string();
        assert!(missing.contains("ilab-host local image import docker.io/library/app:1"), "{missing}");
        store.import("app:1", &ImageSource::detect(&rootfs).unwrap(), None).unwrap();
        let image = store.resolve("docker.io/library/app:1").unwrap();
        assert_eq!((image.rootfs.as_path(), image.owned), (rootfs.canonicalize().unwrap().as_path(), false));
        assert_eq!(store.list().unwrap().len(), 1);
        store.remove("app:1").unwrap();
        assert!(rootfs.join("bin/true").exists() && store.list().unwrap().is_empty());
        assert!(matches!(store.remove("app:1"), Err(ImageError::Missing { .. })));
    }

    #[test]
    fn a_copy_is_the_stores_own_and_goes_with_the_image() {
        let dir = tempfile::tempdir().unwrap();
        let rootfs = rootfs(dir.path());
        let store = ImageStore::open(dir.path().join("images")).unwrap();
        let first = store.import("app", &ImageSource::Copy(rootfs.clone()), None).unwrap();
        let second = store.import("app", &ImageSource::Copy(rootfs.clone()), None).unwrap();
        assert!(!first.rootfs.exists() && second.rootfs.join("bin/true").exists());
        fs::remove_dir_all(&second.rootfs).unwrap();
        assert!(matches!(store.resolve("app"), Err(ImageError::Gone { .. })));
    }

    #[test]
    fn a_pipe_that_nobody_writes_to_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [pipe.as_path(), Path::new("/dev/null")] {
            assert!(matches!(ImageSource::detect(path), Err(ImageError::NotAFile { .. })), "{path:?}");
        }
    }

    #[test]
    fn what_is_no_root_file_system_is_refused_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = ImageStore::open(dir.path().join("images")).unwrap();
        let empty = dir.path().join("empty");
        fs::create_dir(&empty).unwrap();
        for source in [ImageSource::Folder(empty.clone()), ImageSource::Copy(empty)] {
            assert!(matches!(store.import("app", &source, None), Err(ImageError::NotARootfs { .. })));
        }
        assert_eq!(fs::read_dir(dir.path().join("images/rootfs")).unwrap().count(), 0);
    }
}
