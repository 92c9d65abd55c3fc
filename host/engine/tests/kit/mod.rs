//! Stages, requests and controllers for the engine's tests.
#![allow(dead_code, clippy::allow_attributes, reason = "each test file uses its part")]

#[path = "../../../cluster/tests/fake/mod.rs"]
pub(crate) mod fake;

use fake::Fake;
use ilab_cluster::Cluster;
use ilab_core::contract::*;
use ilab_core::grants::Grants;
use ilab_core::graph::{Offer, Pipeline};
use ilab_core::guard::Policy;
use ilab_core::names::{GroupName, PluginDigest, RunId, StageName};
use ilab_engine::*;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) fn stage(name: &str) -> StageName {
    StageName::new(name).unwrap()
}

/// A stage `name` that follows `after`, takes their score and hands on its own.
pub(crate) fn offer(name: &str, after: &[&str]) -> Offer {
    let output = Output {
        name: "score".into(),
        help: "a number".into(),
        schema: json!({"type": "integer"}),
        sample: json!(0),
        sample_parameter: Some("epochs".into()),
    };
    let parameter = Parameter {
        name: "epochs".into(),
        help: "how many".into(),
        schema: json!({"type": "integer"}),
        default: Some(json!(1)),
        flag: None,
        env: None,
    };
    let kind = |api_version: &str, kind: &str| Kind { api_version: api_version.into(), kind: kind.into() };
    Offer {
        descriptor: Descriptor {
            name: stage(name),
            summary: "a stage".into(),
            group: GroupName::new(name).unwrap(),
            selected_by: None,
            after: after.iter().map(|a| (*a).to_owned()).collect(),
            parameters: vec![parameter],
            credentials: vec![],
            volumes: vec![Volume { name: "data".into(), size: "1Gi".into(), read_only: false }],
            inputs: after.iter().map(|a| format!("{a}.score")).collect(),
            outputs: vec![output],
            creates: vec![kind("v1", "ConfigMap"), kind("batch/v1", "Job")],
            licence: None,
            homepage: None,
        },
        file: format!("{name}.wasm"),
        digest: PluginDigest::of(name.as_bytes()),
    }
}

/// Renders a ConfigMap and a Job; its score is the last line of the container `main`.
#[derive(Default)]
pub(crate) struct TestStages {
    pub(crate) collected: Mutex<Vec<(String, Map<String, Value>)>>,
    pub(crate) timeout: Option<u64>,
    pub(crate) privileged: bool,
}

impl Stages for TestStages {
    fn render(&self, _: &StageName, context: &Context) -> Result<Plan, Box<dyn Error + Send + Sync>> {
        let name = &context.prefix;
        let job = ObjectRef { api_version: "batch/v1".into(), kind: "Job".into(), name: name.clone() };
        let env: Vec<_> = context
            .credentials
            .iter()
            .flat_map(|c| &c.keys)
            .map(|k| {
                let (source, name) = match &k.holder {
                    KeyHolder::Secret(name) => ("secretKeyRef", name),
                    KeyHolder::ConfigMap(name) => ("configMapKeyRef", name),
                };
                json!({"name": k.key, "valueFrom": {source: {"name": name, "key": k.key}}})
            })
            .collect();
        let mut container = json!({"name": "main", "image": "i", "args": [context.parameters["epochs"].to_string(), Value::from(context.inputs.clone()).to_string()], "env": env});
        if self.privileged {
            container["securityContext"] = json!({"privileged": true});
        }
        Ok(Plan {
            manifests: vec![
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("{name}-scripts")}, "data": {"a": "b"}}),
                json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
                    "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}}),
            ],
            targets: vec![Target {
                object: job.clone(),
                succeeded: r#"condition(object, "Complete")"#.into(),
                failed: r#"condition(object, "Failed")"#.into(),
                reason: Some("'the job says so'".into()),
                timeout_seconds: self.timeout,
            }],
            excerpts: vec![ExcerptSource { object: job, container: "main".into(), max_bytes: 1000 }],
        })
    }

    fn collect(
        &self,
        name: &StageName,
        context: &Context,
        excerpts: &[Excerpt],
    ) -> Result<Value, Box<dyn Error + Send + Sync>> {
        self.collected.lock().unwrap().push((name.to_string(), context.inputs.clone()));
        let last = excerpts[0].text.lines().last().ok_or("it printed nothing")?;
        Ok(serde_json::from_str(last)?)
    }
}

pub(crate) fn request(offers: Vec<Offer>) -> RunRequest {
    let selected: BTreeSet<_> = offers.iter().map(|o| o.name().clone()).collect();
    RunRequest {
        run: RunId::new("one").unwrap(),
        namespace: "ns".into(),
        parameters: selected.iter().map(|s| (s.clone(), parameters(1))).collect(),
        pipeline: Arc::new(Pipeline::new(offers).unwrap()),
        selected,
        credentials: BTreeMap::new(),
        config_maps: BTreeMap::new(),
        claims: ClaimOptions::default(),
        policy: Policy::default(),
        grants: Grants::everything(),
        // The preflight has tests of its own; the fake API server knows no nodes, classes or reviews.
        options: RunOptions {
            quiet: Duration::from_millis(50),
            preflight: Preflight::Skip,
            ..RunOptions::default()
        },
    }
}

pub(crate) fn parameters(epochs: u64) -> ilab_core::parameters::Resolved {
    let values = Map::from_iter([("epochs".to_owned(), json!(epochs))]);
    ilab_core::parameters::Resolved { values, sources: BTreeMap::new() }
}

/// A run under way.
pub(crate) struct Under {
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<Result<Outcome, EngineError>>,
    pub(crate) events: Arc<Mutex<Vec<Event>>>,
    pub(crate) stages: Arc<TestStages>,
}

impl Under {
    pub(crate) async fn end(self) -> (Result<Outcome, EngineError>, Vec<Event>) {
        let result =
            tokio::time::timeout(Duration::from_secs(30), self.task).await.expect("in time").unwrap();
        let events = self.events.lock().unwrap().clone();
        (result, events)
    }

    pub(crate) async fn failure(self) -> (EngineError, Vec<Event>) {
        let (result, events) = self.end().await;
        (result.unwrap_err(), events)
    }
}

pub(crate) fn start(fake: &Fake, request: RunRequest) -> Under {
    start_with(fake, request, TestStages::default())
}

pub(crate) fn start_with(fake: &Fake, request: RunRequest, stages: TestStages) -> Under {
    let (send, mut receive) = mpsc::channel(16);
    let stop = CancellationToken::new();
    let stages = Arc::new(stages);
    let events: Arc<Mutex<Vec<Event>>> = Arc::default();
    let seen = Arc::clone(&events);
    let cluster = Cluster::new(fake.client(), "ns").patience(Duration::from_secs(2));
    let runner = Runner::new(cluster, Arc::clone(&stages) as Arc<dyn Stages>, request);
    let stopped = stop.clone();
    let task = tokio::spawn(async move {
        let collect = async {
            while let Some(event) = receive.recv().await {
                seen.lock().unwrap().push(event);
            }
        };
        let (result, ()) = tokio::join!(runner.run(send, stopped), collect);
        result
    });
    Under { stop, task, events, stages }
}

pub(crate) const COMPLETE: &str = r#"{"conditions": [{"type": "Complete", "status": "True"}]}"#;
pub(crate) const FAILED: &str = r#"{"failed": 1, "conditions": [{"type": "Failed", "status": "True"}]}"#;

pub(crate) fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// A pod of the job that ended well after printing this.
pub(crate) fn pod_succeeds(fake: &Fake, job: &str, lines: &[&str]) {
    let pod = format!("{job}-pod");
    fake.log(&pod, "main", lines, true);
    let ended = json!([{"name": "main", "restartCount": 0, "state": {"terminated": {"exitCode": 0}}}]);
    fake.pod(job, &pod, json!({"phase": "Succeeded", "containerStatuses": ended}));
}

/// The job ends well, with this score.
pub(crate) fn job_succeeds(fake: &Fake, job: &str, score: u64) {
    pod_succeeds(fake, job, &["working", &format!(r#"{{"score": {score}}}"#)]);
    fake.set_status(&format!("jobs/{job}"), value(COMPLETE));
}

/// As a cluster does it when nothing is in a hurry: the pod ends, and once its log is read the job does.
pub(crate) async fn job_succeeds_after_its_pod(fake: &Fake, job: &str, score: u64) {
    pod_succeeds(fake, job, &["working", &format!(r#"{{"score": {score}}}"#)]);
    fake.until("its log", |f| f.requests().iter().any(|r| r.contains("/log?")).then_some(())).await;
    fake.set_status(&format!("jobs/{job}"), value(COMPLETE));
}

pub(crate) async fn appears(fake: &Fake, short: &str) {
    fake.until(short, |fake| fake.get(short)).await;
}

/// Ends every job well, as soon as it appears; the score is its epochs plus what it was handed.
pub(crate) fn controller(fake: &Fake) -> JoinHandle<()> {
    let fake = fake.clone();
    tokio::spawn(async move {
        loop {
            let job = fake
                .until("a job", |fake| {
                    let open = |o: &Value| o["kind"] == "Job" && o["status"].is_null();
                    fake.objects().into_values().find(open)
                })
                .await;
            let name = job["metadata"]["name"].as_str().unwrap();
            let args = &job["spec"]["template"]["spec"]["containers"][0]["args"];
            let handed: Map<String, Value> = serde_json::from_str(args[1].as_str().unwrap()).unwrap();
            let epochs: u64 = args[0].as_str().unwrap().parse().unwrap();
            let score = epochs + handed.values().map(|v| v.as_u64().unwrap()).sum::<u64>();
            job_succeeds(&fake, name, score);
        }
    })
}

pub(crate) fn record(fake: &Fake) -> ilab_core::record::RunRecord {
    let text =
        fake.get("configmaps/ilab-run-one").unwrap()["data"]["record.json"].as_str().unwrap().to_owned();
    ilab_core::record::RunRecord::from_json(&text).unwrap()
}
