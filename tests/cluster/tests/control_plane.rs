//! The control plane does what a real one does, and what a test does to it.

#[expect(dead_code, reason = "a part of it is for other test programs")]
mod kit;

use ilab_test_cluster::{Cluster, ClusterError, Identity, PATIENCE, PlayedKubelet, seen};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{ListParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn object<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn job(name: &str) -> Job {
    object(json!({
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": {"spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "main", "image": "example.test/none:1"}],
        }}},
    }))
}

fn has_condition(job: &Job, kind: &str) -> bool {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|one| one.type_ == kind && one.status == "True"))
}

async fn code<T: std::fmt::Debug>(result: impl Future<Output = kube::Result<T>>) -> u16 {
    match result.await {
        Err(kube::Error::Api(status)) => status.code,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn the_job_controller_believes_the_played_kubelet() {
    let cluster = Cluster::shared().await.unwrap();
    let namespace = cluster.namespace("jobs").await.unwrap();
    let client = cluster.client().await.unwrap();
    let jobs: Api<Job> = Api::namespaced(client.clone(), namespace.name());
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace.name());
    let kubelet = PlayedKubelet::new(client, namespace.name());
    for name in ["good", "bad"] {
        jobs.create(&PostParams::default(), &job(name)).await.unwrap();
        let pod = kit::pods(pods.clone(), &format!("job-name={name}"), 1).await.remove(0);
        let pod = pod.metadata.name.unwrap();
        kubelet.running(&pod).await.unwrap();
        seen(jobs.clone(), name, "one active pod that is ready", |job| {
            job.status.as_ref().is_some_and(|status| status.ready == Some(1))
        })
        .await;
        let condition = if name == "good" {
            kubelet.succeeded(&pod).await.unwrap();
            "Complete"
        } else {
            kubelet.failed(&pod, 137, "OOMKilled").await.unwrap();
            "Failed"
        };
        seen(jobs.clone(), name, condition, |job| has_condition(job, condition)).await;
    }
}

#[tokio::test]
async fn others_have_the_rights_that_they_were_given() {
    let cluster = Cluster::shared().await.unwrap();
    let namespace = cluster.namespace("rights").await.unwrap();
    let admin = cluster.client().await.unwrap();
    let account = Identity::service_account(namespace.name(), "runner");
    for identity in [Identity::user("jane"), account.clone()] {
        let client = cluster.client_as(&identity).await.unwrap();
        let pods: Api<Pod> = Api::namespaced(client, namespace.name());
        assert_eq!(code(pods.list(&ListParams::default())).await, 403, "{identity:?}");
    }

    let roles: Api<Role> = Api::namespaced(admin.clone(), namespace.name());
    let bindings: Api<RoleBinding> = Api::namespaced(admin, namespace.name());
    let role = json!({
        "metadata": {"name": "reader"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}],
    });
    let binding = json!({
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [
            {"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "readers"},
            {"kind": "ServiceAccount", "namespace": namespace.name(), "name": "runner"},
        ],
    });
    roles.create(&PostParams::default(), &object(role)).await.unwrap();
    bindings.create(&PostParams::default(), &object(binding)).await.unwrap();
    let reader = Identity::User { name: "jane".into(), groups: vec!["readers".into()] };
    for identity in [reader, account.clone()] {
        let client = cluster.client_as(&identity).await.unwrap();
        let pods: Api<Pod> = Api::namespaced(client, namespace.name());
        // RBAC's own watch brings the new role within moments.
        let begun = std::time::Instant::now();
        while let Err(error) = pods.list(&ListParams::default()).await {
            assert!(begun.elapsed() < PATIENCE, "{identity:?}: {error}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(code(pods.create(&PostParams::default(), &Pod::default())).await, 403, "{identity:?}");
    }

    let kubeconfig = cluster.kubeconfig_as(&account).unwrap();
    let output =
        cluster.kubectl().args(["auth", "whoami", "-o", "json"]).env("KUBECONFIG", kubeconfig).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let review: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(review["status"]["userInfo"]["username"], account.username());
}

async fn config_map(client: &Client, namespace: &str, name: &str) -> String {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let map = object(json!({"metadata": {"name": name}}));
    let map: ConfigMap = maps.create(&PostParams::default(), &map).await.unwrap();
    map.metadata.resource_version.unwrap()
}

#[tokio::test]
async fn a_killed_api_server_comes_back_with_everything_but_its_history() {
    let cluster = Cluster::control_plane().await.unwrap();
    let namespace = cluster.namespace("restart").await.unwrap();
    let client = cluster.client().await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace.name());
    let old = config_map(&client, namespace.name(), "one").await;
    config_map(&client, namespace.name(), "two").await;
    let page = maps.list(&ListParams::default().limit(1)).await.unwrap();
    let token = page.metadata.continue_.unwrap();
    config_map(&client, namespace.name(), "three").await;
    cluster.compact_etcd().await.unwrap();

    cluster.kill_api_server().unwrap();
    let error = cluster.client().await.unwrap().apiserver_version().await.unwrap_err();
    assert!(!matches!(error, kube::Error::Api(_)), "something answers: {error}");
    cluster.start_api_server().await.unwrap();
    assert!(maps.get_opt("one").await.unwrap().is_some());

    let next = ListParams::default().limit(1).continue_token(&token);
    assert_eq!(code(maps.list(&next)).await, 410);
    let mut events = Box::pin(maps.watch(&WatchParams::default(), &old).await.unwrap());
    let event = tokio::time::timeout(PATIENCE, futures::StreamExt::next(&mut events)).await.unwrap();
    match event {
        Some(Ok(WatchEvent::Error(status))) => assert_eq!(status.code, 410),
        other => panic!("not expired: {other:?}"),
    }
}

#[tokio::test]
async fn a_cluster_of_somebodys_own_is_used_with_care() {
    let owner = Cluster::shared().await.unwrap();
    let cluster = Cluster::of(owner.kubeconfig()).await.unwrap();
    assert!(cluster.process_ids().is_empty());
    for refused in [cluster.kill_api_server(), cluster.start_api_server().await, cluster.compact_etcd().await]
    {
        let error = refused.unwrap_err();
        assert!(matches!(error, ClusterError::Foreign { .. }), "{error}");
        assert!(error.to_string().contains("ILAB_TEST_KUBECONFIG"), "{error}");
    }

    let namespace = cluster.namespace("guest").await.unwrap();
    let name = namespace.name().to_owned();
    drop(namespace);
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(owner.client().await.unwrap());
    let left = namespaces.get_opt(&name).await.unwrap();
    assert!(left.is_none_or(|left| left.metadata.deletion_timestamp.is_some()));
}

#[tokio::test]
async fn a_kubeconfig_that_is_of_no_use_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    for content in ["", "{]", "apiVersion: v1\nkind: Config\nclusters: []\n"] {
        std::fs::write(&path, content).unwrap();
        let error = Cluster::of(&path).await.unwrap_err().to_string();
        assert!(error.contains(&path.display().to_string()), "{content:?}: {error}");
    }
}
