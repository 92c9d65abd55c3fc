//! Builds a stage's crate as a component: `build-stage DIR OUTPUT [PACKAGE]`.

use ilab_wasm::build::{Build, Toolchain, build_crate};
use std::error::Error;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = std::env::args().skip(1).collect::<Vec<_>>();
    let (dir, output, package) = match args.as_slice() {
        [dir, output] => (dir, output, None),
        [dir, output, package] => (dir, output, Some(package.clone())),
        _ => {
            eprintln!("usage: build-stage DIR OUTPUT [PACKAGE]");
            return ExitCode::from(2);
        }
    };
    let built = Toolchain::probe().and_then(|toolchain| {
        build_crate(&toolchain, &Build { package, ..Build::new(dir) }, output.as_ref())
    });
    match built {
        Ok(built) => {
            println!("{} {} {} bytes", built.component.display(), built.digest, built.bytes);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprint!("error: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprint!(": {cause}");
                source = cause.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}
