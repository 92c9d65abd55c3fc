//! What is created, read, selected and deleted, kind by kind.

use crate::kit::{both, causes, job, kind, made, map, refused};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace, PersistentVolumeClaim, Pod, Secret};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

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
