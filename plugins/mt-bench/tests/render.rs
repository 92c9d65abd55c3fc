//! What `mt-bench` renders; tests named after defects of the reference (`b2` …) prove that they are gone.

use ilab_stage_mt_bench::{MtBench, SCRIPTS};
use ilab_stage_sdk::KeyHolder;
use ilab_stage_sdk::testkit::{Sample, accepted, bad_inputs, golden, scripts_complete};
use serde_json::{Value, json};

const FOLDER: &str = "/data/model/output/ilab/phase_2/hf_format";

fn sample() -> Sample<'static> {
    Sample::of(&MtBench)
        .unbind("judge", "JUDGE_CA_CERT_CM_KEY")
        .input("train-phase-2.checkpoints-dir", FOLDER)
}

fn pod(sample: &Sample<'_>) -> Value {
    sample.object("Job")["spec"]["template"]["spec"].clone()
}

fn evaluation(sample: &Sample<'_>) -> Value {
    pod(sample)["initContainers"][0].clone()
}

fn variable(sample: &Sample<'_>, name: &str) -> Value {
    let env = evaluation(sample)["env"].clone();
    env.as_array().unwrap().iter().find(|variable| variable["name"] == name).cloned().unwrap_or_default()
}

fn words(sample: &Sample<'_>) -> Vec<String> {
    evaluation(sample)["command"]
        .as_array()
        .unwrap()
        .iter()
        .map(|word| word.as_str().unwrap().into())
        .collect()
}

fn after(words: &[String], flag: &str) -> Option<String> {
    words.iter().position(|word| word == flag).and_then(|at| words.get(at + 1)).cloned()
}

fn with_ca() -> Sample<'static> {
    sample().bind("judge", "JUDGE_CA_CERT", KeyHolder::ConfigMap("service-ca".into()))
}

#[test]
fn renders_what_the_golden_files_say() {
    golden("tests/golden/default.yaml", &sample().yaml());
    golden("tests/golden/no-gpu.yaml", &sample().set("gpus", 0).yaml());
    golden("tests/golden/queue.yaml", &sample().set("queue-name", "user-queue").yaml());
    let config_map = KeyHolder::ConfigMap("judge-serving-details".into());
    let split =
        with_ca().bind("judge", "JUDGE_ENDPOINT", config_map.clone()).bind("judge", "JUDGE_NAME", config_map);
    golden("tests/golden/judge-in-config-map.yaml", &split.yaml());
}

#[test]
fn the_host_accepts_it_at_its_strictest() {
    accepted(&MtBench, &sample());
    accepted(&MtBench, &sample().set("gpus", 0).set("server-args", json!(["--max-model-len=4096"])));
    accepted(&MtBench, &with_ca());
}

#[test]
fn bad_input_is_refused_with_a_reason() {
    bad_inputs("tests/bad", &MtBench, &Sample::of(&MtBench));
}

#[test]
fn every_module_that_a_script_imports_is_shipped() {
    scripts_complete(SCRIPTS, "mt_bench.py", &["scripts", "../scripts"]);
}

#[test]
fn b2_the_judge_is_read_from_whatever_holds_it() {
    let sample = sample().bind("judge", "JUDGE_API_KEY", KeyHolder::Secret("my-judge".into())).bind(
        "judge",
        "JUDGE_NAME",
        KeyHolder::ConfigMap("details".into()),
    );
    assert_eq!(
        variable(&sample, "JUDGE_API_KEY")["valueFrom"],
        json!({"secretKeyRef": {"key": "JUDGE_API_KEY", "name": "my-judge"}})
    );
    assert_eq!(
        variable(&sample, "JUDGE_NAME")["valueFrom"],
        json!({"configMapKeyRef": {"key": "JUDGE_NAME", "name": "details"}})
    );
    assert!(evaluation(&sample).get("envFrom").is_none());
}

#[test]
fn b14_the_best_is_read_from_the_outputs_and_no_folder_is_renamed() {
    let command = words(&sample());
    assert_eq!(after(&command, "--checkpoints-dir").as_deref(), Some(FOLDER));
    assert_eq!(pod(&sample())["containers"][0]["command"], json!(["cat", "/data/ilab/mt-bench.outputs"]));
    assert!(!sample().yaml().contains("candidate_model"));
}

#[test]
fn b16_the_number_of_gpus_reaches_resources_and_model_server() {
    for (nproc, gpus, expected) in [(1, -1, "1"), (4, -1, "4"), (4, 2, "2")] {
        let sample = sample().set("nproc-per-node", nproc).set("gpus", gpus);
        let resources = &evaluation(&sample)["resources"];
        assert_eq!(resources["limits"]["nvidia.com/gpu"], expected);
        assert_eq!(resources["requests"]["nvidia.com/gpu"], expected);
        assert_eq!(after(&words(&sample), "--gpus").as_deref(), Some(expected));
    }
    let none = sample().set("nproc-per-node", 4).set("gpus", 0);
    assert!(!evaluation(&none)["resources"].to_string().contains("gpu"));
    assert_eq!(after(&words(&none), "--gpus").as_deref(), Some("0"));
}

#[test]
fn b23_memory_and_shared_memory_are_asked_for() {
    let sample = sample();
    assert_eq!(evaluation(&sample)["resources"]["requests"]["memory"], "16Gi");
    let volumes = pod(&sample)["volumes"].clone();
    let shm = volumes.as_array().unwrap().iter().find(|volume| volume["name"] == "shm").unwrap();
    assert_eq!(shm["emptyDir"], json!({"medium": "Memory", "sizeLimit": "8Gi"}));
}

#[test]
fn b24_the_log_that_is_read_is_that_of_this_job_and_container() {
    let excerpts = sample().render().excerpts;
    assert_eq!(excerpts.len(), 1);
    assert_eq!(
        (excerpts[0].object.name.as_str(), excerpts[0].container.as_str()),
        ("ilab-mt-bench", "output-eval-mt-bench-scores")
    );
}

#[test]
fn b25_a_log_without_scores_is_an_error_of_this_stage() {
    for log in [
        "",
        "Traceback (most recent call last):",
        "{'best_model': 'x'}",
        "ILAB_OUTPUTS {\"best-model\": \"x\"}",
    ] {
        assert!(sample().collect(&[log]).is_err(), "{log}");
    }
}

#[test]
fn b29_only_the_results_are_written_outside_the_scratch_space() {
    let command = words(&sample());
    let written: Vec<&String> =
        command.iter().filter(|word| word.starts_with("/data") && *word != FOLDER).collect();
    assert_eq!(
        written,
        ["/data/mt-bench-results.txt", "/data/mt-bench-best.txt", "/data/ilab/mt-bench.outputs"]
    );
    let print = &pod(&sample())["containers"][0];
    assert_eq!(print["volumeMounts"], json!([{"mountPath": "/data", "name": "data", "readOnly": true}]));
}

#[test]
fn the_judges_ca_is_mounted_only_where_there_is_one() {
    assert_eq!(variable(&sample(), "JUDGE_CA_CERT_PATH"), Value::Null);
    assert_eq!(variable(&with_ca(), "JUDGE_CA_CERT_PATH")["value"], "/etc/ilab/judge-ca/ca-bundle.crt");
    let named = with_ca().set("judge-ca-cert-key", "service-ca.crt");
    assert_eq!(variable(&named, "JUDGE_CA_CERT_PATH")["value"], "/etc/ilab/judge-ca/service-ca.crt");
    // The key's name lies in a Secret that only the pod may read; Kubernetes puts it in.
    let secret = with_ca().bind("judge", "JUDGE_CA_CERT_CM_KEY", KeyHolder::Secret("judge".into()));
    assert_eq!(variable(&secret, "JUDGE_CA_CERT_PATH")["value"], "/etc/ilab/judge-ca/$(CA_CERT_ENTRY)");
    let env = evaluation(&secret)["env"].clone();
    let position = |name: &str| env.as_array().unwrap().iter().position(|v| v["name"] == name).unwrap();
    assert!(position("CA_CERT_ENTRY") < position("JUDGE_CA_CERT_PATH"), "it must be defined before its use");
}

#[test]
fn arguments_of_the_model_server_stay_one_word_each() {
    let sample = sample()
        .set("server-args", json!(["--max-model-len", "4096"]))
        .set("merge-system-user-message", true);
    let command = words(&sample);
    for word in ["--server-arg=--max-model-len", "--server-arg=4096", "--merge-system-user-message"] {
        assert!(command.iter().any(|known| known == word), "{word}");
    }
}

#[test]
fn variables_from_the_judge_cannot_be_replaced() {
    let error = sample().set("env", json!({"JUDGE_ENDPOINT": "http://elsewhere"})).try_render().unwrap_err();
    assert_eq!(error.to_string(), "parameter env: JUDGE_ENDPOINT comes from the stage's credentials");
}
