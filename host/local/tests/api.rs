//! One client's transcript against the embedded API server, in process and over a socket. Every script takes a plain
//! client, and what it asserts is what Kubernetes 1.34 answers.

use futures::{StreamExt, TryStreamExt};
use ilab_local::{LocalCluster, LocalError, LocalOptions};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace, PersistentVolumeClaim, Pod, Secret};
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, LogParams, Patch, PatchParams,
    PostParams, Preconditions, PropagationPolicy, ValidationDirective, WatchEvent, WatchParams,
};
use kube::core::Status;
use kube::{Api, Client, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

async fn open(state: &Path) -> LocalCluster {
    LocalCluster::open(LocalOptions::new(state)).await.unwrap()
}

fn made<K: DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).unwrap()
}

fn job(name: &str) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "labels": {"app": "x"}},
        "spec": {"template": {"spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "c", "image": "busybox", "command": ["true"], "env": [{"name": "A", "value": "1"}]}],
        }}},
    })
}

fn training(name: &str) -> Value {
    json!({
        "apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "metadata": {"name": name},
        "spec": {
            "runPolicy": {"backoffLimit": 3, "cleanPodPolicy": "None"},
            "nprocPerNode": "1",
            "pytorchReplicaSpecs": {"Master": {"replicas": 1, "restartPolicy": "OnFailure", "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{
                    "name": "pytorch", "image": "x",
                    "resources": {"limits": {"nvidia.com/gpu": 2, "memory": "2Gi"}},
                }]},
            }}},
        },
    })
}

fn training_jobs(client: &Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("kubeflow.org", "v1", "PyTorchJob");
    Api::default_namespaced_with(client.clone(), &ApiResource::from_gvk_with_plural(&kind, "pytorchjobs"))
}

fn map(name: &str, value: &str) -> ConfigMap {
    made(json!({"metadata": {"name": name, "labels": {"for": "test", "v": value}}, "data": {"v": value}}))
}

fn refused<T: std::fmt::Debug>(result: kube::Result<T>) -> Status {
    match result {
        Err(kube::Error::Api(status)) => *status,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// Code and reason.
fn kind<T: std::fmt::Debug>(result: kube::Result<T>) -> (u16, String) {
    let status = refused(result);
    (status.code, status.reason)
}

fn causes(status: &Status) -> Vec<String> {
    let details = status.details.as_ref();
    details.into_iter().flat_map(|details| &details.causes).map(|cause| cause.field.clone()).collect()
}

fn apply(manager: &str) -> PatchParams {
    PatchParams::apply(manager)
}

/// Runs a script against the cluster in process, and against the same over TCP.
async fn both<F>(script: impl Fn(Client) -> F)
where
    F: Future<Output = ()>,
{
    let folder = tempfile::tempdir().unwrap();
    let cluster = open(folder.path()).await;
    script(cluster.client()).await;
    drop(cluster);
    let folder = tempfile::tempdir().unwrap();
    let cluster = open(folder.path()).await;
    let served = cluster.serve("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = format!("http://{}", served.address()).parse().unwrap();
    script(Client::try_from(kube::Config::new(address)).unwrap()).await;
}

#[tokio::test]
async fn create_read_update_delete() {
    both(async |client| {
        let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
        let one = maps.create(&PostParams::default(), &map("one", "1")).await.unwrap();
        assert!(one.uid().unwrap().len() == 36 && one.creation_timestamp().is_some());
        assert_eq!(one.namespace().unwrap(), "default");
        assert_eq!(
            kind(maps.create(&PostParams::default(), &map("one", "1")).await),
            (409, "AlreadyExists".into())
        );
        assert_eq!(kind(maps.get("none").await), (404, "NotFound".into()));
        // An update from an old state is refused; without a version it overwrites.
        let mut two = one.clone();
        two.data = Some([("v".into(), "2".into())].into());
        let two = maps.replace("one", &PostParams::default(), &two).await.unwrap();
        assert_ne!(two.resource_version(), one.resource_version());
        assert_eq!(two.uid(), one.uid());
        assert_eq!(kind(maps.replace("one", &PostParams::default(), &one).await), (409, "Conflict".into()));
        // Nothing changed: nothing is written.
        let same = maps.replace("one", &PostParams::default(), &two).await.unwrap();
        assert_eq!(same.resource_version(), two.resource_version());
        // Preconditions of a deletion.
        let with = |uid: &str| {
            let preconditions = Preconditions { uid: Some(uid.into()), ..Preconditions::default() };
            DeleteParams::default().preconditions(preconditions)
        };
        assert_eq!(kind(maps.delete("one", &with("someone-else")).await), (409, "Conflict".into()));
        let gone = maps.delete("one", &with(&one.uid().unwrap())).await.unwrap().right().unwrap();
        assert_eq!(gone.details.unwrap().uid, one.uid().unwrap());
        assert_eq!(kind(maps.get("one").await).0, 404);
        // Names.
        let bad = refused(maps.create(&PostParams::default(), &map("Not_A_Name", "1")).await);
        assert_eq!((bad.code, causes(&bad)), (422, vec!["metadata.name".to_owned()]));
        let generated: ConfigMap = made(json!({"metadata": {"generateName": "gen-"}}));
        let name = maps.create(&PostParams::default(), &generated).await.unwrap().name_any();
        assert!(name.starts_with("gen-") && name.len() == 9, "{name}");
        // Dry runs answer, and change nothing.
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        assert!(maps.create(&dry, &map("dry", "1")).await.unwrap().uid().is_some());
        assert_eq!(kind(maps.get("dry").await).0, 404);
        // A namespace that is not there.
        let elsewhere: Api<ConfigMap> = Api::namespaced(client, "elsewhere");
        let status = refused(elsewhere.create(&PostParams::default(), &map("one", "1")).await);
        assert_eq!((status.code, status.message.as_str()), (404, "namespaces \"elsewhere\" not found"));
    })
    .await;
}

#[tokio::test]
async fn selectors_and_collections() {
    both(async |client| {
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        for n in 1..=4 {
            maps.create(&PostParams::default(), &map(&format!("m{n}"), &(n % 2).to_string())).await.unwrap();
        }
        let names = async |params: ListParams| -> Vec<String> {
            maps.list(&params).await.unwrap().items.iter().map(ResourceExt::name_any).collect()
        };
        assert_eq!(names(ListParams::default().labels("v=1")).await, ["m1", "m3"]);
        assert_eq!(names(ListParams::default().labels("for,v notin (1)")).await, ["m2", "m4"]);
        assert_eq!(names(ListParams::default().fields("metadata.name=m2")).await, ["m2"]);
        assert_eq!(kind(maps.list(&ListParams::default().fields("data.v=1")).await).0, 400);
        assert_eq!(kind(maps.list(&ListParams::default().labels("a b c")).await).0, 400);
        maps.delete_collection(&DeleteParams::default(), &ListParams::default().labels("v=1")).await.unwrap();
        assert_eq!(names(ListParams::default()).await, ["m2", "m4"]);
    })
    .await;
}

#[tokio::test]
async fn jobs_get_their_defaults_and_keep_their_template() {
    both(async |client| {
        let jobs: Api<Job> = Api::default_namespaced(client);
        let job_made = jobs.create(&PostParams::default(), &made(job("j"))).await.unwrap();
        let spec = job_made.spec.clone().unwrap();
        assert_eq!((spec.completions, spec.parallelism, spec.backoff_limit), (Some(1), Some(1), Some(6)));
        assert_eq!((spec.suspend, spec.completion_mode.as_deref()), (Some(false), Some("NonIndexed")));
        let uid = job_made.uid().unwrap();
        assert_eq!(spec.selector.unwrap().match_labels.unwrap()["batch.kubernetes.io/controller-uid"], uid);
        let labels = spec.template.metadata.unwrap().labels.unwrap();
        assert_eq!(
            (labels["job-name"].as_str(), labels["batch.kubernetes.io/job-name"].as_str()),
            ("j", "j")
        );
        let pod = spec.template.spec.unwrap();
        assert_eq!(
            (pod.dns_policy.as_deref(), pod.termination_grace_period_seconds),
            (Some("ClusterFirst"), Some(30))
        );
        assert_eq!(pod.containers[0].image_pull_policy.as_deref(), Some("Always"));
        assert_eq!(job_made.metadata.generation, Some(1));
        // The template may not change; parallelism may, and counts as a generation.
        let change = |patch: Value| {
            let jobs = jobs.clone();
            async move { jobs.patch("j", &PatchParams::default(), &Patch::Merge(patch)).await }
        };
        let status =
            refused(change(json!({"spec": {"template": {"spec": {"restartPolicy": "OnFailure"}}}})).await);
        assert_eq!((status.code, causes(&status)), (422, vec!["spec.template".to_owned()]));
        assert!(status.message.contains("field is immutable"), "{}", status.message);
        let status = refused(change(json!({"spec": {"completions": 2}})).await);
        assert_eq!((status.code, causes(&status)), (422, vec!["spec.completions".to_owned()]));
        let wider = change(json!({"spec": {"parallelism": 2}})).await.unwrap();
        assert_eq!(wider.metadata.generation, Some(2));
        // Everything that is wrong, at once.
        let mut bad = job("bad");
        bad["spec"]["template"]["spec"]["restartPolicy"] = json!("Always");
        bad["spec"]["template"]["spec"]["containers"][0]["name"] = json!("");
        bad["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] =
            json!([{"name": "nope", "mountPath": "/x"}]);
        bad["spec"]["backoffLimit"] = json!(-1);
        let mut fields = causes(&refused(jobs.create(&PostParams::default(), &made(bad)).await));
        fields.sort();
        assert_eq!(
            fields,
            [
                "spec.backoffLimit",
                "spec.template.spec.containers[0].name",
                "spec.template.spec.containers[0].volumeMounts[0].name",
                "spec.template.spec.restartPolicy",
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn status_has_its_own_door() {
    both(async |client| {
        let jobs: Api<Job> = Api::default_namespaced(client);
        let mut with_status = job("j");
        with_status["status"] = json!({"succeeded": 1});
        let created = jobs.create(&PostParams::default(), &made(with_status)).await.unwrap();
        assert_eq!(created.status.unwrap_or_default().succeeded, None);
        let patch = Patch::Merge(json!({"status": {"active": 1}, "spec": {"parallelism": 7}, "metadata": {"labels": {"no": "no"}}}));
        let changed = jobs.patch_status("j", &PatchParams::default(), &patch).await.unwrap();
        assert_eq!(changed.status.clone().unwrap().active, Some(1));
        assert_eq!(changed.spec.clone().unwrap().parallelism, Some(1));
        assert!(!changed.labels().contains_key("no"));
        assert_eq!(changed.metadata.generation, Some(1));
        let patch = Patch::Merge(json!({"status": {"active": 5}}));
        let same = jobs.patch("j", &PatchParams::default(), &patch).await.unwrap();
        assert_eq!((same.status.clone().unwrap().active, same.resource_version()), (Some(1), changed.resource_version()));
        let mut whole = same.clone();
        whole.status = made(json!({"succeeded": 1}));
        let whole = jobs.replace_status("j", &PostParams::default(), &whole).await.unwrap();
        assert_eq!(whole.status.unwrap().succeeded, Some(1));
    })
    .await;
}

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

#[tokio::test]
async fn watches_tell_every_change_in_order_from_a_version_on() {
    both(async |client| {
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        let start = maps.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
        maps.create(&PostParams::default(), &map("a", "1")).await.unwrap();
        let read = async |selector: &str| -> Vec<String> {
            let params = WatchParams::default().labels(selector).timeout(1);
            let events: Vec<WatchEvent<ConfigMap>> =
                maps.watch(&params, &start).await.unwrap().try_collect().await.unwrap();
            events
                .iter()
                .map(|event| match event {
                    WatchEvent::Added(map) => format!("+{}{}", map.name_any(), map.labels()["v"]),
                    WatchEvent::Modified(map) => format!("~{}{}", map.name_any(), map.labels()["v"]),
                    WatchEvent::Deleted(map) => format!("-{}{}", map.name_any(), map.labels()["v"]),
                    other => panic!("{other:?}"),
                })
                .collect()
        };
        // Two watchers while writes go on: both see all of them, in the same order.
        let writes = async {
            for v in ["2", "3"] {
                maps.replace("a", &PostParams::default(), &map("a", v)).await.unwrap();
                maps.create(&PostParams::default(), &map(&format!("b{v}"), v)).await.unwrap();
            }
            maps.delete("a", &DeleteParams::default()).await.unwrap();
        };
        let (one, two, ()) = tokio::join!(read("for=test"), read("for=test"), writes);
        assert_eq!(one, ["+a1", "~a2", "+b22", "~a3", "+b33", "-a3"]);
        assert_eq!(two, one);
        // Through a selector, an object enters and leaves the view.
        assert_eq!(read("v=2").await, ["+a2", "+b22", "-a2"]);
        // A later reader gets the same history.
        assert_eq!(read("for=test").await, one);
    })
    .await;
}

#[tokio::test]
async fn streaming_lists_end_with_a_bookmark() {
    both(async |client| {
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        maps.create(&PostParams::default(), &map("a", "1")).await.unwrap();
        let mut events = maps.watch(&WatchParams::default().initial_events(), "0").await.unwrap().boxed();
        assert!(
            matches!(events.next().await.unwrap().unwrap(), WatchEvent::Added(map) if map.name_any() == "a")
        );
        match events.next().await.unwrap().unwrap() {
            WatchEvent::Bookmark(mark) => {
                assert_eq!(mark.metadata.annotations["k8s.io/initial-events-end"], "true");
            }
            other => panic!("{other:?}"),
        }
    })
    .await;
}

#[tokio::test]
async fn an_expired_version_is_an_error_event_within_a_good_answer() {
    both(async |client| {
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        maps.create(&PostParams::default(), &map("a", "1")).await.unwrap();
        // More than the window of history holds.
        for n in 0..12 {
            let data = Patch::Merge(json!({"data": {"n": n.to_string().repeat(500_000)}}));
            maps.patch("a", &PatchParams::default(), &data).await.unwrap();
        }
        let mut events = maps.watch(&WatchParams::default(), "1").await.unwrap().boxed();
        match events.next().await.unwrap() {
            Ok(WatchEvent::Error(status)) => {
                assert_eq!((status.code, status.reason.as_str()), (410, "Expired"))
            }
            other => panic!("{other:?}"),
        }
        assert!(events.next().await.is_none());
        assert_eq!(kind(maps.watch(&WatchParams::default(), "abc").await.map(|_| ())).0, 500);
    })
    .await;
}

#[tokio::test]
async fn finalizers_and_grace_keep_what_is_deleted() {
    both(async |client| {
        let jobs: Api<Job> = Api::default_namespaced(client.clone());
        jobs.create(&PostParams::default(), &made(job("j"))).await.unwrap();
        let foreground = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Foreground),
            ..DeleteParams::default()
        };
        let marked = jobs.delete("j", &foreground).await.unwrap().left().unwrap();
        assert_eq!(marked.finalizers(), ["foregroundDeletion"]);
        assert!(marked.metadata.deletion_timestamp.is_some());
        assert_eq!(marked.metadata.generation, Some(2));
        jobs.patch("j", &PatchParams::default(), &Patch::Merge(json!({"metadata": {"finalizers": null}})))
            .await
            .unwrap();
        assert_eq!(kind(jobs.get("j").await).0, 404);
        // A Job without a policy leaves its pods: it waits for the collector to set them free.
        jobs.create(&PostParams::default(), &made(job("k"))).await.unwrap();
        let orphaning = jobs.delete("k", &DeleteParams::default()).await.unwrap().left().unwrap();
        assert_eq!(orphaning.finalizers(), ["orphan"]);
        // A pod that a node has gets its grace period; one that no node has goes at once.
        let pods: Api<Pod> = Api::default_namespaced(client);
        let pod = |name: &str| -> Pod {
            made(json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "x"}]}}))
        };
        pods.create(&PostParams::default(), &pod("unbound")).await.unwrap();
        pods.delete("unbound", &DeleteParams::default()).await.unwrap();
        assert_eq!(kind(pods.get("unbound").await).0, 404);
        let mut bound = pod("bound");
        bound.spec.as_mut().unwrap().node_name = Some("local".into());
        pods.create(&PostParams::default(), &bound).await.unwrap();
        let stopping = pods.delete("bound", &DeleteParams::default()).await.unwrap().left().unwrap();
        assert_eq!(stopping.metadata.deletion_grace_period_seconds, Some(30));
        assert!(pods.get("bound").await.is_ok());
        let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        pods.delete("bound", &at_once).await.unwrap();
        assert_eq!(kind(pods.get("bound").await).0, 404);
    })
    .await;
}

#[tokio::test]
async fn other_kinds_have_their_rules() {
    both(async |client| {
        let secrets: Api<Secret> = Api::default_namespaced(client.clone());
        let secret: Secret = made(json!({"metadata": {"name": "s"}, "stringData": {"key": "value"}}));
        let secret = secrets.create(&PostParams::default(), &secret).await.unwrap();
        assert_eq!((secret.type_.as_deref(), secret.string_data), (Some("Opaque"), None));
        assert_eq!(secret.data.unwrap()["key"].0, b"value");
        let claims: Api<PersistentVolumeClaim> = Api::default_namespaced(client.clone());
        let claim = |size: &str| -> PersistentVolumeClaim {
            made(json!({"metadata": {"name": "c"}, "spec": {
                "accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": size}},
            }}))
        };
        let made_claim = claims.create(&PostParams::default(), &claim("1Gi")).await.unwrap();
        let spec = made_claim.spec.unwrap();
        assert_eq!((spec.volume_mode.as_deref(), spec.storage_class_name.as_deref()), (Some("Filesystem"), Some("local")));
        assert_eq!(made_claim.status.unwrap().phase.as_deref(), Some("Pending"));
        let patch = Patch::Merge(json!({"spec": {"accessModes": ["ReadWriteOnce"]}}));
        assert_eq!(kind(claims.patch("c", &PatchParams::default(), &patch).await), (422, "Invalid".into()));
        // It may grow once it is bound, and not before.
        let patch = Patch::Merge(json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}}));
        assert_eq!(kind(claims.patch("c", &PatchParams::default(), &patch).await), (422, "Invalid".into()));
        let bound = Patch::Merge(json!({"status": {"phase": "Bound"}}));
        claims.patch_status("c", &PatchParams::default(), &bound).await.unwrap();
        claims.patch("c", &PatchParams::default(), &patch).await.unwrap();
        let none: PersistentVolumeClaim = made(json!({"metadata": {"name": "n"}, "spec": {}}));
        let mut fields = causes(&refused(claims.create(&PostParams::default(), &none).await));
        fields.sort();
        assert_eq!(fields, ["spec.accessModes", "spec.resources[storage]"]);
        let events: Api<Event> = Api::default_namespaced(client.clone());
        let event: Event = made(json!({
            "metadata": {"generateName": "e."}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
            "reason": "Because", "type": "Warning",
        }));
        events.create(&PostParams::default(), &event).await.unwrap();
        let by = ListParams::default().fields("involvedObject.name=p,type=Warning");
        assert_eq!(events.list(&by).await.unwrap().items.len(), 1);
        // A namespace goes with everything in it.
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let namespace: Namespace = made(json!({"metadata": {"name": "n"}}));
        namespaces.create(&PostParams::default(), &namespace).await.unwrap();
        let inside: Api<ConfigMap> = Api::namespaced(client, "n");
        inside.create(&PostParams::default(), &map("a", "1")).await.unwrap();
        namespaces.delete("n", &DeleteParams::default()).await.unwrap();
        assert_eq!(kind(namespaces.get("n").await).0, 404);
        assert_eq!(kind(inside.get("a").await).0, 404);
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
async fn it_is_discovered_like_any_cluster() {
    both(async |client| {
        let discovered = kube::Discovery::new(client.clone()).run().await.unwrap();
        let kinds: Vec<String> = discovered
            .groups()
            .flat_map(|group| group.recommended_resources())
            .map(|(resource, _)| format!("{}/{}", resource.api_version, resource.kind))
            .collect();
        for kind in ["v1/Pod", "batch/v1/Job", "kubeflow.org/v1/PyTorchJob", "storage.k8s.io/v1/StorageClass"]
        {
            assert!(kinds.iter().any(|known| known == kind), "{kind} in {kinds:?}");
        }
        let aggregated = kube::Discovery::new(client.clone()).run_aggregated().await.unwrap();
        assert!(aggregated.has_group("kubeflow.org"));
        assert_eq!(client.apiserver_version().await.unwrap().minor, "34");
        let unknown: Api<DynamicObject> = Api::all_with(
            client.clone(),
            &ApiResource::from_gvk(&GroupVersionKind::gvk("no.such", "v1", "Thing")),
        );
        assert_eq!(kind(unknown.list(&ListParams::default()).await).0, 404);
        let review = json!({"spec": {"resourceAttributes": {"verb": "create", "resource": "jobs"}}});
        let request = http::Request::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
            .body(serde_json::to_vec(&review).unwrap())
            .unwrap();
        let answer: Value = client.request(request).await.unwrap();
        assert_eq!(answer["status"]["allowed"], true);
    })
    .await;
}

#[tokio::test]
async fn logs_are_followed_to_their_end() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = open(folder.path()).await;
    let pods: Api<Pod> = Api::default_namespaced(cluster.client());
    let pod: Pod =
        made(json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x"}]}}));
    let pod = pods.create(&PostParams::default(), &pod).await.unwrap();
    let waiting = refused(pods.logs("p", &LogParams::default()).await);
    assert_eq!(waiting.message, "container \"c\" in pod \"p\" is waiting to start: ContainerCreating");
    let attempts = folder.path().join("pods").join(pod.uid().unwrap()).join("containers/c");
    let (zero, one) = (attempts.join("0"), attempts.join("1"));
    std::fs::create_dir_all(&zero).unwrap();
    std::fs::write(zero.join("log"), "old\n").unwrap();
    std::fs::write(zero.join("exit"), "{}").unwrap();
    std::fs::create_dir_all(&one).unwrap();
    std::fs::write(one.join("log"), "a\nb\nc\n").unwrap();
    let with = |params: LogParams| {
        let pods = pods.clone();
        async move { pods.logs("p", &params).await.unwrap() }
    };
    assert_eq!(with(LogParams::default()).await, "a\nb\nc\n");
    assert_eq!(with(LogParams { tail_lines: Some(2), ..LogParams::default() }).await, "b\nc\n");
    assert_eq!(with(LogParams { limit_bytes: Some(3), ..LogParams::default() }).await, "a\nb");
    assert_eq!(with(LogParams { previous: true, ..LogParams::default() }).await, "old\n");
    let wrong = LogParams { container: Some("../../c".into()), ..LogParams::default() };
    assert_eq!(kind(pods.logs("p", &wrong).await).0, 400);
    // What is written just before the end is not lost, nor what follows in a new file when one is full.
    let following = tokio::spawn({
        let pods = pods.clone();
        async move {
            let params = LogParams { follow: true, ..LogParams::default() };
            let log = pods.log_stream("p", &params).await.unwrap();
            futures::AsyncBufReadExt::lines(log).map(|line| line.unwrap() + "\n").boxed()
        }
    });
    let mut log = std::fs::File::options().append(true).open(one.join("log")).unwrap();
    std::io::Write::write_all(&mut log, b"last\n").unwrap();
    let text = tokio::time::timeout(PATIENCE, async {
        let mut lines = following.await.unwrap();
        let mut text = String::new();
        for expected in ["a\n", "b\n", "c\n", "last\n"] {
            text.push_str(&lines.next().await.unwrap());
            assert!(text.ends_with(expected));
        }
        std::fs::rename(one.join("log"), one.join("log.1")).unwrap();
        std::io::Write::write_all(&mut log, b"full\n").unwrap();
        std::fs::write(one.join("log"), "new\n").unwrap();
        std::fs::write(one.join("exit"), "{}").unwrap();
        while let Some(line) = lines.next().await {
            text.push_str(&line);
        }
        text
    });
    assert_eq!(text.await.unwrap(), "a\nb\nc\nlast\nfull\nnew\n");
}

#[tokio::test]
async fn state_outlives_the_host_and_is_one_hosts_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = open(folder.path()).await;
    let maps: Api<ConfigMap> = Api::default_namespaced(cluster.client());
    let one = maps.create(&PostParams::default(), &map("a", "1")).await.unwrap();
    match LocalCluster::open(LocalOptions::new(folder.path())).await {
        Err(LocalError::InUse { holder, .. }) => {
            assert_eq!(holder, format!("process {}", std::process::id()))
        }
        other => panic!("{other:?}"),
    }
    let watching = tokio::spawn({
        let maps = maps.clone();
        async move { maps.watch(&WatchParams::default(), "0").await.unwrap().count().await }
    });
    drop(cluster);
    // Streams end; a client that is still held can no longer write into the folder.
    tokio::time::timeout(PATIENCE, watching).await.unwrap().unwrap();
    assert_eq!(kind(maps.create(&PostParams::default(), &map("b", "1")).await).0, 503);
    let cluster = open(folder.path()).await;
    let maps: Api<ConfigMap> = Api::default_namespaced(cluster.client());
    assert_eq!(maps.get("a").await.unwrap(), one);
    // A watch goes on from the version it had before.
    maps.create(&PostParams::default(), &map("b", "1")).await.unwrap();
    let params = WatchParams::default().timeout(1);
    let events: Vec<_> = maps.watch(&params, &one.resource_version().unwrap()).await.unwrap().collect().await;
    assert_eq!(events.len(), 1);
    cluster.shutdown().await.unwrap();
}

/// The other half of the next test: a host that writes until it is killed.
#[tokio::test]
#[ignore = "a part of nothing_acknowledged_is_lost_by_a_kill, which runs it in a process of its own"]
async fn writer() {
    let Some(state) = std::env::var_os("ILAB_LOCAL_TEST_STATE") else { return };
    let cluster = open(Path::new(&state)).await;
    let maps: Api<ConfigMap> = Api::default_namespaced(cluster.client());
    for n in 0.. {
        maps.create(&PostParams::default(), &map(&format!("m{n}"), &"x".repeat(n % 63))).await.unwrap();
        println!("written {n}");
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_by_a_kill() {
    use std::io::BufRead;
    let folder = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "writer", "--nocapture"])
        .env("ILAB_LOCAL_TEST_STATE", folder.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let mut written: Vec<usize> = Vec::new();
    let mut lines =
        lines.map_while(Result::ok).filter_map(|line| line.split_once("written ")?.1.parse::<usize>().ok());
    written.extend(lines.by_ref().take(200));
    child.kill().unwrap();
    written.extend(lines);
    child.wait().unwrap();
    let cluster = open(folder.path()).await;
    let maps: Api<ConfigMap> = Api::default_namespaced(cluster.client());
    for n in &written {
        maps.get(&format!("m{n}")).await.unwrap();
    }
    // At most the one that was on its way is there besides.
    let all = maps.list(&ListParams::default()).await.unwrap().items.len();
    assert!(written.len() >= 200 && all <= written.len() + 1, "{} {all}", written.len());
}

#[tokio::test]
async fn with_a_shim_command_there_are_a_node_and_controllers() {
    let folder = tempfile::tempdir().unwrap();
    let shim = vec![env!("CARGO_BIN_EXE_ilab-local-shim").into()];
    let options = || LocalOptions { shim_command: Some(shim.clone()), ..LocalOptions::new(folder.path()) };
    let cluster = LocalCluster::open(options()).await.unwrap();
    assert!(cluster.sandbox().is_some());
    let jobs: Api<Job> = Api::default_namespaced(cluster.client());
    jobs.create(&PostParams::default(), &made(job("j"))).await.unwrap();
    // The image is not there: the job has its pod, the pod its node, and the node says what is missing.
    let pods: Api<Pod> = Api::default_namespaced(cluster.client());
    let mut events = pods.watch(&WatchParams::default().labels("job-name=j"), "0").await.unwrap().boxed();
    let waiting = async {
        loop {
            let (WatchEvent::Added(pod) | WatchEvent::Modified(pod)) = events.next().await.unwrap().unwrap()
            else {
                continue;
            };
            let statuses = pod.status.unwrap_or_default().container_statuses.unwrap_or_default();
            let reason = statuses.into_iter().find_map(|status| status.state?.waiting?.reason);
            if let Some(reason) = reason.filter(|reason| reason.contains("Image")) {
                return (pod.spec.unwrap_or_default().node_name, reason);
            }
        }
    };
    let (node, _) = tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    assert_eq!(node.as_deref(), Some("local"));
    cluster.shutdown().await.unwrap();
    LocalCluster::open(options()).await.unwrap().shutdown().await.unwrap();
}

/// Of this process, in MiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[tokio::test]
#[ignore = "measures memory, so it has to run alone"]
async fn ten_thousand_jobs_are_small() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = open(folder.path()).await;
    let jobs: Api<Job> = Api::default_namespaced(cluster.client());
    jobs.create(&PostParams::default(), &made(job("first"))).await.unwrap();
    let before = resident();
    for n in 0..10_000 {
        jobs.create(&PostParams::default(), &made(job(&format!("j{n}")))).await.unwrap();
    }
    let one = serde_json::to_vec(&jobs.get("j1").await.unwrap()).unwrap().len();
    let grown = resident() - before;
    println!("{grown} MiB for 10,000 jobs of {one} bytes");
    assert!(grown < 32, "{grown} MiB");
}

#[tokio::test]
async fn only_this_machines_programs_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = open(folder.path()).await;
    let outside = cluster.serve("0.0.0.0:0".parse().unwrap()).await;
    assert!(matches!(outside, Err(LocalError::NotLoopback { .. })));
    let served = cluster.serve("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let ask = async |headers: &str| -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(served.address()).await.unwrap();
        let request = format!("GET /version HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.lines().next().unwrap_or_default().to_owned()
    };
    assert!(ask("Host: localhost:1\r\n").await.contains("200"));
    assert!(ask("Host: [::1]:1\r\n").await.contains("200"));
    // A page in a browser, by its origin, or by a name of its own that resolves to this machine.
    assert!(ask("Host: localhost\r\nOrigin: http://evil.example\r\n").await.contains("403"));
    assert!(ask("Host: evil.example\r\n").await.contains("403"));
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
