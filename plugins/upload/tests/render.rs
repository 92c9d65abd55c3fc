//! What `upload-trained-model` renders; tests named after defects of the reference (`b3` …) prove that they are gone.

use ilab_stage_sdk::testkit::{Sample, accepted, bad_inputs, golden};
use ilab_stage_sdk::{KeyHolder, testkit};
use ilab_stage_upload::Upload;
use serde_json::{Value, json};

const BEST: &str = "/data/model/output/ilab/phase_2/hf_format/samples_7200";

fn sample() -> Sample<'static> {
    Sample::of(&Upload).input("mt-bench.best-model", BEST)
}

fn container(sample: &Sample<'_>) -> Value {
    sample.object("Job")["spec"]["template"]["spec"]["containers"][0].clone()
}

#[test]
fn renders_what_the_golden_file_says_and_the_host_accepts_it() {
    golden("tests/golden/default.yaml", &sample().yaml());
    accepted(&Upload, &sample());
    testkit::check_descriptor(&Upload);
}

#[test]
fn bad_input_is_refused_with_a_reason() {
    bad_inputs("tests/bad", &Upload, &Sample::of(&Upload));
}

#[test]
fn b3_every_reference_to_the_credential_has_a_name() {
    let env =
        container(&sample().bind("object-store", "bucket", KeyHolder::Secret("given".into())))["env"].clone();
    let references: Vec<&Value> = env.as_array().unwrap().iter().filter_map(|v| v.get("valueFrom")).collect();
    assert_eq!(references.len(), 7);
    assert!(
        references.iter().all(|r| r["secretKeyRef"]["name"].as_str().is_some_and(|name| !name.is_empty()))
    );
    assert!(references.iter().any(|r| r["secretKeyRef"]["name"] == "given"));
    // Without a credential there is nothing to render, rather than a Job with a hole in it.
    let error = sample().unbind("object-store", "secret_key").try_render().unwrap_err();
    assert_eq!(error.to_string(), "credential object-store has no key secret_key");
}

#[test]
fn b14_the_checkpoint_that_the_evaluation_chose_is_uploaded() {
    let command = container(&sample())["command"].clone();
    let words = command.as_array().unwrap();
    // Read from where training left it, and named in the archive alone: nothing on the claim is renamed.
    assert_eq!(
        words.last().unwrap(),
        "model/output/ilab/phase_2/hf_format/samples_7200=model/output/phase_2/hf_format/candidate_model"
    );
}

#[test]
fn b17_the_data_key_is_never_part_of_a_path() {
    // A key like `team/data.tar.gz` is only ever read by ilab-host: no file is named after it.
    let env = container(&sample())["env"].clone();
    let key =
        env.as_array().unwrap().iter().find(|v| v["name"] == "SDG_OBJECT_STORE_DATA_KEY").unwrap().clone();
    assert_eq!(key["valueFrom"]["secretKeyRef"]["key"], "data_key");
    assert!(!container(&sample())["command"].to_string().contains("DATA_KEY"));
}

#[test]
fn b18_the_upload_needs_neither_shell_nor_python() {
    let container = container(&sample());
    assert_eq!(container["command"][0], "ilab-host");
    assert!(container.get("args").is_none());
}

#[test]
fn outputs_are_what_was_uploaded() {
    let outputs =
        sample().collect(&["ILAB_OUTPUTS {\"key\": \"a/b\", \"bytes\": 5, \"sha256\": \"cd\"}"]).unwrap();
    assert_eq!(Value::Object(outputs), json!({"key": "a/b", "bytes": 5, "sha256": "cd"}));
}
