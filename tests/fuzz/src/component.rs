//! The component loader: whatever a file holds, it is loaded or refused in one line, in bounded time and memory.
//!
//! The valid components of the corpus are made by `fuzz/generate` with wasm-smith, and by libFuzzer's own target as many more: here it
//! would change how wasmtime is built.

use ilab_core::text::is_plain_line;
use ilab_wasm::{Host, Limits};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A stage component, of which inputs change a few bytes.
const STAGE: &[u8] = include_bytes!("../corpus/component/stage.wasm");
/// Far more than loading and asking one small component takes, on a busy machine and without optimisation.
const TIME: Duration = Duration::from_secs(30);
const CALL: Duration = Duration::from_millis(100);

fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| {
        let limits = Limits {
            memory_bytes: 16 << 20,
            call_time: CALL,
            component_bytes: 1 << 20,
            returned_bytes: 256 << 10,
            ..Limits::default()
        };
        Host::new(limits, None).unwrap_or_else(|e| panic!("{e}"))
    })
}

/// What begins as WebAssembly is a file as it is; anything else is changes to a stage component.
///
/// # Panics
/// When an error is more than a line, or it takes long.
pub fn component(data: &[u8]) {
    match data.starts_with(b"\0asm") {
        true => load(data),
        false => load(&changed(STAGE, data)),
    }
}

/// A file with bytes changed: three bytes of `changes` each, where and what is there then.
#[must_use]
pub fn changed(file: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % file.len().max(1);
        if let Some(byte) = file.get_mut(at) {
            *byte = change[2];
        }
    }
    file
}

fn load(bytes: &[u8]) {
    let file = tempfile::Builder::new().suffix(".wasm").tempfile().unwrap_or_else(|e| panic!("{e}"));
    std::fs::write(file.path(), bytes).unwrap_or_else(|e| panic!("{e}"));
    let begun = Instant::now();
    let told = match host().load(file.path()) {
        Ok(plugin) => plugin.stages().map(drop).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    assert!(begun.elapsed() < TIME, "it took {:?}", begun.elapsed());
    if let Err(error) = told {
        assert!(is_plain_line(&error), "{error:?}");
    }
}
