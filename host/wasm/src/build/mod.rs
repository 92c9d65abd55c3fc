//! Building stage components from Rust crates, with what the machine has.
//!
//! [`Toolchain::probe`] finds a Rust toolchain that can compile to WebAssembly: one with the target installed, or one
//! with the sources of the standard library, which is then built along. [`build_crate`] runs cargo, makes a component
//! of the module, says in it what it is, and puts it in place at once or not at all.
//!
//! ```no_run
//! use ilab_wasm::build::{Build, Toolchain, build_crate};
//! let toolchain = Toolchain::probe()?;
//! let built = build_crate(&toolchain, &Build::new("plugins/fetch"), "plugins/fetch.wasm".as_ref())?;
//! println!("{} {}", built.component.display(), built.digest);
//! # Ok::<(), ilab_wasm::build::BuildError>(())
//! ```

mod cargo;
mod error;
mod metadata;
mod toolchain;

pub use cargo::{Build, Built, build_crate};
pub use error::BuildError;
pub use toolchain::Toolchain;

/// What stages are compiled for: plain WebAssembly, without WASI.
const TARGET: &str = "wasm32-unknown-unknown";
