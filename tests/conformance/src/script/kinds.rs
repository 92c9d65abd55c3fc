//! What is particular to a kind: defaults, what may not change, what is never given back.

use super::manifests::{job, pod, training};
use crate::talk::Talk;
use serde_json::{Value, json};

pub(super) async fn tell(talk: &mut Talk) {
    secrets(talk).await;
    maps(talk).await;
    claims(talk).await;
    leases(talk).await;
    events(talk).await;
    namespaces(talk).await;
    defaults(talk).await;
    rights(talk).await;
}

async fn secrets(talk: &mut Talk) {
    let secret = json!({"metadata": {"name": "s"}, "stringData": {"a": "text"}, "data": {"b": "AAEC"}});
    talk.tell("a secret", "POST secrets", secret).await;
    talk.tell("a secret gets a text", "MERGE secrets/s", json!({"stringData": {"b": "more"}})).await;
    talk.tell("a secret of another type", "MERGE secrets/s", json!({"type": "example.test/other"})).await;
    talk.tell(
        "a secret that is not base64",
        "POST secrets",
        json!({"metadata": {"name": "bad"}, "data": {"a": "?"}}),
    )
    .await;
    talk.tell(
        "a secret with a bad key",
        "POST secrets",
        json!({"metadata": {"name": "bad"}, "stringData": {"a/b": "x"}}),
    )
    .await;
    talk.ask("delete a secret", "DELETE secrets/s").await;
}

async fn maps(talk: &mut Talk) {
    talk.tell(
        "a map of bytes",
        "POST configmaps",
        json!({"metadata": {"name": "b"}, "binaryData": {"a": "AAEC"}, "data": {"t": "é"}}),
    )
    .await;
    talk.tell("one key in both", "MERGE configmaps/b", json!({"data": {"a": "x"}})).await;
    talk.tell("an immutable map", "MERGE configmaps/b", json!({"immutable": true})).await;
    talk.tell("a change of it", "MERGE configmaps/b", json!({"data": {"t": "x"}})).await;
    talk.tell("make it mutable", "MERGE configmaps/b", json!({"immutable": false})).await;
    talk.tell("its labels", "MERGE configmaps/b", json!({"metadata": {"labels": {"a": "1"}}})).await;
}

async fn claims(talk: &mut Talk) {
    // A class that nobody serves: whether and how claims are bound is not the API's.
    let claim = |name: &str, more: &Value| {
        let mut spec = json!({"accessModes": ["ReadWriteMany"], "storageClassName": "nobody", "resources": {"requests": {"storage": "1Gi"}}});
        for (field, value) in more.as_object().into_iter().flatten() {
            spec[field] = value.clone();
        }
        json!({"metadata": {"name": name}, "spec": spec})
    };
    let created = talk.tell("a claim", "POST persistentvolumeclaims", claim("data", &json!({}))).await;
    talk.tell(
        "another access mode",
        "MERGE persistentvolumeclaims/data",
        json!({"spec": {"accessModes": ["ReadWriteOnce"]}}),
    )
    .await;
    talk.tell(
        "a larger claim",
        "MERGE persistentvolumeclaims/data",
        json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}}),
    )
    .await;
    talk.tell(
        "a smaller claim",
        "MERGE persistentvolumeclaims/data",
        json!({"spec": {"resources": {"requests": {"storage": "500Mi"}}}}),
    )
    .await;
    talk.tell(
        "a claim of nothing",
        "POST persistentvolumeclaims",
        json!({"metadata": {"name": "bad"}, "spec": {}}),
    )
    .await;
    let wrong =
        claim("bad", &json!({"accessModes": ["Often"], "resources": {"requests": {"storage": "-1"}}}));
    talk.tell("a claim that is wrong", "POST persistentvolumeclaims", wrong).await;
    let garbage = claim("bad", &json!({"resources": {"requests": {"storage": "much"}}}));
    talk.tell("a quantity that is none", "POST persistentvolumeclaims", garbage).await;
    talk.tell(
        "numbers are quantities",
        "POST persistentvolumeclaims",
        claim("number", &json!({"resources": {"requests": {"storage": 1024}}})),
    )
    .await;
    assert!(!created.uid().is_empty());
    talk.quietly("DELETE persistentvolumeclaims/data", Value::Null).await;
    talk.note_gone("a claim goes", "persistentvolumeclaims/data").await;
}

async fn leases(talk: &mut Talk) {
    let spec = json!({"holderIdentity": "me", "leaseDurationSeconds": 15, "leaseTransitions": 0, "acquireTime": "2026-01-01T00:00:00.000000Z", "renewTime": "2026-01-01T00:00:00.123456Z"});
    let mine =
        talk.tell("a lease", "POST leases", json!({"metadata": {"name": "l"}, "spec": spec})).await.body;
    // The fraction is part of what others judge a lease by.
    talk.note(
        "its time is kept as it is",
        &json!([mine["spec"]["renewTime"] == json!("2026-01-01T00:00:00.123456Z")]),
    );
    let mut theirs = mine.clone();
    theirs["spec"]["holderIdentity"] = json!("somebody else");
    talk.tell("taken over", "PUT leases/l", theirs).await;
    let mut late = mine.clone();
    late["spec"]["renewTime"] = json!("2026-01-01T00:00:10.000000Z");
    talk.tell("renewed too late", "PUT leases/l", late).await;
    talk.tell(
        "a lease of no time",
        "POST leases",
        json!({"metadata": {"name": "m"}, "spec": {"leaseDurationSeconds": 0, "leaseTransitions": -1}}),
    )
    .await;
    talk.tell(
        "a lease whose time is none",
        "POST leases",
        json!({"metadata": {"name": "m"}, "spec": {"renewTime": "now"}}),
    )
    .await;
    talk.tell(
        "a lease whose time has no fraction",
        "POST leases",
        json!({"metadata": {"name": "m"}, "spec": {"renewTime": "2026-01-01T00:00:00Z"}}),
    )
    .await;
    talk.ask("a lease goes", "DELETE leases/l").await;
}

async fn events(talk: &mut Talk) {
    let namespace = talk.namespace.clone();
    let event = |namespace: &str| {
        json!({
            "metadata": {"name": "e"}, "type": "Warning", "reason": "Failed", "message": "it failed",
            "involvedObject": {"kind": "Pod", "apiVersion": "v1", "name": "p", "namespace": namespace, "uid": "11111111-2222-3333-4444-555555555555"},
            "source": {"component": "conformance"}, "count": 1,
            "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z",
        })
    };
    talk.tell("an event", "POST events", event(&namespace)).await;
    talk.tell("an event of another namespace", "POST events", event("default")).await;
    talk.tell("an event is counted", "MERGE events/e", json!({"count": 2})).await;
}

async fn namespaces(talk: &mut Talk) {
    let name = format!("{}-own", talk.namespace);
    talk.tell("a namespace", "POST /api/v1/namespaces", json!({"metadata": {"name": name}})).await;
    let into = format!("/api/v1/namespaces/{name}");
    talk.tell("an object in it", &format!("POST {into}/configmaps"), super::manifests::map("a", "1")).await;
    talk.tell("a bad name of one", "POST /api/v1/namespaces", json!({"metadata": {"name": "a.b"}})).await;
    let answer = talk.quietly(&format!("DELETE {into}"), Value::Null).await;
    talk.note("delete a namespace", &json!([answer.code]));
    // It goes when it is empty, and until then takes nothing new.
    let found = talk
        .all(&format!("{into}/configmaps?fieldSelector=metadata.name=a"), "what is in it goes", |all| {
            all.is_empty()
        })
        .await;
    talk.note("what is in a namespace goes with it", &json!(found.len()));
    let refused = talk.quietly(&format!("POST {into}/configmaps"), super::manifests::map("b", "1")).await;
    talk.note("a namespace that goes takes nothing", &json!(matches!(refused.code, 403 | 404)));
    talk.all(&format!("/api/v1/namespaces?fieldSelector=metadata.name={name}"), "it goes", |all| {
        all.is_empty()
    })
    .await;
    talk.ask("a namespace is gone", &format!("GET {into}")).await;
}

async fn defaults(talk: &mut Talk) {
    talk.tell("a pod", "POST pods?dryRun=All", pod("p")).await;
    let volumes = json!({"metadata": {"name": "v"}, "spec": {
        "serviceAccountName": "default", "automountServiceAccountToken": false,
        "initContainers": [{"name": "i", "image": "example.test/none"}],
        "containers": [{
            "name": "c", "image": "example.test/none@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "ports": [{"containerPort": 80}],
            "resources": {"limits": {"cpu": 1, "nvidia.com/gpu": 2}},
            "env": [
                {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            ],
            "volumeMounts": [{"name": "claim", "mountPath": "/data"}, {"name": "empty", "mountPath": "/dev/shm"}],
            "livenessProbe": {"exec": {"command": ["true"]}},
        }],
        "volumes": [
            {"name": "claim", "persistentVolumeClaim": {"claimName": "data"}},
            {"name": "empty", "emptyDir": {"medium": "Memory"}},
            {"name": "secret", "secret": {"secretName": "s"}},
            {"name": "map", "configMap": {"name": "m"}},
            {"name": "projected", "projected": {"sources": [{"configMap": {"name": "m"}}]}},
            {"name": "down", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        ],
    }});
    talk.tell("a pod with all kinds of volumes", "POST pods?dryRun=All", volumes).await;
    talk.tell("a Job", "POST jobs?dryRun=All", job("j", &json!({}))).await;
    talk.tell("a Job that is a work queue", "POST jobs?dryRun=All", job("j", &json!({"parallelism": 3})))
        .await;
    talk.tell(
        "an indexed Job",
        "POST jobs?dryRun=All",
        job("j", &json!({"completions": 3, "parallelism": 2, "completionMode": "Indexed"})),
    )
    .await;
    let policy = json!({"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]});
    talk.tell(
        "a Job with a failure policy",
        "POST jobs?dryRun=All",
        job("j", &json!({"podFailurePolicy": policy})),
    )
    .await;
    talk.tell("a PyTorchJob", "POST pytorchjobs?dryRun=All", training("t", "OnFailure", &json!({}))).await;
}

async fn rights(talk: &mut Talk) {
    let review = json!({"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "spec": {"resourceAttributes": {"namespace": talk.namespace, "verb": "create", "group": "batch", "resource": "jobs"}}});
    let answer = talk.quietly("POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review).await;
    talk.note("may I", &json!([answer.code, answer.body["kind"], answer.body["status"]["allowed"]]));
    let version = talk.quietly("GET /version", Value::Null).await.body;
    talk.note("the version", &json!([version["major"], version["minor"]]));
    talk.ask("ready", "GET /readyz").await;
}
