//! The user's folders, by the XDG rules.

use std::path::PathBuf;

/// `ilab-host` in the user's cache folder; none when there is no home either.
pub fn cache() -> Option<PathBuf> {
    folder("XDG_CACHE_HOME", ".cache")
}

/// `ilab-host` in the user's state folder; none when there is no home either.
pub fn state() -> Option<PathBuf> {
    folder("XDG_STATE_HOME", ".local/state")
}

/// The rules say that a relative path counts as unset.
fn folder(variable: &str, in_home: &str) -> Option<PathBuf> {
    let path = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    path(variable).or_else(|| path("HOME").map(|home| home.join(in_home))).map(|base| base.join("ilab-host"))
}
