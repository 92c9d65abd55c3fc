//! Changes: whole, by patches of each kind, and of what has changed meanwhile.

use super::manifests::{job, map, pod};
use crate::talk::Talk;
use serde_json::{Value, json};

pub(super) async fn tell(talk: &mut Talk) {
    talk.names.ownership = true;
    let created = talk.tell("create", "POST configmaps?fieldManager=one", map("a", "1")).await.body;
    let mut newer = created.clone();
    newer["data"]["key"] = json!("2");
    talk.tell("update", "PUT configmaps/a?fieldManager=two", newer.clone()).await;
    talk.tell("update an old version", "PUT configmaps/a", newer.clone()).await;
    talk.tell("update without a version", "PUT configmaps/a?fieldManager=three", map("a", "3")).await;
    talk.tell("update without a change", "PUT configmaps/a?fieldManager=three", map("a", "3")).await;
    talk.tell("update under another name", "PUT configmaps/b", map("a", "3")).await;
    let mut other = map("a", "4");
    other["metadata"]["uid"] = json!("11111111-2222-3333-4444-555555555555");
    talk.tell("update another object of that name", "PUT configmaps/a", other).await;
    let mut bad = map("a", "4");
    bad["metadata"]["resourceVersion"] = json!("abc");
    talk.tell("update a version that is none", "PUT configmaps/a", bad).await;
    talk.tell("create without a manager", "POST configmaps", map("nobody", "1")).await;

    patches(talk).await;
    talk.names.ownership = false;
    lists(talk).await;
    status(talk).await;
}

async fn patches(talk: &mut Talk) {
    talk.tell("merge", "MERGE configmaps/a?fieldManager=four", json!({"data": {"more": "1"}})).await;
    talk.tell(
        "merge without a change",
        "MERGE configmaps/a?fieldManager=five",
        json!({"data": {"more": "1"}}),
    )
    .await;
    talk.tell(
        "merge away",
        "MERGE configmaps/a",
        json!({"data": {"more": null}, "metadata": {"labels": null}}),
    )
    .await;
    let old = json!({"metadata": {"resourceVersion": "1"}, "data": {"key": "5"}});
    talk.tell("merge into an old version", "MERGE configmaps/a", old).await;
    let other = json!({"metadata": {"uid": "11111111-2222-3333-4444-555555555555"}});
    talk.tell("merge into another object of that name", "MERGE configmaps/a", other).await;
    talk.tell("merge another name", "MERGE configmaps/a", json!({"metadata": {"name": "b"}})).await;
    let operations = json!([{"op": "test", "path": "/data/key", "value": "3"}, {"op": "replace", "path": "/data/key", "value": "6"}]);
    talk.tell("operations", "JSONPATCH configmaps/a", operations.clone()).await;
    talk.tell("operations whose test fails", "JSONPATCH configmaps/a", operations).await;
    talk.tell(
        "an operation on what is not there",
        "JSONPATCH configmaps/a",
        json!([{"op": "remove", "path": "/data/none"}]),
    )
    .await;
    talk.tell(
        "an operation that is none",
        "JSONPATCH configmaps/a",
        json!([{"op": "jump", "path": "/data"}]),
    )
    .await;
    talk.tell("a patch of an unknown kind", "PATCH configmaps/a", json!({})).await;
    talk.tell("a patch that is no JSON", "MERGE configmaps/a", json!("{")).await;
    talk.tell("force without apply", "MERGE configmaps/a?force=true", json!({})).await;
}

async fn lists(talk: &mut Talk) {
    let claim = json!({"metadata": {"name": "a", "finalizers": ["example.test/a"]}});
    talk.quietly("POST configmaps", json!({"metadata": {"name": "held"}})).await;
    talk.tell(
        "merge a list",
        "MERGE configmaps/held",
        json!({"metadata": {"finalizers": ["example.test/b"]}}),
    )
    .await;
    talk.tell(
        "merge a list strategically",
        "STRATEGIC configmaps/held",
        claim["metadata"]["finalizers"]
            .as_array()
            .map_or(json!({}), |list| json!({"metadata": {"finalizers": list}})),
    )
    .await;
    talk.tell(
        "delete from a list",
        "STRATEGIC configmaps/held",
        json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.test/b"]}}),
    )
    .await;
    talk.quietly("MERGE configmaps/held", json!({"metadata": {"finalizers": null}})).await;

    let mut two = pod("two");
    two["spec"]["containers"] =
        json!([{"name": "a", "image": "example.test/a:1"}, {"name": "b", "image": "example.test/b:1"}]);
    talk.quietly("POST pods", two).await;
    let image = json!({"spec": {"containers": [{"name": "b", "image": "example.test/b:2"}]}});
    let images = |answer: &Value| json!({"images": answer["spec"]["containers"].as_array().into_iter().flatten().map(|one| one["image"].clone()).collect::<Vec<_>>()});
    let changed = talk.quietly("STRATEGIC pods/two", image.clone()).await;
    talk.note("merge by key", &images(&changed.body));
    talk.tell("replace a list of containers", "MERGE pods/two", image).await;
    let conditions = |kinds: &[&str]| {
        let all: Vec<_> = kinds.iter().map(|kind| json!({"type": kind, "status": "True"})).collect();
        json!({"status": {"conditions": all}})
    };
    talk.quietly("STRATEGIC pods/two/status", conditions(&["Ready"])).await;
    talk.quietly("STRATEGIC pods/two/status", conditions(&["Initialized"])).await;
    let pod = talk.quietly("GET pods/two", Value::Null).await.body;
    talk.note("merge conditions by type", &pod["status"]["conditions"]);
    let training = super::manifests::training("strategic", "Never", &json!({}));
    talk.quietly("POST pytorchjobs", training).await;
    talk.tell(
        "merge a custom resource strategically",
        "STRATEGIC pytorchjobs/strategic",
        json!({"metadata": {"labels": {"a": "1"}}}),
    )
    .await;
    talk.quietly("DELETE pytorchjobs/strategic", Value::Null).await;
}

async fn status(talk: &mut Talk) {
    // It is suspended, so that its controller comes to rest before anything is looked at.
    let mut wanted = job("status", &json!({"suspend": true}));
    wanted["status"] = json!({"succeeded": 7});
    talk.quietly("POST jobs", wanted).await;
    let rests = |job: &Value| !job["status"]["conditions"].is_null();
    let job = talk.until("jobs/status", "suspended", rests).await;
    talk.note("a status that was created with it", &job["status"]);
    let generation = |job: &Value| json!({"generation": job["metadata"]["generation"], "parallelism": job["spec"]["parallelism"], "label": job["metadata"]["labels"]["changed"], "ready": job["status"]["ready"]});
    let change = json!({"metadata": {"labels": {"changed": "by-status"}}, "spec": {"parallelism": 7}, "status": {"ready": 0}});
    let changed = talk.quietly("MERGE jobs/status/status", change.clone()).await;
    talk.note("a change through the status subresource", &json!([changed.code, generation(&changed.body)]));
    let changed = talk.quietly("MERGE jobs/status", json!({"status": {"ready": 6}})).await;
    talk.note(
        "a status through the object",
        &json!([changed.code, changed.body["status"]["ready"] == json!(6)]),
    );
    let changed = talk.quietly("MERGE jobs/status", json!({"spec": {"parallelism": 3}})).await;
    talk.note(
        "a spec through the object",
        &json!([changed.code, changed.body["metadata"]["generation"], changed.body["spec"]["parallelism"]]),
    );
    let answer = talk.quietly("GET jobs/status/status", Value::Null).await;
    talk.note("get the status", &json!([answer.code, answer.body["kind"], answer.body["metadata"]["name"]]));
    talk.ask("the status of what is not there", "GET jobs/none/status").await;
    talk.tell(
        "patch the status of what is not there",
        "MERGE jobs/none/status",
        json!({"status": {"ready": 1}}),
    )
    .await;
}
