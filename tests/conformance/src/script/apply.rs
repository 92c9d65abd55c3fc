//! Server-side apply: who owns which field, and what happens when two want the same one.

use super::manifests::{job, training};
use crate::talk::Talk;
use serde_json::{Value, json};

fn config(data: &Value) -> Value {
    let mut config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "labels": {"app": "conformance"}}});
    if data.as_object().is_some_and(|data| !data.is_empty()) {
        config["data"] = data.clone();
    }
    config
}

pub(super) async fn tell(talk: &mut Talk) {
    talk.names.ownership = true;
    let two = config(&json!({"x": "1", "y": "1"}));
    talk.tell("create", "APPLY configmaps/m?fieldManager=host", two.clone()).await;
    talk.tell("twice", "APPLY configmaps/m?fieldManager=host", two.clone()).await;
    talk.tell("dry", "APPLY configmaps/m?fieldManager=host&dryRun=All", config(&json!({"x": "2"}))).await;
    talk.tell(
        "dry, of what is not there",
        "APPLY configmaps/none?fieldManager=host&dryRun=All",
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "none"}}),
    )
    .await;
    talk.tell("change", "APPLY configmaps/m?fieldManager=host", config(&json!({"x": "2", "y": "1"}))).await;
    talk.tell("share", "APPLY configmaps/m?fieldManager=other", config(&json!({"y": "1", "z": "1"}))).await;
    talk.tell("conflict", "APPLY configmaps/m?fieldManager=other", config(&json!({"x": "3", "y": "1"})))
        .await;
    talk.tell(
        "conflict over two",
        "APPLY configmaps/m?fieldManager=other",
        config(&json!({"x": "3", "y": "3"})),
    )
    .await;
    talk.tell(
        "force",
        "APPLY configmaps/m?fieldManager=other&force=true",
        config(&json!({"x": "3", "z": "1"})),
    )
    .await;
    talk.tell("take back", "APPLY configmaps/m?fieldManager=host", config(&json!({}))).await;
    talk.tell("an update takes over", "MERGE configmaps/m?fieldManager=updater", json!({"data": {"x": "4"}}))
        .await;
    talk.tell(
        "conflict with an update",
        "APPLY configmaps/m?fieldManager=other",
        config(&json!({"x": "3", "z": "1"})),
    )
    .await;
    talk.tell(
        "give up everything",
        "APPLY configmaps/m?fieldManager=other",
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}}),
    )
    .await;
    let bare = json!({"metadata": {"managedFields": [{}]}});
    talk.tell("forget all owners", "MERGE configmaps/m", bare).await;
    talk.tell("apply after that", "APPLY configmaps/m?fieldManager=host", config(&json!({"x": "4"}))).await;
    refusals(talk).await;
    lists(talk).await;
}

async fn refusals(talk: &mut Talk) {
    talk.names.ownership = false;
    let good = config(&json!({"x": "4"}));
    talk.tell("without a manager", "APPLY configmaps/m", good.clone()).await;
    talk.tell(
        "a manager with too long a name",
        &format!("APPLY configmaps/m?fieldManager={}", "m".repeat(129)),
        good.clone(),
    )
    .await;
    let with = |field: &str, value: Value| {
        let mut made = good.clone();
        made[field] = value;
        made
    };
    talk.tell("without a kind", "APPLY configmaps/m?fieldManager=host", with("kind", json!(null))).await;
    talk.tell("another kind", "APPLY configmaps/m?fieldManager=host", with("kind", json!("Secret"))).await;
    let metadata = |field: &str, value: Value| {
        let mut made = good.clone();
        made["metadata"][field] = value;
        made
    };
    talk.tell("another name", "APPLY configmaps/m?fieldManager=host", metadata("name", json!("n"))).await;
    talk.tell(
        "with managed fields",
        "APPLY configmaps/m?fieldManager=host",
        metadata("managedFields", json!([{"manager": "x"}])),
    )
    .await;
    talk.tell(
        "an old version",
        "APPLY configmaps/m?fieldManager=host",
        metadata("resourceVersion", json!("1")),
    )
    .await;
    talk.tell(
        "another object",
        "APPLY configmaps/m?fieldManager=host",
        metadata("uid", json!("11111111-2222-3333-4444-555555555555")),
    )
    .await;
    let mut absent = metadata("uid", json!("11111111-2222-3333-4444-555555555555"));
    absent["metadata"]["name"] = json!("absent");
    talk.tell("an object that should be there", "APPLY configmaps/absent?fieldManager=host", absent).await;
    talk.tell("an unknown field", "APPLY configmaps/m?fieldManager=host", with("datas", json!({"x": "1"})))
        .await;
    talk.tell("a wrong type", "APPLY configmaps/m?fieldManager=host", with("data", json!({"x": 1}))).await;
    talk.tell("no YAML", "APPLY configmaps/m?fieldManager=host", json!("a: [")).await;
    talk.tell(
        "in a namespace that is not there",
        "APPLY /api/v1/namespaces/nowhere/configmaps/m?fieldManager=host",
        good.clone(),
    )
    .await;
    talk.tell("of an unknown kind", "APPLY things/m?fieldManager=host", good.clone()).await;
    let mut invalid = job("invalid", &json!({"backoffLimit": -1}));
    invalid["spec"]["template"]["spec"]["restartPolicy"] = json!("Always");
    talk.tell("what is invalid", "APPLY jobs/invalid?fieldManager=host", invalid).await;
}

async fn lists(talk: &mut Talk) {
    talk.names.ownership = true;
    let mut own = config(&json!({}));
    own["metadata"]["finalizers"] = json!(["example.test/a"]);
    own["metadata"]["name"] = json!("set");
    talk.tell("a set", "APPLY configmaps/set?fieldManager=host", own.clone()).await;
    own["metadata"]["finalizers"] = json!(["example.test/b"]);
    talk.tell("a set of two", "APPLY configmaps/set?fieldManager=other", own.clone()).await;
    own["metadata"].as_object_mut().expect("it is an object").remove("finalizers");
    talk.tell("a set without one", "APPLY configmaps/set?fieldManager=host", own.clone()).await;
    talk.tell("a set of none", "APPLY configmaps/set?fieldManager=other", own).await;

    let empty = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "empty"}, "data": {}});
    talk.tell("an empty map", "APPLY configmaps/empty?fieldManager=host", empty).await;

    // Suspended, so that its controller has little to write.
    let suspended = job("suspended", &json!({"suspend": true}));
    talk.tell("a Job", "APPLY jobs/suspended?fieldManager=host", suspended.clone()).await;
    let rests = |job: &Value| !job["status"]["conditions"].is_null();
    talk.names.ownership = false;
    let rested = talk.until("jobs/suspended", "suspended", rests).await;
    let again = talk.quietly("APPLY jobs/suspended?fieldManager=host", suspended.clone()).await;
    talk.note(
        "a Job twice changes nothing",
        &json!([
            again.code,
            again.body["metadata"]["resourceVersion"] == rested["metadata"]["resourceVersion"]
        ]),
    );
    let mut changed = suspended.clone();
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = json!("example.test/none:2");
    changed["spec"]["template"]["spec"]["restartPolicy"] = json!("OnFailure");
    let refused = talk.quietly("APPLY jobs/suspended?fieldManager=host", changed).await;
    talk.note(
        "another template",
        &json!([
            refused.code,
            refused.body["reason"],
            refused.body["details"]["causes"][0]["field"],
            refused.body["details"]["causes"][0]["reason"]
        ]),
    );

    training_jobs(talk).await;
}

async fn training_jobs(talk: &mut Talk) {
    let own = training("t", "OnFailure", &json!({"suspend": true, "cleanPodPolicy": "None"}));
    let first = talk.quietly("APPLY pytorchjobs/t?fieldManager=host", own.clone()).await;
    let managers = |body: &Value| {
        let all = body["metadata"]["managedFields"].as_array().into_iter().flatten();
        all.filter(|entry| entry["operation"] == "Apply").cloned().collect::<Vec<_>>()
    };
    talk.note("a PyTorchJob", &json!([first.code, managers(&first.body), first.body["spec"]]));
    let rests = |job: &Value| {
        job["status"]["conditions"]
            .as_array()
            .is_some_and(|all| all.iter().any(|one| one["type"] == "Suspended"))
    };
    let rested = talk.until("pytorchjobs/t", "suspended", rests).await;
    let again = talk.quietly("APPLY pytorchjobs/t?fieldManager=host", own.clone()).await;
    talk.note(
        "a PyTorchJob twice changes nothing",
        &json!([
            again.code,
            again.body["metadata"]["resourceVersion"] == rested["metadata"]["resourceVersion"]
        ]),
    );
    let mut side = own.clone();
    side["spec"] = json!({"pytorchReplicaSpecs": {"Master": {"template": {"spec": {"containers": [{"name": "side", "image": "example.test/side:1"}]}}}}});
    let joined = talk.quietly("APPLY pytorchjobs/t?fieldManager=other", side.clone()).await;
    let containers = |body: &Value| {
        let all = body["spec"]["pytorchReplicaSpecs"]["Master"]["template"]["spec"]["containers"]
            .as_array()
            .cloned();
        all.into_iter().flatten().map(|one| one["name"].clone()).collect::<Vec<_>>()
    };
    talk.note(
        "a container of somebody else",
        &json!([joined.code, containers(&joined.body), managers(&joined.body), joined.body["message"]]),
    );
    let again = talk.quietly("APPLY pytorchjobs/t?fieldManager=host", own.clone()).await;
    talk.note("it stays", &json!([again.code, containers(&again.body)]));
    side["spec"]["pytorchReplicaSpecs"]["Master"]["template"]["spec"]["containers"] =
        json!([{"name": "pytorch", "image": "example.test/side:1"}]);
    talk.tell("a conflict within a list", "APPLY pytorchjobs/t?fieldManager=other", side.clone()).await;
    side["spec"]["pytorchReplicaSpecs"]["Master"]["template"]["spec"]["containers"] =
        json!([{"name": "a", "image": "x"}, {"name": "a", "image": "y"}]);
    talk.tell("one key twice", "APPLY pytorchjobs/t?fieldManager=other", side.clone()).await;
    side["spec"]["pytorchReplicaSpecs"]["Master"] = json!({"replicas": "two", "unknown": 1});
    talk.tell("a custom resource of wrong types", "APPLY pytorchjobs/t?fieldManager=other", side).await;
}
