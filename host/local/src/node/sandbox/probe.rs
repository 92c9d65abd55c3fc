//! Finds bubblewrap and tries what this machine lets it do. User id 0 alone does not mean privileged: try, not assume.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::node::error::NodeError;

/// How a container gets its `/proc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ProcMount {
    /// A new one for its own process space.
    New,
    /// The outer one, where mounting a new one is refused (a container inside a container with masked paths).
    Outer,
}

/// How sandboxes are made on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sandbox {
    /// The program.
    pub(crate) bwrap: PathBuf,
    /// What it says its version is.
    pub(crate) version: String,
    /// Whether containers get a user namespace of their own.
    pub(crate) user_namespace: bool,
    /// How `/proc` is made.
    pub(crate) proc_mount: ProcMount,
    /// Whether it takes open folders, so that a path cannot be swapped between check and use.
    pub(crate) bind_fd: bool,
}

impl Sandbox {
    /// Finds bubblewrap on `PATH` and tries it.
    ///
    /// # Errors
    /// [`NodeError::NoBubblewrap`], [`NodeError::SandboxRefused`], [`NodeError::Unsupported`].
    pub(crate) fn probe() -> Result<Self, NodeError> {
        if !cfg!(target_os = "linux") {
            return Err(NodeError::Unsupported { os: std::env::consts::OS });
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let bwrap = std::env::split_paths(&path)
            .filter(|dir| dir.is_absolute())
            .map(|dir| dir.join("bwrap"))
            .find(|candidate| candidate.is_file())
            .ok_or(NodeError::NoBubblewrap)?;
        Self::probe_program(bwrap)
    }

    fn probe_program(bwrap: PathBuf) -> Result<Self, NodeError> {
        let refused = |message: String| NodeError::SandboxRefused { path: bwrap.clone(), message };
        let says = |argument: &str| {
            Command::new(&bwrap)
                .arg(argument)
                .stdin(Stdio::null())
                .output()
                .map_err(|error| refused(error.to_string()))
        };
        let version = String::from_utf8_lossy(&says("--version")?.stdout).trim().to_owned();
        let bind_fd = String::from_utf8_lossy(&says("--help")?.stdout).contains("--ro-bind-fd");
        let mut message = String::new();
        // The safest that works: own user namespace and own /proc first.
        for (user_namespace, proc_mount) in [
            (true, ProcMount::New),
            (false, ProcMount::New),
            (true, ProcMount::Outer),
            (false, ProcMount::Outer),
        ] {
            let sandbox =
                Self { bwrap: bwrap.clone(), version: version.clone(), user_namespace, proc_mount, bind_fd };
            match sandbox.tried() {
                Ok(()) => return Ok(sandbox),
                Err(said) if message.is_empty() => message = said,
                Err(_) => {}
            }
        }
        Err(refused(message))
    }

    fn tried(&self) -> Result<(), String> {
        let mut command = Command::new(&self.bwrap);
        command
            .args(self.namespaces(0, 0))
            .args(["--ro-bind", "/", "/"])
            .args(self.proc())
            .args(["--dev", "/dev"]);
        command.arg("--").arg(&self.bwrap).arg("--version").stdin(Stdio::null());
        let output = command.output().map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let line = said.lines().next().unwrap_or("no message").trim_start_matches("bwrap: ");
        Err(line.chars().take(200).collect())
    }

    /// The arguments for the namespaces and privileges of a container that runs as this user.
    pub(crate) fn namespaces(&self, uid: u32, gid: u32) -> Vec<String> {
        let mut args: Vec<String> =
            ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
                .iter()
                .chain(&["--die-with-parent", "--new-session", "--as-pid-1", "--cap-drop", "ALL"])
                .map(|&arg| arg.to_owned())
                .collect();
        if self.user_namespace {
            args.push("--unshare-user".to_owned());
            args.extend(["--uid".to_owned(), uid.to_string(), "--gid".to_owned(), gid.to_string()]);
        }
        args
    }

    /// The arguments for `/proc`.
    pub(crate) fn proc(&self) -> &'static [&'static str] {
        match self.proc_mount {
            ProcMount::New => &["--proc", "/proc"],
            ProcMount::Outer => &["--ro-bind", "/proc", "/proc"],
        }
    }

    /// One line for people: what containers are separated by here.
    pub(crate) fn describe(&self) -> String {
        let user = if self.user_namespace { "own user namespace" } else { "no user namespace" };
        let proc = match self.proc_mount {
            ProcMount::New => "own /proc",
            ProcMount::Outer => "the outer /proc, read-only",
        };
        format!("{} ({user}, {proc})", self.version)
    }

    /// The program.
    pub(crate) fn program(&self) -> &Path {
        &self.bwrap
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_program_that_always_fails_is_refused_with_its_words() {
        let dir = tempfile::tempdir().unwrap();
        let fake = dir.path().join("bwrap");
        std::fs::write(
            &fake,
            "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n",
        )
        .unwrap();
        std::fs::set_permissions(&fake, std::fs::Permissions::from_mode(0o755)).unwrap();
        let error = Sandbox::probe_program(fake).unwrap_err();
        assert!(error.to_string().contains("No permissions to create new namespace"), "{error}");
        assert!(error.hint().is_some());
    }

    #[test]
    fn this_machine_can_make_sandboxes() {
        let sandbox = Sandbox::probe().unwrap();
        assert!(sandbox.describe().starts_with("bubblewrap 0."), "{}", sandbox.describe());
    }
}
