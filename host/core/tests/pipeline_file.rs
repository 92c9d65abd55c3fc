//! A pipeline file pins the set, the order, the components and the parameters.

use ilab_core::graph::{Offer, Pipeline, parse_pipeline};
use ilab_core::names::PluginDigest;
use serde_json::json;

fn offer(name: &str, after: &[&str], file: &str) -> Offer {
    let descriptor = serde_json::from_value(json!({
        "name": name, "summary": "A stage.", "group": "all", "after": after, "inputs": [], "credentials": [], "volumes": [],
        "outputs": [], "creates": [{"api-version": "batch/v1", "kind": "Job"}], "parameters": [],
    }))
    .unwrap();
    Offer { descriptor, file: file.into(), digest: PluginDigest::of(file.as_bytes()) }
}

fn offers() -> Vec<Offer> {
    vec![
        offer("fetch", &[], "plugins/fetch.wasm"),
        offer("train", &["fetch"], "plugins/train.wasm"),
        offer("bench", &["train"], "plugins/bench.wasm"),
        offer("bench", &["train"], "ours/bench.wasm"),
        offer("custom", &["?train"], "ours/custom.wasm"),
        offer("upload", &["?bench"], "plugins/upload.wasm"),
    ]
}

fn arrange(stages: &str) -> Result<Pipeline, String> {
    let file = parse_pipeline(&format!("apiVersion: ilab.dev/v1\nkind: Pipeline\nstages: {stages}\n"))
        .map_err(|e| e.to_string())?;
    file.arrange(&offers()).map_err(|e| e.to_string())
}

fn order(pipeline: &Pipeline) -> Vec<&str> {
    pipeline.stages().iter().map(|offer| offer.name().as_str()).collect()
}

#[test]
fn what_is_listed_is_all_there_is_in_the_order_of_the_list() {
    let whole = "[{name: fetch}, {name: train}, {name: custom}, {name: bench, from: ours/bench.wasm}, {name: upload, after: [custom]}]";
    let pipeline = arrange(whole).unwrap();
    assert_eq!(order(&pipeline), ["fetch", "train", "custom", "bench", "upload"]);
    assert_eq!(pipeline.get("bench").unwrap().file, "ours/bench.wasm");
    let before: Vec<_> = pipeline.after("upload").map(|stage| stage.as_str()).collect();
    assert_eq!(before, ["bench", "custom"]);
    // A custom evaluation beside the default one: both may begin when the training is done.
    let all = pipeline.stages().iter().map(|offer| offer.name().clone()).collect();
    let done = pipeline.stages()[..2].iter().map(|offer| offer.name().clone()).collect();
    let ready: Vec<_> = pipeline.ready(&all, &done).iter().map(|stage| stage.to_string()).collect();
    assert_eq!(ready, ["custom", "bench"]);
    assert_eq!(order(&arrange("[{name: custom}, {name: fetch}]").unwrap()), ["custom", "fetch"]);
}

#[test]
fn what_does_not_fit_is_said_with_its_stage() {
    let digest = |file: &str| PluginDigest::of(file.as_bytes()).to_string();
    for (stages, parts) in [
        ("[{name: train}, {name: fetch}]".to_owned(), &["train stands before fetch"][..]),
        ("[{name: fetch}, {name: fetch}]".to_owned(), &["fetch is listed twice"]),
        ("[{name: fech}]".to_owned(), &["did you mean fetch?", "bench, custom"]),
        ("[{name: train}]".to_owned(), &["follows \"fetch\""]),
        (
            "[{name: custom}, {name: bench}]".to_owned(),
            &["plugins/bench.wasm and by ours/bench.wasm", "`from`"],
        ),
        ("[{name: bench, from: x.wasm}]".to_owned(), &["not offered by \"x.wasm\"", "ours/bench.wasm"]),
        ("[{name: bench, from: ench.wasm}]".to_owned(), &["not offered by"]),
        (
            format!("[{{name: fetch, digest: '{}'}}]", digest("other")),
            &["fetch is pinned to", "plugins/fetch.wasm"],
        ),
        (
            format!("[{{name: bench, from: ours/bench.wasm, digest: '{}'}}]", digest("plugins/bench.wasm")),
            &["bench is pinned to", "ours/bench.wasm"],
        ),
        (
            "[{nam: fetch}]".to_owned(),
            &["stages[0]", "did you mean name?", "from, digest, after, parameters"],
        ),
        ("[]".to_owned(), &["nothing would be run"]),
        ("{}".to_owned(), &["invalid type"]),
        ("[x]".to_owned(), &["stages[0]"]),
    ] {
        let error = arrange(&stages).expect_err(&stages);
        for part in parts {
            assert!(error.contains(part), "{part:?} is not in {error}");
        }
        assert!(ilab_core::text::is_plain_line(&error), "{error}");
    }
    // Where no file is named, the digest chooses.
    let chosen = format!(
        "[{{name: fetch}}, {{name: train}}, {{name: bench, digest: '{}'}}]",
        digest("ours/bench.wasm")
    );
    assert_eq!(arrange(&chosen).unwrap().get("bench").unwrap().file, "ours/bench.wasm");
    for (text, part) in [
        ("kind: Pipeline\nstages: []", "apiVersion: ilab.dev/v1"),
        ("apiVersion: ilab.dev/v1\nstages: []", "kind: Pipeline"),
        ("apiVersion: v9\nkind: Pipeline", "this host knows"),
        ("apiVersion: ilab.dev/v1\nkind: Pipeline\nstage: []", "did you mean stages?"),
        ("- a", "mapping"),
        ("a: [", ""),
    ] {
        let error = parse_pipeline(text).unwrap_err().to_string();
        assert!(error.contains(part), "{part:?} is not in {error}");
    }
}

#[test]
fn parameters_are_weaker_than_a_values_files() {
    let text = "apiVersion: ilab.dev/v1\nkind: Pipeline\nstages: [{name: fetch, parameters: {a: 1, b: 1}}, {name: train}]";
    let file = parse_pipeline(text).unwrap();
    assert_eq!(
        file.values(None),
        json!({"apiVersion": "ilab.dev/v1", "stages": {"fetch": {"a": 1, "b": 1}}})
    );
    let values = json!({"apiVersion": "ilab.dev/v1", "stages": {"fetch": {"b": 2}, "train": null}, "options": {"x": 1}});
    assert_eq!(
        file.values(Some(&values)),
        json!({"apiVersion": "ilab.dev/v1", "options": {"x": 1}, "stages": {"fetch": {"a": 1, "b": 2}, "train": {}}})
    );
}
