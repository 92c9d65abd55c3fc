//! The empty WASI: inert, the same each time, and no way to wait or to fill the host.

use crate::support::{load, render, small, text, wasi};
use ilab_wasm::{CallProblem, Limits};
use serde_json::json;

#[test]
fn there_is_nothing_in_it() {
    let (plugin, _) = load(wasi(), Limits::default());
    assert!(plugin.uses_wasi());
    let first = render(&plugin, "report").unwrap();
    let report = &first.manifests[0];
    for (key, value) in [
        ("environment", json!(0)),
        ("arguments", json!(0)),
        ("directories", json!(0)),
        ("seconds", json!(0)),
        ("tcp", json!("access denied")),
    ] {
        assert_eq!(report[key], value, "{key}: {report}");
    }
    assert_eq!(render(&plugin, "report").unwrap(), first, "the same each time");
}

#[test]
fn waiting_takes_no_time() {
    let (plugin, _) = load(wasi(), small());
    render(&plugin, "sleep").unwrap();
    assert_eq!(render(&plugin, "poll").unwrap().manifests[0], json!({"ready": [0, 1], "one": true}));
}

#[test]
fn waiting_for_ever_is_stopped() {
    let (plugin, _) = load(wasi(), small());
    let error = render(&plugin, "wait-forever").unwrap_err();
    assert!(matches!(*error.problem, CallProblem::Time { .. }), "{error}");
}

#[test]
fn standard_error_is_kept_in_bounds_and_explains_the_end() {
    let (plugin, sink) = load(wasi(), Limits { call_time: std::time::Duration::from_secs(20), ..small() });
    let error = render(&plugin, "stderr").unwrap_err();
    assert_eq!(
        text(&error, wasi(), Some(plugin.digest())),
        r"stage stderr of FILE (DIGEST): render: broke off: panic: the guest \u{1b}[31mgave up (wasm trap: wasm `unreachable` instruction executed)"
    );
    let texts = sink.texts();
    assert_eq!(texts[0], r"panic: the guest \u{1b}[31mgave up");
    assert!(texts.iter().map(String::len).sum::<usize>() < 80_000);
}

#[test]
fn resources_are_bounded() {
    let (plugin, _) = load(wasi(), Limits { call_time: std::time::Duration::from_secs(20), ..small() });
    for name in ["handles", "random", "exit"] {
        let error = render(&plugin, name).unwrap_err();
        assert!(matches!(*error.problem, CallProblem::Trap { .. }), "{name}: {error}");
    }
}

#[test]
fn a_call_from_within_an_async_runtime_works() {
    let (plugin, _) = load(wasi(), Limits { call_time: std::time::Duration::from_secs(20), ..small() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        render(&plugin, "report").unwrap();
        assert!(render(&plugin, "stderr").is_err());
    });
}
