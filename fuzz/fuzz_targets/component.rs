#![no_main]

use ilab_fuzz_targets::{changed, component};
use libfuzzer_sys::arbitrary::Unstructured;

// By the first byte: the input as it is; a valid component that is made of it; the same with bytes changed.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (Some((sort, rest)), false) = (data.split_first(), data.starts_with(b"\0asm")) else { return component(data) };
    if sort % 3 == 0 {
        return component(rest);
    }
    let (seed, changes) = rest.split_at(rest.len() - rest.len().min(24) / 2);
    let config = wasm_smith::Config::default();
    let Ok(made) = wasm_smith::Component::new(config, &mut Unstructured::new(seed)) else { return };
    let file = made.to_bytes();
    component(&if sort % 3 == 1 { file } else { changed(&file, changes) });
});
