//! Objects come, are read, and go; and what is not there.

use super::manifests::map;
use crate::talk::Talk;
use serde_json::json;

pub(super) async fn tell(talk: &mut Talk) {
    talk.tell("create", "POST configmaps?fieldManager=one", map("a", "1")).await;
    talk.tell("create again", "POST configmaps", map("a", "1")).await;
    talk.ask("get", "GET configmaps/a").await;
    talk.ask("list", "GET configmaps?labelSelector=for=conformance").await;
    talk.ask("list of none", "GET configmaps?labelSelector=for=nobody").await;
    talk.ask("delete", "DELETE configmaps/a").await;
    talk.ask("get what is gone", "GET configmaps/a").await;
    talk.ask("delete what is gone", "DELETE configmaps/a").await;
    talk.tell("update what is gone", "PUT configmaps/a", map("a", "1")).await;
    talk.tell("patch what is gone", "MERGE configmaps/a", json!({"data": {"key": "2"}})).await;

    names(talk).await;
    addresses(talk).await;
    bodies(talk).await;
    dry_runs(talk).await;
}

async fn names(talk: &mut Talk) {
    let generated = json!({"metadata": {"generateName": "generated-"}});
    talk.tell("generate a name", "POST configmaps", generated).await;
    talk.tell("no name", "POST configmaps", json!({"metadata": {}})).await;
    talk.tell("a bad name", "POST configmaps", map("Not_A_Name", "1")).await;
    talk.tell("a name too long", "POST configmaps", map(&"x".repeat(254), "1")).await;
    let mut labelled = map("labelled", "1");
    labelled["metadata"]["labels"] = json!({"a b": "1", "good": "not a value!"});
    labelled["metadata"]["annotations"] = json!({"a b": "1"});
    talk.tell("bad labels", "POST configmaps", labelled).await;
    let mut keyed = map("keyed", "1");
    keyed["data"] = json!({"a/b": "1"});
    talk.tell("a bad key", "POST configmaps", keyed).await;
    let mut versioned = map("versioned", "1");
    versioned["metadata"]["resourceVersion"] = json!("1");
    talk.tell("create with a version", "POST configmaps", versioned).await;
    let mut told = map("told", "1");
    told["metadata"]["uid"] = json!("11111111-2222-3333-4444-555555555555");
    told["metadata"]["creationTimestamp"] = json!("2020-01-01T00:00:00Z");
    told["metadata"]["generation"] = json!(7);
    talk.tell("what only the server may write", "POST configmaps", told).await;
}

async fn addresses(talk: &mut Talk) {
    talk.ask("an unknown group", "GET /apis/no.such.group/v1/things").await;
    talk.ask("an unknown version", "GET /apis/batch/v9/jobs").await;
    talk.ask("an unknown kind", "GET things").await;
    talk.ask("an unknown kind in a known group", "GET /apis/batch/v1/namespaces/default/things").await;
    talk.ask("an unknown subresource", "GET configmaps/a/status").await;
    talk.ask("a method that is not allowed", "POST configmaps/a").await;
    talk.ask("a namespace that is not there", "GET /api/v1/namespaces/nowhere/configmaps/a").await;
    talk.ask("a list there", "GET /api/v1/namespaces/nowhere/configmaps").await;
    talk.tell("create there", "POST /api/v1/namespaces/nowhere/configmaps", map("a", "1")).await;
    let mut elsewhere = map("a", "1");
    elsewhere["metadata"]["namespace"] = json!("default");
    talk.tell("another namespace than the address", "POST configmaps", elsewhere).await;
}

async fn bodies(talk: &mut Talk) {
    talk.tell("no body", "POST configmaps", json!(null)).await;
    talk.tell("no JSON", "POST configmaps", json!("{")).await;
    talk.tell("no object", "POST configmaps", json!(["a"])).await;
    let mut other = map("other", "1");
    other["kind"] = json!("Secret");
    talk.tell("another kind than the address", "POST configmaps", other).await;
    let mut other = map("other", "1");
    other["apiVersion"] = json!("v9");
    talk.tell("another version than the address", "POST configmaps", other).await;
    talk.tell(
        "a value of a wrong type",
        "POST configmaps",
        json!({"metadata": {"name": "typed"}, "data": {"key": 1}}),
    )
    .await;
    talk.tell("a large body", "POST configmaps", map("large", &"x".repeat((1 << 20) + 1))).await;
    talk.tell("a body too large", "POST configmaps", map("larger", &"x".repeat(4 << 20))).await;
}

async fn dry_runs(talk: &mut Talk) {
    talk.tell("create dry", "POST configmaps?dryRun=All", map("dry", "1")).await;
    talk.ask("that did nothing", "GET configmaps/dry").await;
    talk.quietly("POST configmaps", map("dry", "1")).await;
    talk.tell("create again dry", "POST configmaps?dryRun=All", map("dry", "1")).await;
    talk.tell("patch dry", "MERGE configmaps/dry?dryRun=All", json!({"data": {"key": "2"}})).await;
    talk.tell("update dry", "PUT configmaps/dry?dryRun=All", map("dry", "3")).await;
    talk.ask("delete dry", "DELETE configmaps/dry?dryRun=All").await;
    talk.ask("that changed nothing", "GET configmaps/dry").await;
    talk.tell("a dry run of another kind", "POST configmaps?dryRun=Some", map("other", "1")).await;
}
