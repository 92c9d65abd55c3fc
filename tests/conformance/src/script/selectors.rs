//! Lists that are narrowed.

use super::manifests::{map, pod, training};
use crate::talk::Talk;
use serde_json::{Value, json};

pub(super) async fn tell(talk: &mut Talk) {
    for n in 1..=4 {
        let mut made = map(&format!("m{n}"), &(n % 2).to_string());
        if n == 4 {
            made["metadata"]["labels"]["example.test/extra"] = json!("");
        }
        talk.quietly("POST configmaps", made).await;
    }
    let mut run = pod("run");
    run["metadata"]["labels"]["job-name"] = json!("j");
    talk.quietly("POST pods", run).await;
    talk.kubelet.running("run").await.expect("the pod's status is written");
    talk.quietly("POST pods", pod("wait")).await;
    let namespace = talk.namespace.clone();
    for (name, uid) in
        [("e1", "11111111-1111-1111-1111-111111111111"), ("e2", "22222222-2222-2222-2222-222222222222")]
    {
        let event = json!({
            "metadata": {"name": name}, "type": if name == "e1" { "Normal" } else { "Warning" }, "reason": "Because", "message": name,
            "involvedObject": {"kind": "Pod", "apiVersion": "v1", "name": "p", "namespace": namespace, "uid": uid},
            "source": {"component": "conformance"},
        });
        talk.quietly("POST events", event).await;
    }
    talk.quietly("POST pytorchjobs", training("t", "Never", &json!({"suspend": true}))).await;

    let labels = [
        "value=1",
        "value==1",
        "value!=1",
        "value in (1,2)",
        "value notin (1)",
        "value",
        "!value",
        "none",
        "!none",
        "for,value notin (1)",
        "value=1,for=conformance",
        "example.test/extra",
        "example.test/extra=",
        "value>0",
        "value<1",
        " value = 1 ",
        "value in (0)",
        "value=",
    ];
    for label in labels {
        names(
            talk,
            &format!("label {label}"),
            "configmaps",
            "labelSelector",
            &format!("{label},for=conformance"),
        )
        .await;
    }
    for bad in ["a b c", "value in 1", "=1", "value in (1", "a/b/c=1", "value=not a value", "value=1;x=2"] {
        names(talk, &format!("bad label {bad}"), "configmaps", "labelSelector", bad).await;
    }
    for (plural, field) in [
        ("configmaps", "metadata.name=m2"),
        ("configmaps", "metadata.name==m2"),
        ("configmaps", "metadata.name=none"),
        ("configmaps", "metadata.name=m2,metadata.name=m3"),
        ("configmaps", "data.key=1"),
        ("configmaps", "metadata.labels.value=1"),
        ("configmaps", "metadata.name"),
        ("configmaps", "metadata.name>m2"),
        ("pods", "status.phase=Running"),
        ("pods", "status.phase!=Running"),
        ("pods", "spec.nodeName="),
        ("pods", "spec.schedulerName=conformance,metadata.name=run"),
        ("pods", "spec.restartPolicy=Never"),
        ("pods", "spec.containers=1"),
        ("events", "involvedObject.uid=22222222-2222-2222-2222-222222222222"),
        ("events", "involvedObject.name=p,type=Warning"),
        ("events", "involvedObject.kind=Pod,reason=Because"),
        ("events", "source=conformance"),
        ("events", "message=e1"),
        ("jobs", "status.successful=1"),
        ("jobs", "spec.suspend=true"),
        ("secrets", "type=Opaque"),
        ("persistentvolumeclaims", "status.phase=Bound"),
        ("leases", "spec.holderIdentity=me"),
        ("pytorchjobs", "metadata.name=t"),
        ("pytorchjobs", "spec.nprocPerNode=1"),
    ] {
        names(talk, &format!("field of {plural}: {field}"), plural, "fieldSelector", field).await;
    }
    names(
        talk,
        "not that name",
        "configmaps",
        "fieldSelector",
        &format!("metadata.name!=m2,metadata.namespace={namespace},metadata.name!=kube-root-ca.crt"),
    )
    .await;

    everywhere(talk).await;
    pages(talk).await;
    let deleted = talk.quietly("DELETE configmaps?labelSelector=value=1", Value::Null).await;
    talk.note("delete a collection", &json!([deleted.code]));
    names(talk, "what is left of it", "configmaps", "labelSelector", "for=conformance").await;
}

async fn names(talk: &mut Talk, name: &str, plural: &str, parameter: &str, selector: &str) {
    let encoded: String =
        selector
            .bytes()
            .map(|byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            })
            .collect();
    let answer = talk.quietly(&format!("GET {plural}?{parameter}={encoded}"), Value::Null).await;
    let shown = match answer.body["items"].as_array() {
        Some(items) => items.iter().map(|item| item["metadata"]["name"].clone()).collect(),
        None => answer.body.clone(),
    };
    talk.note(name, &json!({"code": answer.code, "is": shown}));
}

/// Lists over all namespaces.
async fn everywhere(talk: &mut Talk) {
    let namespace = talk.namespace.clone();
    let answer = talk
        .quietly(
            &format!("GET /api/v1/configmaps?fieldSelector=metadata.namespace={namespace}&labelSelector=for"),
            Value::Null,
        )
        .await;
    let found: Vec<_> = answer.body["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|item| item["metadata"]["name"].clone())
        .collect();
    talk.note("of all namespaces", &json!([answer.code, found]));
    talk.tell("create in all namespaces", "POST /api/v1/configmaps", map("a", "1")).await;
    talk.ask("an object of all namespaces", "GET /api/v1/configmaps/m1").await;
}

/// Lists in pieces and from versions.
async fn pages(talk: &mut Talk) {
    let page = talk.quietly("GET configmaps?limit=2&labelSelector=for", Value::Null).await.body;
    let metadata = &page["metadata"];
    talk.note(
        "a page",
        &json!([
            page["items"].as_array().map(Vec::len),
            metadata["remainingItemCount"],
            metadata["continue"].is_string(),
        ]),
    );
    let whole = talk.quietly("GET configmaps?labelSelector=for", Value::Null).await;
    let version = whole.version();
    for (name, query) in [
        ("any version", "resourceVersion=0".to_owned()),
        ("not older than", format!("resourceVersion={version}&resourceVersionMatch=NotOlderThan")),
        ("exactly", format!("resourceVersion={version}&resourceVersionMatch=Exact")),
    ] {
        let answer = talk.quietly(&format!("GET configmaps?labelSelector=for&{query}"), Value::Null).await;
        talk.note(name, &json!([answer.code, answer.body["items"].as_array().map(Vec::len)]));
    }
    talk.ask("a version that is none", "GET configmaps?resourceVersion=abc").await;
    talk.ask("a match without a version", "GET configmaps?resourceVersionMatch=Exact").await;
    talk.ask("an unknown match", "GET configmaps?resourceVersion=1&resourceVersionMatch=Some").await;
    talk.ask("a limit that is none", "GET configmaps?limit=some").await;
}
