//! Verbs that ask a cluster, on the embedded one.

mod common;

use common::{host, plugins, steps};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const VALUES: [&str; 4] = [
    "--sdg-object-store-bucket=b",
    "--sdg-object-store-access-key=a",
    "--sdg-object-store-secret-key=s",
    "--sdg-object-store-data-key=k",
];

fn on(state: &Path, verb: &[&str], args: &[&str]) -> Command {
    let mut command = host();
    command.args(verb).args(["--local", "--local-state", state.to_str().unwrap()]).args(args);
    command
}

fn like_run(state: &Path, verb: &str, args: &[&str]) -> Command {
    let plugins = plugins();
    let all = [&["--plugins", plugins.to_str().unwrap()], &VALUES[..], args].concat();
    on(state, &[verb], &all)
}

#[track_caller]
fn ended(output: &Output, code: i32) -> (Value, String) {
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{told}");
    (serde_json::from_slice(&output.stdout).unwrap_or_default(), told)
}

#[test]
fn doctor_tells_what_is_in_the_way_and_what_to_do() {
    let state = tempfile::tempdir().unwrap();
    let fetch = like_run(state.path(), "doctor", &["sdg-data-fetch"]).output().unwrap();
    let (_, told) = ended(&fetch, 0);
    assert!(fetch.stdout.is_empty(), "prose is for stderr");
    assert!(told.contains("ok       permissions"), "{told}");
    // The embedded cluster has no GPU, and no class of that name.
    let args = ["--storage-class=nfs", "-o", "json", "train", "--training-phase=1"];
    let output = like_run(state.path(), "doctor", &args).output().unwrap();
    let (findings, told) = ended(&output, 4);
    let errors: Vec<_> = findings
        .as_array()
        .unwrap()
        .iter()
        .filter(|f| f["severity"] == "error")
        .map(|f| f["check"].as_str().unwrap())
        .collect();
    assert_eq!(errors, ["storage", "gpus"], "{findings:#}");
    assert!(told.contains("2 of"), "{told}");
    // A run refuses for the same reasons, each with its way out, and leaves nothing behind.
    let run = like_run(state.path(), "run", &["--storage-class=nfs", "train", "--training-phase=1"]);
    let (_, told) = ended(&{ run }.output().unwrap(), 4);
    assert_eq!(told.matches("error: ").count(), 2, "{told}");
    assert_eq!(told.matches("  try: ").count(), 2, "{told}");
    let (runs, _) = ended(&on(state.path(), &["runs", "list"], &["-o", "json"]).output().unwrap(), 0);
    assert_eq!(runs, Value::Array(vec![]));
}

#[test]
fn a_dry_run_on_the_server_shows_the_difference_and_changes_nothing() {
    let state = tempfile::tempdir().unwrap();
    let dry_run = || like_run(state.path(), "run", &["--dry-run=server", "sdg-data-fetch"]).output().unwrap();
    let output = dry_run();
    ended(&output, 0);
    let diff = String::from_utf8(output.stdout).unwrap();
    assert!(diff.contains("--- /dev/null\n+++ Job/ilab-sdg-data-fetch (stage sdg-data-fetch)"), "{diff}");
    // A default that only the server knows.
    assert!(diff.contains("+  backoffLimit: "), "{diff}");
    let goes = diff.lines().find(|line| line.starts_with('-') && *line != "--- /dev/null");
    assert_eq!(goes, None, "nothing was there that could go");
    let again = String::from_utf8(dry_run().stdout).unwrap();
    assert!(again == diff, "had it changed anything, the second would differ");
}

/// A run under way; its lines on stderr tell how far it is.
struct Running(Child, BufReader<std::process::ChildStderr>);

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        Self(child, lines)
    }

    /// Reads until a line has this part.
    #[track_caller]
    fn until(&mut self, part: &str) -> String {
        let mut told = String::new();
        loop {
            let before = told.len();
            self.1.read_line(&mut told).unwrap();
            assert!(told.len() > before, "it ended without {part:?}:\n{told}");
            if told[before..].contains(part) {
                return told;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// As a Job's pods are ended and started again: SIGTERM lets go of the run, the same command goes on with it.
#[test]
fn sigterm_lets_go_and_the_same_command_goes_on() {
    let state = tempfile::tempdir().unwrap();
    // Its image is not there, so the stage waits.
    let command = || like_run(state.path(), "run", &["--resume-if-started", "sdg-data-fetch"]);
    for verb in ["starting run ilab", "resuming run ilab"] {
        let mut run = Running::start(command());
        run.until(verb);
        run.until("sdg-data-fetch: started");
        let kill = Command::new("kill").args(["-TERM", &run.0.id().to_string()]).status().unwrap();
        assert!(kill.success());
        run.until("let go of run ilab");
        assert_eq!(run.0.wait().unwrap().code(), Some(130));
    }
    let deleted = on(state.path(), &["runs", "delete", "ilab"], &[]).output().unwrap();
    ended(&deleted, 0);
}

/// A pod that runs is stopped with its run, that is waited for, and the name is free at once.
#[test]
fn a_run_is_deleted_with_its_running_pod_and_begun_again_at_once() {
    let state = tempfile::tempdir().unwrap();
    let rootfs = ilab_test_support::rootfs(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let mut import = host();
    import.args(["local", "image", "import", "steps:1"]).arg(rootfs).arg("--local-state").arg(state.path());
    ended(&import.output().unwrap(), 0);
    let run = |command: &str| {
        let steps = steps();
        let args = ["--plugins", steps.to_str().unwrap(), "--run", "one", "--steps-command", command];
        on(state.path(), &["run"], &args)
    };
    let waits = r#"["sh", "-c", "trap 'exit 0' TERM; echo it runs; sleep 1000 & wait"]"#;
    let mut running = Running::start(run(waits));
    running.until("it runs");
    assert!(Command::new("kill").args(["-TERM", &running.0.id().to_string()]).status().unwrap().success());
    assert_eq!(running.0.wait().unwrap().code(), Some(130));

    let (_, told) = ended(&on(state.path(), &["runs", "delete", "one"], &[]).output().unwrap(), 0);
    for part in [
        "waiting for ConfigMap/ilab-run-one, ",
        "  Job/one-step-1: gone",
        "  pods of Job/one-step-1: gone",
        "  PersistentVolumeClaim/one-data: gone",
        "run one is deleted, with all that it created",
    ] {
        assert!(told.contains(part), "{part:?} is not in:\n{told}");
    }
    ended(&run(r#"["true"]"#).output().unwrap(), 0);
    let (_, told) = ended(&on(state.path(), &["runs", "delete", "two"], &[]).output().unwrap(), 7);
    assert!(told.contains("there is no run two"), "{told}");
    let (_, told) =
        ended(&on(state.path(), &["runs", "delete", "one", "--timeout=soon"], &[]).output().unwrap(), 2);
    assert!(told.contains("90s, 30m or 1h30m"), "{told}");
}
