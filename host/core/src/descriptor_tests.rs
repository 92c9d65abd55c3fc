use super::*;
use serde_json::{Value, json};

fn valid() -> Value {
    json!({
        "name": "train", "summary": "Trains the model.", "group": "train", "selected-by": {"flag": "training-phase", "value": "1"},
        "after": ["fetch", "?check"], "inputs": ["fetch.key", "?check.score"],
        "parameters": [
            {"name": "epochs", "help": "Rounds.", "schema": {"type": "integer", "minimum": 1}, "default": 7, "flag": "training-1-epoch-num", "env": "EPOCHS"},
            {"name": "model", "help": "Model.", "schema": {"type": "string"}, "default": null, "flag": null, "env": null},
        ],
        "credentials": [{"name": "judge", "required-keys": ["JUDGE_API_KEY"], "optional-keys": ["entry"], "config-map-keys": ["ca.crt"]}],
        "volumes": [{"name": "data", "size": "200Gi", "read-only": false}],
        "outputs": [{"name": "best", "help": "The best.", "schema": {"type": "number"}, "sample": 0.5, "sample-parameter": "epochs"}],
        "creates": [{"api-version": "kubeflow.org/v1", "kind": "PyTorchJob"}, {"api-version": "v1", "kind": "ConfigMap"}],
        "licence": "Apache-2.0", "homepage": "https://example.com/train",
    })
}

/// The valid descriptor with one thing changed.
fn changed(pointer: &str, value: Value) -> Vec<String> {
    let mut descriptor = valid();
    *descriptor.pointer_mut(pointer).unwrap() = value;
    validate_descriptor(&serde_json::from_value(descriptor).unwrap())
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn a_good_descriptor_has_no_errors() {
    assert_eq!(changed("/name", json!("train")), Vec::<String>::new());
}

#[test]
fn each_bad_word_is_told_where_it_stands() {
    for (pointer, value, needle) in [
        ("/summary", json!(""), "summary: it is empty"),
        ("/summary", json!("a\nb"), "summary: it must be one line"),
        ("/summary", json!("\u{1b}[2J"), "summary: it must be one line"),
        ("/summary", json!("x".repeat(501)), "summary: longer"),
        ("/homepage", json!("javascript:alert(1)"), "homepage: it must begin"),
        ("/selected-by/value", json!("a b"), "selected-by.value"),
        ("/selected-by/flag", json!("--x"), "selected-by.flag"),
        ("/after", json!(["train"]), "after: a stage cannot follow itself"),
        ("/after", json!(["fetch", "?fetch"]), "after: \"fetch\" is there twice"),
        ("/after", json!(["Fetch"]), "after: \"Fetch\" is not a stage name"),
        ("/inputs", json!(["fetch"]), "inputs: \"fetch\" is not valid: write stage.output"),
        ("/inputs", json!(["train.best"]), "inputs: \"train.best\" is its own output"),
        ("/inputs", json!(["fetch.a.b"]), "inputs: \"fetch.a.b\" is not valid"),
        ("/parameters/1/name", json!("epochs"), "parameters: \"epochs\" is there twice"),
        ("/parameters/1/name", json!("a_b"), "parameters[a_b]"),
        ("/parameters/1/flag", json!("training-1-epoch-num"), "parameters.flag"),
        ("/parameters/0/default", json!(0), "parameters[epochs].default: 0 is less than the minimum of 1"),
        ("/parameters/0/schema", json!({"type": "whole"}), "parameters[epochs].schema: not a JSON Schema"),
        (
            "/parameters/0/schema",
            json!({"$ref": "file:///etc/passwd"}),
            "parameters[epochs].schema: the schema uses \"$ref\"",
        ),
        ("/parameters/0/env", json!("epochs"), "parameters[epochs].env"),
        ("/parameters/0/env", json!("AWS_SECRET_ACCESS_KEY"), "is not for a stage"),
        ("/parameters/0/env", json!("GITHUB_TOKEN"), "is not for a stage"),
        ("/parameters/0/env", json!("KUBECONFIG"), "is not for a stage"),
        ("/credentials/0/required-keys", json!(["a b"]), "credentials[judge]: \"a b\" cannot be the key"),
        ("/credentials/0/optional-keys", json!(["JUDGE_API_KEY"]), "is there twice"),
        ("/credentials/0/config-map-keys", json!(["JUDGE_API_KEY"]), "is there twice"),
        ("/volumes/0/size", json!("big"), "volumes[data].size: \"big\" is not a size"),
        ("/outputs/0/sample-parameter", json!("epoch"), "sample-parameter: there is no parameter \"epoch\""),
        ("/outputs/0/sample", json!("high"), "outputs[best].sample: \"high\" is not of type \"number\""),
        ("/outputs/0/sample", json!("x".repeat(70_000)), "outputs[best].sample: 70002 bytes"),
        ("/creates", json!([]), "creates: a stage that creates nothing"),
        ("/creates/0/api-version", json!("/v1"), "creates: \"/v1\" is not an apiVersion"),
        ("/creates/0/api-version", json!("kubeflow.org"), "is not an apiVersion"),
        ("/creates/0/kind", json!("job"), "is not a kind"),
    ] {
        let errors = changed(pointer, value.clone());
        assert!(errors.iter().any(|error| error.contains(needle)), "{pointer} {value:.60}: {errors:?}");
        assert!(
            errors.iter().all(|error| error.starts_with("stage train: ") && is_plain_line(error)),
            "{errors:?}"
        );
    }
}

#[test]
fn floods_are_refused_by_their_number() {
    let flood = vec![
        json!({"name": "x", "help": "x", "schema": {}, "default": null, "flag": null, "env": null});
        10_000
    ];
    assert_eq!(
        changed("/parameters", json!(flood)),
        ["stage train: parameters: 10000 entries, more than 100"]
    );
    let keys: Vec<String> = (0..10_000).map(|i| format!("k{i}")).collect();
    assert_eq!(
        changed("/credentials/0/required-keys", json!(keys)),
        ["stage train: credentials[judge]: more than 50 keys"]
    );
}

#[test]
fn every_error_is_told() {
    let mut descriptor = valid();
    descriptor["summary"] = json!("");
    descriptor["volumes"][0]["size"] = json!("0");
    descriptor["outputs"][0]["sample"] = json!(null);
    assert_eq!(validate_descriptor(&serde_json::from_value(descriptor).unwrap()).len(), 3);
}
