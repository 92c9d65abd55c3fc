//! Samples of both phases, and ways to look into what they render.
#![allow(dead_code, clippy::allow_attributes, reason = "each test binary uses its part")]

use ilab_stage_sdk::testkit::Sample;
use ilab_stage_train::{Phase, Train};
use serde_json::Value;

pub(crate) const LAST: &str = "/data/model/output/ilab/phase_1/hf_format/samples_7200";

pub(crate) fn phase_1() -> Sample<'static> {
    Sample::of(&Train(Phase::Knowledge))
}

pub(crate) fn phase_2() -> Sample<'static> {
    Sample::of(&Train(Phase::Skills))
        .input("train-phase-1.last-checkpoint", LAST)
        .input("train-phase-1.base-model", "/data/model")
}

pub(crate) fn container(sample: &Sample<'_>, role: &str) -> Value {
    pod(sample, role)["containers"][0].clone()
}

pub(crate) fn volumes(sample: &Sample<'_>, role: &str) -> Vec<Value> {
    pod(sample, role)["volumes"].as_array().unwrap().clone()
}

fn pod(sample: &Sample<'_>, role: &str) -> Value {
    sample.object("PyTorchJob")["spec"]["pytorchReplicaSpecs"][role]["template"]["spec"].clone()
}

/// The command line of the master.
pub(crate) fn words(sample: &Sample<'_>) -> Vec<String> {
    let command = container(sample, "Master")["command"].clone();
    command.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

/// What follows a flag.
pub(crate) fn after(words: &[String], flag: &str) -> String {
    let at = words.iter().position(|word| word == flag).unwrap_or_else(|| panic!("no {flag}"));
    words[at + 1].clone()
}

/// What the training module itself gets.
pub(crate) fn module_argv(sample: &Sample<'_>) -> Vec<String> {
    let words = words(sample);
    let at = words.iter().position(|word| word == "--").unwrap();
    words[at + 1..].to_vec()
}
