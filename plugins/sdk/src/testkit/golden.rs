//! Golden files.

use serde_json::Value;
use std::path::Path;

/// Compares a text with a file of the crate under test; with `BLESS=1` in the environment it writes the file instead.
///
/// # Panics
/// When they differ, with the first line that does, or when the file cannot be read or written.
pub fn golden(file: &str, actual: &str) {
    let path = Path::new(file);
    if std::env::var_os("BLESS").is_some_and(|value| !value.is_empty()) {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        }
        std::fs::write(path, actual).unwrap_or_else(|e| panic!("{file}: {e}"));
        return;
    }
    let expected = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{file}: {e}; BLESS=1 writes it"));
    if expected == actual {
        return;
    }
    let mut pairs = expected.lines().zip(actual.lines()).enumerate();
    let (line, (was, is)) = pairs.find(|(_, (was, is))| was != is).unwrap_or_else(|| {
        let count = expected.lines().count().min(actual.lines().count());
        (count, ("(shorter or longer)", "(longer or shorter)"))
    });
    panic!("{file} line {}:\n- {was}\n+ {is}\nBLESS=1 accepts it", line + 1);
}

/// A value as YAML.
///
/// # Panics
/// When it cannot be written.
#[must_use]
pub fn yaml(value: &Value) -> String {
    serde_saphyr::to_string(value).unwrap_or_else(|e| panic!("no YAML: {e}"))
}
