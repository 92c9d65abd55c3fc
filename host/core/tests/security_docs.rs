//! What docs/security.md says is tried is tried: every test that it names exists in the file that it names.

use std::path::Path;

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join("docs/security.md")).unwrap();
    let (mut files, mut tests, mut here) = (0, 0, String::new());
    // What stands between backticks: a file, or a test in the file that was named last on the line.
    for line in text.lines() {
        here.clear();
        for word in line.split('`').skip(1).step_by(2) {
            if word.ends_with(".rs") && word.contains('/') {
                here = std::fs::read_to_string(root.join(word)).unwrap_or_else(|e| panic!("{word}: {e}"));
                files += 1;
            } else if word.contains('_')
                && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            {
                assert!(
                    here.contains(&format!("fn {word}(")),
                    "{word} is not in the file that is named for it"
                );
                tests += 1;
            }
        }
    }
    assert!(files >= 25 && tests >= 25, "{files} files, {tests} tests");
}
