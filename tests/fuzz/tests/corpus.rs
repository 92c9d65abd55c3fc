//! What of the corpus is made, is made here.

use ilab_test_support::Puppet;
use serde_json::json;
use std::path::Path;

/// The component that the loader's inputs change; with `BLESS=1` it is written.
#[test]
fn the_stage_component_is_what_is_made_of_these_words() {
    let creates = json!([{"api-version": "batch/v1", "kind": "Job"}]);
    let parameter =
        json!({"name": "size", "help": "How much", "schema": "{\"type\":\"integer\"}", "default": "1"});
    let output =
        json!({"name": "score", "help": "Its score", "schema": "{\"type\":\"number\"}", "sample": "0.5"});
    let stage = json!({
        "name": "my-eval", "summary": "An evaluation", "group": "evaluation", "after": ["?train-phase-2"],
        "parameters": [parameter], "outputs": [output], "creates": creates, "licence": "Apache-2.0",
    });
    let made = Puppet::new(json!([stage])).build();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/component/stage.wasm");
    if std::env::var_os("BLESS").is_some_and(|value| !value.is_empty()) {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read(&path).unwrap();
    assert!(kept == made, "{} is another; BLESS=1 writes it", path.display());
}
