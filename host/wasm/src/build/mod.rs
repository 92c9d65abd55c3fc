//! Building stage components, with what the machine has and what package registries offer.
//!
//! [`build_project`] finds out what language a folder's project is written in, and builds it. What a component is made of:
//!
//! | language | made by | comes from |
//! | --- | --- | --- |
//! | Rust | cargo, then in process | the machine: [`Toolchain::probe`] |
//! | Python | componentize-py | pip, into the [`Tools`]' folder |
//! | JavaScript, TypeScript | rolldown and componentize-qjs | npm, into the [`Tools`]' folder |
//! | Go | go, then in process | the machine |
//!
//! A component says in custom sections what it is ([`read_metadata`]), and is put in place at once or not at all.
//!
//! ```no_run
//! use ilab_wasm::build::{Language, Tools, build_project};
//! let say = |line: &str| eprintln!("{line}");
//! let tools = Tools::new("cache/tools", &say);
//! let built = build_project("my-eval".as_ref(), Language::Python, &tools, "my-eval.wasm".as_ref())?;
//! println!("{} {}", built.component.display(), built.digest);
//! # Ok::<(), ilab_wasm::build::BuildError>(())
//! ```

mod cargo;
mod error;
mod go;
mod javascript;
mod metadata;
mod output;
mod project;
mod python;
mod quickjs;
mod toolchain;
mod tools;

pub use cargo::{Build, build_crate};
pub use error::BuildError;
pub use metadata::{Facts, Metadata, read_metadata};
pub use output::Built;
pub use project::Language;
pub use toolchain::Toolchain;
pub use tools::Tools;

use std::path::Path;

/// What Rust stages are compiled for: plain WebAssembly, without WASI.
const TARGET: &str = "wasm32-unknown-unknown";

/// Builds the project in a folder and writes its component to `output`.
///
/// # Errors
/// [`BuildError`]: the project is not whole, its toolchain is not here or cannot be installed, or it does not compile.
pub fn build_project(
    dir: &Path,
    language: Language,
    tools: &Tools<'_>,
    output: &Path,
) -> Result<Built, BuildError> {
    match language {
        Language::Rust => build_crate(&Toolchain::probe()?, &Build::new(dir), output),
        Language::Python => python::build(dir, tools, output),
        Language::JavaScript => javascript::build(dir, tools, output),
        Language::Go => go::build(dir, output),
    }
}
