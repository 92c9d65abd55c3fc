//! Files of the user's, read whole and strictly.

use crate::RegistryError;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Reads a YAML document that is no longer than `limit`. What is wrong with it is one line.
pub(crate) fn read<T: DeserializeOwned>(path: &Path, limit: u64) -> Result<T, RegistryError> {
    let fail = |e| RegistryError::file("read", path, e);
    let mut text = String::new();
    let size = File::open(path).map_err(fail)?.take(limit + 1).read_to_string(&mut text).map_err(fail)?;
    if size as u64 > limit {
        return Err(RegistryError::content(path, format!("is longer than {limit} bytes")));
    }
    parse(path, &text)
}

/// Reads the text of such a document. `path` is for messages.
pub(crate) fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, RegistryError> {
    serde_saphyr::from_str(text).map_err(|e| RegistryError::content(path, ilab_core::text::yaml_problem(&e)))
}
