//! The same run against the embedded cluster's API server: no fake, but the test plays node and controllers.

mod kit;

use ilab_cluster::Cluster;
use ilab_engine::*;
use ilab_local::{LocalCluster, LocalOptions};
use kit::*;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

fn api(client: &kube::Client, api_version: &str, kind: &str, plural: &str) -> Api<DynamicObject> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = ApiResource {
        group: group.into(),
        version: version.into(),
        api_version: api_version.into(),
        kind: kind.into(),
        plural: plural.into(),
    };
    Api::namespaced_with(client.clone(), "default", &resource)
}

/// One pod of a job, ended well after printing its score; then the job is complete.
async fn play(client: &kube::Client, state: &Path, job: &str, score: u64) {
    let jobs = api(client, "batch/v1", "Job", "jobs");
    let found = loop {
        match jobs.get_opt(job).await.unwrap() {
            Some(found) => break found,
            None => tokio::task::yield_now().await,
        }
    };
    let found = serde_json::to_value(&found).unwrap();
    let mut template = found["spec"]["template"].clone();
    template["metadata"]["name"] = format!("{job}-pod").into();
    template["metadata"]["ownerReferences"] = json!([{"apiVersion": "batch/v1", "kind": "Job", "name": job,
        "uid": found["metadata"]["uid"], "controller": true}]);
    template["apiVersion"] = "v1".into();
    template["kind"] = "Pod".into();
    let pods = api(client, "v1", "Pod", "pods");
    let pod = pods.create(&PostParams::default(), &serde_json::from_value(template).unwrap()).await.unwrap();
    let log = state.join("pods").join(pod.metadata.uid.unwrap()).join("containers/main/0");
    std::fs::create_dir_all(&log).unwrap();
    std::fs::write(log.join("log"), format!("working\n{{\"score\": {score}}}\n")).unwrap();
    std::fs::write(log.join("exit"), "0").unwrap();
    let ended = json!([{"name": "main", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": 0}}}]);
    let status = |status: Value| Patch::Merge(json!({"status": status}));
    let params = PatchParams::default();
    let ended = status(json!({"phase": "Succeeded", "containerStatuses": ended}));
    pods.patch_status(&format!("{job}-pod"), &params, &ended).await.unwrap();
    let complete = json!({"conditions": [{"type": "Complete", "status": "True"}], "succeeded": 1});
    jobs.patch_status(job, &params, &status(complete)).await.unwrap();
}

async fn run(cluster: &LocalCluster, request: RunRequest) -> (Result<Outcome, EngineError>, Vec<Event>) {
    let (send, mut receive) = mpsc::channel(16);
    let stages: Arc<dyn Stages> = Arc::new(TestStages::default());
    let runner = Runner::new(Cluster::new(cluster.client(), "default"), stages, request);
    let collect = async {
        let mut events = Vec::new();
        while let Some(event) = receive.recv().await {
            events.push(event);
        }
        events
    };
    tokio::join!(runner.run(send, CancellationToken::new()), collect)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_run_that_works_against_the_fake_works_against_the_embedded_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = LocalCluster::open(LocalOptions::new(folder.path())).await.unwrap();
    let (client, state) = (cluster.client(), folder.path().to_owned());
    let node = tokio::spawn(async move {
        play(&client, &state, "one-fetch", 1).await;
        play(&client, &state, "one-train", 5).await;
    });
    let asked = request(vec![offer("fetch", &[]), offer("train", &["fetch"])]);
    let (result, events) = run(&cluster, asked.clone()).await;
    node.await.unwrap();
    let Outcome::Finished { outputs } = result.unwrap() else { panic!() };
    assert_eq!(outputs[&stage("train")]["score"], 5);
    let lines: Vec<_> = events.iter().filter(|e| matches!(e, Event::LogLine { .. })).collect();
    assert_eq!(lines.len(), 4, "{events:#?}");
    // Everything belongs to the record, and a second look runs nothing again.
    let jobs = api(&cluster.client(), "batch/v1", "Job", "jobs");
    let all = jobs.list(&ListParams::default().labels("ilab.dev/run=one")).await.unwrap();
    assert_eq!(all.items.len(), 2);
    assert!(
        all.items.iter().all(|job| job.metadata.owner_references.as_ref().unwrap()[0].name == "ilab-run-one")
    );
    let mut again = asked;
    again.options.resume = Resume::Always;
    let (result, events) = run(&cluster, again).await;
    result.unwrap();
    assert_eq!(events.iter().filter(|e| matches!(e, Event::StageReused { .. })).count(), 2);
    cluster.shutdown().await.unwrap();
}
