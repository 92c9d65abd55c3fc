//! A dry run prints everything, secret values never, and opens no socket.

mod common;

use common::{cache, host, plugins};
use std::process::{Command, Output};

fn dry_run(args: &[&str]) -> Output {
    let plugins = plugins();
    let output = host()
        .args(["run", "--plugins", plugins.to_str().unwrap(), "--dry-run"])
        .args(args)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

const LITERAL: [&str; 8] = [
    "--sdg-object-store-bucket=b",
    "--sdg-object-store-access-key=AKIA-visible-nowhere",
    "--sdg-object-store-secret-key=hunter2-visible-nowhere",
    "--sdg-object-store-data-key=k",
    "--sdg-object-store-endpoint=https://s3.example.com",
    "--judge-serving-model-endpoint=https://judge.example.com/v1",
    "--judge-serving-model-name=judge",
    "--judge-serving-model-api-key=sk-visible-nowhere",
];

#[test]
fn the_six_stages_come_in_order_as_documents_that_parse() {
    let output = dry_run(&LITERAL);
    let text = String::from_utf8(output.stdout).unwrap();
    let stages: Vec<_> = text.lines().filter_map(|l| l.strip_prefix("# stage ")?.split(' ').next()).collect();
    assert_eq!(
        stages,
        [
            "sdg-data-fetch",
            "train-phase-1",
            "train-phase-2",
            "mt-bench",
            "final-eval",
            "upload-trained-model"
        ]
    );
    let documents: Vec<serde_json::Value> = text
        .split("\n---\n")
        .skip(1)
        .map(|document| serde_saphyr::from_str(document).unwrap_or_else(|e| panic!("{e}\n{document}")))
        .collect();
    let kinds: Vec<_> = documents.iter().map(|d| d["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.iter().filter(|k| **k == "Job").count(), 4);
    assert_eq!(kinds.iter().filter(|k| **k == "PyTorchJob").count(), 2);
    for document in &documents {
        assert!(document["metadata"]["name"].as_str().unwrap().starts_with("ilab-"));
    }
}

#[test]
fn b21_secret_values_are_never_printed() {
    for format in [&[][..], &["-o", "json"]] {
        let output = dry_run(&[&LITERAL[..], format].concat());
        for stream in [&output.stdout, &output.stderr] {
            assert!(!String::from_utf8_lossy(stream).contains("visible-nowhere"));
        }
    }
}

#[test]
fn the_same_request_prints_the_same() {
    assert_eq!(dry_run(&LITERAL).stdout, dry_run(&LITERAL).stdout);
}

#[test]
fn options_are_taken_before_and_after_the_group() {
    let before = dry_run(&["--training-phase", "2", "--training-2-epoch-num", "4", "train"]);
    let after = dry_run(&["train", "--training-phase", "2", "--training-2-epoch-num", "4"]);
    assert_eq!(before.stdout, after.stdout);
    let text = String::from_utf8(after.stdout).unwrap();
    assert_eq!(text.matches("# stage ").count(), 1);
    assert!(text.contains("--num_epochs=4") || text.contains("- '4'") || text.contains("- \"4\""), "{text}");
}

#[test]
fn no_socket_is_ever_opened() {
    // The kernel itself is asked: with sockets forbidden by a tracer the run would fail; without strace it is skipped by name.
    let strace = Command::new("strace").arg("-V").output().is_ok();
    assert!(strace, "strace is missing; try: make setup");
    let plugins = plugins();
    let trace = tempfile::NamedTempFile::new().unwrap();
    let status = Command::new("strace")
        .args(["-f", "-e", "trace=socket,connect,socketpair", "-o"])
        .arg(trace.path())
        .arg(env!("CARGO_BIN_EXE_ilab-host"))
        .args(["run", "--plugins", plugins.to_str().unwrap(), "--dry-run"])
        .args(LITERAL)
        .env("XDG_CACHE_HOME", cache())
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let calls = std::fs::read_to_string(trace.path()).unwrap();
    let sockets: Vec<_> = calls.lines().filter(|l| l.contains("AF_INET") || l.contains("socket(")).collect();
    assert!(sockets.is_empty(), "{sockets:#?}");
}

/// What phase 1 and phase 2 start from, by a dry run with these options.
fn bases(args: &[&str]) -> Vec<String> {
    let output = dry_run(&[&LITERAL[..], args].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    let mut words = text.lines().map(|line| line.trim().trim_start_matches("- "));
    let mut found = Vec::new();
    while words.any(|word| word == "--base-model") {
        found.push(words.next().unwrap().to_owned());
    }
    found.dedup();
    found
}

#[test]
fn b15_the_model_to_train_of_a_whole_run_is_phase_1s() {
    let given = bases(&["--model-to-train", "/data/granite"]);
    assert_eq!(given[0], "/data/granite");
    assert!(given[1].contains("/phase_1/"), "phase 2 goes on from phase 1: {given:?}");
    let alone = bases(&["train", "--training-phase", "2", "--model-to-train", "/data/granite"]);
    assert_eq!(alone, ["/data/granite"]);
}

#[test]
fn certificates_are_read_from_the_config_maps_that_were_named() {
    let output = dry_run(
        &[
            &LITERAL[..],
            &["--judge-serving-model-ca-cert=judge-ca", "--sdg-object-store-ca-cert=store-ca"],
            &["--sdg-object-store-ca-cert-cm-key=service-ca.crt"],
        ]
        .concat(),
    );
    let text = String::from_utf8(output.stdout).unwrap();
    // Two evaluations ask the judge; fetch and upload use the object store.
    for path in ["/etc/ilab/judge-ca/ca-bundle.crt", "/etc/ilab/object-store-ca/service-ca.crt"] {
        assert_eq!(text.matches(&format!("value: {path}")).count(), 2, "{path}");
    }
}
