//! A component on its way to its place.

use super::BuildError;
use ilab_core::names::PluginDigest;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The component's file.
    pub component: PathBuf,
    /// Its digest.
    pub digest: PluginDigest,
    /// Its size.
    pub bytes: u64,
}

/// Writes a component, at once or not at all.
pub(super) fn put(output: &Path, component: &[u8]) -> Result<Built, BuildError> {
    write_atomically(output, component)
        .map_err(|source| BuildError::Io { path: output.to_owned(), source })?;
    Ok(Built {
        component: output.to_owned(),
        digest: PluginDigest::of(component),
        bytes: component.len() as u64,
    })
}

fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".build-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
