//! Verdicts: whether a watched object succeeded, failed, or is to be waited for.
//!
//! Predicates are CEL, written by guests and so hostile until shown otherwise. They are checked when a plan is accepted
//! (unknown names, functions, length, nesting) and metered when they run: a step an item of every loop, and a weight for
//! all data that is read or built. Running out of either is a failure that no `|| true` can hide.

mod budget;
mod check;
mod convert;
mod error;
mod identity;
mod predicates;

pub use budget::{MAX_STEPS, MAX_WEIGHT};
pub use check::{MAX_EXPRESSION_BYTES, MAX_NESTING};
pub use error::{PredicateError, PredicateProblem};
pub use identity::{Identity, Watched, uid_of};
pub use predicates::{MAX_REASON_CHARS, Predicates, Verdict, checked_expressions, trust_expressions};
