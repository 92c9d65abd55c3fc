//! What `final-eval` renders; tests named after defects of the reference (`b2` …) prove that they are gone.

use ilab_stage_final_eval::{FinalEval, SCRIPTS};
use ilab_stage_sdk::KeyHolder;
use ilab_stage_sdk::testkit::{Sample, accepted, bad_inputs, golden, scripts_complete};
use serde_json::{Value, json};

const BEST: &str = "/data/model/output/ilab/phase_2/hf_format/samples_7200";

fn sample() -> Sample<'static> {
    Sample::of(&FinalEval).unbind("judge", "JUDGE_CA_CERT_CM_KEY").input("mt-bench.best-model", BEST)
}

fn evaluation(sample: &Sample<'_>) -> Value {
    sample.object("Job")["spec"]["template"]["spec"]["initContainers"][0].clone()
}

fn after(sample: &Sample<'_>, flag: &str) -> String {
    let command = evaluation(sample)["command"].clone();
    let words = command.as_array().unwrap();
    let at = words.iter().position(|word| word == flag).unwrap_or_else(|| panic!("no {flag}"));
    words[at + 1].as_str().unwrap().into()
}

#[test]
fn renders_what_the_golden_files_say() {
    golden("tests/golden/default.yaml", &sample().yaml());
    golden("tests/golden/no-gpu.yaml", &sample().set("gpus", 0).yaml());
    let split = sample()
        .bind("judge", "JUDGE_ENDPOINT", KeyHolder::ConfigMap("judge-serving-details".into()))
        .bind("judge", "JUDGE_NAME", KeyHolder::ConfigMap("judge-serving-details".into()));
    golden("tests/golden/judge-in-config-map.yaml", &split.yaml());
}

#[test]
fn the_host_accepts_it_at_its_strictest() {
    accepted(&FinalEval, &sample());
    accepted(&FinalEval, &sample().set("gpus", 0).input("train-phase-1.base-model", "/data/base"));
}

#[test]
fn bad_input_is_refused_with_a_reason() {
    bad_inputs("tests/bad", &FinalEval, &Sample::of(&FinalEval));
}

#[test]
fn every_module_that_a_script_imports_is_shipped() {
    scripts_complete(SCRIPTS, "final_eval.py", &["scripts", "../scripts"]);
}

#[test]
fn b2_the_judge_is_read_from_whatever_holds_it() {
    let sample = sample().bind("judge", "JUDGE_API_KEY", KeyHolder::Secret("my-judge".into()));
    let env = evaluation(&sample)["env"].clone();
    let key = env.as_array().unwrap().iter().find(|variable| variable["name"] == "JUDGE_API_KEY").unwrap();
    assert_eq!(key["valueFrom"]["secretKeyRef"]["name"], "my-judge");
}

#[test]
fn b14_the_candidate_is_the_checkpoint_that_mt_bench_chose() {
    assert_eq!(after(&sample(), "--candidate"), BEST);
}

#[test]
fn the_base_is_the_model_that_training_started_from() {
    assert_eq!(after(&sample(), "--base"), "/data/model");
    let trained = sample().input("train-phase-1.base-model", "/data/other");
    assert_eq!(after(&trained, "--base"), "/data/other");
    assert_eq!(after(&trained.set("base-model", "/data/third"), "--base"), "/data/third");
}

#[test]
fn b16_the_number_of_gpus_reaches_resources_and_model_server() {
    let sample = sample().set("nproc-per-node", 4);
    assert_eq!(evaluation(&sample)["resources"]["limits"]["nvidia.com/gpu"], "4");
    assert_eq!(after(&sample, "--gpus"), "4");
}

#[test]
fn b29_tasks_and_taxonomy_are_worked_on_as_copies_in_scratch_space() {
    assert_eq!(after(&sample(), "--work-dir"), "/tmp/final-eval");
    let mounts = evaluation(&sample())["volumeMounts"].clone();
    let tmp = mounts.as_array().unwrap().iter().find(|mount| mount["mountPath"] == "/tmp").unwrap();
    let volumes = sample().object("Job")["spec"]["template"]["spec"]["volumes"].clone();
    let scratch = volumes.as_array().unwrap().iter().find(|volume| volume["name"] == tmp["name"]).unwrap();
    assert_eq!(scratch["emptyDir"], json!({}));
}

#[test]
fn outputs_may_lack_knowledge_scores_but_not_forget_them() {
    let log = r#"ILAB_OUTPUTS {"mmlu-candidate": null, "mmlu-base": null, "mt-bench-candidate": 9.5, "mt-bench-base": 1.0, "error-rate": 0.0, "mmlu-tasks": [], "regressions": []}"#;
    assert_eq!(sample().collect(&[log]).unwrap()["mmlu-base"], Value::Null);
    assert!(sample().collect(&["ILAB_OUTPUTS {\"mt-bench-base\": 1.0}"]).is_err());
}
