//! What a test waits for in a cluster.

use futures::StreamExt;
use kube::runtime::watcher::watch_object;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::time::Duration;

/// How long a test waits for anything. Long, because the machine may be busy; nothing waits that long when all is well.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for an object that satisfies a predicate, by watching.
///
/// # Panics
/// When there is none within [`PATIENCE`], with `what` that was waited for, or when the watch fails.
pub async fn seen<K>(api: Api<K>, name: &str, what: &str, is: impl Fn(&K) -> bool) -> K
where
    K: Resource + Clone + Debug + Send + DeserializeOwned + 'static,
{
    let found = async {
        let mut events = std::pin::pin!(watch_object(api, name));
        loop {
            let event = events.next().await.expect("the watch goes on").expect("the watch goes on");
            if let Some(object) = event.filter(&is) {
                return object;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found)
        .await
        .unwrap_or_else(|_| panic!("{name}: {what}: not within {PATIENCE:?}"))
}
