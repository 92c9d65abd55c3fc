//! The rendered command line, as the real parser of instructlab-training sees it.

mod kit;

use ilab_stage_sdk::testkit::Sample;
use kit::{module_argv, phase_1, phase_2};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Output, Stdio};

/// Asks main_ds's own parser, cut out of the package; see `plugins/tests-python/training_parser.py`.
fn parse(argv: &[String]) -> Output {
    let mut child = Command::new("python3")
        .arg("training_parser.py")
        .current_dir("../tests-python")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3 is needed for this test");
    let text = serde_json::to_string(argv).unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn accepted(sample: &Sample<'_>) -> Value {
    let output = parse(&module_argv(sample));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_real_parser_accepts_the_defaults_and_understands_them() {
    let values = accepted(&phase_1());
    for (name, expected) in [
        ("num_epochs", json!(7)),
        ("effective_batch_size", json!(3840)),
        ("learning_rate", json!(1e-4)),
        ("num_warmup_steps", json!(800)),
        ("save_samples", json!(0)),
        ("max_batch_len", json!(20_000)),
        ("seed", json!(42)),
        ("distributed_training_framework", json!("fsdp")),
        ("cpu_offload_params_fsdp", json!(true)),
        ("cpu_offload_optimizer", json!(true)),
        ("checkpoint_at_epoch", json!(true)),
        ("accelerate_full_state_at_epoch", json!(true)),
        ("output_dir", json!("/data/model/output/ilab/phase_1")),
    ] {
        assert_eq!(values[name], expected, "{name}");
    }
    assert_eq!(accepted(&phase_2())["num_epochs"], 10);
}

#[test]
fn the_real_parser_accepts_everything_that_can_be_set() {
    for strategy in ["HYBRID_SHARD", "FULL_SHARD", "SHARD_GRAD_OP", "NO_SHARD"] {
        let sample = phase_2()
            .set("fsdp-sharding-strategy", strategy)
            .set("cpu-offload-params", false)
            .set("cpu-offload-optimizer", false)
            .set("disable-flash-attn", true)
            .set("learning-rate", 2e-7)
            .set("extra-args", json!(["--use_liger", "--NEFTune_alpha=5"]));
        let values = accepted(&sample);
        assert_eq!(values["fsdp_sharding_strategy"], strategy);
        assert_eq!(values["learning_rate"], 2e-7);
        assert_eq!(values["disable_flash_attn"], true);
    }
}

#[test]
fn the_real_parser_refuses_what_the_reference_passed() {
    let mut argv = module_argv(&phase_1());
    argv.push("--is_granite".into());
    let output = parse(&argv);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--is_granite"));
}
