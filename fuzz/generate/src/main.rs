//! Makes the valid components of the corpus: `cargo run --manifest-path fuzz/generate/Cargo.toml`. The same ones every time.

use std::path::Path;

/// Larger ones say no more, and every change of them costs more.
const LARGEST: usize = 3_000;
const WANTED: usize = 24;

fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus/component");
    let (mut state, mut kept, mut empty) = (0x9e37_79b9_7f4a_7c15_u64, 0, 0);
    while kept < WANTED {
        let mut seed = Vec::new();
        for _ in 0..256 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            seed.extend(state.to_le_bytes());
        }
        let unstructured = &mut arbitrary::Unstructured::new(&seed);
        let Ok(made) = wasm_smith::Component::new(wasm_smith::Config::default(), unstructured) else { continue };
        let bytes = made.to_bytes();
        // Most small ones have nothing in them.
        empty += usize::from(bytes.len() < 64);
        if bytes.len() > LARGEST || (bytes.len() < 64 && empty > 2) {
            continue;
        }
        std::fs::write(folder.join(format!("generated-{kept:02}.wasm")), bytes)?;
        kept += 1;
    }
    Ok(())
}
