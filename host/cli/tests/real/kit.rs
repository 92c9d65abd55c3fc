//! A place for a run, the host that drives it, and the kubelet that a test plays.

use crate::common::{golden, host, steps};
use futures::StreamExt;
use ilab_test_cluster::{Cluster, Namespace, PlayedKubelet};
pub(crate) use ilab_test_cluster::{PATIENCE, seen};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A value of a typed object.
pub(crate) fn object<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// A namespace with all that a run of the steps needs.
pub(crate) struct Place<'c> {
    pub(crate) cluster: &'c Cluster,
    pub(crate) namespace: Namespace,
    pub(crate) client: Client,
    pub(crate) kubelet: PlayedKubelet,
    kubeconfig: PathBuf,
}

impl Place<'static> {
    /// In the control plane that all tests share.
    pub(crate) async fn shared(name: &str) -> Self {
        Self::new(Cluster::shared().await.unwrap(), name).await
    }

    /// In the same one, with the training operator at work.
    pub(crate) async fn with_operator(name: &str) -> Self {
        let place = Self::shared(name).await;
        place.cluster.training_operator().await.unwrap();
        place
    }
}

impl<'c> Place<'c> {
    pub(crate) async fn new(cluster: &'c Cluster, name: &str) -> Self {
        // Its component asks for PyTorchJobs, and the preflight for their kind.
        cluster.install_training_operator_crd().await.unwrap();
        let namespace = cluster.namespace(name).await.unwrap();
        let client = cluster.client().await.unwrap();
        let kubelet = PlayedKubelet::new(client.clone(), namespace.name());
        let kubeconfig = cluster.kubeconfig().to_owned();
        let place = Self { cluster, namespace, client, kubelet, kubeconfig };
        // Nobody provisions volumes here. The pods do not mount it; the run needs one by name.
        let claim = json!({"metadata": {"name": "data"}, "spec": {
            "accessModes": ["ReadWriteMany"], "storageClassName": "by-hand",
            "resources": {"requests": {"storage": "1Mi"}},
        }});
        let claims: Api<PersistentVolumeClaim> = place.api();
        claims.create(&PostParams::default(), &object(claim)).await.unwrap();
        place
    }

    /// The same place, reached by another kubeconfig.
    pub(crate) fn by(self, kubeconfig: PathBuf) -> Self {
        Self { kubeconfig, ..self }
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), self.namespace.name())
    }

    pub(crate) fn pytorch_jobs(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("kubeflow.org", "v1", "PyTorchJob");
        Api::namespaced_with(self.client.clone(), self.namespace.name(), &ApiResource::from_gvk(&kind))
    }

    /// The program with a verb, pointed at this place.
    pub(crate) fn command(&self, verb: &[&str]) -> Command {
        self.command_by(&self.kubeconfig, verb)
    }

    fn command_by(&self, kubeconfig: &Path, verb: &[&str]) -> Command {
        let mut command = Command::from(host());
        command.args(verb).arg("--kubeconfig").arg(kubeconfig);
        command.args(["--namespace", self.namespace.name()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// `run`, new or resumed, not yet started.
    pub(crate) fn run(&self, resume: bool, args: &[&str]) -> Command {
        of_steps(self.command(&["run", if resume { "--resume" } else { "--run" }, "one"]), args)
    }

    /// A new run by somebody else's kubeconfig.
    pub(crate) fn run_by(&self, kubeconfig: &Path) -> Command {
        of_steps(self.command_by(kubeconfig, &["run", "--run", "one"]), &[])
    }

    /// Starts a run that tells its events.
    pub(crate) fn start(&self, args: &[&str]) -> Host {
        Host::new(self.run(false, &[&["-o", "json"], args].concat()))
    }

    /// Starts a run that tells a person.
    pub(crate) fn start_plainly(&self, args: &[&str]) -> Host {
        Host::new(self.run(false, args))
    }

    /// Goes on with the run.
    pub(crate) fn resume(&self, args: &[&str]) -> Host {
        Host::new(self.run(true, &[&["-o", "json"], args].concat()))
    }

    /// Waits until a step has so many pods, and gives their names in the order of their creation.
    pub(crate) async fn pods(&self, step: u8, count: usize) -> Vec<String> {
        let pods: Api<Pod> = self.api();
        let found = async {
            let mut events = std::pin::pin!(watcher(pods, watcher::Config::default()).applied_objects());
            let mut found = BTreeMap::new();
            while found.len() < count {
                let pod = events.next().await.expect("the watch goes on").expect("the watch goes on");
                let name = pod.metadata.name.unwrap();
                if name.starts_with(&format!("one-step-{step}-")) {
                    found.insert(name, pod.metadata.creation_timestamp.unwrap().0);
                }
            }
            let mut names: Vec<_> = found.into_iter().collect();
            names.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
            names.into_iter().map(|(name, _)| name).collect()
        };
        timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("no {count} pods of step {step}"))
    }

    /// The first pod of a step.
    pub(crate) async fn pod(&self, step: u8) -> String {
        self.pods(step, 1).await.remove(0)
    }

    /// Writes that a pod's one container is in this state.
    pub(crate) async fn container(&self, pod: &str, phase: &str, status: Value) {
        let mut all =
            json!({"name": "pytorch", "image": "steps:1", "imageID": "", "ready": false, "restartCount": 0});
        all.as_object_mut().unwrap().extend(status.as_object().unwrap().clone());
        self.kubelet.status(pod, json!({"phase": phase, "containerStatuses": [all]})).await.unwrap();
    }

    /// Ends every pod well, from the one of this step on, until it is dropped.
    pub(crate) fn end_well_from(&self, step: u8) -> Background {
        let (pods, kubelet): (Api<Pod>, _) = (self.api(), self.kubelet.clone());
        Background(tokio::spawn(async move {
            let mut events =
                std::pin::pin!(watcher(pods, watcher::Config::default()).default_backoff().applied_objects());
            while let Some(event) = events.next().await {
                let Ok(pod) = event else { continue };
                let name = pod.metadata.name.unwrap();
                let number = name.strip_prefix("one-step-").and_then(|rest| rest[..1].parse::<u8>().ok());
                let phase = pod.status.and_then(|status| status.phase);
                if number >= Some(step) && phase.as_deref() == Some("Pending") {
                    // A pod may be deleted meanwhile.
                    let _ = kubelet.succeeded(&name).await;
                }
            }
        }))
    }

    /// Waits for the object of a step to be as told.
    pub(crate) async fn job(&self, step: u8, what: &str, is: impl Fn(&Job) -> bool) -> Job {
        seen(self.api(), &format!("one-step-{step}"), what, is).await
    }

    pub(crate) async fn patch_job(&self, step: u8, patch: Value) {
        let jobs: Api<Job> = self.api();
        let patch = Patch::Merge(patch);
        jobs.patch(&format!("one-step-{step}"), &PatchParams::default(), &patch).await.unwrap();
    }

    /// Every object of the run that is there, as `Kind/name`, without pods that a controller may still be at.
    pub(crate) async fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        for (group, version, kind) in [
            ("", "v1", "ConfigMap"),
            ("", "v1", "PersistentVolumeClaim"),
            ("", "v1", "Secret"),
            ("batch", "v1", "Job"),
            ("coordination.k8s.io", "v1", "Lease"),
            ("kubeflow.org", "v1", "PyTorchJob"),
        ] {
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
            let api: Api<DynamicObject> =
                Api::namespaced_with(self.client.clone(), self.namespace.name(), &resource);
            let found = api.list(&ListParams::default().labels("ilab.dev/run=one")).await.unwrap();
            left.extend(found.into_iter().map(|o| format!("{kind}/{}", o.metadata.name.unwrap())));
        }
        left
    }

    /// The run record, as the program prints it.
    pub(crate) async fn record(&self) -> Value {
        let ended = Host::new(self.command(&["runs", "status", "one", "-o", "json"])).end().await;
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        serde_json::from_str(&ended.stdout).unwrap()
    }

    /// What a failed run of its first step leaves: the object to be looked at, the record that says so, a Lease given back.
    pub(crate) async fn check_failed(&self, kind: &str) {
        let record = self.record().await;
        assert_eq!(record["stages"]["step-1"]["state"], "Failed", "{record}");
        assert!(record["stages"]["step-2"]["objects"].as_array().is_none_or(Vec::is_empty), "{record}");
        assert_eq!(self.left().await, self.leftovers(&[&format!("{kind}/one-step-1")]));
        let leases: Api<k8s_openapi::api::coordination::v1::Lease> = self.api();
        let holder = leases.get("ilab-run-one").await.unwrap().spec.unwrap().holder_identity;
        assert!(holder.as_deref().unwrap_or_default().is_empty(), "{holder:?}");
    }

    /// The record and the Lease, and these.
    pub(crate) fn leftovers(&self, objects: &[&str]) -> Vec<String> {
        let mut all = vec!["ConfigMap/ilab-run-one".to_owned(), "Lease/ilab-run-one".to_owned()];
        all.extend(objects.iter().map(|&o| o.to_owned()));
        let order = ["ConfigMap", "Job", "Lease", "PyTorchJob"];
        all.sort_by_key(|name| order.iter().position(|kind| name.starts_with(&format!("{kind}/"))));
        all
    }

    /// Compares the troubles and the end that a person was told of with a golden file.
    pub(crate) fn golden(&self, name: &str, ended: &Ended) {
        golden(&format!("real/{name}.txt"), &told(&ended.stderr, self.namespace.name()));
    }
}

/// A run's command with the component of the steps and the claim that is there.
fn of_steps(mut command: Command, args: &[&str]) -> Command {
    command.arg("--plugins").arg(steps());
    command.args(["--claim", "data=data", "--steps-volume=false"]).args(args);
    command
}

/// A task that ends with this.
pub(crate) struct Background(pub(crate) JoinHandle<()>);

impl Drop for Background {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A running `ilab-host`; dropping it kills it.
pub(crate) struct Host {
    pub(crate) child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    stdout: String,
    stderr: JoinHandle<String>,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    #[track_caller]
    pub(crate) fn expect(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{}\n{}", self.stdout, self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is not in:\n{}", self.stderr);
        }
    }
}

impl Host {
    pub(crate) fn new(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut pipe = child.stderr.take().unwrap();
        let stderr = tokio::spawn(async move {
            let mut text = Vec::new();
            // A killed host's pipe ends as any other.
            let _ = pipe.read_to_end(&mut text).await;
            String::from_utf8_lossy(&text).into_owned()
        });
        Self { child, lines, stdout: String::new(), stderr }
    }

    /// Waits for an event of this kind that satisfies a predicate.
    pub(crate) async fn event(&mut self, kind: &str, is: impl Fn(&Value) -> bool) -> Value {
        let found = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                self.stdout.push_str(&line);
                self.stdout.push('\n');
                let event: Value = serde_json::from_str(&line).unwrap();
                if event["event"] == kind && is(&event) {
                    return Some(event);
                }
            }
            None
        };
        match timeout(PATIENCE, found).await {
            Ok(Some(event)) => event,
            Ok(None) => {
                let said = (&mut self.stderr).await.unwrap();
                panic!("it ended without the event {kind}:\n{}{said}", self.stdout)
            }
            Err(_) => panic!("no event {kind} within {PATIENCE:?}:\n{}", self.stdout),
        }
    }

    /// Waits for an event of this kind about a stage.
    pub(crate) async fn stage(&mut self, kind: &str, step: u8) -> Value {
        self.event(kind, |event| event["stage"] == format!("step-{step}")).await
    }

    /// Waits for its end, and kills it when that does not come.
    pub(crate) async fn end(mut self) -> Ended {
        let rest = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                self.stdout.push_str(&line);
                self.stdout.push('\n');
            }
            self.child.wait().await.unwrap()
        };
        let Ok(status) = timeout(PATIENCE, rest).await else {
            self.child.start_kill().unwrap();
            panic!("it does not end:\n{}{}", self.stdout, self.stderr.await.unwrap());
        };
        // A signal has no code.
        let code = status.code().unwrap_or(-1);
        Ended { code, stdout: self.stdout, stderr: self.stderr.await.unwrap() }
    }

    /// Waits for its end, or kills it when something else happens first; then there is no end to tell of.
    pub(crate) async fn end_or_kill(mut self, death: impl Future<Output = ()>) -> Option<Ended> {
        tokio::select! {
            biased;
            () = death => {}
            status = self.child.wait() => {
                status.unwrap();
                return Some(self.end().await);
            }
        }
        self.kill().await;
        None
    }

    /// As a person does with Ctrl-C.
    pub(crate) async fn interrupt(self) -> Ended {
        let id = self.child.id().expect("it runs").to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().await.unwrap().success());
        self.end().await
    }

    /// Kills it, as nobody can prevent.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// What matters of the text for a person: troubles, the failure with its pod and lines, and the error. What is said while all is
/// well depends on how fast the controllers are, and so do their Events. Names that differ from run to run are replaced.
fn told(stderr: &str, namespace: &str) -> String {
    let kept = stderr.lines().filter(|line| {
        let about = |word: &str| line.starts_with("step-1: ") && line[8..].starts_with(word);
        about("trouble") || about("FAILED") || line.starts_with("error: ") || line.starts_with("  ")
    });
    let kept = kept.filter(|line| !line.starts_with("  event: "));
    let text: String = kept.map(|line| format!("{line}\n")).collect();
    without_suffixes(&text.replace(namespace, "NAMESPACE"))
}

/// `one-step-1-x7k2p` as `one-step-1-xxxxx`.
fn without_suffixes(text: &str) -> String {
    const LENGTH: usize = 5;
    let mut out = String::new();
    let mut parts = text.split("one-step-");
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        out.push_str("one-step-");
        let random = part.get(2..2 + LENGTH).filter(|suffix| {
            let ends = part.as_bytes().get(2 + LENGTH).is_none_or(|b| !b.is_ascii_alphanumeric());
            ends && part.as_bytes()[1] == b'-'
                && suffix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        });
        match random {
            Some(_) => out.push_str(&format!("{}xxxxx{}", &part[..2], &part[2 + LENGTH..])),
            None => out.push_str(part),
        }
    }
    out
}
