//! Why a predicate is refused.

use super::check::{MAX_EXPRESSION_BYTES, MAX_NESTING};
use crate::nearest::hint;
use crate::text::{escaped, quoted};

/// A predicate of a target that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{object}: {predicate} {}: {problem}", quoted(.expression, 200))]
pub struct PredicateError {
    /// The target, for example `Job/x`.
    pub object: String,
    /// Which of its predicates: `succeeded`, `failed` or `reason`.
    pub predicate: &'static str,
    /// The expression.
    pub expression: String,
    /// What is wrong with it.
    pub problem: Box<PredicateProblem>,
}

/// What is wrong with a predicate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PredicateProblem {
    /// Longer than [`MAX_EXPRESSION_BYTES`].
    #[error("it has {bytes} bytes, more than {MAX_EXPRESSION_BYTES}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Nested deeper than [`MAX_NESTING`], or with longer chains of operators.
    #[error("it is nested more than {MAX_NESTING} deep")]
    TooDeep,
    /// It is no CEL.
    #[error("line {line}, column {column}: {}", escaped(.message, 200))]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
        /// What the parser says.
        message: String,
    },
    /// A variable that does not exist.
    #[error("unknown variable {}{}", quoted(.name, 60), hint(.nearest.as_deref(), .valid))]
    UnknownVariable {
        /// The name.
        name: String,
        /// The variable whose name is nearest.
        nearest: Option<String>,
        /// All variables there.
        valid: Vec<String>,
    },
    /// A function that does not exist here.
    #[error("unknown function {}{}", quoted(.name, 60), hint(.nearest.as_deref(), .valid))]
    UnknownFunction {
        /// The name.
        name: String,
        /// The function whose name is nearest.
        nearest: Option<String>,
        /// All functions.
        valid: Vec<String>,
    },
    /// `condition` called otherwise than `condition(object, "Type")`.
    #[error("write it as condition(object, \"Type\")")]
    ConditionCall,
    /// Something of CEL that predicates do without.
    #[error("{what} cannot be used in a predicate")]
    Unsupported {
        /// What it is.
        what: &'static str,
    },
}
