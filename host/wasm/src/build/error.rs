//! Why a component was not built.

use crate::error::EncodeError;
use std::path::PathBuf;
use thiserror::Error;

/// A component was not built.
#[derive(Debug, Error)]
pub enum BuildError {
    /// No Rust toolchain here can compile to WebAssembly.
    #[error(
        "no Rust toolchain here compiles to wasm32-unknown-unknown: install one with `rustup target add \
         wasm32-unknown-unknown`, or on Debian with `apt-get install rustc-web cargo-web rust-web-src lld` ({})",
        if found.is_empty() { "no rustc was found".to_owned() } else { found.join("; ") }
    )]
    NoToolchain {
        /// What was found, and what it lacks.
        found: Vec<String>,
    },
    /// A program does not start.
    #[error("{} does not start", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The folder holds no Rust crate.
    #[error("{} is not a Rust crate: it has no Cargo.toml", dir.display())]
    NotACrate {
        /// The folder.
        dir: PathBuf,
    },
    /// Cargo does not say what it should about the crate.
    #[error("cargo cannot describe {}: {detail}", dir.display())]
    Describe {
        /// The folder.
        dir: PathBuf,
        /// What it says instead.
        detail: String,
    },
    /// Not clear which package is meant.
    #[error("which package of {} is it? there are {}", dir.display(), packages.join(", "))]
    WhichPackage {
        /// The folder.
        dir: PathBuf,
        /// The packages there are.
        packages: Vec<String>,
    },
    /// The package makes no module.
    #[error(
        "package {package} makes no WebAssembly module: its Cargo.toml needs [lib] crate-type = [\"cdylib\"]"
    )]
    NoModule {
        /// The package.
        package: String,
    },
    /// The compiler or the linker failed.
    #[error("package {package} does not compile ({status}); cargo's messages say why")]
    Compile {
        /// The package.
        package: String,
        /// How cargo ended.
        status: std::process::ExitStatus,
    },
    /// The module is no stage.
    #[error("package {package} does not make a component")]
    Encode {
        /// The package.
        package: String,
        /// Why.
        #[source]
        source: EncodeError,
    },
    /// A file cannot be read or written.
    #[error("{} cannot be read or written", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}
