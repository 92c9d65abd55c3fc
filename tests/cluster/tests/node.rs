//! Pods run on the real node, and nothing of it is left.

mod kit;

use ilab_test_cluster::{Cluster, PROBE_IMAGE, STORAGE_CLASS, seen};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use kube::api::{DynamicObject, LogParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;

fn object<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// A node needs root and some Debian packages; where they are missing, the reason is printed and the test is over.
macro_rules! need_node {
    () => {
        if let Err(reason) = Cluster::node_possible() {
            eprintln!("skipped: {reason}");
            return;
        }
    };
}

fn job(name: &str, image: &str, arguments: &[&str]) -> Job {
    object(json!({
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": {"spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "main",
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "args": arguments,
            }],
        }}},
    }))
}

/// Runs a Job to its end and gives what it has printed.
async fn run(client: &Client, namespace: &str, job: Job) -> String {
    let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let name = job.metadata.name.clone().unwrap();
    jobs.create(&PostParams::default(), &job).await.unwrap();
    let ended = seen(jobs, &name, "the end", |job| {
        let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
        conditions.into_iter().any(|one| ["Complete", "Failed"].contains(&one.type_.as_str()))
    })
    .await;
    let pod = kit::pods(pods.clone(), &format!("job-name={name}"), 1).await.remove(0);
    let log = pods.logs(&pod.metadata.name.unwrap(), &LogParams::default()).await.unwrap();
    let status = ended.status.unwrap();
    assert_eq!(status.succeeded, Some(1), "{name}: {status:?}\n{log}");
    log
}

#[tokio::test]
async fn a_job_runs_and_its_log_is_read() {
    need_node!();
    let cluster = Cluster::shared_with_node().await.unwrap();
    let namespace = cluster.namespace("run").await.unwrap();
    let client = cluster.client().await.unwrap();
    let job = job("hello", PROBE_IMAGE, &["echo", "hello", "node"]);
    assert_eq!(run(&client, namespace.name(), job).await, "hello node\n");
}

#[tokio::test]
async fn pods_find_one_another_and_the_api_server() {
    need_node!();
    let cluster = Cluster::shared_with_node().await.unwrap();
    let namespace = cluster.namespace("names").await.unwrap();
    let client = cluster.client().await.unwrap();
    let services: Api<Service> = Api::namespaced(client.clone(), namespace.name());
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace.name());
    let service = json!({
        "metadata": {"name": "master"},
        "spec": {"clusterIP": "None", "selector": {"app": "master"}, "ports": [{"port": 1}]},
    });
    services.create(&PostParams::default(), &object(service)).await.unwrap();
    let pod = json!({
        "metadata": {"name": "master", "labels": {"app": "master"}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [
            {"name": "main", "image": PROBE_IMAGE, "args": ["wait"]},
        ]},
    });
    pods.create(&PostParams::default(), &object(pod)).await.unwrap();
    let address = |pod: &Pod| pod.status.as_ref().and_then(|status| status.pod_ip.clone());
    let master = seen(pods, "master", "an address", |pod| address(pod).is_some()).await;

    let asks = job("asks", PROBE_IMAGE, &["lookup", "master", "50"]);
    assert_eq!(run(&client, namespace.name(), asks).await.trim(), address(&master).unwrap());
    let dials = job("dials", PROBE_IMAGE, &["dial", "kubernetes.default.svc.cluster.local:443", "50"]);
    assert!(run(&client, namespace.name(), dials).await.contains("10.96.0.1:443"));

    // And what listens on this machine.
    let listener = std::net::TcpListener::bind((cluster.host_address().unwrap(), 0)).unwrap();
    let here = listener.local_addr().unwrap().to_string();
    let dials = job("dials-out", PROBE_IMAGE, &["dial", &here, "50"]);
    assert!(run(&client, namespace.name(), dials).await.contains(&here));
}

#[tokio::test]
async fn an_image_of_a_folder_writes_to_a_shared_volume() {
    need_node!();
    let cluster = Cluster::shared_with_node().await.unwrap();
    let namespace = cluster.namespace("volume").await.unwrap();
    let client = cluster.client().await.unwrap();
    // This machine's shell with the libraries that it needs is a small root file system.
    let root = tempfile::tempdir().unwrap();
    let ldd = Command::new("ldd").arg("/bin/sh").output().unwrap();
    let libraries = String::from_utf8(ldd.stdout).unwrap();
    let libraries = libraries.split_whitespace().filter(|word| word.starts_with('/'));
    for file in std::iter::once("/bin/sh").chain(libraries) {
        let to = root.path().join(file.trim_start_matches('/'));
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(file, to).unwrap();
    }
    cluster.import_image("ilab.test/shell:1", root.path()).unwrap();

    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace.name());
    let claim = json!({
        "metadata": {"name": "data"},
        "spec": {
            "storageClassName": STORAGE_CLASS,
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": "200Gi"}},
        },
    });
    claims.create(&PostParams::default(), &object(claim)).await.unwrap();
    let mut writes = job("writes", "ilab.test/shell:1", &["/bin/sh", "-c", "echo kept >/data/file"]);
    let pod = writes.spec.as_mut().unwrap().template.spec.as_mut().unwrap();
    pod.volumes = Some(vec![object(json!({"name": "data", "persistentVolumeClaim": {"claimName": "data"}}))]);
    pod.containers[0].volume_mounts = Some(vec![object(json!({"name": "data", "mountPath": "/data"}))]);
    pod.security_context = Some(object(json!({"runAsUser": 1234, "runAsGroup": 1234})));
    run(&client, namespace.name(), writes).await;
    let volume = claims.get("data").await.unwrap().spec.unwrap().volume_name.unwrap();
    let file = cluster.volume(&volume).unwrap().join("file");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "kept\n");
}

#[tokio::test]
async fn the_training_operator_brings_master_and_worker_together() {
    need_node!();
    let cluster = Cluster::shared_with_node().await.unwrap();
    cluster.training_operator().await.unwrap();
    let namespace = cluster.namespace("training").await.unwrap();
    let client = cluster.client().await.unwrap();
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("kubeflow.org", "v1", "PyTorchJob"));
    let jobs: Api<DynamicObject> = Api::namespaced_with(client, namespace.name(), &resource);
    let replica = |arguments: &[&str]| {
        let container = json!({"name": "pytorch", "image": PROBE_IMAGE, "args": arguments});
        json!({
            "replicas": 1,
            "restartPolicy": "Never",
            "template": {"spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}},
        })
    };
    let job = json!({
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": {"name": "meet"},
        "spec": {"pytorchReplicaSpecs": {
            "Master": replica(&["serve", "$(MASTER_PORT)", "50"]),
            "Worker": replica(&["dial", "$(MASTER_ADDR):$(MASTER_PORT)", "50"]),
        }},
    });
    jobs.create(&PostParams::default(), &object(job)).await.unwrap();
    let ended = seen(jobs, "meet", "the end", |job: &DynamicObject| {
        let conditions = job.data["status"]["conditions"].as_array();
        conditions.into_iter().flatten().any(|one| one["type"] == "Succeeded" || one["type"] == "Failed")
    });
    let status = ended.await.data["status"].clone();
    assert_eq!(status["replicaStatuses"]["Master"]["succeeded"], 1, "{status}");
}

/// What of this machine a node touches: network interfaces, mounts, control groups, settings.
fn traces(folder: &str) -> Vec<String> {
    let mut traces = Vec::new();
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    traces.extend(mounts.lines().filter(|line| line.contains(folder)).map(str::to_owned));
    for group in ["memory", "cpu", "pids", "."] {
        let group = PathBuf::from("/sys/fs/cgroup").join(group).join(folder);
        if group.exists() {
            traces.push(group.display().to_string());
        }
    }
    traces
}

#[tokio::test]
async fn sigkill_leaves_nothing_of_a_node() {
    need_node!();
    let settings = ["vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops"];
    let read = || settings.map(|name| std::fs::read_to_string(format!("/proc/sys/{name}")).unwrap());
    let before = read();
    let (mut child, mut ids, folder) = kit::start(&["--node"]);
    let name = folder.file_name().unwrap().to_str().unwrap();

    // A container that does not go by itself.
    let cluster = Cluster::of(&folder.join("kubeconfig")).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(cluster.client().await.unwrap(), "default");
    let pod = json!({
        "metadata": {"name": "stays"},
        "spec": {"containers": [{"name": "main", "image": PROBE_IMAGE, "args": ["wait"]}]},
    });
    pods.create(&PostParams::default(), &object(pod)).await.unwrap();
    seen(pods, "stays", "running", |pod| {
        pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Running"))
    })
    .await;
    let container = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u32>().ok())
        .find(|id| {
            let file = |name: &str| std::fs::read_to_string(format!("/proc/{id}/{name}")).unwrap_or_default();
            file("cmdline") == "/probe\0wait\0" && file("cgroup").contains(name)
        });
    ids.push(container.expect("the container's process"));
    assert!(!traces(name).is_empty());

    child.kill().unwrap();
    child.wait().unwrap();
    kit::gone(&ids, &folder).await;
    assert_eq!(traces(name), [""; 0]);
    assert_eq!(read(), before);
}
