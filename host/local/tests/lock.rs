//! One process has the state folder, and what a dead one leaves behind is waited for.

#![cfg(target_os = "linux")]

use ilab_local::{LocalCluster, LocalError, LocalOptions};
use std::process::Command;
use std::time::{Duration, Instant};

/// Takes the lock, writes itself down as its holder, and leaves it to a child that keeps it a moment longer.
const DIES: &str = "exec 9>lock; flock -n 9 || exit 1; echo process $$ >&9; sleep 0.3 &";

#[tokio::test]
async fn what_a_dead_process_left_open_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    assert!(Command::new("sh").args(["-c", DIES]).current_dir(folder.path()).status().unwrap().success());
    LocalCluster::open(LocalOptions::new(folder.path())).await.unwrap();
    assert!(begun.elapsed() > Duration::from_millis(250), "nobody had it");
}

#[tokio::test]
async fn a_folder_that_a_living_process_has_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let open = LocalCluster::open(LocalOptions::new(folder.path())).await.unwrap();
    let refused = LocalCluster::open(LocalOptions::new(folder.path())).await.unwrap_err();
    let LocalError::InUse { holder, .. } = &refused else { panic!("{refused}") };
    assert_eq!(holder.trim(), format!("process {}", std::process::id()));
    drop(open);
}
