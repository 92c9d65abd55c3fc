//! A pod's shim as a program of its own, for the tests of this crate. The shipped host re-executes itself instead.

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args_os().nth(1) {
        Some(dir) => ilab_local::node::shim::main(dir.as_ref()),
        None => {
            eprintln!("usage: ilab-local-shim POD-FOLDER");
            ExitCode::from(2)
        }
    }
}
