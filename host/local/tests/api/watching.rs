//! Watches.

use crate::kit::{both, kind, map};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

#[tokio::test]
async fn watches_tell_every_change_in_order_from_a_version_on() {
    both(async |client| {
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        let start = maps.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
        maps.create(&PostParams::default(), &map("a", "1")).await.unwrap();
        let read = async |selector: &str| -> Vec<String> {
            let params = WatchParams::default().labels(selector).timeout(1);
            let events: Vec<WatchEvent<ConfigMap>> =
                maps.watch(&params, &start).await.unwrap().try_collect().await.unwrap();
            events
                .iter()
                .map(|event| match event {
                    WatchEvent::Added(map) => format!("+{}{}", map.name_any(), map.labels()["v"]),
                    WatchEvent::Modified(map) => format!("~{}{}", map.name_any(), map.labels()["v"]),
                    WatchEvent::Deleted(map) => format!("-{}{}", map.name_any(), map.labels()["v"]),
                    other => panic!("{other:?}"),
                })
                .collect()
        };
        // Two watchers while writes go on: both see all of them, in the same order.
        let writes = async {
            for v in ["2", "3"] {
                maps.replace("a", &PostParams::default(), &map("a", v)).await.unwrap();
                maps.create(&PostParams::default(), &map(&format!("b{v}"), v)).await.unwrap();
            }
            maps.delete("a", &DeleteParams::default()).await.unwrap();
        };
        let (one, two, ()) = tokio::join!(read("for=test"), read("for=test"), writes);
        assert_eq!(one, ["+a1", "~a2", "+b22", "~a3", "+b33", "-a3"]);
        assert_eq!(two, one);
        // Through a selector, an object enters and leaves the view.
        assert_eq!(read("v=2").await, ["+a2", "+b22", "-a2"]);
        // A later reader gets the same history.
        assert_eq!(read("for=test").await, one);
    })
    .await;
}

#[tokio::test]
async fn streaming_lists_end_with_a_bookmark() {
    both(async |client| {
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        maps.create(&PostParams::default(), &map("a", "1")).await.unwrap();
        let mut events = maps.watch(&WatchParams::default().initial_events(), "0").await.unwrap().boxed();
        assert!(
            matches!(events.next().await.unwrap().unwrap(), WatchEvent::Added(map) if map.name_any() == "a")
        );
        match events.next().await.unwrap().unwrap() {
            WatchEvent::Bookmark(mark) => {
                assert_eq!(mark.metadata.annotations["k8s.io/initial-events-end"], "true");
            }
            other => panic!("{other:?}"),
        }
    })
    .await;
}

#[tokio::test]
async fn an_expired_version_is_an_error_event_within_a_good_answer() {
    both(async |client| {
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        maps.create(&PostParams::default(), &map("a", "1")).await.unwrap();
        // More than the window of history holds.
        for n in 0..12 {
            let data = Patch::Merge(json!({"data": {"n": n.to_string().repeat(500_000)}}));
            maps.patch("a", &PatchParams::default(), &data).await.unwrap();
        }
        let mut events = maps.watch(&WatchParams::default(), "1").await.unwrap().boxed();
        match events.next().await.unwrap() {
            Ok(WatchEvent::Error(status)) => {
                assert_eq!((status.code, status.reason.as_str()), (410, "Expired"))
            }
            other => panic!("{other:?}"),
        }
        assert!(events.next().await.is_none());
        assert_eq!(kind(maps.watch(&WatchParams::default(), "abc").await.map(|_| ())).0, 500);
    })
    .await;
}
