//! A watch from a version that the cluster has forgotten: a client has to list anew.

use super::manifests::map;
use crate::Place;
use crate::talk::Talk;
use serde_json::Value;

pub(super) async fn tell(talk: &mut Talk, place: &Place) {
    let old = talk.quietly("POST configmaps", map("a", "1")).await.version();
    let list = talk.quietly("GET configmaps?limit=1", Value::Null).await;
    let token = list.text("/metadata/continue").to_owned();
    talk.quietly("POST configmaps", map("b", "1")).await;
    place.forget(&talk.namespace).await;

    talk.watch("watch", &format!("configmaps?watch=true&resourceVersion={old}"), |_| false).await;
    talk.watch(
        "watch with bookmarks",
        &format!("configmaps?watch=true&resourceVersion={old}&allowWatchBookmarks=true"),
        |_| false,
    )
    .await;
    talk.ask("list exactly", &format!("GET configmaps?resourceVersion={old}&resourceVersionMatch=Exact"))
        .await;
    let newer = talk
        .quietly(
            &format!(
                "GET configmaps?resourceVersion={old}&resourceVersionMatch=NotOlderThan&labelSelector=for"
            ),
            Value::Null,
        )
        .await;
    talk.note(
        "list what is not older",
        &serde_json::json!([newer.code, newer.body["items"].as_array().map(Vec::len)]),
    );
    // The embedded cluster has no pages: a list is whole, and its token is empty.
    let next = talk.quietly(&format!("GET configmaps?limit=1&continue={token}"), Value::Null).await;
    talk.note("the next page", &serde_json::json!([next.code, next.body["reason"]]));
}
