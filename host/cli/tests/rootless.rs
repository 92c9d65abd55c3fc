//! `run --local` as an ordinary user: nothing of it takes root.

#![cfg(target_os = "linux")]

mod common;

use common::steps;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Nobody has it; there need not be a line for it in any file either.
const SOMEBODY: &str = "54321";

/// What an ordinary user has: the program, components and an image, where such a user may read them.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let at = folder.path();
        fs::set_permissions(at, fs::Permissions::from_mode(0o755)).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_ilab-host"), at.join("ilab-host")).unwrap();
        fs::create_dir(at.join("steps")).unwrap();
        for file in ["steps.wasm", "grants.yaml"] {
            fs::copy(steps().with_file_name(file), at.join("steps").join(file)).unwrap();
        }
        let rootfs = ilab_test_support::rootfs(Path::new(env!("CARGO_TARGET_TMPDIR")));
        let copied = Command::new("cp").arg("-r").arg(rootfs).arg(at.join("rootfs")).status().unwrap();
        assert!(copied.success());
        fs::create_dir(at.join("home")).unwrap();
        let mut open = Command::new("chmod");
        assert!(open.args(["-R", "a+rX"]).arg(at).status().unwrap().success());
        fs::set_permissions(at.join("home"), fs::Permissions::from_mode(0o777)).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command of an ordinary user's, whoever runs the test.
    fn user(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = if nix::unistd::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args([&format!("--reuid={SOMEBODY}"), &format!("--regid={SOMEBODY}"), "--clear-groups"]);
            command.args(["--inh-caps=-all", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.env_clear().env("HOME", self.path("home")).current_dir(self.path("home"));
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }

    fn host(&self, args: &[&str]) -> Output {
        self.user(self.path("ilab-host")).args(args).output().unwrap()
    }

    fn run(&self) -> Vec<String> {
        let steps = self.path("steps").display().to_string();
        let command = r#"["sh", "-c", "id -u; echo kept >> /data/kept; cat /data/kept"]"#;
        ["run", "--local", "--plugins", &steps, "--run", "one", "--steps-command", command]
            .map(str::to_owned)
            .into()
    }
}

#[track_caller]
fn ended(output: &Output, code: i32) -> String {
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{told}\n{}", String::from_utf8_lossy(&output.stdout));
    told
}

#[test]
fn a_run_goes_from_its_image_to_its_deletion_without_root() {
    let place = Place::new();
    let rootfs = place.path("rootfs").display().to_string();
    ended(&place.host(&["local", "image", "import", "steps:1", &rootfs]), 0);
    let args = place.run();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let told = ended(&place.host(&args), 0);
    // The pods' own user, and what one stage has written for the next.
    assert!(told.contains("step-1 pytorch | 1234\n"), "{told}");
    assert_eq!(told.matches("step-6 pytorch | kept\n").count(), 6, "{told}");
    ended(&place.host(&["runs", "delete", "one", "--local"]), 0);
    let (state, out) = (
        place.path("home/.local/state/ilab-host/local"),
        place.host(&["runs", "list", "--local", "-o", "json"]),
    );
    ended(&out, 0);
    assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), "[]");
    assert!(state.is_dir(), "{}", state.display());
}

#[test]
fn what_keeps_an_ordinary_user_from_it_is_named_with_what_to_do() {
    let place = Place::new();
    let args = place.run();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    // Somebody else's folder.
    fs::create_dir(place.path("closed")).unwrap();
    fs::set_permissions(place.path("closed"), fs::Permissions::from_mode(0o555)).unwrap();
    let state = place.path("closed/state").display().to_string();
    let told = ended(&place.host(&[&args[..], &["--local-state", &state]].concat()), 4);
    assert!(
        told.contains("Permission denied") && told.contains("name a folder of your own with --local-state"),
        "{told}"
    );
    // No bubblewrap.
    let mut without = place.user("env");
    let without = without.arg("PATH=/nonexistent").arg(place.path("ilab-host")).args(&args).output().unwrap();
    let told = ended(&without, 4);
    assert!(told.contains("not found on PATH") && told.contains("apt-get install bubblewrap"), "{told}");
    // No user namespaces: a space of one's own is a machine that one may set so.
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all \"$@\"";
    let mut none = place.user("unshare");
    none.args(["--user", "--map-root-user", "sh", "-euc", script, "sh"])
        .arg(place.path("ilab-host"))
        .args(&args);
    let told = ended(&none.output().unwrap(), 4);
    assert!(
        told.contains("cannot make a sandbox") && told.contains("sysctl -w user.max_user_namespaces="),
        "{told}"
    );
    assert_eq!(told.lines().count(), 2, "one line and what to try: {told}");
}
