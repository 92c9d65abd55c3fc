//! Deletion: conditions, finalizers, and what becomes of dependents.

use super::manifests::{job, map};
use crate::talk::Talk;
use serde_json::{Value, json};

pub(super) async fn tell(talk: &mut Talk) {
    preconditions(talk).await;
    finalizers(talk).await;
    for policy in ["Background", "Foreground", "Orphan"] {
        dependents(talk, policy).await;
    }
    owners(talk).await;
    jobs(talk).await;
}

async fn preconditions(talk: &mut Talk) {
    let made = talk.quietly("POST configmaps", map("a", "1")).await;
    let (uid, version) = (made.uid(), made.version());
    talk.quietly("MERGE configmaps/a", json!({"data": {"key": "2"}})).await;
    let with =
        |uid: &str| json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": uid}});
    talk.tell("of another UID", "DELETE configmaps/a", with("11111111-2222-3333-4444-555555555555")).await;
    talk.tell(
        "of an old version",
        "DELETE configmaps/a",
        json!({"preconditions": {"resourceVersion": version}}),
    )
    .await;
    talk.tell("in an unknown way", "DELETE configmaps/a", json!({"propagationPolicy": "Sideways"})).await;
    talk.tell(
        "in two ways",
        "DELETE configmaps/a",
        json!({"propagationPolicy": "Orphan", "orphanDependents": true}),
    )
    .await;
    talk.quietly("POST configmaps", map("b", "1")).await;
    talk.tell("with an unknown option", "DELETE configmaps/b", json!({"precondition": {}})).await;
    talk.tell("of its UID", "DELETE configmaps/a", with(&uid)).await;
    talk.tell("again", "DELETE configmaps/a", with(&uid)).await;
}

async fn finalizers(talk: &mut Talk) {
    let mut held = map("held", "1");
    held["metadata"]["finalizers"] = json!(["example.test/held"]);
    talk.quietly("POST configmaps", held).await;
    talk.ask("what is held", "DELETE configmaps/held").await;
    talk.ask("what is held, again", "DELETE configmaps/held").await;
    talk.tell("a change while it goes", "MERGE configmaps/held", json!({"data": {"key": "2"}})).await;
    talk.tell(
        "another finalizer while it goes",
        "MERGE configmaps/held",
        json!({"metadata": {"finalizers": ["example.test/held", "example.test/more"]}}),
    )
    .await;
    talk.tell("create what goes", "POST configmaps", map("held", "1")).await;
    talk.tell("let go", "MERGE configmaps/held", json!({"metadata": {"finalizers": null}})).await;
    talk.ask("then it is gone", "GET configmaps/held").await;
    let mut bad = map("bad", "1");
    bad["metadata"]["finalizers"] = json!(["not-qualified"]);
    talk.tell("a finalizer without a domain", "POST configmaps", bad).await;
}

/// An owner and two dependents, of which one blocks its deletion.
async fn dependents(talk: &mut Talk, policy: &str) {
    let low = policy.to_lowercase();
    let owner = talk.quietly("POST configmaps", map(&low, "1")).await;
    for blocks in [true, false] {
        let mut made = map(&format!("{low}-{}", if blocks { "blocks" } else { "free" }), "1");
        made["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "v1", "kind": "ConfigMap", "name": low, "uid": owner.uid(), "blockOwnerDeletion": blocks,
        }]);
        if policy == "Foreground" && blocks {
            // It keeps the owner, so that what is between is seen.
            made["metadata"]["finalizers"] = json!(["example.test/held"]);
        }
        talk.quietly("POST configmaps", made).await;
    }
    let address = format!("DELETE configmaps/{low}");
    talk.tell(&format!("{low}: the answer"), &address, json!({"propagationPolicy": policy})).await;
    match policy {
        "Foreground" => {
            talk.note_gone(&format!("{low}: what does not block"), "configmaps/foreground-free").await;
            talk.until("configmaps/foreground-blocks", "told to go", |map| {
                !map["metadata"]["deletionTimestamp"].is_null()
            })
            .await;
            talk.ask(&format!("{low}: the owner waits"), "GET configmaps/foreground").await;
            talk.ask(&format!("{low}: for what blocks"), "GET configmaps/foreground-blocks").await;
            talk.quietly("MERGE configmaps/foreground-blocks", json!({"metadata": {"finalizers": null}}))
                .await;
            talk.note_gone(&format!("{low}: the owner"), "configmaps/foreground").await;
        }
        "Background" => {
            talk.ask(&format!("{low}: the owner"), "GET configmaps/background").await;
            for name in ["blocks", "free"] {
                talk.note_gone(&format!("{low}: {name}"), &format!("configmaps/background-{name}")).await;
            }
        }
        _ => {
            talk.note_gone(&format!("{low}: the owner"), "configmaps/orphan").await;
            for name in ["blocks", "free"] {
                talk.ask(&format!("{low}: {name}"), &format!("GET configmaps/orphan-{name}")).await;
            }
        }
    }
}

async fn owners(talk: &mut Talk) {
    let first = talk.quietly("POST configmaps", map("first", "1")).await.uid();
    let second = talk.quietly("POST configmaps", map("second", "1")).await.uid();
    let reference =
        |name: &str, uid: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid});
    let mut shared = map("shared", "1");
    shared["metadata"]["ownerReferences"] = json!([reference("first", &first), reference("second", &second)]);
    talk.tell("two owners", "POST configmaps", shared.clone()).await;
    talk.quietly("DELETE configmaps/first", json!({"propagationPolicy": "Background"})).await;
    let one = |map: &Value| map["metadata"]["ownerReferences"].as_array().map(Vec::len) == Some(1);
    let left = talk.until("configmaps/shared", "one owner left", one).await;
    talk.note("one owner is left", &left["metadata"]["ownerReferences"]);
    talk.quietly("DELETE configmaps/second", json!({"propagationPolicy": "Background"})).await;
    talk.note_gone("none is left", "configmaps/shared").await;

    let mut lost = map("lost", "1");
    lost["metadata"]["ownerReferences"] =
        json!([reference("nobody", "11111111-2222-3333-4444-555555555555")]);
    talk.quietly("POST configmaps", lost).await;
    talk.note_gone("an owner that was never there", "configmaps/lost").await;
    let bad = |references: Value| {
        let mut made = map("bad", "1");
        made["metadata"]["ownerReferences"] = references;
        made
    };
    talk.tell("an owner without a UID", "POST configmaps", bad(json!([reference("first", "")]))).await;
    let mut controllers = vec![reference("first", &first), reference("second", &second)];
    controllers.iter_mut().for_each(|one| one["controller"] = json!(true));
    talk.tell("two controllers", "POST configmaps", bad(json!(controllers))).await;
}

/// Jobs with pods: by default they stay.
async fn jobs(talk: &mut Talk) {
    for (name, policy) in
        [("default", json!(null)), ("back", json!("Background")), ("fore", json!("Foreground"))]
    {
        let uid = talk.quietly("POST jobs", job(name, &json!({}))).await.uid();
        let of = format!("pods?labelSelector=batch.kubernetes.io/controller-uid={uid}");
        let pods = talk.all(&of, "a pod", |all| all.len() == 1).await;
        let pod =
            pods.values().next().map(|pod| pod["metadata"]["name"].as_str().unwrap_or_default().to_owned());
        let pod = pod.unwrap_or_default();
        talk.names.call(&pod, &format!("{name}-<random>"));
        // The controller's own writes are over when it has counted the pod.
        talk.until(&format!("jobs/{name}"), "active", |job| job["status"]["active"] == json!(1)).await;
        let options = if policy.is_null() { json!(null) } else { json!({"propagationPolicy": policy}) };
        let answer = talk.quietly(&format!("DELETE jobs/{name}"), options).await;
        let metadata = &answer.body["metadata"];
        talk.note(
            &format!("a Job, {name}"),
            &json!({
                "code": answer.code, "kind": answer.body["kind"], "status": answer.body["status"].is_string(),
                "finalizers": metadata["finalizers"], "generation": metadata["generation"],
                "deletionGracePeriodSeconds": metadata["deletionGracePeriodSeconds"],
            }),
        );
        talk.gone(&format!("jobs/{name}")).await;
        if policy.is_null() {
            let orphan = talk
                .until(&format!("pods/{pod}"), "an orphan", |pod| {
                    pod["metadata"]["ownerReferences"].is_null()
                })
                .await;
            talk.note("its pod stays", &orphan["metadata"]["labels"]);
        } else {
            talk.gone(&format!("pods/{pod}")).await;
            talk.note(&format!("a Job, {name}, and its pod"), &json!("gone"));
        }
    }
}
