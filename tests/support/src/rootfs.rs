//! A small root file system made of this machine's own programs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAMS: &[&str] = &[
    "sh", "cat", "sleep", "true", "false", "env", "ls", "touch", "id", "hostname", "mkdir", "head", "kill",
    "dd",
];

/// A folder below `parent` with a shell, a dozen common programs and the libraries that they need. Made once.
///
/// # Panics
/// When a program is not on this machine, or the folder cannot be written.
#[must_use]
pub fn rootfs(parent: &Path) -> PathBuf {
    fs::create_dir_all(parent).unwrap();
    let made = parent.join("rootfs-1");
    if made.is_dir() {
        return made;
    }
    let new = tempfile::tempdir_in(parent).unwrap();
    let root = new.path();
    for folder in ["bin", "etc", "proc", "dev", "sys", "tmp", "run", "var/tmp", "root", "data"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    let users = "root:x:0:0::/root:/bin/sh\nguest:x:1234:1234::/home/guest:/bin/sh\n";
    fs::write(root.join("etc/passwd"), users).unwrap();
    let mut files = BTreeSet::new();
    for program in PROGRAMS {
        let found =
            ["/bin", "/usr/bin"].iter().map(|dir| Path::new(dir).join(program)).find(|path| path.exists());
        let found = found.unwrap_or_else(|| panic!("{program} is not on this machine"));
        fs::copy(&found, root.join("bin").join(program)).unwrap();
        let ldd = Command::new("ldd").arg(&found).output().unwrap();
        let text = String::from_utf8_lossy(&ldd.stdout).into_owned();
        files.extend(text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from));
    }
    for file in files {
        let target = root.join(file.strip_prefix("/").unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&file, target).unwrap();
    }
    // Another test program may have been quicker.
    let _ = fs::rename(new.keep(), &made);
    made
}
