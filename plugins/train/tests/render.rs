//! What the training stages render; tests named after defects of the reference (`b15` …) prove that they are gone.

mod kit;

use ilab_stage_sdk::testkit::{Sample, accepted, bad_inputs, golden, scripts_complete};
use ilab_stage_train::{Phase, SCRIPTS, Train};
use kit::{LAST, after, container, module_argv, phase_1, phase_2, volumes, words};
use serde_json::{Value, json};

#[test]
fn renders_what_the_golden_files_say() {
    golden("tests/golden/phase-1.yaml", &phase_1().yaml());
    golden("tests/golden/phase-2.yaml", &phase_2().yaml());
    golden("tests/golden/no-gpu.yaml", &phase_1().set("gpus", 0).set("workers", 2).yaml());
    golden("tests/golden/queue.yaml", &phase_1().set("queue-name", "user-queue").set("workers", 0).yaml());
    let everything = phase_2()
        .set("nproc-per-node", 8)
        .set("gpu-resource", "amd.com/gpu")
        .set("memory-limit", "200Gi")
        .set("shm-size", "64Gi")
        .set("node-selector", json!({"gpu": "mi300"}))
        .set("tolerations", json!([{"key": "gpu", "operator": "Exists"}]))
        .set("env", json!({"GLOO_SOCKET_IFNAME": "eth0", "USE_LIBUV": "0"}))
        .set("cpu-offload-params", false)
        .set("disable-flash-attn", true)
        .set("extra-args", json!(["--use_liger", "--NEFTune_alpha=5"]))
        .set("active-deadline-seconds", 86_400);
    golden("tests/golden/everything-set.yaml", &everything.yaml());
    golden("tests/golden/on-demand.yaml", &on_demand(phase_1()).set("workers", 2).yaml());
}

fn on_demand(sample: Sample<'_>) -> Sample<'_> {
    sample.set("on-demand-checkpointing", true)
}

#[test]
fn the_host_accepts_it_at_its_strictest() {
    let (one, two) = (Train(Phase::Knowledge), Train(Phase::Skills));
    accepted(&one, &phase_1());
    accepted(&one, &phase_1().set("gpus", 0).set("workers", 0).set("queue-name", "user-queue"));
    accepted(&two, &phase_2());
    accepted(&two, &phase_2().set("run-as-user", 1000).set("fs-group", 1000));
    accepted(&two, &on_demand(phase_2()));
}

#[test]
fn bad_input_is_refused_with_a_reason() {
    bad_inputs("tests/bad/phase-1", &Train(Phase::Knowledge), &phase_1());
    bad_inputs("tests/bad/phase-2", &Train(Phase::Skills), &Sample::of(&Train(Phase::Skills)));
}

#[test]
fn every_module_that_a_script_imports_is_shipped() {
    scripts_complete(SCRIPTS, "train.py", &["scripts", "../scripts"]);
}

#[test]
fn b15_an_explicit_model_is_that_very_model() {
    let base = |sample: Sample<'_>| after(&words(&sample), "--base-model");
    assert_eq!(base(phase_1()), "/data/model");
    assert_eq!(base(phase_1().set("model-to-train", "/data/granite")), "/data/granite");
    // Phase 2 goes on from phase 1, or from what is named.
    assert_eq!(base(phase_2()), LAST);
    let named = "/data/model/output/ilab/phase_1/hf_format/samples_960";
    assert_eq!(base(phase_2().set("model-to-train", named)), named);
    let alone = Sample::of(&Train(Phase::Skills)).set("model-to-train", "/data/granite");
    assert_eq!(base(alone), "/data/granite");
}

#[test]
fn b15_the_option_of_a_whole_run_names_the_model_of_phase_1() {
    // Both phases get the option; the second must not throw the first one's work away.
    let second =
        phase_2().input("train-phase-1.base-model", "/data/granite").set("model-to-train", "/data/granite");
    assert_eq!(after(&words(&second), "--base-model"), LAST);
}

#[test]
fn b15_outputs_are_where_the_next_stage_looks() {
    let named = phase_2().set("model-to-train", "/data/elsewhere/granite");
    assert_eq!(after(&words(&named), "--output-dir"), "/data/model/output/ilab/phase_2");
    let log = r#"ILAB_OUTPUTS {"checkpoints": ["/data/model/output/ilab/phase_2/hf_format/samples_1"], "last-checkpoint": "/data/model/output/ilab/phase_2/hf_format/samples_1", "checkpoints-dir": "/data/model/output/ilab/phase_2/hf_format"}"#;
    let outputs = named.collect(&[log]).unwrap();
    assert_eq!(outputs["checkpoints-dir"], "/data/model/output/ilab/phase_2/hf_format");
    assert_eq!(outputs["base-model"], "/data/elsewhere/granite");
}

#[test]
fn b13_another_training_in_the_same_folder_is_told_apart() {
    let id = |sample: Sample<'_>| after(&words(&sample), "--run-id");
    let first = id(phase_1());
    assert_eq!(first, id(phase_1()), "the same training must find itself again");
    for other in [
        phase_1().set("learning-rate", 2e-5),
        phase_1().set("model-to-train", "/data/granite"),
        phase_1().input("sdg-data-fetch.sha256", "f00d"),
    ] {
        assert_ne!(first, id(other));
    }
    // How many pods share the work does not make it another training.
    assert_eq!(first, id(phase_1().set("workers", 3)));
}

#[test]
fn b22_numbers_and_paths_are_checked_and_no_shell_sees_them() {
    let words = words(&phase_1());
    assert_eq!(words[..2], ["python3", "/ilab/scripts/train.py"]);
    for (name, value) in [
        ("model-to-train", json!("/data/a b")),
        ("model-to-train", json!("/data/$(id)")),
        ("model-to-train", json!("/etc/passwd")),
        ("output-root", json!("/data/../etc")),
    ] {
        let refused = phase_1().set(name, value.clone()).try_render().unwrap_err().to_string();
        assert!(refused.starts_with(&format!("parameter {name}:")), "{value}: {refused}");
    }
}

#[test]
fn b23_every_rank_is_restricted_and_has_memory_and_shared_memory() {
    for role in ["Master", "Worker"] {
        let container = container(&phase_1(), role);
        assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
        assert_eq!(container["securityContext"]["capabilities"]["drop"], json!(["ALL"]));
        assert_eq!(container["securityContext"]["runAsNonRoot"], true);
        assert_eq!(container["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        assert_eq!(container["resources"]["requests"]["memory"], "16Gi");
        let shm = volumes(&phase_1(), role).into_iter().find(|volume| volume["name"] == "shm").unwrap();
        assert_eq!(shm["emptyDir"]["medium"], "Memory");
    }
}

#[test]
fn the_operator_gives_up_on_a_crash_loop() {
    let policy = phase_1().object("PyTorchJob")["spec"]["runPolicy"].clone();
    assert_eq!(policy, json!({"backoffLimit": 3, "cleanPodPolicy": "Running"}));
    let limited = phase_1().set("backoff-limit", 0).set("active-deadline-seconds", 60);
    let policy = limited.object("PyTorchJob")["spec"]["runPolicy"].clone();
    assert_eq!(policy, json!({"backoffLimit": 0, "cleanPodPolicy": "Running", "activeDeadlineSeconds": 60}));
}

#[test]
fn a_preempted_job_has_the_time_to_save_and_the_restarts_to_go_on() {
    let sample = on_demand(phase_1()).set("workers", 4);
    let spec = sample.object("PyTorchJob")["spec"].clone();
    // Every pod of the five starts again when one is preempted, and the operator counts them all.
    assert_eq!(spec["runPolicy"]["backoffLimit"], 15);
    for role in ["Master", "Worker"] {
        let replicas = &spec["pytorchReplicaSpecs"][role];
        assert_eq!(replicas["restartPolicy"], "OnFailure", "whatever is not 0 is started again, 143 too");
        assert_eq!(replicas["template"]["spec"]["terminationGracePeriodSeconds"], 480);
        // Process 1 is the launcher: a shell in its place would keep SIGTERM from it.
        let command = &replicas["template"]["spec"]["containers"][0]["command"];
        assert_eq!((&command[0], &command[1]), (&json!("python3"), &json!("/ilab/scripts/train.py")));
    }
    let words = words(&sample);
    let own = words.iter().take_while(|word| *word != "--");
    assert_eq!(own.filter(|word| *word == "--on-demand-checkpointing").count(), 1);
    // What main_ds is told stays the same; the launcher tells it to look for requests.
    assert_eq!(module_argv(&sample), module_argv(&phase_1()));
}

#[test]
fn without_the_parameter_nothing_is_different() {
    let job = phase_1().object("PyTorchJob");
    let pod = &job["spec"]["pytorchReplicaSpecs"]["Master"]["template"]["spec"];
    assert_eq!(pod.get("terminationGracePeriodSeconds"), None);
    assert!(!words(&phase_1()).contains(&"--on-demand-checkpointing".to_owned()));
    // Nor does it go on from what the other kind of training has left.
    let id = |sample: Sample<'_>| after(&words(&sample), "--run-id");
    assert_ne!(id(phase_1()), id(on_demand(phase_1())));
}

#[test]
fn on_demand_checkpointing_needs_data_under_the_name_that_the_library_reads() {
    let named = |path: &str| on_demand(phase_1()).input("sdg-data-fetch.knowledge-data", path).try_render();
    assert!(named("/data/other/data.jsonl").is_ok());
    let refused = named("/data/other/k.jsonl").unwrap_err().to_string();
    assert_eq!(
        refused,
        "parameter on-demand-checkpointing: /data/other/k.jsonl is not called data.jsonl, as it has to be"
    );
}

#[test]
fn all_ranks_share_one_output_folder_so_that_a_restart_resumes() {
    let sample = phase_1().set("workers", 4);
    let job = sample.object("PyTorchJob");
    let roles = &job["spec"]["pytorchReplicaSpecs"];
    assert_eq!(roles["Worker"]["replicas"], 4);
    assert_eq!(roles["Master"]["template"], roles["Worker"]["template"]);
    let words = words(&sample);
    assert_eq!(after(&words, "--nnodes"), "5");
    assert!(words.contains(&"--accelerate_full_state_at_epoch".to_owned()));
    assert!(words.contains(&format!("--output_dir={}", after(&words, "--output-dir"))));
}

#[test]
fn gpus_follow_the_processes_unless_said_otherwise() {
    for (nproc, gpus, expected) in
        [(1, -1, json!("1")), (8, -1, json!("8")), (8, 2, json!("2")), (8, 0, Value::Null)]
    {
        let sample = phase_1().set("nproc-per-node", nproc).set("gpus", gpus);
        for role in ["Master", "Worker"] {
            let limits = &container(&sample, role)["resources"]["limits"];
            assert_eq!(limits.get("nvidia.com/gpu").cloned().unwrap_or_default(), expected);
        }
        assert_eq!(sample.object("PyTorchJob")["spec"]["nprocPerNode"], nproc.to_string());
        assert_eq!(after(&words(&sample), "--nproc-per-node"), nproc.to_string());
    }
}

#[test]
fn the_phases_differ_in_data_epochs_and_flags_only() {
    let (one, two) = (words(&phase_1()), words(&phase_2()));
    assert!(one.contains(&"--data_path=/data/data/processed_data/knowledge/data.jsonl".to_owned()));
    assert!(two.contains(&"--data_path=/data/data/processed_data/skills/data.jsonl".to_owned()));
    assert!(one.contains(&"--num_epochs=7".to_owned()) && two.contains(&"--num_epochs=10".to_owned()));
    let elsewhere = phase_1().input("sdg-data-fetch.knowledge-data", "/data/other/k.jsonl");
    assert!(words(&elsewhere).contains(&"--data_path=/data/other/k.jsonl".to_owned()));
    let flags = |phase| -> Vec<String> {
        let parameters = Settings::parameters(phase);
        parameters.into_iter().filter_map(|parameter| parameter.flag).collect()
    };
    use ilab_stage_train::Settings;
    assert_eq!(
        flags(Phase::Knowledge),
        ["model-to-train", "nproc-per-node", "training-1-epoch-num", "training-1-effective-batch-size"]
    );
    assert!(flags(Phase::Skills).contains(&"training-2-epoch-num".to_owned()));
}
