//! `plugin build --watch`: builds again whenever a file of the project changes.

use super::build::Job;
use crate::{CliError, exit};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Editors write a file in several steps; a build waits for the last of them, so many milliseconds.
const QUIET: u16 = 80;
/// Folders that tools write to.
const NOT_SOURCES: [&str; 5] = ["target", "node_modules", "__pycache__", ".git", ".ilab"];

/// Builds now and after each change, until it is interrupted. A build that fails is told, and the next change is waited for.
///
/// # Errors
/// When the folder cannot be watched.
pub fn run(job: &Job) -> Result<(), CliError> {
    let cannot = |errno: Errno| {
        CliError::from_error(exit::FAILURE, &errno)
            .hint("the system bounds what may be watched: sysctl fs.inotify.max_user_watches")
    };
    let mut built = None;
    loop {
        // Watched before it is looked at, so that no change falls between.
        let watch = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).map_err(cannot)?;
        for folder in folders(&job.folder) {
            let what = AddWatchFlags::IN_CLOSE_WRITE
                | AddWatchFlags::IN_CREATE
                | AddWatchFlags::IN_DELETE
                | AddWatchFlags::IN_MOVE;
            match watch.add_watch(&folder, what) {
                // Gone since.
                Ok(_) | Err(Errno::ENOENT) => {}
                Err(errno) => return Err(cannot(errno)),
            }
        }
        let seen = sources(&job.folder);
        if built.as_ref() == Some(&seen) {
            settle(&watch, PollTimeout::NONE).map_err(cannot)?;
            continue;
        }
        if built.is_some() && settle(&watch, PollTimeout::from(QUIET)).map_err(cannot)? {
            // It was seen in the middle of being written.
            continue;
        }
        match job.build() {
            Ok(done) => super::build::tell(&done),
            Err(error) => eprint!("{error}"),
        }
        built = Some(seen);
        eprintln!("watching {}; Ctrl-C ends it", job.folder.display());
    }
}

/// Waits for a change, as long as `first` says, and then until there is none for a moment. Says whether there was one.
fn settle(watch: &Inotify, first: PollTimeout) -> Result<bool, Errno> {
    let (mut timeout, mut changed) = (first, false);
    loop {
        let mut ready = [PollFd::new(watch.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, timeout) {
            Ok(0) => return Ok(changed),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        // What happened does not matter; that something did does.
        match watch.read_events() {
            Ok(_) => (timeout, changed) = (PollTimeout::from(QUIET), true),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// The folders of a project that may hold sources, its own first.
fn folders(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    let mut at = 0;
    while let Some(next) = found.get(at).cloned() {
        at += 1;
        // A folder that has gone since has none.
        for entry in std::fs::read_dir(&next).into_iter().flatten().flatten() {
            let tools = NOT_SOURCES.iter().any(|name| entry.file_name() == **name);
            if !tools && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                found.push(entry.path());
            }
        }
    }
    found
}

/// The project's sources, each with its size and time: what a build is made of, and not what it writes.
fn sources(folder: &Path) -> BTreeMap<PathBuf, (u64, Option<SystemTime>)> {
    let mut found = BTreeMap::new();
    for folder in folders(folder) {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let made = name.ends_with(".wasm") || name.starts_with(".build-") || name == "Cargo.lock";
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_file() && !made {
                found.insert(entry.path(), (meta.len(), meta.modified().ok()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_build_writes_is_no_source() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("stage/__init__.py", "a");
        let before = sources(folder.path());
        write("stage/__pycache__/x.pyc", "b");
        write("target/guest/x", "b");
        write("my-eval.wasm", "b");
        assert_eq!(sources(folder.path()), before);
        write("stage/__init__.py", "ab");
        assert_ne!(sources(folder.path()), before);
    }
}
