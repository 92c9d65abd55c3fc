//! What a stage implements, and how stages become a component.

use crate::contract::{Descriptor, Error, Excerpt};
use crate::{Ctx, Plan, outputs};
use serde_json::{Map, Value};

/// One stage of a pipeline.
///
/// `render` and `collect` are pure: the same input gives the same output, always. That is what makes dry runs, the
/// run record and golden tests work.
pub trait Stage: Sync {
    /// What the stage is and asks for. Constant.
    fn descriptor(&self) -> Descriptor;

    /// The descriptor's name. Worth implementing where the descriptor is long: the component looks for the stage to
    /// render by it.
    fn name(&self) -> String {
        self.descriptor().name
    }

    /// The manifests of the stage, and the predicates that say when they are done.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] for what the schemas could not rule out, [`Error::Other`] for the rest.
    fn render(&self, ctx: &Ctx) -> Result<Plan, Error>;

    /// The stage's outputs, from what its containers printed.
    ///
    /// By default the last line `ILAB_OUTPUTS {json}` of each excerpt, together, reduced to the declared outputs.
    ///
    /// # Errors
    /// When an excerpt has no such line, it is no JSON object, or a declared output is in none of them.
    fn collect(&self, ctx: &Ctx, excerpts: &[Excerpt]) -> Result<Map<String, Value>, Error> {
        let _ = ctx;
        outputs::collect(&self.descriptor(), excerpts)
    }
}

/// Makes a component of stages: an expression each, constant, of a type that implements [`Stage`](crate::Stage).
///
/// It expands to a function `stages()` that lists them, for tests and tools, and, in a component, to the exports of
/// `ilab:pipeline/stage`.
///
/// ```
/// # use ilab_stage_sdk::{Ctx, Descriptor, Error, Plan, Stage, export_stages};
/// struct Phase(u8);
/// impl Stage for Phase {
///     fn descriptor(&self) -> Descriptor {
///         Descriptor::new(&format!("phase-{}", self.0), "demo", "One of two")
///     }
///     fn render(&self, _: &Ctx) -> Result<Plan, Error> {
///         Ok(Plan::new())
///     }
/// }
/// export_stages!(Phase(1), Phase(2));
/// # fn main() {
/// assert_eq!(stages()[1].descriptor().name, "phase-2");
/// # }
/// ```
#[macro_export]
macro_rules! export_stages {
    ($($stage:expr),+ $(,)?) => {
        /// The stages of this component.
        #[must_use]
        pub fn stages() -> &'static [&'static dyn $crate::Stage] {
            &[$(&$stage),+]
        }

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Component;
            $crate::__export_component!(Component, stages);
        };
    };
}
