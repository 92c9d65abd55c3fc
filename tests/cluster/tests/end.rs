//! Whatever ends a test ends its cluster.

#[expect(dead_code, reason = "a part of it is for other test programs")]
mod kit;

use ilab_test_cluster::Cluster;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

#[tokio::test]
async fn a_drop_leaves_nothing() {
    let cluster = Cluster::control_plane().await.unwrap();
    let (ids, folder) = (cluster.process_ids(), cluster.folder().to_owned());
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|&id| kit::lives(id)));
    drop(cluster);
    // At once: it is waited for.
    assert!(!ids.iter().any(|&id| kit::lives(id)));
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_panic_leaves_nothing() {
    let cluster = Cluster::control_plane().await.unwrap();
    let (ids, folder) = (cluster.process_ids(), cluster.folder().to_owned());
    let test = tokio::spawn(async move {
        assert!(cluster.process_ids().is_empty(), "a test that fails with its cluster in hand");
    });
    assert!(test.await.unwrap_err().is_panic());
    kit::gone(&ids, &folder).await;
}

/// A process of its own that has a cluster.
fn start() -> (Child, Vec<u32>, PathBuf) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ilab-test-cluster"))
        // Its end would end the cluster in good order.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let told: Value = serde_json::from_str(&line).unwrap();
    let ids = told["processes"].as_array().unwrap().iter();
    let ids: Vec<u32> = ids.map(|id| u32::try_from(id.as_u64().unwrap()).unwrap()).collect();
    assert!(ids.iter().all(|&id| kit::lives(id)));
    let folder = PathBuf::from(told["folder"].as_str().unwrap());
    assert!(folder.exists());
    (child, ids, folder)
}

#[tokio::test]
async fn sigkill_leaves_nothing() {
    let (mut child, ids, folder) = start();
    child.kill().unwrap();
    child.wait().unwrap();
    kit::gone(&ids, &folder).await;
}

#[tokio::test]
async fn ctrl_c_leaves_nothing() {
    let (mut child, ids, folder) = start();
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert!(child.wait().unwrap().success());
    kit::gone(&ids, &folder).await;
}
