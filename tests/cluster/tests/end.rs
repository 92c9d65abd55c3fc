//! Whatever ends a test ends its cluster.

#[expect(dead_code, reason = "a part of it is for other test programs")]
mod kit;

use ilab_test_cluster::Cluster;
use std::process::Command;

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

#[tokio::test]
async fn sigkill_leaves_nothing() {
    let (mut child, ids, folder) = kit::start(&[]);
    child.kill().unwrap();
    child.wait().unwrap();
    kit::gone(&ids, &folder).await;
}

#[tokio::test]
async fn ctrl_c_leaves_nothing() {
    let (mut child, ids, folder) = kit::start(&[]);
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert!(child.wait().unwrap().success());
    kit::gone(&ids, &folder).await;
}
