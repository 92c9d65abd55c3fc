//! What is sent is held to its schema and its size.

use crate::kit::{apply, both, causes, job, kind, made, open, refused, training, training_jobs};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{
    ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams, ValidationDirective,
};
use serde_json::{Value, json};

#[tokio::test]
async fn bodies_are_held_to_their_schemas() {
    both(async |client| {
        let jobs = training_jobs(&client);
        let created = jobs.create(&PostParams::default(), &made(training("ok"))).await.unwrap();
        let master = &created.data["spec"]["pytorchReplicaSpecs"]["Master"];
        assert_eq!(master["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"], "2");
        assert_eq!(created.data["spec"]["runPolicy"]["suspend"], false);
        // The wrong type is 422 for a custom resource,
        let mut bad = training("bad");
        bad["spec"]["pytorchReplicaSpecs"]["Master"]["replicas"] = json!("two");
        bad["spec"]["pytorchReplicaSpecs"]["Master"]["template"]["spec"]["containers"][0]["image"] = json!(7);
        let status = refused(jobs.create(&PostParams::default(), &made(bad)).await);
        assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
        let mut fields = causes(&status);
        fields.sort();
        assert_eq!(
            fields,
            [
                "spec.pytorchReplicaSpecs.Master.replicas",
                "spec.pytorchReplicaSpecs.Master.template.spec.containers[0].image",
            ]
        );
        // a required field that is missing too,
        let mut missing = training("bad");
        missing["spec"] = json!({"runPolicy": {}});
        let status = refused(jobs.create(&PostParams::default(), &made(missing)).await);
        assert_eq!((status.code, causes(&status)), (422, vec!["spec.pytorchReplicaSpecs".to_owned()]));
        // and 400 for a built-in one.
        let batch: Api<DynamicObject> = Api::default_namespaced_with(
            client.clone(),
            &ApiResource::from_gvk(&GroupVersionKind::gvk("batch", "v1", "Job")),
        );
        let mut bad = job("bad");
        bad["spec"]["parallelism"] = json!("two");
        let status = refused(batch.create(&PostParams::default(), &made(bad)).await);
        assert_eq!(status.code, 400);
        assert!(
            status.message.contains("cannot unmarshal string into Go struct field Job.spec.parallelism"),
            "{}",
            status.message
        );
        // Unknown fields: dropped, or refused when asked to be strict, or always by apply.
        let mut unknown = job("unknown");
        unknown["spec"]["paralelism"] = json!(2);
        let patch = Patch::Apply(unknown.clone());
        let status = refused(batch.patch("unknown", &apply("test"), &patch).await);
        assert!(
            status.message.contains(".spec.paralelism: field not declared in schema"),
            "{}",
            status.message
        );
        let created = batch.create(&PostParams::default(), &made(unknown)).await.unwrap();
        assert!(created.data["spec"].get("paralelism").is_none());
        let strict =
            PatchParams { field_validation: Some(ValidationDirective::Strict), ..PatchParams::default() };
        let status =
            refused(batch.patch("unknown", &strict, &Patch::Merge(json!({"spec": {"paralelism": 2}}))).await);
        assert_eq!((status.code, causes(&status)), (422, vec!["patch".to_owned()]));
        assert!(
            status.message.ends_with("strict decoding error: unknown field \"spec.paralelism\""),
            "{}",
            status.message
        );
    })
    .await;
}

#[tokio::test]
async fn patches_of_every_kind() {
    both(async |client| {
        let pods: Api<Pod> = Api::default_namespaced(client);
        let pod: Pod = made(json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x"}, {"name": "d", "image": "y"}]}}));
        pods.create(&PostParams::default(), &pod).await.unwrap();
        let params = PatchParams::default();
        let strategic = Patch::Strategic(json!({"spec": {"containers": [{"name": "d", "image": "z"}]}}));
        let pod = pods.patch("p", &params, &strategic).await.unwrap();
        let images: Vec<_> = pod.spec.unwrap().containers.into_iter().filter_map(|c| c.image).collect();
        assert_eq!(images, ["x", "z"]);
        let status = Patch::Strategic(json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}}));
        pods.patch_status("p", &params, &status).await.unwrap();
        let status = Patch::Strategic(json!({"status": {"conditions": [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": "True"}]}}));
        let pod = pods.patch_status("p", &params, &status).await.unwrap();
        let conditions: Vec<_> = pod.status.unwrap().conditions.unwrap().into_iter().map(|c| (c.type_, c.status)).collect();
        assert_eq!(conditions, [("Ready".into(), "True".into()), ("Initialized".into(), "True".to_owned())]);
        // Of a pod's spec, images may change and little else.
        let merge = Patch::Merge(json!({"spec": {"containers": [{"name": "c", "image": "x"}]}}));
        assert_eq!(kind(pods.patch("p", &params, &merge).await), (422, "Invalid".into()));
    })
    .await;
}

#[tokio::test]
async fn bodies_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = open(folder.path()).await;
    let client = cluster.client();
    let send = async |body: Vec<u8>| -> u16 {
        let request = http::Request::post("/api/v1/namespaces/default/configmaps").body(body).unwrap();
        kind(client.request::<Value>(request).await).0
    };
    assert_eq!(send(vec![b' '; 4 << 20]).await, 413);
    assert_eq!(send(b"{".to_vec()).await, 400);
    assert_eq!(send(b"[]".to_vec()).await, 400);
    let deep = format!("{{\"metadata\":{{\"name\":\"a\"}},\"data\":{}{}}}", "[".repeat(120), "]".repeat(120));
    assert_eq!(send(deep.into_bytes()).await, 400);
}
