//! The built program, away from the developer's own settings, and the components of the checkout.

#![allow(dead_code, reason = "each test program uses a part of it")]

pub(crate) mod place;

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
    assert!(
        file.with_file_name("grants.yaml").exists(),
        "the components are granted nothing; try: make plugins"
    );
    file.canonicalize().unwrap()
}

/// The folder with the built components.
pub(crate) fn plugins() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins");
    assert!(folder.join("fetch.wasm").exists(), "the components are not built; try: make plugins");
    assert!(folder.join("grants.yaml").exists(), "the components are granted nothing; try: make plugins");
    folder.canonicalize().unwrap()
}

/// Numbers that are the same in every run of a test, so that a failure can be repeated as nearly as processes can.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// Compares with a file beside the tests; with `BLESS=1` it is written instead.
#[track_caller]
pub(crate) fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("BLESS").is_some_and(|value| !value.is_empty()) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        return std::fs::write(&path, text).unwrap();
    }
    let expected =
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}; BLESS=1 writes it"));
    for (at, (was, is)) in expected.lines().zip(text.lines()).enumerate() {
        assert_eq!(was, is, "{name} line {}; BLESS=1 accepts it", at + 1);
    }
    assert_eq!(expected, text, "{name}; BLESS=1 accepts it");
}
