//! What the tests of the test cluster share.

use std::path::Path;
use std::time::{Duration, Instant};

/// Long, because the machine may be busy; nothing waits that long when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

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

/// Waits for an object that satisfies a predicate, by watching.
pub(crate) async fn object<K>(api: kube::Api<K>, name: &str, what: &str, is: impl Fn(&K) -> bool) -> K
where
    K: Clone + std::fmt::Debug + Send + serde::de::DeserializeOwned + 'static + kube::Resource,
{
    use futures::StreamExt;
    let found = async {
        let mut events = std::pin::pin!(kube::runtime::watcher::watch_object(api, name));
        loop {
            match events.next().await.expect("the watch goes on").expect("the watch goes on") {
                Some(object) if is(&object) => return object,
                _ => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, found)
        .await
        .unwrap_or_else(|_| panic!("{name}: {what} within {PATIENCE:?}"))
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
