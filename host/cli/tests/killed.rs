//! A host that is killed costs nothing: pods go on without it, and whoever resumes runs no step twice.

#![cfg(target_os = "linux")]

mod common;

use common::{Random, host, steps};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// What every step does: note down which pod it is, and take a moment.
const STEP: &str = r#"["sh", "-c", "hostname >> /data/starts; sleep 0.15"]"#;
const KILLS: u32 = 24;

fn run(state: &Path, resume: bool) -> Command {
    let mut command = host();
    command.arg("run").arg("--plugins").arg(steps()).arg("--local").arg("--local-state").arg(state);
    command.args(if resume { ["--resume", "one"] } else { ["--run", "one"] });
    command.args(["--steps-command", STEP]);
    command
}

/// Kills a host when it has told of so many events and a moment has passed. Its exit code, if it ended before; what it said is
/// in a file.
fn kill_after(state: &Path, resume: bool, events: usize, moment: Duration, said: &Path) -> Option<i32> {
    let mut command = run(state, resume);
    let said = fs::File::create(said).unwrap();
    let mut child = command.args(["-o", "json"]).stdout(Stdio::piped()).stderr(said).spawn().unwrap();
    let told = BufReader::new(child.stdout.take().unwrap()).lines().take(events).count();
    if told == events {
        std::thread::sleep(moment);
        child.kill().unwrap();
    }
    child.wait().unwrap().code()
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
        if entry.file_name() == name {
            return Some(entry.path());
        }
        entry.file_type().ok()?.is_dir().then(|| find(&entry.path(), name))?
    })
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn b13_a_host_that_is_killed_again_and_again_runs_every_step_once() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let rootfs = ilab_test_support::rootfs(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let imported = host()
        .args(["local", "image", "import", "steps:1"])
        .arg(rootfs)
        .arg("--local-state")
        .arg(&state)
        .output()
        .unwrap();
    assert!(imported.status.success(), "{}", said(&imported));

    // Compiled beforehand: otherwise each killed host would leave that to the next.
    assert!(host().args(["plugin", "inspect"]).arg(steps()).output().unwrap().status.success());
    let mut random = Random(20_261_124);
    let (mut resume, mut kills) = (false, 0);
    while kills < KILLS {
        let events = usize::try_from(random.below(6)).unwrap();
        let stderr = folder.path().join("stderr");
        match kill_after(&state, resume, events, Duration::from_millis(random.below(60)), &stderr) {
            None => {
                kills += 1;
                resume = true;
            }
            // It was killed before it had a record.
            Some(7) if resume => resume = false,
            Some(0) => break,
            Some(code) => panic!("exit code {code}: {}", fs::read_to_string(stderr).unwrap()),
        }
    }
    assert!(kills >= 5, "it was done after {kills} kills: the test kills too late");
    let mut last = run(&state, resume).output().unwrap();
    if last.status.code() == Some(7) {
        last = run(&state, !resume).output().unwrap();
    }
    assert_eq!(last.status.code(), Some(0), "{}", said(&last));

    let starts = fs::read_to_string(find(&state, "starts").expect("no step has run")).unwrap();
    let mut times = BTreeMap::new();
    for pod in starts.lines() {
        let step = (1..=6).find(|n| pod.starts_with(&format!("one-step-{n}-")));
        *times.entry(step.unwrap_or_else(|| panic!("{pod}"))).or_insert(0) += 1;
    }
    assert_eq!(times, (1..=6).map(|n| (n, 1)).collect(), "{starts}");

    let status = host()
        .args(["runs", "status", "one", "-o", "json", "--local", "--local-state"])
        .arg(&state)
        .output()
        .unwrap();
    let record: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    for stage in record["stages"].as_object().unwrap().values() {
        assert_eq!(
            (stage["state"].as_str(), stage["attempt"].as_u64()),
            (Some("Succeeded"), Some(1)),
            "{stage}"
        );
    }
}
