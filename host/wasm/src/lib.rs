//! Loads, limits and calls stage components.
//!
//! A component is a stranger's code. It is checked by name and type before it is linked, gets nothing but a log (and an
//! empty WASI where its language insists), and runs in a store of its own for every call, with bounds on memory, time,
//! stack, tables, instances, what it returns and what it logs. A trap ends the call, never the host.
//!
//! ```no_run
//! use ilab_wasm::{Host, Limits};
//! let host = Host::new(Limits::default(), None)?;
//! for plugin in host.load_folder("plugins".as_ref())? {
//!     for stage in plugin.stages()? {
//!         println!("{} {} {}", plugin.file().display(), plugin.digest(), stage.name);
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bindings;
mod cache;
mod check;
mod compile;
mod convert;
mod encode;
mod engine;
mod error;
mod host;
mod limits;
mod link;
mod log;
mod memory;
mod plugin;
mod record;
mod source;
mod state;
mod wasi;

pub mod build;
pub mod escape;

pub use compile::compile_child_main;
pub use encode::encode;
pub use error::{CallError, CallProblem, EncodeError, Function, HostError, LoadError, LoadProblem};
pub use host::{CompileWatch, Host};
pub use limits::Limits;
pub use log::{LogLevel, LogLine, LogSink, TracingSink};
pub use memory::Memory;
pub use plugin::Plugin;
pub use wasi::World;

/// The version of the contract (`wit/`) that this host speaks.
pub const WIT_VERSION: &str = "0.1.0";

/// The contract itself, as it is given to those who write components.
pub const WIT: &str = include_str!("../../../wit/stage.wit");
