//! One stage a misdeed: each ends its own call, is named with its limit, and leaves the host as it was.

use crate::support::{context, hostile, load, render, small, stage, text};
use ilab_core::contract::{Excerpt, ObjectRef};
use ilab_wasm::{CallProblem, Limits};
use serde_json::json;
use std::time::{Duration, Instant};

/// The text of the error that rendering a stage gives, and the plugin still works afterwards.
fn failure(name: &str) -> String {
    let (plugin, _) = load(hostile(), small());
    let error = render(&plugin, name).unwrap_err();
    assert_eq!(render(&plugin, "good").unwrap().manifests.len(), 1, "the plugin is usable after {name}");
    text(&error, hostile(), Some(plugin.digest()))
}

#[test]
fn a_good_stage_is_described_rendered_and_collected() {
    let (plugin, sink) = load(hostile(), Limits::default());
    assert_eq!(plugin.wit_version(), "0.1.0");
    assert!(!plugin.uses_wasi());
    let stages = plugin.stages().unwrap();
    let good = stages.iter().find(|d| d.name.as_str() == "good").unwrap();
    assert_eq!(good.parameters[0].schema, json!({"type": "integer", "minimum": 0}));
    assert_eq!(good.parameters[0].default, Some(json!(1)));
    let plan = render(&plugin, "good").unwrap();
    assert_eq!(
        plan.manifests,
        [
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "test-good", "namespace": "team-a"}})
        ]
    );
    assert_eq!(plan.targets[0].timeout_seconds, Some(60));
    assert_eq!(plan.excerpts[0].max_bytes, 1024);
    let source = ObjectRef { api_version: "batch/v1".into(), kind: "Job".into(), name: "test-good".into() };
    let excerpt = Excerpt { source, container: "main".into(), text: "hello".into() };
    let outputs = plugin.collect(&stage("good"), &context(), &[excerpt]).unwrap();
    assert_eq!(outputs, json!({"bytes": 5}));
    assert_eq!(sink.texts(), Vec::<String>::new());
}

#[test]
fn the_context_arrives_whole() {
    let (plugin, _) = load(hostile(), Limits::default());
    let mut context = context();
    context.parameters.insert("ü\"\n".to_owned(), json!([1, {"a": null}]));
    context.inputs.insert("fetch.path".to_owned(), json!("/data"));
    let plan = plugin.render(&stage("echo"), &context).unwrap();
    assert_eq!(plan.manifests[0]["parameters"], json!(context.parameters));
    assert_eq!(plan.manifests[0]["inputs"], json!(context.inputs));
}

#[test]
fn an_endless_loop_is_stopped_in_time() {
    let started = Instant::now();
    assert_eq!(failure("loop"), "stage loop of FILE (DIGEST): render: ran longer than 0.3 s and was stopped");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn a_memory_bomb_is_stopped() {
    let error = failure("bomb");
    let (head, tail) = error.split_once("asked for ").unwrap();
    assert_eq!(head, "stage bomb of FILE (DIGEST): render: ");
    assert!(tail.ends_with("MiB of memory where 64 MiB are allowed"), "{tail}");
}

#[test]
fn endless_recursion_is_stopped() {
    assert_eq!(
        failure("recursion"),
        "stage recursion of FILE (DIGEST): render: recursed beyond its stack of 512 KiB"
    );
    let error = failure("recursion-in-memory");
    assert!(
        error.ends_with("out of bounds memory access (as where recursion fills the guest's own stack)"),
        "{error}"
    );
}

#[test]
fn a_giant_string_is_not_taken() {
    let error = failure("giant-string");
    assert!(
        error.ends_with("handed more than 1 MiB to the host")
            || error.ends_with("of memory where 64 MiB are allowed"),
        "{error}"
    );
    let (plugin, _) = load(hostile(), Limits::default());
    let error = render(&plugin, "giant-string").unwrap_err();
    assert!(matches!(*error.problem, CallProblem::Returned { .. }), "{error}");
    let error = render(&plugin, "many-manifests").unwrap_err();
    assert!(matches!(*error.problem, CallProblem::Returned { .. }), "{error}");
}

#[test]
fn a_flood_of_log_lines_is_cut() {
    let (plugin, sink) = load(hostile(), Limits { call_time: Duration::from_secs(20), ..small() });
    render(&plugin, "flood").unwrap();
    let texts = sink.texts();
    assert_eq!(texts.len(), 21);
    assert_eq!(texts[0], "line 0 of a flood that nobody wants to read in full");
    assert_eq!(texts[20], "199980 more log lines were dropped: a call may log 20 lines and 64 KiB");
}

#[test]
fn a_giant_log_line_is_cut_and_the_call_goes_on() {
    let (plugin, sink) = load(hostile(), Limits { call_time: Duration::from_secs(20), ..Limits::default() });
    render(&plugin, "giant-line").unwrap();
    let texts = sink.texts();
    assert_eq!(texts.len(), 1);
    assert!(texts[0].len() < 70_000 && texts[0].ends_with("… (cut)"));
    let error = render(&plugin, "monster-line").unwrap_err();
    assert!(matches!(*error.problem, CallProblem::Returned { .. }), "{error}");
}

#[test]
fn log_lines_cannot_touch_the_terminal() {
    let (plugin, sink) = load(hostile(), small());
    render(&plugin, "escape").unwrap();
    assert_eq!(sink.texts(), [r"\u{1b}]0;owned\u{7}\u{202e}red", "second line"]);
}

#[test]
fn a_trap_ends_the_call() {
    let expected =
        "stage trap of FILE (DIGEST): render: broke off: wasm trap: wasm `unreachable` instruction executed";
    assert_eq!(failure("trap"), expected);
}

#[test]
fn a_panic_tells_its_message() {
    let error = failure("panic");
    assert!(
        error.contains("the guest gave up (wasm trap: wasm `unreachable` instruction executed)"),
        "{error}"
    );
}

#[test]
fn what_is_no_json_is_refused_with_its_place() {
    assert_eq!(
        failure("bad-json"),
        "stage bad-json of FILE (DIGEST): render: manifests[0] is not JSON: expected value at line 1 column 16"
    );
    assert_eq!(
        failure("not-an-object"),
        "stage not-an-object of FILE (DIGEST): render: manifests[1] is an array, not a JSON object"
    );
    assert!(failure("deep-json").contains("manifests[0] is not JSON: recursion limit exceeded"));
    let (plugin, _) = load(hostile(), small());
    for (name, expected) in [
        ("bad-json", "outputs is not JSON: EOF while parsing an object at line 1 column 1"),
        ("not-an-object", "outputs is a number, not a JSON object"),
        ("refuse", "nothing to collect"),
    ] {
        let error = plugin.collect(&stage(name), &context(), &[]).unwrap_err();
        let expected = format!("stage {name} of FILE (DIGEST): collect: {expected}");
        assert_eq!(text(&error, hostile(), Some(plugin.digest())), expected);
    }
}

#[test]
fn what_a_stage_says_is_escaped() {
    let expected = r"stage refuse of FILE (DIGEST): render: parameter size: too much\u{1b}[2J";
    assert_eq!(failure("refuse"), expected);
}

#[test]
fn an_unknown_stage_is_told_with_those_there_are() {
    let error = failure("goood");
    let expected = "stage goood of FILE (DIGEST): render: no such stage; it offers good, loop, bomb, recursion, flood, \
                    giant-line, giant-string, many-manifests and 10 more";
    assert_eq!(error, expected);
}

#[test]
fn calls_on_many_threads_do_not_disturb_each_other() {
    let (plugin, _) = load(hostile(), small());
    std::thread::scope(|scope| {
        for name in ["loop", "bomb", "recursion", "trap"] {
            let plugin = plugin.clone();
            scope.spawn(move || assert!(render(&plugin, name).is_err()));
        }
        for _ in 0..4 {
            let plugin = plugin.clone();
            scope.spawn(move || {
                for _ in 0..50 {
                    assert_eq!(render(&plugin, "good").unwrap().manifests.len(), 1);
                }
            });
        }
    });
}
