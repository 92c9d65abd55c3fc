//! `rbac` and `show`: what they print is for kubectl, says no secret, and does inside the cluster what was asked here.

mod common;

use common::{golden, host, plugins};
use serde_json::Value;
use std::process::{Command, Output};

const SECRETS: [&str; 2] = ["--sdg-object-store-secret=s3", "--judge-serving-model-secret=judge"];

fn ask(verb: &str, args: &[&str]) -> Command {
    let mut command = host();
    command.args([verb, "--plugins", plugins().to_str().unwrap()]).args(args);
    command
}

#[track_caller]
fn printed(output: Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn refused(output: &Output, parts: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(output.stdout.is_empty(), "data was printed: {}", String::from_utf8_lossy(&output.stdout));
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

fn show(args: &[&str]) -> Output {
    ask("show", &[&["--image=quay.io/team/host:1"], &SECRETS[..], args].concat()).output().unwrap()
}

fn documents(text: &str) -> Vec<Value> {
    let all = text.split("---\n").skip(1);
    all.map(|d| serde_saphyr::from_str(d).unwrap_or_else(|e| panic!("{e}\n{d}"))).collect()
}

/// The Job that is shown, and what its host is called with.
#[track_caller]
fn job(args: &[&str]) -> (Value, Vec<String>) {
    let documents = documents(&printed(show(args)));
    let job = documents.into_iter().find(|d| d["kind"] == "Job").unwrap();
    let words = job.pointer("/spec/template/spec/containers/0/args").unwrap().as_array().unwrap();
    let words = words.iter().map(|w| w.as_str().expect("a text").to_owned()).collect();
    (job, words)
}

#[test]
fn rbac_prints_what_the_golden_files_say() {
    golden(
        "rbac-one-run.yaml",
        &printed(ask("rbac", &[&["--run=ilab", "--namespace=ml"], &SECRETS[..]].concat()).output().unwrap()),
    );
    let output = ask("rbac", &["train"]).output().unwrap();
    golden("rbac-train.yaml", &printed(output));
}

#[test]
fn rbac_gives_nothing_beyond_the_namespace_and_no_wildcard() {
    let output = ask("rbac", &["-o", "json"]).output().unwrap();
    let note = String::from_utf8_lossy(&output.stderr).into_owned();
    // Wide only where nothing was said, and then it is told.
    assert!(
        note.contains("--sdg-object-store-secret, ") || note.contains("--sdg-object-store-secret)"),
        "{note}"
    );
    let list: Value = serde_json::from_str(&printed(output)).unwrap();
    let kinds: Vec<_> =
        list["items"].as_array().unwrap().iter().map(|o| o["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["ServiceAccount", "Role", "RoleBinding"]);
    assert!(!list.to_string().contains('*'));
}

#[test]
fn rbac_knows_its_groups_and_names() {
    refused(&ask("rbac", &["trian"]).output().unwrap(), &["trian", "did you mean train?"]);
    refused(
        &ask("rbac", &["--service-account", "A b"]).output().unwrap(),
        &["service account", "lower-case"],
    );
    refused(&ask("rbac", &["--namespace", "a.b"]).output().unwrap(), &["namespace"]);
    refused(&ask("rbac", &["--run=-x-"]).output().unwrap(), &["run name", "-x-"]);
}

#[test]
fn show_prints_what_the_golden_file_says() {
    let folder = tempfile::tempdir().unwrap();
    let values = folder.path().join("v.yaml");
    std::fs::write(&values, "apiVersion: ilab.dev/v1\nstages:\n  train-phase-1: {epochs: 3}\n").unwrap();
    let output = show(&[
        "--namespace=ml",
        "--run=first",
        "--nproc-per-node=4",
        "--storage-class=nfs",
        "--require-digests",
        "--run-as-user=1000",
        "--set=sdg-data-fetch.image=quay.io/a/b@sha256:0123456789012345678901234567890123456789012345678901234567890123",
        &format!("--values={}", values.display()),
    ]);
    // Digests are demanded, and the defaults have some without: that is told before a pod would find out.
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let output = show(&[
        "--namespace=ml",
        "--run=first",
        "--nproc-per-node=4",
        "--storage-class=nfs",
        "--run-as-user=1000",
        &format!("--values={}", values.display()),
    ]);
    golden("show.yaml", &printed(output));
}

#[test]
fn an_account_that_exists_is_used_and_not_printed() {
    let text = printed(show(&["--service-account=trainer"]));
    let kinds: Vec<_> = documents(&text).iter().map(|d| d["kind"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds, ["Job"]);
    let (job, _) = job(&["--service-account=trainer"]);
    assert_eq!(job["spec"]["template"]["spec"]["serviceAccountName"], "trainer");
}

/// What is given here is what the host in the pod is given: its own dry run prints the same as this one's.
#[test]
fn the_job_runs_what_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let values = folder.path().join("v.yaml");
    std::fs::write(&values, "apiVersion: ilab.dev/v1\nstages:\n  train-phase-2: {epochs: 3}\n").unwrap();
    let here = format!("--values={}", values.display());
    let asked = [
        "train",
        "--training-phase=2",
        "--namespace=ml",
        "--run=first",
        "--nproc-per-node=4",
        "--set=train-phase-2.workers=3",
        &here,
    ];
    let (_, words) = job(&asked);
    let words: Vec<String> = words
        .into_iter()
        .filter(|w| w != "--resume-if-started")
        .map(|w| match w.split_once('=') {
            Some(("--plugins", inside)) => {
                assert_eq!(inside, "/plugins");
                format!("--plugins={}", plugins().display())
            }
            Some(("--values", inside)) => {
                assert_eq!(inside, "/etc/ilab-host/values.yaml");
                here.clone()
            }
            _ => w,
        })
        .chain(["--dry-run".to_owned()])
        .collect();
    let inside = printed(host().args(&words).output().unwrap());
    let direct = printed(ask("run", &[&asked[..], &SECRETS[..], &["--dry-run"]].concat()).output().unwrap());
    assert_eq!(inside, direct);
    assert!(direct.contains("name: first-train-phase-2"), "{direct}");
}

#[test]
fn what_the_environment_decided_here_is_decided_there_too() {
    let mut command = ask("show", &["--image=i", "--judge-serving-model-secret=judge"]);
    command.env("SDG_OBJECT_STORE_SECRET", "from-env");
    let text = printed(command.output().unwrap());
    assert!(text.contains("--sdg-object-store-secret=from-env"), "{text}");
}

/// In the reference's YAML a namespace of digits became a number.
#[test]
fn names_of_digits_stay_texts() {
    let (job, words) = job(&["--namespace=123", "--name=456"]);
    assert_eq!(job["metadata"]["namespace"], "123");
    assert_eq!(job["metadata"]["name"], "456");
    assert!(words.contains(&"--namespace=123".to_owned()));
}

#[test]
fn names_that_kubernetes_would_refuse_are_refused_here() {
    refused(&show(&["--name=a: b"]), &["Job", "a: b"]);
    refused(&show(&["--namespace=Team A"]), &["namespace"]);
    refused(&show(&["--service-account=x_y"]), &["service account"]);
    refused(
        &ask("show", &[&["--image=i: x"], &SECRETS[..]].concat()).output().unwrap(),
        &["--image", "not the name of an image"],
    );
    refused(&ask("show", &SECRETS).output().unwrap(), &["--image is missing"]);
    refused(&show(&["--run-as-user=0"]), &["--run-as-user"]);
}

#[test]
fn values_of_credentials_never_become_arguments() {
    let output = ask(
        "show",
        &["--image=i", "--sdg-object-store-bucket=b", "--judge-serving-model-api-key=sk-nowhere"],
    )
    .output()
    .unwrap();
    refused(
        &output,
        &[
            "--sdg-object-store-bucket",
            "--judge-serving-model-api-key",
            "for everybody to read",
            "create a Secret",
            "--judge-serving-model-secret",
        ],
    );
    assert!(!String::from_utf8_lossy(&output.stderr).contains("sk-nowhere"));
    // Also not those that no selected stage needs and that only the environment has.
    let mut command = ask("show", &["--image=i", "-o", "json", "train"]);
    command
        .env("SDG_OBJECT_STORE_SECRET_KEY", "hunter2-nowhere")
        .env("JUDGE_SERVING_MODEL_API_KEY", "sk-nowhere");
    assert!(!printed(command.output().unwrap()).contains("nowhere"));
}

#[test]
fn options_that_mean_nothing_inside_a_cluster_are_answered() {
    refused(&show(&["--local"]), &["--local means nothing"]);
    refused(&show(&["--context=x"]), &["--context means nothing", "kubectl --context"]);
    refused(&show(&["--dry-run"]), &["--dry-run means nothing"]);
    refused(&show(&["--resume=x"]), &["--resume is not needed"]);
    refused(&show(&["--script-configmap=x"]), &["--script-configmap", "--image"]);
    refused(&show(&["--args=--nproc-per-node", "--args=4"]), &["--args is not needed"]);
}

/// The Job meets the strictest of the Pod Security Standards: only what the host itself needs of the API remains.
#[test]
fn the_pod_meets_the_level_restricted() {
    use ilab_core::contract::Kind;
    use ilab_core::guard::{Grant, Level, Policy};
    use ilab_core::names::{PluginDigest, StageName};
    let (job, _) = job(&["--run-as-user=1000"]);
    let grant = Grant {
        stage: StageName::new("host").unwrap(),
        digest: PluginDigest::of(b""),
        namespace: "default".into(),
        prefix: "distributed-ilab".into(),
        creates: vec![Kind { api_version: "batch/v1".into(), kind: "Job".into() }],
        secrets: Default::default(),
        config_maps: Default::default(),
        claims: Default::default(),
        bounds: Default::default(),
    };
    let policy = Policy { level: Level::Restricted, ..Policy::default() };
    let rules: Vec<_> = policy.check(&job, &grant).into_iter().map(|v| v.rule).collect();
    assert_eq!(rules, ["token-automount", "service-account"], "{rules:?}");
}
