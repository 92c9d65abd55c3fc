//! A cluster of its own for each test, with a small root file system made of this machine's own programs.

#![expect(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

use futures::StreamExt;
use ilab_local::controllers::{self, ControllerOptions};
use ilab_local::node::{self, ImageSource, ImageStore, NodeHandle, NodeOptions};
use ilab_local::{LocalCluster, LocalOptions};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::watcher::watch_object;
use kube::{Api, Client, Resource};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Long, because the machine may be busy; nothing waits that long when all is well.
const PATIENCE: Duration = Duration::from_secs(60);

/// The image's root file system.
pub fn rootfs() -> PathBuf {
    ilab_test_support::rootfs(Path::new(env!("CARGO_TARGET_TMPDIR")))
}

/// A running cluster.
pub struct Cluster {
    pub local: LocalCluster,
    pub client: Client,
    pub state: PathBuf,
    node: NodeHandle,
    controllers: controllers::Handle,
    pods: PodsOf,
}

/// Pods outlive their host; those of a failed test must not.
struct PodsOf(PathBuf);

impl Drop for PodsOf {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let line = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            if line.contains("ilab-local-shim") && line.contains(&*self.0.to_string_lossy()) {
                let _ = Command::new("kill").arg("-9").arg(entry.file_name()).status();
            }
        }
    }
}

/// The shim that was built for the tests.
pub fn shim_command() -> Vec<OsString> {
    vec![env!("CARGO_BIN_EXE_ilab-local-shim").into()]
}

impl Cluster {
    /// In this folder, with the image `test`.
    pub async fn open(state: &Path) -> Self {
        let images = ImageStore::open(state.join("images")).unwrap();
        images.import("test", &ImageSource::Folder(rootfs()), None).unwrap();
        let local = LocalCluster::open(LocalOptions::new(state)).await.unwrap();
        let client = local.client();
        let mut options = NodeOptions::new(state, shim_command());
        (options.restart_backoff, options.restart_backoff_max) =
            (Duration::from_millis(20), Duration::from_millis(200));
        let node = node::start(client.clone(), options).await.unwrap();
        let mut options = ControllerOptions::new(state);
        options.job_backoff = Duration::from_millis(20);
        let controllers = controllers::start(client.clone(), options);
        let pods = PodsOf(state.to_owned());
        Self { local, client, state: state.to_owned(), node, controllers, pods }
    }

    /// Ends everything as a kill would: nothing is told, nothing is waited for but the folder's lock.
    pub async fn kill(self) {
        let Self { local, client, node, controllers, .. } = self;
        node.stop().await;
        controllers.stop().await;
        drop((client, local));
    }

    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), "default")
    }

    pub fn jobs(&self) -> Api<Job> {
        Api::namespaced(self.client.clone(), "default")
    }

    pub fn training_jobs(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("kubeflow.org", "v1", "PyTorchJob");
        Api::namespaced_with(
            self.client.clone(),
            "default",
            &ApiResource::from_gvk_with_plural(&kind, "pytorchjobs"),
        )
    }

    /// Creates any object from JSON.
    pub async fn create<K>(&self, object: Value)
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned
            + serde::Serialize,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), "default");
        api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    }

    /// Creates a pod that runs a shell script in its one container `main`.
    pub async fn pod(&self, name: &str, script: &str, more: Value) {
        self.create::<Pod>(pod(name, script, more)).await;
    }

    /// The whole output of a container's attempt, from its file.
    pub fn log(&self, pod: &Pod, container: &str, attempt: u32) -> String {
        let uid = pod.metadata.uid.clone().unwrap();
        let folder =
            self.state.join("pods").join(uid).join("containers").join(container).join(attempt.to_string());
        fs::read_to_string(folder.join("log")).unwrap()
    }

    /// Waits until a pod's container `main` has printed this and nothing else.
    pub async fn said(&self, pod: &Pod, text: &str) {
        let begun = std::time::Instant::now();
        while self.log(pod, "main", 0) != text {
            assert!(begun.elapsed() < PATIENCE, "the pod does not say {text:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Runs a pod to its end and returns its phase and output.
    pub async fn run(&self, name: &str, script: &str, more: Value) -> (String, String) {
        self.pod(name, script, more).await;
        let pod = self.ended(name).await;
        (phase(&pod), self.log(&pod, "main", 0))
    }

    /// Waits until a pod has ended.
    pub async fn ended(&self, name: &str) -> Pod {
        wait(self.pods(), name, |pod| {
            pod.is_some_and(|pod| matches!(phase(pod).as_str(), "Succeeded" | "Failed"))
        })
        .await
        .unwrap()
    }

    /// Waits until a pod runs.
    pub async fn running(&self, name: &str) -> Pod {
        wait(self.pods(), name, |pod| {
            pod.is_some_and(|pod| json(pod).pointer("/status/containerStatuses/0/state/running").is_some())
        })
        .await
        .unwrap()
    }
}

/// A pod's manifest: `more` is merged into its spec, `main` in it into its container.
pub fn pod(name: &str, script: &str, more: Value) -> Value {
    let mut container = json!({
        "name": "main", "image": "test", "imagePullPolicy": "Never", "command": ["sh", "-c", script],
    });
    let mut spec = json!({"restartPolicy": "Never", "terminationGracePeriodSeconds": 1});
    for (key, value) in more.as_object().into_iter().flatten() {
        if key == "main" {
            container.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
        } else {
            spec[key] = value.clone();
        }
    }
    spec["containers"] = json!([container]);
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
}

pub fn phase(pod: &Pod) -> String {
    pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default()
}

pub fn json<T: serde::Serialize>(object: &T) -> Value {
    serde_json::to_value(object).unwrap()
}

/// The object's conditions as `Type=Status/Reason`.
pub fn conditions<T: serde::Serialize>(object: &T) -> Vec<String> {
    let object = json(object);
    let all = object.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
    all.iter()
        .map(|one| format!("{}={}/{}", text(one, "type"), text(one, "status"), text(one, "reason")))
        .collect()
}

/// Watches an object until it is as wanted; none is an object that is not there.
pub async fn wait<K>(api: Api<K>, name: &str, wanted: impl Fn(Option<&K>) -> bool) -> Option<K>
where
    K: Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + serde::Serialize + Send + 'static,
{
    let mut last = None;
    let seen = async {
        let mut stream = std::pin::pin!(watch_object(api, name));
        while let Some(object) = stream.next().await {
            let Ok(object) = object else { continue };
            last = Some(object.clone());
            if wanted(object.as_ref()) {
                return object;
            }
        }
        None
    };
    match tokio::time::timeout(PATIENCE, seen).await {
        Ok(object) => object,
        Err(_) => panic!("{name} is not as wanted: {}", serde_json::to_string_pretty(&last).unwrap()),
    }
}
