//! The built program, away from the developer's own settings, and the components of the checkout.

#![expect(dead_code, reason = "each test program uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The compile cache of these tests, so that each component is compiled once and not once a test.
pub(crate) fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache")
}

/// The program with a clean environment.
pub(crate) fn host() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ilab-host"));
    command.env_clear().env("HOME", "/nonexistent").env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("XDG_CACHE_HOME", cache());
    command
}

/// The component whose steps do what a test says.
pub(crate) fn steps() -> PathBuf {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/steps/steps.wasm");
    assert!(file.exists(), "the components are not built; try: make plugins");
    file.canonicalize().unwrap()
}

/// The folder with the built components.
pub(crate) fn plugins() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins");
    assert!(folder.join("fetch.wasm").exists(), "the components are not built; try: make plugins");
    folder.canonicalize().unwrap()
}
