//! A pipeline file pins the stages, the components that offer them, their order and their parameters.

mod common;

use common::{host, plugins, steps};
use std::path::Path;
use std::process::Output;

fn dry_run(file: &Path, more: &[&str]) -> Output {
    let secrets = ["--sdg-object-store-secret=s3", "--judge-serving-model-secret=judge"];
    host().args(["run", "--dry-run", "--pipeline"]).arg(file).args(secrets).args(more).output().unwrap()
}

fn write(folder: &Path, stages: &str) -> std::path::PathBuf {
    let file = folder.join("pipeline.yaml");
    let plugins = plugins();
    let text = format!(
        "apiVersion: ilab.dev/v1\nkind: Pipeline\nplugins: ['{}']\nstages:\n{stages}",
        plugins.display()
    );
    std::fs::write(&file, text).unwrap();
    file
}

fn stages(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    text.lines()
        .filter_map(|line| Some(line.strip_prefix("# stage ")?.split(' ').next()?.to_owned()))
        .collect()
}

#[track_caller]
fn refused(output: &Output, code: i32, parts: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn only_what_is_listed_is_run_with_its_parameters() {
    let folder = tempfile::tempdir().unwrap();
    let file =
        write(folder.path(), "- name: sdg-data-fetch\n- {name: train-phase-1, parameters: {epochs: 3}}\n");
    assert_eq!(stages(&dry_run(&file, &[])), ["sdg-data-fetch", "train-phase-1"]);
    let epochs = |more: &[&str]| {
        let output = dry_run(&file, &[more, &["-o", "json"]].concat());
        let plans: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        plans[1]["context"]["parameters"]["epochs"].clone()
    };
    assert_eq!(epochs(&[]), 3);
    // What is given otherwise is stronger.
    assert_eq!(epochs(&["--training-1-epoch-num", "5"]), 5);
    refused(&dry_run(&file, &["upload"]), 2, &["upload"]);
    let file =
        write(folder.path(), "- name: sdg-data-fetch\n- {name: train-phase-1, parameters: {epoch: 3}}\n");
    refused(&dry_run(&file, &[]), 2, &["pipeline.yaml", "did you mean epochs?"]);
}

#[test]
fn a_stage_that_two_components_offer_is_chosen_by_file() {
    let folder = tempfile::tempdir().unwrap();
    // Another build of a default stage.
    let mut bytes = std::fs::read(plugins().join("fetch.wasm")).unwrap();
    bytes.extend([0, 3, 2, b'v', b'2']);
    std::fs::write(folder.path().join("ours.wasm"), bytes).unwrap();
    let ours = folder.path().join("ours.wasm");
    let (default, with) = (plugins(), ours.to_str().unwrap());
    let both = ["--plugins", default.to_str().unwrap(), "--plugins", with, "--allow-ungranted"];
    let file = write(folder.path(), "- name: sdg-data-fetch\n");
    refused(&dry_run(&file, &both), 2, &["fetch.wasm", "ours.wasm", "`from`"]);
    let file = write(folder.path(), "- {name: sdg-data-fetch, from: ours.wasm}\n");
    let output = dry_run(&file, &both);
    assert_eq!(stages(&output), ["sdg-data-fetch"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("ours.wasm"));
    let file = write(folder.path(), "- {name: sdg-data-fetch, from: other.wasm}\n");
    refused(&dry_run(&file, &both), 2, &["not offered by \"other.wasm\", but by"]);
    let digest = format!("sha256:{}", "0".repeat(64));
    let file =
        write(folder.path(), &format!("- {{name: sdg-data-fetch, from: ours.wasm, digest: '{digest}'}}\n"));
    refused(&dry_run(&file, &both), 3, &["is pinned to", "ours.wasm"]);
}

#[test]
fn the_list_is_an_order_and_words_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    for (text, code, parts) in [
        ("- name: train-phase-1\n- name: sdg-data-fetch\n", 2, &["stands before"][..]),
        ("- name: sdg-data-fetch\n- name: sdg-data-fetch\n", 2, &["listed twice"]),
        ("- name: sdg-data-fech\n", 2, &["did you mean sdg-data-fetch?"]),
        ("- {name: sdg-data-fetch, form: x}\n", 2, &["stages[0]", "did you mean from?", "valid: name, from"]),
        (" []\n", 2, &["stages is empty"]),
        ("- name: train-phase-2\n", 2, &["train-phase-1", "left out"]),
    ] {
        let file = write(folder.path(), text);
        refused(&dry_run(&file, &[]), code, parts);
    }
    refused(&dry_run(Path::new("/nowhere.yaml"), &[]), 2, &["/nowhere.yaml"]);
    // A custom stage between default ones.
    let file = write(folder.path(), "- name: sdg-data-fetch\n- name: step-1\n  after: [sdg-data-fetch]\n");
    let (default, custom) = (plugins(), steps());
    let both = ["--plugins", default.to_str().unwrap(), "--plugins", custom.to_str().unwrap()];
    assert_eq!(stages(&dry_run(&file, &both)), ["sdg-data-fetch", "step-1"]);
}
