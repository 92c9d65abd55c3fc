//! Bad input gets its line, its hint and its exit code, and changes nothing.

mod common;

use common::{host, plugins};
use std::process::Output;

fn run(args: &[&str]) -> Output {
    let plugins = plugins();
    let mut all = vec!["run", "--plugins", plugins.to_str().unwrap()];
    all.extend(args);
    host().args(all).output().unwrap()
}

const SECRETS: [&str; 4] = ["--sdg-object-store-secret", "s3", "--judge-serving-model-secret", "judge"];

fn with_secrets(args: &[&str]) -> Output {
    run(&[&SECRETS[..], args].concat())
}

#[track_caller]
fn refused(output: &Output, code: i32, parts: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(output.stdout.is_empty(), "data was printed: {}", String::from_utf8_lossy(&output.stdout));
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

#[test]
fn folders_without_components_and_files_that_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    refused(
        &host().args(["run", "--plugins", path]).output().unwrap(),
        3,
        &["no stage plugins here", "make plugins"],
    );
    std::fs::write(folder.path().join("x.wasm"), b"no wasm").unwrap();
    refused(
        &host().args(["run", "--plugins", path]).output().unwrap(),
        3,
        &["x.wasm", "not a WebAssembly component"],
    );
}

#[test]
fn two_components_with_one_stage_are_named_both() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.wasm", "b.wasm"] {
        std::fs::copy(plugins().join("upload.wasm"), folder.path().join(name)).unwrap();
    }
    let output = host().args(["run", "--plugins", folder.path().to_str().unwrap()]).output().unwrap();
    refused(&output, 3, &["upload-trained-model", "a.wasm", "b.wasm"]);
}

#[test]
fn unknown_names_get_the_nearest() {
    refused(&with_secrets(&["--dry-run", "--set", "train-phase-1.epoch=3"]), 2, &["did you mean epochs?"]);
    refused(
        &with_secrets(&["--dry-run", "--set", "train-phase1.epochs=3"]),
        2,
        &["did you mean train-phase-1?"],
    );
    refused(&with_secrets(&["--dry-run", "--training-1-epoch-nun", "3"]), 2, &["--training-1-epoch-num"]);
}

#[test]
fn values_out_of_range_are_all_said_at_once() {
    let output = with_secrets(&["--dry-run", "--training-1-epoch-num", "0", "--training-2-epoch-num=-3"]);
    refused(&output, 2, &["train-phase-1.epochs", "train-phase-2.epochs", "less than the minimum of 1"]);
}

#[test]
fn missing_credentials_are_all_said_at_once() {
    let output = run(&["--dry-run"]);
    refused(
        &output,
        2,
        &[
            "--sdg-object-store-bucket",
            "--sdg-object-store-data-key",
            "--judge-serving-model-name",
            "--judge-serving-model-secret",
        ],
    );
}

#[test]
fn the_judge_is_only_asked_for_by_an_evaluation() {
    let output = run(&["--dry-run", "sdg-data-fetch", "--sdg-object-store-secret", "s3"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    refused(&run(&["--dry-run", "evaluation"]), 2, &["--judge-serving-model-endpoint"]);
}

#[test]
fn a_secret_and_values_exclude_each_other() {
    let output = with_secrets(&["--dry-run", "--sdg-object-store-bucket", "b"]);
    refused(&output, 2, &["--sdg-object-store-secret s3 and --sdg-object-store-bucket exclude each other"]);
}

#[test]
fn endpoints_need_a_scheme() {
    let values = |endpoint| {
        run(&[
            "--dry-run",
            "--sdg-object-store-bucket=b",
            "--sdg-object-store-access-key=a",
            "--sdg-object-store-secret-key=s",
            "--sdg-object-store-data-key=k",
            "--sdg-object-store-endpoint",
            endpoint,
            "sdg-data-fetch",
        ])
    };
    refused(&values("s3.example.com"), 2, &["has no scheme"]);
    refused(&values("http://"), 2, &["has no host"]);
    assert_eq!(values("http://s3:9000").status.code(), Some(0));
}

#[test]
fn retired_options_are_answered() {
    refused(&with_secrets(&["sdg"]), 2, &["`run sdg`", "data upload"]);
    refused(&with_secrets(&["--taxonomy-repo-url", "x"]), 2, &["--taxonomy-repo-url belonged to `run sdg`"]);
}

#[test]
fn selectors_take_only_what_there_is() {
    refused(&with_secrets(&["train", "--training-phase", "3"]), 2, &["[possible values: 1, 2]"]);
    refused(&with_secrets(&["--training-phase", "1"]), 2, &["--training-phase"]);
}

#[test]
fn no_cluster_is_one_line_that_names_local() {
    let output = with_secrets(&[]);
    refused(&output, 4, &["no cluster", "--local"]);
    assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 2);
    refused(&with_secrets(&["--kubeconfig", "/nowhere"]), 4, &["/nowhere"]);
}

/// The port is one that nobody listens on.
#[test]
fn an_api_server_that_does_not_answer_is_one_finding() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    let text = "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
        clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\n\
        users: [{name: u, user: {}}]\n\
        contexts: [{name: c, context: {cluster: c, user: u}}]\n";
    std::fs::write(&config, text).unwrap();
    let plugins = plugins();
    let doctor = |args: &[&str]| {
        let mut command = host();
        command.args(["doctor", "--plugins", plugins.to_str().unwrap(), "--kubeconfig"]).arg(&config);
        command.args(SECRETS).args(args).output().unwrap()
    };
    let output = doctor(&[]);
    refused(&output, 4, &["error    server", "does not answer", "try: check that the cluster is up"]);
    assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 3);
    let output = doctor(&["-o", "json"]);
    let findings: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), findings.as_array().unwrap().len()), (Some(4), 1));
    refused(&doctor(&["--preflight=skip"]), 2, &["--preflight means nothing"]);
    refused(&doctor(&["--dry-run"]), 2, &["--dry-run means nothing"]);
}

#[test]
fn b27_help_needs_no_cluster_and_no_components() {
    for args in [&["--help"][..], &["run", "--help"], &["data", "upload", "--help"], &["version"]] {
        let output = host().args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(!output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn a_broken_values_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("v.yaml");
    let path = file.to_str().unwrap().to_owned();
    for (text, part) in [
        ("apiVersion: ilab.dev/v1\nstage: {}\n", "stages"),
        ("apiVersion: ilab.dev/v9\n", "ilab.dev/v1"),
        ("a: [", "v.yaml"),
    ] {
        std::fs::write(&file, text).unwrap();
        refused(&with_secrets(&["--dry-run", "--values", &path]), 2, &["v.yaml", part]);
    }
    refused(&with_secrets(&["--dry-run", "--values", "/nowhere.yaml"]), 2, &["/nowhere.yaml"]);
}
