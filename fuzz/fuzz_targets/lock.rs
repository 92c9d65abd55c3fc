#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ilab_fuzz_targets::lock(data));
