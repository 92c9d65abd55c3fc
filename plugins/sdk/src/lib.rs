//! The SDK for stage authors.
//!
//! A stage is a value that implements [`Stage`]: it describes itself, renders Kubernetes objects from typed
//! structs, and turns what its containers printed into outputs. [`export_stages!`] makes a WebAssembly component of
//! one or several of them. On the developer's machine the same code is ordinary Rust, so stages are tested natively
//! with [`testkit`].
//!
//! ```
//! use ilab_stage_sdk::{Ctx, Descriptor, Error, Output, Parameter, Plan, Stage, export_stages, targets};
//! use ilab_stage_sdk::k8s::batch::v1::Job;
//! use ilab_stage_sdk::pod::{self, ContainerExt};
//!
//! #[derive(serde::Deserialize)]
//! #[serde(rename_all = "kebab-case")]
//! struct Settings {
//!     image: String,
//!     greeting: String,
//! }
//!
//! struct Hello;
//!
//! impl Stage for Hello {
//!     fn descriptor(&self) -> Descriptor {
//!         Descriptor::new("hello", "demo", "Says hello")
//!             .parameter(Parameter::image("image", "Image with a shell").default("busybox:1.37"))
//!             .parameter(Parameter::string("greeting", "What to say").pattern("^[A-Za-z ]+$").default("hello"))
//!             .output(Output::string("said", "What was said", "hello"))
//!             .creates::<Job>()
//!     }
//!
//!     fn render(&self, ctx: &Ctx) -> Result<Plan, Error> {
//!         let settings: Settings = ctx.parameters()?;
//!         let line = format!(r#"ILAB_OUTPUTS {{"said": "{}"}}"#, settings.greeting);
//!         let container = pod::container("hello", &settings.image).run(["echo", &line]);
//!         let name = ctx.name();
//!         Ok(Plan::new()
//!             .apply(&pod::job(&name, "hello", pod::spec([container]), 2))?
//!             .wait(targets::job(&name))
//!             .read(targets::job_ref(&name), "hello"))
//!     }
//! }
//!
//! export_stages!(Hello);
//! ```
//!
//! Everything that a stage is given has been validated by the schemas that it declared, but it is still foreign
//! text: build commands as argument lists, never as shell scripts.

pub mod contract;
pub mod guest;
pub mod instructlab;
pub mod log;
pub mod outputs;
pub mod pod;
pub mod pytorch;
pub mod settings;
pub mod targets;
#[cfg(all(feature = "golden", not(target_arch = "wasm32")))]
pub mod testkit;
pub mod trainer;

mod context;
mod descriptor;
mod plan;
mod stage;

#[cfg(target_arch = "wasm32")]
pub mod bindings;

pub use context::{Ctx, path_problem};
pub use contract::{
    BoundCredential, BoundKey, BoundVolume, Credential, Descriptor, Error, Excerpt, ExcerptSource, KeyHolder,
    Kind, ObjectRef, Output, Parameter, Selector, Target, Volume,
};
pub use k8s_openapi::{self, api as k8s};
pub use plan::{DEFAULT_EXCERPT_BYTES, Manifest, Plan};
pub use stage::Stage;
