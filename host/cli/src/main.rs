//! The binary `ilab-host`.
fn main() {}
