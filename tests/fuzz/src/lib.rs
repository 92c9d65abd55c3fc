//! Targets for fuzzing: each takes bytes, and panics where a promise is broken.
//!
//! `tests/bounded.rs` runs them for a moment with inputs made from the corpus; `fuzz/` outside of the workspace gives them to
//! libFuzzer. A find is kept in `corpus/<target>` with a name that says what it was.

mod archive;
mod component;
mod files;
mod guard;
mod plan;
#[path = "../../../host/core/tests/pss/mod.rs"]
mod pss;
mod verdict;

pub use archive::archive;
pub use component::{changed, component};
pub use files::{grants, lock, pipeline, values};
pub use guard::guard;
pub use plan::plan;
pub use verdict::verdict;

/// A target.
pub type Target = fn(&[u8]);

/// All targets by the names of their folders in the corpus.
pub const TARGETS: [(&str, Target); 9] = [
    ("archive", archive),
    ("component", component),
    ("grants", grants),
    ("guard", guard),
    ("lock", lock),
    ("pipeline", pipeline),
    ("plan", plan),
    ("values", values),
    ("verdict", verdict),
];

/// The words of an input: lines, of which a target takes what it needs.
pub(crate) fn lines<const N: usize>(data: &[u8]) -> Option<[&str; N]> {
    let text = std::str::from_utf8(data).ok()?;
    let mut parts = text.splitn(N, '\n');
    let mut all = [""; N];
    for part in &mut all {
        *part = parts.next()?;
    }
    Some(all)
}
