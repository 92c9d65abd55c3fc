//! Server-side apply.

use crate::kit::{apply, both, causes, job, kind, refused, training, training_jobs};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

#[tokio::test]
async fn apply_owns_fields_and_conflicts_over_them() {
    both(async |client| {
        let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
        let config = |data: Value| {
            Patch::Apply(json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data,
            }))
        };
        let one = maps.patch("m", &apply("a"), &config(json!({"x": "1", "y": "1"}))).await.unwrap();
        // The same again changes nothing, not even the version.
        let same = maps.patch("m", &apply("a"), &config(json!({"x": "1", "y": "1"}))).await.unwrap();
        assert_eq!(same.resource_version(), one.resource_version());
        // Another manager may share a value, not change it.
        maps.patch("m", &apply("b"), &config(json!({"y": "1", "z": "1"}))).await.unwrap();
        let status = refused(maps.patch("m", &apply("b"), &config(json!({"x": "2", "y": "2"}))).await);
        assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
        assert_eq!(causes(&status), [".data.x", ".data.y"]);
        assert!(
            status.message.starts_with("Apply failed with 2 conflicts: conflicts with \"a\" using v1:"),
            "{}",
            status.message
        );
        // By force it can, and the other has lost the field: what it no longer applies stays.
        maps.patch("m", &apply("b").force(), &config(json!({"x": "2", "z": "1"}))).await.unwrap();
        let now = maps.patch("m", &apply("a"), &config(json!({}))).await.unwrap();
        let data = now.data.unwrap();
        assert_eq!(
            (data.get("x"), data.get("y"), data.get("z")),
            (Some(&"2".into()), None, Some(&"1".into()))
        );
        // An update takes what it changes.
        maps.patch(
            "m",
            &PatchParams { field_manager: Some("u".into()), ..PatchParams::default() },
            &Patch::Merge(json!({"data": {"x": "3"}})),
        )
        .await
        .unwrap();
        let status = refused(maps.patch("m", &apply("b"), &config(json!({"x": "2", "z": "1"}))).await);
        assert_eq!(status.message, "Apply failed with 1 conflict: conflict with \"u\" using v1: .data.x");
        // Without a manager it is refused, as is a body that is not YAML.
        let nobody = kind(maps.patch("m", &PatchParams::default(), &config(json!({}))).await);
        assert_eq!(nobody, (422, "Invalid".into()));
    })
    .await;
}

#[tokio::test]
async fn apply_merges_lists_by_their_keys() {
    both(async |client| {
        let jobs: Api<Job> = Api::default_namespaced(client.clone());
        let mut suspended = job("j");
        suspended["metadata"]["finalizers"] = json!(["example.com/a"]);
        let first = jobs.patch("j", &apply("host"), &Patch::Apply(&suspended)).await.unwrap();
        // Defaults are nobody's: applying again is no change and no conflict.
        let again = jobs.patch("j", &apply("host"), &Patch::Apply(&suspended)).await.unwrap();
        assert_eq!(again.resource_version(), first.resource_version());
        // Another one adds a label and a finalizer of its own.
        let other = json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": "j", "labels": {"mine": "1"}, "finalizers": ["example.com/b"]},
        });
        let both = jobs.patch("j", &apply("other"), &Patch::Apply(&other)).await.unwrap();
        assert_eq!(both.finalizers(), ["example.com/a", "example.com/b"]);
        assert_eq!((both.labels()["app"].as_str(), both.labels()["mine"].as_str()), ("x", "1"));
        // Taking them back leaves the first one's.
        let bare = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}});
        let left = jobs.patch("j", &apply("other"), &Patch::Apply(&bare)).await.unwrap();
        assert_eq!(left.finalizers(), ["example.com/a"]);
        assert!(!left.labels().contains_key("mine"));
        assert!(left.managed_fields().iter().all(|entry| entry.manager.as_deref() != Some("other")));
        // Containers of a training job, whose template may change, are told apart by name.
        let training_jobs = training_jobs(&client);
        training_jobs.patch("t", &apply("host"), &Patch::Apply(training("t"))).await.unwrap();
        let mut sidecar = training("t");
        sidecar["spec"] = json!({"pytorchReplicaSpecs": {"Master": {"template": {"spec": {"containers": [
            {"name": "sidecar", "image": "s", "ports": [{"containerPort": 1}]},
        ]}}}}});
        let two = training_jobs.patch("t", &apply("other"), &Patch::Apply(&sidecar)).await.unwrap();
        let names = |object: &DynamicObject| -> Vec<String> {
            let containers =
                &object.data["spec"]["pytorchReplicaSpecs"]["Master"]["template"]["spec"]["containers"];
            containers.as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap().to_owned()).collect()
        };
        let mut found = names(&two);
        found.sort();
        assert_eq!(found, ["pytorch", "sidecar"]);
        let one = training_jobs.patch("t", &apply("host"), &Patch::Apply(training("t"))).await.unwrap();
        assert_eq!(names(&one).len(), 2);
        sidecar["spec"] = json!({"pytorchReplicaSpecs": {}});
        let gone = training_jobs.patch("t", &apply("other"), &Patch::Apply(&sidecar)).await.unwrap();
        assert_eq!(names(&gone), ["pytorch"]);
        // Two items of one name are no list with keys.
        let mut twice = training("t");
        let containers =
            &mut twice["spec"]["pytorchReplicaSpecs"]["Master"]["template"]["spec"]["containers"];
        *containers = json!([{"name": "a", "image": "x"}, {"name": "a", "image": "y"}]);
        let status = refused(training_jobs.patch("t", &apply("host"), &Patch::Apply(&twice)).await);
        assert!(status.message.contains("duplicate entries for key [name=\"a\"]"), "{}", status.message);
    })
    .await;
}
