//! Files that people write: one line says what is wrong, and what is written again is read as the same.

use ilab_core::grants::{document, parse_grants, splice};
use ilab_core::graph::parse_pipeline;
use ilab_core::parameters::parse_values;
use ilab_core::text::is_plain_line;
use ilab_registry::Lock;
use std::path::Path;

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// A grants file.
///
/// # Panics
/// When an error is more than a line, or a grant that is put back means another thing, or anything else in the file does.
pub fn grants(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let file = match parse_grants("fuzz", text) {
        Ok(file) => file,
        Err(error) => return assert!(is_plain_line(&error.to_string()), "{error}"),
    };
    for grant in &file.grants {
        let written = document(grant, &Default::default());
        let again = parse_grants("fuzz", &written).unwrap_or_else(|e| panic!("{e}: {written}"));
        assert_eq!(again.grants, std::slice::from_ref(grant), "{written}");
        let spliced = splice(text, grant, &written);
        let whole = parse_grants("fuzz", &spliced).unwrap_or_else(|e| panic!("{e}: {spliced}"));
        assert_eq!(whole, file, "{spliced}");
    }
}

/// A pipeline file.
///
/// # Panics
/// When an error is more than a line.
pub fn pipeline(data: &[u8]) {
    if let Some(Err(error)) = text(data).map(parse_pipeline) {
        assert!(is_plain_line(&error.to_string()), "{error}");
    }
}

/// A lock of plugins.
///
/// # Panics
/// When an error is more than a line, or a lock that is written again is read as another.
pub fn lock(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let path = Path::new("plugins.lock");
    let lock = match Lock::parse(path, text) {
        Ok(lock) => lock,
        Err(error) => return assert!(is_plain_line(&error.to_string()), "{error}"),
    };
    let written = lock.text().unwrap_or_else(|e| panic!("{e}"));
    let again = Lock::parse(path, &written).unwrap_or_else(|e| panic!("{e}: {written}"));
    assert_eq!(again, lock, "{written}");
    for locked in lock.plugins() {
        assert_eq!(
            lock.find(&locked.reference).map(|found| &found.manifest),
            Some(&locked.manifest),
            "{written}"
        );
        assert!(lock.find(&locked.pinned()).is_some(), "{written}");
    }
}

/// A values file.
///
/// # Panics
/// When an error is more than a line.
pub fn values(data: &[u8]) {
    if let Some(Err(error)) = text(data).map(parse_values) {
        assert!(is_plain_line(&error.to_string()), "{error}");
    }
}
