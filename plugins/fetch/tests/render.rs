//! What `sdg-data-fetch` renders; tests named after defects of the reference (`b13` …) prove that they are gone.

use ilab_stage_fetch::{Fetch, SCRIPTS};
use ilab_stage_sdk::KeyHolder;
use ilab_stage_sdk::testkit::{Sample, accepted, bad_inputs, golden, scripts_complete};
use serde_json::{Value, json};

fn pod(sample: &Sample<'_>) -> Value {
    sample.object("Job")["spec"]["template"]["spec"].clone()
}

fn download_env(sample: &Sample<'_>) -> Vec<Value> {
    pod(sample)["initContainers"][0]["env"].as_array().unwrap().clone()
}

#[test]
fn renders_what_the_golden_files_say() {
    let sample = Sample::of(&Fetch);
    golden("tests/golden/default.yaml", &sample.yaml());
    let everything = sample
        .clone()
        .set("force-pull", true)
        .set("queue-name", "user-queue")
        .set("node-selector", json!({"disk": "fast"}))
        .set("tolerations", json!([{"key": "spot", "operator": "Exists", "effect": "NoSchedule"}]))
        .set("run-as-user", 1000)
        .set("fs-group", 2000)
        .set("env", json!({"OMP_NUM_THREADS": "1"}))
        .set("memory-limit", "8Gi")
        .set("active-deadline-seconds", 3600);
    golden("tests/golden/everything-set.yaml", &everything.yaml());
}

#[test]
fn the_host_accepts_it_at_its_strictest() {
    let sample = Sample::of(&Fetch);
    accepted(&Fetch, &sample);
    accepted(&Fetch, &sample.clone().set("force-pull", true).set("run-as-user", 1000));
    let mixed = sample.bind("object-store", "endpoint", KeyHolder::ConfigMap("store".into()));
    accepted(&Fetch, &mixed);
}

#[test]
fn bad_input_is_refused_with_a_reason() {
    bad_inputs("tests/bad", &Fetch, &Sample::of(&Fetch));
}

#[test]
fn every_module_that_a_script_imports_is_shipped() {
    scripts_complete(SCRIPTS, "preprocess.py", &["scripts", "../scripts"]);
}

#[test]
fn b13_force_pull_reaches_the_download() {
    let command = |sample: Sample<'_>| pod(&sample)["initContainers"][0]["command"].clone();
    let sample = Sample::of(&Fetch);
    assert_eq!(command(sample.clone()), json!(["ilab-host", "data", "download", "--into", "/data"]));
    assert_eq!(
        command(sample.set("force-pull", true)),
        json!(["ilab-host", "data", "download", "--into", "/data", "--force"])
    );
}

#[test]
fn b18_no_container_needs_a_shell_or_installs_anything() {
    let pod = pod(&Sample::of(&Fetch));
    let containers = [&pod["initContainers"][0], &pod["containers"][0]];
    let programs: Vec<&Value> = containers.iter().map(|container| &container["command"][0]).collect();
    assert_eq!(programs, ["ilab-host", "python3"]);
    assert!(containers.iter().all(|container| container.get("args").is_none()));
}

#[test]
fn b23_every_container_is_restricted_and_asks_for_memory() {
    let pod = pod(&Sample::of(&Fetch));
    for container in [&pod["initContainers"][0], &pod["containers"][0]] {
        assert_eq!(
            container["securityContext"],
            json!({
                "allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"]},
                "runAsNonRoot": true,
                "seccompProfile": {"type": "RuntimeDefault"},
            })
        );
        assert!(container["resources"]["requests"]["memory"].is_string());
    }
}

#[test]
fn b26_keys_are_read_from_where_they_are_and_never_interpreted_here() {
    let sample = Sample::of(&Fetch)
        .bind("object-store", "endpoint", KeyHolder::ConfigMap("store".into()))
        .unbind("object-store", "region");
    let env = download_env(&sample);
    let find = |name: &str| env.iter().find(|variable| variable["name"] == name);
    assert_eq!(
        find("SDG_OBJECT_STORE_VERIFY_TLS").unwrap()["valueFrom"],
        json!({"secretKeyRef": {"key": "verify_tls", "name": "object-store"}})
    );
    assert_eq!(
        find("SDG_OBJECT_STORE_ENDPOINT").unwrap()["valueFrom"],
        json!({"configMapKeyRef": {"key": "endpoint", "name": "store"}})
    );
    assert!(find("SDG_OBJECT_STORE_REGION").is_none());
}

#[test]
fn a_credential_without_a_required_key_is_refused() {
    let error = Sample::of(&Fetch).unbind("object-store", "bucket").try_render().unwrap_err();
    assert_eq!(error.to_string(), "credential object-store has no key bucket");
}

#[test]
fn further_variables_may_not_hide_credentials() {
    let sample = Sample::of(&Fetch).set("env", json!({"HOME": "/data/home", "NEW": "1"}));
    let env = pod(&sample)["containers"][0]["env"].as_array().unwrap().clone();
    let homes: Vec<&Value> = env.iter().filter(|variable| variable["name"] == "HOME").collect();
    assert_eq!(homes, [&json!({"name": "HOME", "value": "/data/home"})]);
}

#[test]
fn outputs_come_from_both_logs() {
    let download = "…\nILAB_OUTPUTS {\"members\": 12, \"bytes\": 34, \"sha256\": \"ab\"}\n";
    let preprocess = r#"ILAB_OUTPUTS {"skills-samples": 1, "knowledge-samples": 2, "skills-data": "/data/s", "knowledge-data": "/data/k"}"#;
    let outputs = Sample::of(&Fetch).collect(&[download, preprocess]).unwrap();
    assert_eq!(
        Value::Object(outputs),
        json!({
            "members": 12, "bytes": 34, "sha256": "ab", "skills-samples": 1, "knowledge-samples": 2,
            "skills-data": "/data/s", "knowledge-data": "/data/k",
        })
    );
    let error = Sample::of(&Fetch).collect(&["it crashed", preprocess]).unwrap_err().to_string();
    assert!(error.contains("download-data-object-store"), "{error}");
}
