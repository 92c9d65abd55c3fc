//! Guests, built once, and a sink that remembers.

use ilab_core::contract::{Context, Plan};
use ilab_core::names::{PluginDigest, StageName};
use ilab_wasm::build::{Build, Toolchain, build_crate};
use ilab_wasm::{CallError, Host, Limits, LogLevel, LogLine, LogSink, Plugin};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

/// The component of `tests/guests`.
pub(crate) fn hostile() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("guests", "hostile.wasm"))
}

/// The component of `tests/guests-wasi`.
pub(crate) fn wasi() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("guests-wasi", "wasi.wasm"))
}

fn build(folder: &str, name: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let toolchain = Toolchain::probe().unwrap_or_else(|error| panic!("{error}"));
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    // Beside the stages' own builds, so that the standard library is built once for all.
    let build = Build { target_dir: Some(target.with_file_name("guest")), ..Build::new(dir) };
    let built = build_crate(&toolchain, &build, &target.join(name)).unwrap_or_else(|error| panic!("{error}"));
    built.component
}

/// A core module of the hostile guest, for what needs one.
pub(crate) fn core_module() -> Vec<u8> {
    wat::parse_str("(module (func (export \"run\")))").unwrap()
}

#[derive(Default)]
pub(crate) struct Remember(Mutex<Vec<(LogLevel, String)>>);

impl LogSink for Remember {
    fn line(&self, line: &LogLine<'_>) {
        self.0.lock().unwrap().push((line.level, line.text.to_owned()));
    }
}

impl Remember {
    pub(crate) fn texts(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|(_, text)| text.clone()).collect()
    }
}

pub(crate) fn small() -> Limits {
    Limits {
        memory_bytes: 64 << 20,
        call_time: std::time::Duration::from_millis(300),
        returned_bytes: 1 << 20,
        log_lines: 20,
        ..Limits::default()
    }
}

pub(crate) fn load(path: &Path, limits: Limits) -> (Plugin, Arc<Remember>) {
    let sink = Arc::new(Remember::default());
    let host = Host::new(limits, None).unwrap().with_log_sink(sink.clone());
    (host.load(path).unwrap(), sink)
}

pub(crate) fn stage(name: &str) -> StageName {
    StageName::new(name).unwrap()
}

pub(crate) fn context() -> Context {
    let mut parameters = Map::new();
    parameters.insert("size".to_owned(), Value::from(1));
    Context {
        run: "test".to_owned(),
        namespace: "team-a".to_owned(),
        prefix: "test-good".to_owned(),
        parameters,
        inputs: Map::new(),
        credentials: vec![],
        volumes: vec![],
    }
}

pub(crate) fn render(plugin: &Plugin, name: &str) -> Result<Plan, CallError> {
    plugin.render(&stage(name), &context())
}

/// An error's text without what differs between machines and builds.
pub(crate) fn text(error: &dyn std::error::Error, file: &Path, digest: Option<&PluginDigest>) -> String {
    let text = error.to_string().replace(&file.display().to_string(), "FILE");
    match digest {
        Some(digest) => text.replace(digest.short(), "DIGEST"),
        None => text,
    }
}
