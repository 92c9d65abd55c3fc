//! Manifests that are wrong, and what is said about them.

use super::manifests::{job, pod, training};
use crate::talk::Talk;
use serde_json::{Value, json};

pub(super) async fn tell(talk: &mut Talk) {
    unknown_fields(talk).await;
    jobs(talk).await;
    templates(talk).await;
    training_jobs(talk).await;
    immutable(talk).await;
}

async fn unknown_fields(talk: &mut Talk) {
    let mut wrong = job("unknown", &json!({"paralelism": 2}));
    wrong["spec"]["template"]["spec"]["containers"][0]["imagePullPolic"] = json!("Never");
    for directive in ["Strict", "Warn", "Ignore"] {
        let answer =
            talk.quietly(&format!("POST jobs?dryRun=All&fieldValidation={directive}"), wrong.clone()).await;
        let shown = if answer.code == 201 { json!(201) } else { answer.body.clone() };
        talk.note(&format!("unknown fields, {directive}"), &shown);
    }
    let mut map = super::manifests::map("a", "1");
    map["datas"] = json!({});
    talk.tell("an unknown field with a warning", "POST configmaps", map.clone()).await;
    talk.tell("another directive", "POST configmaps?fieldValidation=Some", map).await;
    talk.tell(
        "an unknown field in a patch",
        "MERGE configmaps/a?fieldValidation=Strict",
        json!({"datas": {"x": "1"}}),
    )
    .await;
    let mut custom = training("unknown", "Never", &json!({"backofLimit": 1}));
    custom["spec"]["more"] = json!(1);
    talk.tell(
        "unknown fields of a custom resource",
        "POST pytorchjobs?fieldValidation=Strict",
        custom.clone(),
    )
    .await;
    let answer = talk.quietly("POST pytorchjobs?dryRun=All", custom).await;
    talk.note(
        "they are dropped",
        &json!([answer.code, answer.body["spec"]["more"], answer.body["spec"]["runPolicy"]]),
    );
}

async fn jobs(talk: &mut Talk) {
    for (name, field, value) in [
        ("a negative limit", "backoffLimit", json!(-1)),
        ("a negative deadline", "activeDeadlineSeconds", json!(-1)),
        ("a negative time to live", "ttlSecondsAfterFinished", json!(-1)),
        ("negative completions", "completions", json!(-1)),
        ("an unknown mode", "completionMode", json!("Sometimes")),
        ("an indexed Job without completions", "completionMode", json!("Indexed")),
        ("a selector of its own", "selector", json!({"matchLabels": {"a": "b"}})),
        ("a text for a number", "parallelism", json!("two")),
        (
            "a failure policy without rules that fit",
            "podFailurePolicy",
            json!({"rules": [{"action": "Sometimes"}]}),
        ),
    ] {
        talk.tell(name, "POST jobs?dryRun=All", job("bad", &json!({field: value}))).await;
    }
    talk.tell("a Job without a spec", "POST jobs?dryRun=All", json!({"metadata": {"name": "bad"}})).await;
    talk.tell(
        "a Job without a template",
        "POST jobs?dryRun=All",
        json!({"metadata": {"name": "bad"}, "spec": {}}),
    )
    .await;
    talk.tell(
        "a Job whose name is too long for its pods",
        "POST jobs?dryRun=All",
        job(&"j".repeat(64), &json!({})),
    )
    .await;
    let mut many = job("bad", &json!({"backoffLimit": -1}));
    many["spec"]["template"]["spec"]["restartPolicy"] = json!("Always");
    many["spec"]["template"]["spec"]["containers"][0]["name"] = json!("");
    many["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "nope", "mountPath": "/x"}]);
    talk.tell("many faults at once", "POST jobs?dryRun=All", many).await;
}

/// Faults of a template's pods, one at a time; of each only what it is and where.
async fn templates(talk: &mut Talk) {
    let faults: &[(&str, &str, Value)] = &[
        ("no containers", "/containers", json!([])),
        ("no restart policy", "/restartPolicy", json!(null)),
        ("no image", "/containers/0/image", json!(null)),
        ("a bad container name", "/containers/0/name", json!("Not_A_Name")),
        ("a bad pull policy", "/containers/0/imagePullPolicy", json!("Sometimes")),
        ("a variable without a name", "/containers/0/env", json!([{"value": "1"}])),
        ("a variable with a bad name", "/containers/0/env", json!([{"name": "a=b", "value": "1"}])),
        (
            "a variable of two values",
            "/containers/0/env",
            json!([{"name": "A", "value": "1", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]),
        ),
        (
            "a request above its limit",
            "/containers/0/resources",
            json!({"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}),
        ),
        ("a negative request", "/containers/0/resources", json!({"requests": {"memory": "-1"}})),
        ("half a GPU", "/containers/0/resources", json!({"limits": {"nvidia.com/gpu": "500m"}})),
        ("a GPU without a limit", "/containers/0/resources", json!({"requests": {"nvidia.com/gpu": "1"}})),
        ("a resource that is none", "/containers/0/resources", json!({"limits": {"gpus": "1"}})),
        ("a mount of no volume", "/containers/0/volumeMounts", json!([{"name": "nope", "mountPath": "/x"}])),
        (
            "two mounts at one place",
            "/volumes",
            json!([{"name": "v", "emptyDir": {}}, {"name": "v", "emptyDir": {}}]),
        ),
        (
            "a volume of two kinds",
            "/volumes",
            json!([{"name": "v", "emptyDir": {}, "secret": {"secretName": "s"}}]),
        ),
        (
            "a claim without a name",
            "/volumes",
            json!([{"name": "v", "persistentVolumeClaim": {"claimName": ""}}]),
        ),
        ("a port too large", "/containers/0/ports", json!([{"containerPort": 70000}])),
        ("a bad node selector", "/nodeSelector", json!({"a b": "c"})),
        ("a bad service account", "/serviceAccountName", json!("Not_A_Name")),
        ("a negative grace period", "/terminationGracePeriodSeconds", json!(-1)),
        ("a toleration that is none", "/tolerations", json!([{"key": "a", "operator": "Maybe"}])),
    ];
    for (name, pointer, value) in faults {
        let mut wrong = job("bad", &json!({}));
        let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
        wrong.pointer_mut(&format!("/spec/template/spec{parent}")).expect("it is there")[field] =
            value.clone();
        let answer = talk.quietly("POST jobs?dryRun=All", wrong).await;
        let causes = answer.body["details"]["causes"].as_array().into_iter().flatten();
        let mut causes: Vec<_> = causes.map(|cause| json!([cause["field"], cause["reason"]])).collect();
        causes.sort_by_key(Value::to_string);
        talk.note(name, &json!({"code": answer.code, "causes": causes}));
    }
}

async fn training_jobs(talk: &mut Talk) {
    let good = training("good", "OnFailure", &json!({}));
    let with = |pointer: &str, value: Value| {
        let mut made = good.clone();
        *made.pointer_mut(pointer).expect("it is there") = value;
        made
    };
    for (name, manifest) in [
        ("replicas that are a text", with("/spec/pytorchReplicaSpecs/Master/replicas", json!("two"))),
        ("no replicas", with("/spec", json!({"runPolicy": {}}))),
        ("no spec", with("/spec", json!(null))),
        (
            "an unknown replica type",
            with(
                "/spec/pytorchReplicaSpecs",
                json!({"Helper": good["spec"]["pytorchReplicaSpecs"]["Master"]}),
            ),
        ),
        ("two masters", with("/spec/pytorchReplicaSpecs/Master/replicas", json!(2))),
        (
            "a container of another name",
            with("/spec/pytorchReplicaSpecs/Master/template/spec/containers/0/name", json!("main")),
        ),
        (
            "no containers in a replica",
            with("/spec/pytorchReplicaSpecs/Worker/template/spec/containers", json!([])),
        ),
        (
            "a container without an image",
            with("/spec/pytorchReplicaSpecs/Worker/template/spec/containers/0/image", json!("")),
        ),
        (
            "an unknown restart policy",
            with("/spec/pytorchReplicaSpecs/Worker/restartPolicy", json!("Sometimes")),
        ),
        ("a name that no Service may have", with("/metadata/name", json!("1.job"))),
        ("a number of processes that is none", with("/spec/nprocPerNode", json!("many"))),
    ] {
        talk.tell(name, "POST pytorchjobs?dryRun=All", manifest).await;
    }
}

async fn immutable(talk: &mut Talk) {
    talk.quietly("POST jobs", job("fixed", &json!({"suspend": true}))).await;
    talk.until("jobs/fixed", "suspended", |job| !job["status"]["conditions"].is_null()).await;
    let causes = |answer: &crate::talk::Answer| {
        let all = answer.body["details"]["causes"].as_array().into_iter().flatten();
        json!([
            answer.code,
            answer.body["reason"],
            all.map(|cause| json!([cause["field"], cause["reason"]])).collect::<Vec<_>>()
        ])
    };
    for (name, patch) in [
        ("another template", json!({"template": {"spec": {"restartPolicy": "OnFailure"}}})),
        ("more completions", json!({"completions": 2})),
        ("another selector", json!({"selector": {"matchLabels": {"a": "b"}}})),
        ("another mode", json!({"completionMode": "Indexed"})),
        ("more at once", json!({"parallelism": 2})),
        ("another limit", json!({"backoffLimit": 2})),
        ("another deadline", json!({"activeDeadlineSeconds": 100})),
        (
            "another queue's nodes while suspended",
            json!({"template": {"spec": {"nodeSelector": {"a": "b"}}}}),
        ),
    ] {
        let answer = talk.quietly("MERGE jobs/fixed", json!({"spec": patch})).await;
        talk.note(name, &causes(&answer));
    }
    talk.quietly("POST pods", pod("fixed")).await;
    for (name, patch) in [
        (
            "another command of a pod",
            json!([{"op": "replace", "path": "/spec/containers/0/command", "value": ["false"]}]),
        ),
        (
            "another image of a pod",
            json!([{"op": "replace", "path": "/spec/containers/0/image", "value": "example.test/none:2"}]),
        ),
        ("a pod's deadline", json!([{"op": "add", "path": "/spec/activeDeadlineSeconds", "value": 100}])),
        (
            "a pod's longer deadline",
            json!([{"op": "add", "path": "/spec/activeDeadlineSeconds", "value": 200}]),
        ),
        (
            "another policy of a pod",
            json!([{"op": "replace", "path": "/spec/restartPolicy", "value": "Always"}]),
        ),
    ] {
        let answer = talk.quietly("JSONPATCH pods/fixed", patch).await;
        talk.note(name, &causes(&answer));
    }
}
