//! What changes, in order, from a version on.

use super::manifests::map;
use crate::talk::Talk;
use serde_json::{Value, json};

pub(super) async fn tell(talk: &mut Talk) {
    let start = talk.quietly("GET configmaps", Value::Null).await.version();
    talk.quietly("POST configmaps", map("a", "1")).await;
    talk.quietly("POST configmaps", map("b", "1")).await;
    let changed = talk
        .quietly("MERGE configmaps/a", json!({"metadata": {"labels": {"value": "2"}}, "data": {"key": "2"}}))
        .await;
    // No change, no event.
    talk.quietly("MERGE configmaps/a", json!({"data": {"key": "2"}})).await;
    talk.quietly("MERGE configmaps/a", json!({"metadata": {"labels": {"value": "1"}}})).await;
    talk.quietly("DELETE configmaps/b", Value::Null).await;
    let middle = changed.version();

    let from = |version: &str, more: &str| format!("configmaps?watch=true&resourceVersion={version}{more}");
    let count = |wanted: usize| move |events: &[Value]| events.len() == wanted;
    talk.watch("from a version", &from(&start, "&labelSelector=for"), count(5)).await;
    talk.watch("from a later version", &from(&middle, "&labelSelector=for"), count(2)).await;
    talk.watch("through a label", &from(&start, "&labelSelector=value=2"), count(2)).await;
    talk.watch("through a label that goes", &from(&start, "&labelSelector=value=1"), count(5)).await;
    talk.watch("one by its name", &from(&start, "&fieldSelector=metadata.name=b"), count(2)).await;
    talk.watch("without a version", "configmaps?watch=true&labelSelector=for", count(1)).await;
    talk.watch("any version", &from("0", "&labelSelector=for"), count(1)).await;

    let marked = |events: &[Value]| events.last().is_some_and(|event| event["type"] == "BOOKMARK");
    let streaming = "&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&labelSelector=for";
    talk.watch("a list as a stream", &format!("configmaps?watch=true{streaming}"), marked).await;
    talk.watch("a list as a stream from a version", &from(&middle, streaming), marked).await;
    talk.watch(
        "a stream without a match",
        "configmaps?watch=true&sendInitialEvents=true&timeoutSeconds=2",
        |events| !events.is_empty(),
    )
    .await;
    talk.watch(
        "a stream without bookmarks",
        "configmaps?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=2",
        |events| !events.is_empty(),
    )
    .await;
    talk.watch(
        "a match without a stream",
        "configmaps?watch=true&resourceVersion=1&resourceVersionMatch=Exact&timeoutSeconds=2",
        |events| !events.is_empty(),
    )
    .await;

    talk.watch("it ends in time", &from(&middle, "&labelSelector=for&timeoutSeconds=1"), |_| false).await;
    talk.watch(
        "from a version that is none",
        "configmaps?watch=true&resourceVersion=abc&timeoutSeconds=2",
        |events| !events.is_empty(),
    )
    .await;
    talk.watch(
        "of an unknown field",
        "configmaps?watch=true&fieldSelector=data.key=1&timeoutSeconds=2",
        |events| !events.is_empty(),
    )
    .await;
    talk.watch("of an unknown kind", "things?watch=true&timeoutSeconds=2", |events| !events.is_empty()).await;
    live(talk).await;
}

/// Changes that come while somebody watches.
async fn live(talk: &mut Talk) {
    let version = talk.quietly("GET configmaps", Value::Null).await.version();
    let (one, two) = (map("live", "1"), json!({"data": {"key": "2"}}));
    let writer = crate::talk::Talk::new("watches", talk.client(), talk.namespace.clone());
    let writes = async {
        writer.quietly("POST configmaps", one).await;
        writer.quietly("MERGE configmaps/live", two).await;
        writer.quietly("DELETE configmaps/live", Value::Null).await;
    };
    let what = format!("configmaps?watch=true&resourceVersion={version}&fieldSelector=metadata.name=live");
    let read = talk.watch("while it changes", &what, |events| events.len() == 3);
    futures::join!(read, writes);
}
