//! What `rbac`, `show` and `doctor` promise, against a real API server with its admission and its own idea of RBAC.

mod common;

use common::{host, plugins};
use ilab_test_cluster::{Cluster, Identity};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

const SECRETS: [&str; 2] = ["--sdg-object-store-secret=s3", "--judge-serving-model-secret=judge"];

fn like_run(verb: &str, kubeconfig: Option<&Path>, args: &[&str]) -> Command {
    let values = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/miniature/values.yaml");
    let mut command = host();
    command.args([verb, "--plugins", plugins().to_str().unwrap()]).args(SECRETS).args(args);
    if verb != "rbac" {
        // The miniature's stages ask for no GPU; the claim waits for a volume that nobody makes.
        command.args(["--storage-class=", "--values"]).arg(values);
    }
    if let Some(kubeconfig) = kubeconfig {
        command.arg("--kubeconfig").arg(kubeconfig);
    }
    command
}

#[track_caller]
fn ended(output: Output, code: i32) -> String {
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{told}\n{}", String::from_utf8_lossy(&output.stdout));
    told
}

#[track_caller]
fn kubectl(cluster: &Cluster, args: &[&str], input: &[u8]) -> String {
    let mut child =
        cluster.kubectl().args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "kubectl {args:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn apply(cluster: &Cluster, mut printed: Command) -> String {
    let output = printed.output().unwrap();
    let text = output.stdout.clone();
    ended(output, 0);
    kubectl(cluster, &["apply", "-f", "-"], &text)
}

/// A namespace that enforces the strictest level, with the Secrets that the stages need.
async fn namespace(cluster: &Cluster) -> ilab_test_cluster::Namespace {
    cluster.install_training_operator_crd().await.unwrap();
    let namespace = cluster.namespace("inside").await.unwrap();
    let at = format!("--namespace={}", namespace.name());
    let label = ["label", "namespace", namespace.name(), "pod-security.kubernetes.io/enforce=restricted"];
    kubectl(cluster, &label, b"");
    let keys = [
        "--from-literal=bucket=b",
        "--from-literal=access_key=a",
        "--from-literal=secret_key=s",
        "--from-literal=data_key=k",
    ];
    kubectl(cluster, &[&["create", "secret", "generic", "s3", &at], &keys[..]].concat(), b"");
    let keys = [
        "--from-literal=JUDGE_API_KEY=x",
        "--from-literal=JUDGE_ENDPOINT=https://j",
        "--from-literal=JUDGE_NAME=n",
    ];
    kubectl(cluster, &[&["create", "secret", "generic", "judge", &at], &keys[..]].concat(), b"");
    namespace
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_role_that_is_printed_is_enough_for_a_run_and_no_role_is_too_little() {
    let cluster = Cluster::shared().await.unwrap();
    let namespace = namespace(cluster).await;
    let at = format!("--namespace={}", namespace.name());
    let made = apply(cluster, like_run("rbac", None, &[&at, "--run=ilab"]));
    assert_eq!(made.lines().count(), 3, "{made}");
    let nobody = cluster.kubeconfig_as(&Identity::service_account(namespace.name(), "nobody")).unwrap();
    let told = ended(like_run("doctor", Some(&nobody), &[&at]).output().unwrap(), 4);
    for part in ["you may not get pods/log", "you may not read the Secret s3", "`ilab-host rbac`"] {
        assert!(told.contains(part), "{part:?} is not in:\n{told}");
    }
    let host = cluster.kubeconfig_as(&Identity::service_account(namespace.name(), "ilab-host")).unwrap();
    let told = ended(like_run("doctor", Some(&host), &[&at]).output().unwrap(), 0);
    assert!(told.contains("that the run needs are given"), "{told}");
    for began in ["starting run ilab", "resuming run ilab"] {
        let mut run = like_run("run", Some(&host), &[&at, "--resume-if-started"]);
        let mut run = run.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut told = String::new();
        let mut lines = BufReader::new(run.stderr.take().unwrap());
        while !told.contains("sdg-data-fetch: started") {
            assert!(lines.read_line(&mut told).unwrap() > 0, "it ended:\n{told}");
        }
        assert!(told.contains(began), "{told}");
        assert!(Command::new("kill").args(["-TERM", &run.id().to_string()]).status().unwrap().success());
        assert_eq!(run.wait().unwrap().code(), Some(130));
    }
    // The same rights list and remove it.
    let mut delete = common::host();
    let output = delete.args(["runs", "delete", "ilab", &at, "--kubeconfig"]).arg(&host).output().unwrap();
    ended(output, 0);
}

/// The Job is taken as it is printed, and its pod passes the admission of the level restricted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_job_that_is_shown_is_taken_and_its_pod_is_made() {
    let cluster = Cluster::shared().await.unwrap();
    let namespace = namespace(cluster).await;
    let at = format!("--namespace={}", namespace.name());
    let made =
        apply(cluster, like_run("show", None, &[&at, "--image=example.test/host:1", "--run-as-user=1000"]));
    for kind in ["serviceaccount/", "role.", "rolebinding.", "configmap/", "job.batch/"] {
        assert!(made.contains(kind), "{kind} is not in:\n{made}");
    }
    let wait = ["wait", "--for=create", "pod", "--selector=job-name=distributed-ilab", "--timeout=60s", &at];
    kubectl(cluster, &wait, b"");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_on_a_real_server_is_a_diff_and_keeps_nothing() {
    let cluster = Cluster::shared().await.unwrap();
    let namespace = namespace(cluster).await;
    let at = format!("--namespace={}", namespace.name());
    let output = like_run("run", Some(cluster.kubeconfig()), &[&at, "--dry-run=server"]).output().unwrap();
    let diff = String::from_utf8_lossy(&output.stdout).into_owned();
    ended(output, 0);
    for object in
        ["PersistentVolumeClaim/ilab-data", "Job/ilab-sdg-data-fetch", "PyTorchJob/ilab-train-phase-1"]
    {
        assert!(diff.contains(&format!("+++ {object}")), "{object} is not in the diff");
    }
    let there = kubectl(cluster, &["get", "jobs,pvc,pytorchjobs", &at, "--output=name"], b"");
    assert_eq!(there, "");
}
