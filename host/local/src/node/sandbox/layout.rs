//! What a container sees as its file system, as bubblewrap arguments.
//!
//! The image is mounted read-only. A mount point that the image lacks is made by opening its nearest existing folder
//! up: a tmpfs takes that folder's place, with everything that was in it bound back, read-only. Links inside the image
//! are followed inside the image, never on the host.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// More entries than this are not bound back one by one.
const MAX_OPENED: usize = 2048;
/// Links that are followed before it is called a loop, as in Linux.
const MAX_LINKS: usize = 40;

/// A file system that cannot be laid out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LayoutError {
    /// A mount path that is not absolute or climbs.
    #[error("mount path {0} must be absolute, without `..`")]
    BadPath(PathBuf),
    /// A chain of links in the image.
    #[error("mount path {0} leads through too many links of the image")]
    Links(PathBuf),
    /// A folder with too many entries in which a mount point would have to be made.
    #[error("the image has no {target}, and {folder} holds too many entries to add it; make it in the image")]
    TooManyEntries {
        /// The mount point.
        target: PathBuf,
        /// The folder that it would be made in.
        folder: PathBuf,
    },
    /// A mount point whose parent is a file of the image.
    #[error("the image has no {target}, because {folder} is not a folder there")]
    NotAFolder {
        /// The mount point.
        target: PathBuf,
        /// What is in the way.
        folder: PathBuf,
    },
    /// The image's folder.
    #[error("cannot read {path} of the image")]
    Io {
        /// Which path.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// What is mounted at a point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A host path.
    Path {
        /// Which.
        path: PathBuf,
        /// Whether the container may not write there.
        read_only: bool,
    },
    /// An open folder or file, by its number in the process that becomes bubblewrap.
    Fd {
        /// The number.
        fd: i32,
        /// Whether the container may not write there.
        read_only: bool,
    },
    /// An empty folder in memory.
    Tmpfs {
        /// Its mode, octal.
        mode: &'static str,
    },
    /// The outer `/proc` or a new one.
    Proc(&'static [&'static str]),
    /// Minimal devices.
    Dev,
}

/// Collects mounts over an image and turns them into arguments.
#[derive(Debug)]
pub(crate) struct Layout {
    rootfs: PathBuf,
    mounts: BTreeMap<PathBuf, Source>,
}

impl Layout {
    /// Over this root file system.
    pub(crate) fn new(rootfs: impl Into<PathBuf>) -> Self {
        Self { rootfs: rootfs.into(), mounts: BTreeMap::new() }
    }

    /// Mounts something; what was mounted at that very path before is replaced.
    ///
    /// # Errors
    /// [`LayoutError::BadPath`], [`LayoutError::Links`], [`LayoutError::Io`].
    pub(crate) fn mount(&mut self, target: &Path, source: Source) -> Result<(), LayoutError> {
        let target = self.inside(target)?;
        if target == Path::new("/") {
            return Err(LayoutError::BadPath(target));
        }
        self.mounts.insert(target, source);
        Ok(())
    }

    /// Whether the container will find this path: in the image or made by a mount.
    ///
    /// # Errors
    /// As [`Self::mount`].
    pub(crate) fn exists(&self, path: &Path) -> Result<bool, LayoutError> {
        let inside = self.inside(path)?;
        let covered = |path: &Path| path != Path::new("/") && self.mounts.contains_key(path);
        let made = self.mounts.keys().any(|mount| mount.starts_with(&inside));
        // Below a mount of a host folder, that folder has it or not: the program is told.
        Ok(made || inside.ancestors().any(covered) || self.on_host(&inside).is_dir())
    }

    /// The path that a path of the container means once the image's links are followed, whether it exists or not.
    fn inside(&self, path: &Path) -> Result<PathBuf, LayoutError> {
        if !path.is_absolute() || path.components().any(|part| matches!(part, Component::ParentDir)) {
            return Err(LayoutError::BadPath(path.to_owned()));
        }
        let mut resolved = PathBuf::from("/");
        let mut todo: Vec<OsString> = names(path);
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if name == ".." {
                resolved.pop();
                continue;
            }
            resolved.push(&name);
            let Some(link) = self.link_at(&resolved)? else { continue };
            links += 1;
            if links > MAX_LINKS {
                return Err(LayoutError::Links(path.to_owned()));
            }
            resolved.pop();
            if link.is_absolute() {
                resolved = PathBuf::from("/");
            }
            todo.extend(names(&link));
        }
        Ok(resolved)
    }

    /// The link of the image at this resolved path. Below a mount the image is not seen.
    fn link_at(&self, resolved: &Path) -> Result<Option<PathBuf>, LayoutError> {
        if resolved.ancestors().any(|above| self.mounts.contains_key(above)) {
            return Ok(None);
        }
        match fs::read_link(self.on_host(resolved)) {
            Ok(link) => Ok(Some(link)),
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::NotFound) => {
                Ok(None)
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(None),
            Err(source) => Err(LayoutError::Io { path: resolved.to_owned(), source }),
        }
    }

    fn on_host(&self, inside: &Path) -> PathBuf {
        self.rootfs.join(inside.strip_prefix("/").unwrap_or(inside))
    }

    /// The arguments, in the order in which they must be given.
    ///
    /// # Errors
    /// Where a mount point cannot be made.
    pub(crate) fn arguments(&self) -> Result<Vec<OsString>, LayoutError> {
        let opened = self.folders_to_open()?;
        let mut args = Vec::new();
        if !opened.contains(Path::new("/")) {
            push(&mut args, "--ro-bind", &[self.rootfs.as_os_str(), "/".as_ref()]);
        }
        // Parents sort before what is in them, whether opened or mounted.
        let mut steps: BTreeMap<&Path, Option<&Source>> =
            opened.iter().map(|path| (path.as_path(), None)).collect();
        steps.extend(self.mounts.iter().map(|(path, source)| (path.as_path(), Some(source))));
        for (path, source) in steps {
            match source {
                None => self.open(path, &mut args)?,
                Some(source) => mount(path, source, &mut args),
            }
        }
        for path in opened.iter().rev() {
            push(&mut args, "--remount-ro", &[path.as_os_str()]);
        }
        Ok(args)
    }

    /// Folders of the image in which something must be made.
    fn folders_to_open(&self) -> Result<BTreeSet<PathBuf>, LayoutError> {
        let mut opened = BTreeSet::new();
        for target in self.mounts.keys() {
            let parent = target.parent().unwrap_or(Path::new("/"));
            if parent.ancestors().any(|above| self.mounts.contains_key(above)) {
                continue; // Made inside another mount, which is writable or has it.
            }
            if self.on_host(target).symlink_metadata().is_ok() {
                continue;
            }
            let folder = parent
                .ancestors()
                .find(|above| self.on_host(above).symlink_metadata().is_ok())
                .unwrap_or(Path::new("/"));
            if !self.on_host(folder).is_dir() {
                return Err(LayoutError::NotAFolder { target: target.clone(), folder: folder.to_owned() });
            }
            opened.insert(folder.to_owned());
        }
        // A folder below an opened one is bound back as a whole, unless it is opened as well.
        Ok(opened)
    }

    fn open(&self, folder: &Path, args: &mut Vec<OsString>) -> Result<(), LayoutError> {
        let failed = |source| LayoutError::Io { path: folder.to_owned(), source };
        push(args, "--perms", &["0755".as_ref()]);
        push(args, "--tmpfs", &[folder.as_os_str()]);
        let mut entries: Vec<_> = fs::read_dir(self.on_host(folder))
            .map_err(failed)?
            .take(MAX_OPENED + 1)
            .collect::<Result<_, _>>()
            .map_err(failed)?;
        if entries.len() > MAX_OPENED {
            return Err(LayoutError::TooManyEntries { target: folder.to_owned(), folder: folder.to_owned() });
        }
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let inside = folder.join(entry.file_name());
            if self.mounts.contains_key(&inside) {
                continue;
            }
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_symlink() {
                let link = fs::read_link(entry.path()).map_err(failed)?;
                push(args, "--symlink", &[link.as_os_str(), inside.as_os_str()]);
            } else if kind.is_dir() || kind.is_file() {
                push(args, "--ro-bind", &[entry.path().as_os_str(), inside.as_os_str()]);
            }
        }
        Ok(())
    }
}

fn names(path: &Path) -> Vec<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .rev()
        .collect()
}

fn push(args: &mut Vec<OsString>, option: &str, values: &[&std::ffi::OsStr]) {
    args.push(option.into());
    args.extend(values.iter().map(|&value| value.to_owned()));
}

fn mount(path: &Path, source: &Source, args: &mut Vec<OsString>) {
    let target = path.as_os_str();
    match source {
        Source::Path { path, read_only } => {
            push(args, if *read_only { "--ro-bind" } else { "--bind" }, &[path.as_os_str(), target]);
        }
        Source::Fd { fd, read_only } => {
            let option = if *read_only { "--ro-bind-fd" } else { "--bind-fd" };
            push(args, option, &[fd.to_string().as_ref(), target]);
        }
        Source::Tmpfs { mode } => {
            push(args, "--perms", &[mode.as_ref()]);
            push(args, "--tmpfs", &[target]);
        }
        Source::Proc(given) => args.extend(given.iter().map(OsString::from)),
        Source::Dev => push(args, "--dev", &[target]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn image() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["usr/bin", "etc", "run", "var", "data"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        fs::write(dir.path().join("etc/passwd"), "").unwrap();
        symlink("usr/bin", dir.path().join("bin")).unwrap();
        symlink("/run", dir.path().join("var/run")).unwrap();
        symlink("../../../../etc", dir.path().join("var/up")).unwrap();
        symlink("loop", dir.path().join("loop")).unwrap();
        dir
    }

    fn text(layout: &Layout) -> String {
        let args: Vec<_> =
            layout.arguments().unwrap().iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
        args.join(" ").replace(&*layout.rootfs.to_string_lossy(), "ROOT")
    }

    fn source(path: &str) -> Source {
        Source::Path { path: path.into(), read_only: false }
    }

    #[test]
    fn an_existing_mount_point_needs_nothing_opened() {
        let image = image();
        let mut layout = Layout::new(image.path());
        layout.mount(Path::new("/data"), source("/claim")).unwrap();
        assert_eq!(text(&layout), "--ro-bind ROOT / --bind /claim /data");
    }

    #[test]
    fn a_missing_mount_point_is_made_by_opening_its_folder() {
        let image = image();
        let mut layout = Layout::new(image.path());
        layout.mount(Path::new("/etc/deep/new"), source("/claim")).unwrap();
        assert_eq!(
            text(&layout),
            "--ro-bind ROOT / --perms 0755 --tmpfs /etc --ro-bind ROOT/etc/passwd /etc/passwd --bind /claim /etc/deep/new --remount-ro /etc"
        );
        let mut layout = Layout::new(image.path());
        layout.mount(Path::new("/new"), source("/claim")).unwrap();
        layout.mount(Path::new("/data"), source("/other")).unwrap();
        let text = text(&layout);
        assert!(
            text.starts_with("--perms 0755 --tmpfs / --symlink usr/bin /bin --ro-bind ROOT/etc /etc"),
            "{text}"
        );
        assert!(text.contains("--bind /other /data --bind /claim /new --remount-ro /"), "{text}");
        assert!(!text.contains("ROOT/data"), "{text}");
    }

    #[test]
    fn links_of_the_image_are_followed_inside_it() {
        let image = image();
        let mut layout = Layout::new(image.path());
        layout.mount(Path::new("/var/run/secrets"), source("/s")).unwrap();
        layout.mount(Path::new("/var/up/x"), source("/t")).unwrap();
        let text = text(&layout);
        assert!(text.contains("/s /run/secrets") && text.contains("/t /etc/x"), "{text}");
    }

    #[test]
    fn bad_paths_are_refused() {
        let image = image();
        let mut layout = Layout::new(image.path());
        for path in ["relative", "/a/../b", "/", "/loop/x"] {
            assert!(layout.mount(Path::new(path), source("/s")).is_err(), "{path}");
        }
        layout.mount(Path::new("/etc/passwd/x"), source("/s")).unwrap();
        assert!(matches!(layout.arguments(), Err(LayoutError::NotAFolder { .. })));
    }

    #[test]
    fn a_mount_inside_a_mount_comes_after_it() {
        let image = image();
        let mut layout = Layout::new(image.path());
        layout.mount(Path::new("/data/inner"), source("/b")).unwrap();
        layout.mount(Path::new("/data"), Source::Tmpfs { mode: "0700" }).unwrap();
        assert_eq!(text(&layout), "--ro-bind ROOT / --perms 0700 --tmpfs /data --bind /b /data/inner");
    }
}
