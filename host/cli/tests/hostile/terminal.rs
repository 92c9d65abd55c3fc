//! Every text that a component says, filled with what moves a cursor, hides text and begins lines of its own; none of it reaches a
//! terminal, whichever verb shows it.

use crate::kit::{given, is_plain, job};
use ilab_test_support::Puppet;
use serde_json::{Value, json};

/// Clears the screen in two ways, rings, turns the line around, and begins another one.
const EVIL: &str = "x\u{1b}[2J\u{9b}2J\u{7}\u{202e}\u{2028}\r\nerror: all is well\u{200b}";

/// What shows something of a component that has not been granted anything.
const VERBS: &[&[&str]] = &[
    &["run", "--help", "--plugins", "FILE"],
    &[
        "run",
        "--dry-run",
        "--run",
        "r",
        "--allow-ungranted",
        "--judge-serving-model-secret=j",
        "--plugins",
        "FILE",
    ],
    &["run", "--dry-run", "--run", "r", "--plugins", "FILE"],
    &["rbac", "--judge-serving-model-secret=j", "--plugins", "FILE"],
    &["plugin", "inspect", "FILE"],
    &["plugin", "render", "FILE"],
    &["plugin", "check", "FILE"],
    &["plugin", "grant", "FILE"],
];

/// A descriptor with something in every field.
fn whole() -> Value {
    json!({
        "name": "evil", "summary": "x", "group": "evil", "selected-by": {"flag": "kind-of-evil", "value": "x"},
        "after": ["?other"], "licence": "Apache-2.0", "homepage": "https://example.test",
        "parameters": [{
            "name": "size", "help": "x", "schema": "{\"type\": \"string\", \"title\": \"x\"}", "default": "\"x\"",
            "flag": "evil-size", "env": "EVIL_SIZE",
        }],
        "credentials": [{
            "name": "judge", "required-keys": ["a"], "optional-keys": ["b", "c"], "config-map-keys": ["c"],
        }],
        "volumes": [{"name": "data", "size": "1Gi"}],
        "inputs": ["?other.path"],
        "outputs": [{"name": "score", "help": "x", "schema": "{}", "sample": "\"x\"", "sample-parameter": "size"}],
        "creates": [{"api-version": "batch/v1", "kind": "Job"}],
    })
}

fn plan() -> Value {
    let object = json!({"api-version": "batch/v1", "kind": "Job", "name": "r-evil"});
    let target = json!({"object": object, "succeeded": "true", "failed": "false", "reason": "'x'"});
    let excerpt = json!({"object": object, "container": "main", "max-bytes": 9});
    json!({"manifests": [job(json!({})).to_string()], "targets": [target], "excerpts": [excerpt]})
}

/// The value once for each text in it, with that text made evil: as it is, and, where it is JSON, in it.
fn evils(value: &Value) -> Vec<(String, Value)> {
    let mut paths = Vec::new();
    texts("", value, &mut paths);
    let mut all = Vec::new();
    for path in paths {
        let mut plain = value.clone();
        let place = plain.pointer_mut(&path).unwrap();
        let inner = serde_json::from_str::<Value>(place.as_str().unwrap()).ok();
        *place = json!(EVIL);
        all.push((path.clone(), plain));
        for (deeper, evil) in inner.iter().flat_map(evils) {
            let mut with = value.clone();
            *with.pointer_mut(&path).unwrap() = json!(evil.to_string());
            all.push((format!("{path}:{deeper}"), with));
        }
    }
    all
}

fn texts(at: &str, value: &Value, paths: &mut Vec<String>) {
    match value {
        Value::String(_) => paths.push(at.to_owned()),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, item)| texts(&format!("{at}/{i}"), item, paths));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(key, field)| texts(&format!("{at}/{key}"), field, paths));
        }
        _ => {}
    }
}

#[test]
fn no_text_of_a_component_touches_a_terminal() {
    let mut components: Vec<(String, Puppet)> = Vec::new();
    for (path, evil) in evils(&whole()) {
        components
            .push((format!("descriptor{path}"), Puppet::new(json!([evil])).render(json!({"ok": plan()}))));
    }
    for (path, evil) in evils(&plan()) {
        components.push((format!("plan{path}"), Puppet::new(json!([whole()])).render(json!({"ok": evil}))));
    }
    for error in [json!({"other": EVIL}), json!({"invalid-parameter": [EVIL, EVIL]})] {
        components
            .push((format!("error {error}"), Puppet::new(json!([whole()])).render(json!({"err": error}))));
    }
    assert!(components.len() >= 50, "{}", components.len());
    let half = components.len() / 2;
    let (one, two) = components.split_at(half);
    std::thread::scope(|scope| {
        scope.spawn(|| one.iter().for_each(|(name, puppet)| shown(name, puppet)));
        scope.spawn(|| two.iter().for_each(|(name, puppet)| shown(name, puppet)));
    });
}

fn shown(name: &str, puppet: &Puppet) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("evil.wasm");
    std::fs::write(&file, puppet.build()).unwrap();
    for verb in VERBS {
        let output = given(verb, &file);
        let code = output.status.code().unwrap_or_else(|| panic!("{name}: {verb:?}: {}", output.status));
        assert!([0, 2, 3].contains(&code), "{name}: {verb:?}: {code}");
        for (stream, text) in [("stdout", output.stdout), ("stderr", output.stderr)] {
            let text = String::from_utf8(text).expect("what is said is text");
            assert!(is_plain(&text), "{name}: {verb:?}: {stream}: {text:?}");
            let lines: Vec<&str> =
                text.lines().filter(|line| line.starts_with("error: all is well")).collect();
            assert!(lines.is_empty(), "{name}: {verb:?}: {stream}: a line of its own: {text}");
        }
    }
}
