//! A folder to work in, and what is named from there.

use super::{cache, host, plugins};
use ilab_test_support::OciRegistry;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

const DRY: [&str; 5] =
    ["--dry-run", "--sdg-object-store-secret", "s3", "--judge-serving-model-secret", "judge"];

/// A folder to work in, with a store of its own.
pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
    /// The grants that count, whatever lies beside the components.
    grants: Option<PathBuf>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Compiled components are shared with the other tests, pulled ones are not.
        fs::create_dir_all(cache().join("ilab-host/components")).unwrap();
        fs::set_permissions(cache().join("ilab-host/components"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::create_dir_all(folder.path().join("cache/ilab-host")).unwrap();
        let components = folder.path().join("cache/ilab-host/components");
        std::os::unix::fs::symlink(cache().join("ilab-host/components"), components).unwrap();
        // What comes from a registry has the bytes, and so the grants, of what went there.
        Self { folder, grants: Some(plugins().join("grants.yaml")) }
    }

    /// One where nothing is granted yet.
    pub(crate) fn without_grants() -> Self {
        Self { grants: None, ..Self::new() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = host();
        command.current_dir(self.folder.path()).env("XDG_CACHE_HOME", self.path("cache"));
        command.envs(self.grants.iter().map(|file| ("ILAB_GRANTS", file)));
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command().args(args).output().unwrap()
    }

    /// Runs what has to succeed, and answers what it printed.
    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs what has to fail with this code, and answers what it said.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, args: &[&str]) -> String {
        let output = self.run(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(output.stdout.is_empty(), "{args:?} printed data");
        assert!(said.contains("try: ") && !said.contains("panicked"), "{said}");
        said
    }

    pub(crate) fn dry(&self, sources: &[&str]) -> String {
        self.ok(&[&["run"], sources, &DRY].concat())
    }
}

pub(crate) fn reference(registry: &OciRegistry, name: &str) -> String {
    format!("oci://{}/{name}", registry.host())
}

pub(crate) fn wasm(name: &str) -> String {
    plugins().join(format!("{name}.wasm")).display().to_string()
}
