//! A run in which strangers' components take part: one beside a default stage, and one in a default stage's place.

use crate::common::plugins;
use crate::kit::{Host, PATIENCE, Place, object};
use futures::StreamExt;
use ilab_test_cluster::{Cluster, PlayedNode};
use ilab_test_support::Puppet;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::Api;
use kube::api::PostParams;
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use tokio::process::Command;
use tokio::time::timeout;

const CHECKPOINTS: &str = "/data/model/output/ilab/phase_2/hf_format";
const SECRETS: &str = "--judge-serving-model-secret=judge";

/// A stage that runs a Job and says what it always says.
fn stage(run: &str, name: &str, after: &[&str], output: (&str, Value), container: Value) -> Vec<u8> {
    let (output, value) = output;
    let descriptor = json!({
        "name": name, "summary": "A stranger's", "group": "strangers", "after": after,
        "outputs": [{"name": output, "help": "x", "schema": "{}", "sample": value.to_string()}],
        "creates": [{"api-version": "batch/v1", "kind": "Job"}],
    });
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": format!("{run}-{name}")},
        "spec": {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
    });
    let collected = json!({output: value}).to_string();
    Puppet::new(json!([descriptor])).plan(&[job]).collect(json!({"ok": collected})).build()
}

fn container(more: Value) -> Value {
    let mut container = json!({"name": "main", "image": "quay.io/strangers/eval:1", "securityContext": more});
    container["command"] = json!(["true"]);
    container
}

/// Two strangers' components and a pipeline in which they take part; one is granted what it asks for and an exemption besides.
fn write(folder: &Path, run: &str) {
    let evaluation = container(json!({"capabilities": {"add": ["IPC_LOCK"]}}));
    let after = ["train-phase-2"];
    let evaluation = stage(run, "my-eval", &after, ("share", json!(0.75)), evaluation);
    let trained = ("checkpoints-dir", json!(CHECKPOINTS));
    let training = stage(run, "train-phase-2", &[], trained, container(json!({})));
    for (place, name, component) in
        [("ours", "my-eval.wasm", &evaluation), ("theirs", "train.wasm", &training)]
    {
        fs::create_dir(folder.join(place)).unwrap();
        fs::write(folder.join(place).join(name), component).unwrap();
    }
    let mut grant = crate::common::host();
    let granted =
        grant.args(["plugin", "grant", "--write"]).arg(folder.join("ours/my-eval.wasm")).output().unwrap();
    assert!(granted.status.success(), "{}", String::from_utf8_lossy(&granted.stderr));
    let grants = folder.join("ours/grants.yaml");
    let text = fs::read_to_string(&grants).unwrap();
    let exemption = "exemptions:\n- {rule: capabilities, value: IPC_LOCK, reason: RDMA registers memory}\n";
    fs::write(&grants, format!("{text}{exemption}")).unwrap();
    let pipeline = format!(
        "apiVersion: ilab.dev/v1\nkind: Pipeline\nplugins: ['{}', ours, theirs]\nstages:\n\
         - {{name: train-phase-2, from: theirs/train.wasm}}\n- name: mt-bench\n  parameters: {{gpus: 0}}\n- name: my-eval\n",
        plugins().display()
    );
    fs::write(folder.join("pipeline.yaml"), pipeline).unwrap();
}

fn run(place: &Place<'_>, folder: &Path, name: &str, more: &[&str]) -> Command {
    let mut command = place.command(&["run", "--run", name, "--claim", "data=data", SECRETS]);
    command.arg("--pipeline").arg(folder.join("pipeline.yaml")).args(more);
    command
}

async fn place(cluster: &Cluster) -> Place<'_> {
    let place = Place::new(cluster, "strangers").await;
    let judge = json!({"metadata": {"name": "judge"}, "stringData": {
        "JUDGE_API_KEY": "x", "JUDGE_ENDPOINT": "https://judge.example.test", "JUDGE_NAME": "judge",
    }});
    let secrets: Api<Secret> = place.api();
    secrets.create(&PostParams::default(), &object(judge)).await.unwrap();
    place
}

/// The pod of this object runs on the node, prints a text, and succeeds.
async fn succeeds(place: &Place<'_>, node: &PlayedNode, object: &str, outputs: Value) {
    let pods: Api<Pod> = place.api();
    let prefix = format!("{object}-");
    let found = async {
        let mut events = std::pin::pin!(watcher(pods, watcher::Config::default()).applied_objects());
        loop {
            let pod = events.next().await.expect("the watch goes on").expect("the watch goes on");
            let name = pod.metadata.name.unwrap();
            if name.starts_with(&prefix) {
                return name;
            }
        }
    };
    let pod = timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("no pod of {object}"));
    let text = format!("it begins\nILAB_OUTPUTS {outputs}\n");
    node.takes(place.namespace.name(), &pod, &text).await.unwrap();
    place.kubelet.succeeded(&pod).await.unwrap();
}

fn scores() -> Value {
    let best = format!("{CHECKPOINTS}/samples_20");
    let score = json!({"model": best, "score": 6.5, "turn-scores": [7.0, 6.0], "error-rate": 0.0});
    json!({"best-model": best, "best-score": 6.5, "scores": [score]})
}

#[tokio::test]
async fn a_strangers_evaluation_runs_beside_mt_bench_after_a_training_that_replaces_the_default_one() {
    let cluster = Cluster::control_plane().await.unwrap();
    let place = place(&cluster).await;
    let node = cluster.played_node().await.unwrap();
    events_and_the_record_name_both(&place, &node).await;
    a_person_is_told_of_what_has_no_grant_and_of_what_is_exempted(&place, &node).await;
}

async fn events_and_the_record_name_both(place: &Place<'_>, node: &PlayedNode) {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "one");

    // What nobody has granted anything does not run, and nothing was made for it.
    let ended = Host::new(run(place, folder.path(), "one", &[])).end().await;
    ended.expect(3, &["theirs/train.wasm", "is granted nothing", "train-phase-2"]);
    assert_eq!(place.left().await, Vec::<String>::new());

    let mut host = Host::new(run(place, folder.path(), "one", &["--allow-ungranted", "-o", "json"]));
    let ungranted = host.event("ungranted", |_| true).await;
    assert_eq!(ungranted["stage"], "train-phase-2");
    assert!(ungranted["file"].as_str().unwrap().ends_with("theirs/train.wasm"), "{ungranted}");
    let exempted = host.event("exempted", |_| true).await;
    let told = ["stage", "rule", "value", "reason"].map(|field| exempted[field].as_str().unwrap());
    assert_eq!(told, ["my-eval", "capabilities", "IPC_LOCK", "RDMA registers memory"]);
    assert!(exempted["path"].as_str().unwrap().contains("capabilities"), "{exempted}");

    succeeds(place, node, "one-train-phase-2", json!({})).await;
    // Both have begun before either has ended.
    let mut begun = Vec::new();
    while begun.len() < 2 {
        let event = host.event("stage-started", |event| event["stage"] != "train-phase-2").await;
        begun.push(event["stage"].as_str().unwrap().to_owned());
    }
    begun.sort_unstable();
    assert_eq!(begun, ["mt-bench", "my-eval"]);
    succeeds(place, node, "one-my-eval", json!({})).await;
    host.event("stage-succeeded", |event| event["stage"] == "my-eval").await;
    succeeds(place, node, "one-mt-bench", scores()).await;
    let finished = host.event("run-finished", |_| true).await;
    assert_eq!(finished["succeeded"], true);
    host.end().await.expect(0, &[]);

    let record = place.record().await;
    for (stage, file, output, value) in [
        ("train-phase-2", "theirs/train.wasm", "checkpoints-dir", json!(CHECKPOINTS)),
        ("mt-bench", "plugins/mt-bench.wasm", "best-score", json!(6.5)),
        ("my-eval", "ours/my-eval.wasm", "share", json!(0.75)),
    ] {
        let said = &record["stages"][stage];
        assert_eq!((&said["state"], &said["outputs"][output]), (&json!("Succeeded"), &value), "{record}");
        let from = record["pipeline"][stage]["file"].as_str();
        assert!(from.is_some_and(|from| from.ends_with(file)), "{stage}: {record}");
    }
}

async fn a_person_is_told_of_what_has_no_grant_and_of_what_is_exempted(place: &Place<'_>, node: &PlayedNode) {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "two");
    let host = Host::new(run(place, folder.path(), "two", &["--allow-ungranted"]));
    let (ended, ..) = tokio::join!(
        host.end(),
        succeeds(place, node, "two-train-phase-2", json!({})),
        succeeds(place, node, "two-my-eval", json!({})),
        succeeds(place, node, "two-mt-bench", scores()),
    );
    ended.expect(
        0,
        &[
            "warning: train-phase-2: ",
            "theirs/train.wasm (sha256:",
            "has no grant and may do what it asks for",
            "my-eval: ",
            "IPC_LOCK by an exemption: RDMA registers memory [capabilities]",
            "mt-bench: succeeded",
            "my-eval: succeeded",
            "share = 0.75",
            "run two has succeeded",
        ],
    );
    assert_eq!(ended.stderr.matches("has no grant").count(), 1, "{}", ended.stderr);
}
