//! docs/conformance.md shows the list as it is. `BLESS=1` writes it.

use ilab_test_conformance::{document, known};
use std::path::Path;

#[test]
fn the_document_shows_the_list() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/conformance.md");
    let is = std::fs::read_to_string(&path).unwrap();
    let should = document::with_list(&is, &known::read(known::LIST).unwrap());
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, should).unwrap();
        return;
    }
    assert!(
        is == should,
        "docs/conformance.md does not show tests/conformance/differences.yaml; `make bless` writes it"
    );
}
