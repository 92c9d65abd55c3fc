//! What the tests of the test cluster share.

use ilab_test_cluster::PATIENCE;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Whether a process of this id does anything.
pub(crate) fn lives(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    // After the name in parentheses comes the state; a zombie does nothing any more.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Waits until the processes and the folder are gone.
pub(crate) async fn gone(ids: &[u32], folder: &Path) {
    let begun = Instant::now();
    loop {
        let alive: Vec<u32> = ids.iter().copied().filter(|&id| lives(id)).collect();
        if alive.is_empty() && !folder.exists() {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "left: processes {alive:?}, folder {}", folder.exists());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A process of its own that has a cluster: the process, those of the cluster, and the cluster's folder.
pub(crate) fn start(arguments: &[&str]) -> (Child, Vec<u32>, PathBuf) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ilab-test-cluster"))
        .args(arguments)
        // Its end would end the cluster in good order.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let told: serde_json::Value = serde_json::from_str(&line).unwrap();
    let ids: Vec<u32> = serde_json::from_value(told["processes"].clone()).unwrap();
    assert!(ids.iter().all(|&id| lives(id)));
    let folder = PathBuf::from(told["folder"].as_str().unwrap());
    assert!(folder.exists());
    (child, ids, folder)
}

/// Waits for pods with a label, by watching, and gives them in the order of their names.
pub(crate) async fn pods(
    api: kube::Api<k8s_openapi::api::core::v1::Pod>,
    selector: &str,
    count: usize,
) -> Vec<k8s_openapi::api::core::v1::Pod> {
    use futures::StreamExt;
    use kube::runtime::{WatchStreamExt, watcher};
    let config = watcher::Config::default().labels(selector);
    let found = async {
        let mut events = std::pin::pin!(watcher(api, config).applied_objects());
        let mut pods = std::collections::BTreeMap::new();
        while pods.len() < count {
            let pod = events.next().await.expect("the watch goes on").expect("the watch goes on");
            pods.insert(pod.metadata.name.clone(), pod);
        }
        pods.into_values().collect()
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("{count} pods of {selector}"))
}
