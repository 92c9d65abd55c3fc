//! A path below a volume, opened so that nothing in the volume can lead out of it.
//!
//! A volume's content belongs to containers. A link there must not make the host mount something else (the class of
//! CVE-2017-1002101 and CVE-2021-25741), so each step is opened without following links.

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{Mode, mkdirat};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path};

/// Opens `sub` below `volume` as a path descriptor; folders that are missing are made.
pub(super) fn open(volume: &Path, sub: &Path) -> io::Result<OwnedFd> {
    let mut at: OwnedFd = File::options()
        .read(true)
        .custom_flags((OFlag::O_PATH | OFlag::O_DIRECTORY).bits())
        .open(volume)?
        .into();
    let how = || {
        OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(
            ResolveFlag::RESOLVE_BENEATH
                | ResolveFlag::RESOLVE_NO_SYMLINKS
                | ResolveFlag::RESOLVE_NO_MAGICLINKS,
        )
    };
    for part in sub.components() {
        let name = match part {
            Component::Normal(name) => name,
            Component::CurDir => continue,
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "subPath must be relative, without `..`",
                ));
            }
        };
        at = match openat2(&at, name, how()) {
            Ok(next) => next,
            Err(nix::errno::Errno::ENOENT) => {
                match mkdirat(&at, name, Mode::from_bits_truncate(0o777)) {
                    Ok(()) | Err(nix::errno::Errno::EEXIST) => {}
                    Err(errno) => return Err(errno.into()),
                }
                openat2(&at, name, how())?
            }
            Err(nix::errno::Errno::ELOOP) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "subPath leads through a link of the volume",
                ));
            }
            Err(errno) => return Err(errno.into()),
        };
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::fd::AsRawFd;

    #[test]
    fn links_and_climbing_are_refused_and_folders_made() {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("volume");
        fs::create_dir_all(volume.join("a")).unwrap();
        fs::write(volume.join("a/file"), "").unwrap();
        std::os::unix::fs::symlink("/etc", volume.join("out")).unwrap();
        std::os::unix::fs::symlink("a", volume.join("in")).unwrap();
        for bad in ["out", "out/x", "in", "../x", "/etc", "a/file/x"] {
            assert!(open(&volume, Path::new(bad)).is_err(), "{bad}");
        }
        let made = open(&volume, Path::new("a/./b/c")).unwrap();
        let real = fs::read_link(format!("/proc/self/fd/{}", made.as_raw_fd())).unwrap();
        assert_eq!(real, volume.join("a/b/c").canonicalize().unwrap());
        open(&volume, Path::new("a/file")).unwrap();
        open(&volume, Path::new("")).unwrap();
    }
}
