//! Parsing an expression, refusing what it may not say, and putting the meter in.
//!
//! Two calls that nobody can write (their names begin with `@`) are added to the tree: `@step()` once an iteration, and
//! `@weigh(x)` around every value that an operation reads whole. They are placed so that the interpreter still
//! recognises the shapes of `map`, `filter`, `all` and `exists`, which it runs in linear time and with the right
//! treatment of errors.

use super::error::PredicateProblem;
use crate::nearest::nearest;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators};
use cel::parser::{Expression, Parser};

/// The longest expression.
pub const MAX_EXPRESSION_BYTES: usize = 4096;
/// The deepest nesting of a tree; a chain such as `a.b.c` or `a + b + c` nests once a link, `&&` and `||` do not.
pub const MAX_NESTING: usize = 48;

/// What is parsed on the caller's own stack.
const MAX_INLINE_BYTES: usize = 512;
/// Several times what the longest expression needs.
const PARSER_STACK_BYTES: usize = 16 * 1024 * 1024;

/// The name of the call that counts an iteration.
pub(super) const STEP: &str = "@step";
/// The name of the call that counts data.
pub(super) const WEIGH: &str = "@weigh";
/// The host's own function.
pub(super) const CONDITION: &str = "condition";

/// Functions of the standard library that take time in proportion to what they are given. Not `matches`: compiling a
/// hostile pattern in a loop costs more than its length tells.
const FUNCTIONS: [&str; 31] = [
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "string",
    "int",
    "uint",
    "double",
    "bool",
    "bytes",
    "dyn",
    "type",
    "timestamp",
    "duration",
    "getFullYear",
    "getMonth",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getHours",
    "getMinutes",
    "getSeconds",
    "getMilliseconds",
    "value",
    "hasValue",
    "or",
    "orValue",
    "of",
    "none",
    "ofNonZeroValue",
];
/// Functions that exist only as `optional.of(x)` and the like.
const OPTIONAL: [&str; 3] = ["of", "none", "ofNonZeroValue"];
const MACROS: [&str; 6] = ["has", "all", "exists", "exists_one", "map", "filter"];
const TYPES: [&str; 11] =
    ["int", "uint", "double", "bool", "string", "bytes", "list", "map", "null_type", "type", "optional_type"];

/// Parses, checks and meters one expression.
pub(super) fn compile(source: &str) -> Result<Expression, PredicateProblem> {
    if source.len() > MAX_EXPRESSION_BYTES {
        return Err(PredicateProblem::TooLong { bytes: source.len() });
    }
    // The parser builds and visits its trees by recursion, once a link of a chain such as `1<1<1<…`. Up to here that
    // fits the stack of any thread; 4,096 bytes of it need 2 MiB, as much as a worker of the runtime has.
    if source.len() <= MAX_INLINE_BYTES {
        return parse_and_check(source);
    }
    std::thread::scope(|scope| {
        let parsing = std::thread::Builder::new()
            .stack_size(PARSER_STACK_BYTES)
            .spawn_scoped(scope, || parse_and_check(source));
        parsing.ok().and_then(|parsing| parsing.join().ok()).unwrap_or(Err(PredicateProblem::Unsupported {
            what: "an expression that the parser cannot take",
        }))
    })
}

fn parse_and_check(source: &str) -> Result<Expression, PredicateProblem> {
    let parser = Parser::new().enable_optional_syntax(true).max_recursion_depth(64).error_recovery_limit(4);
    let mut expression = parser.parse(source).map_err(|errors| syntax(&errors))?;
    Checker { scope: vec!["object".to_owned()] }.visit(&mut expression, 0)?;
    Ok(expression)
}

fn syntax(errors: &cel::ParseErrors) -> PredicateProblem {
    let (position, message) =
        errors.errors.first().map_or(((0, 0), "not an expression"), |error| (error.pos, error.msg.as_str()));
    let place = |number: isize| usize::try_from(number).unwrap_or(0).max(1);
    PredicateProblem::Syntax {
        line: place(position.0),
        column: place(position.1),
        message: message.to_owned(),
    }
}

struct Checker {
    /// The variables that are known here.
    scope: Vec<String>,
}

impl Checker {
    fn visit(&mut self, node: &mut Expression, depth: usize) -> Result<(), PredicateProblem> {
        if depth > MAX_NESTING {
            return Err(PredicateProblem::TooDeep);
        }
        match &mut node.expr {
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.identifier(name),
            Expr::Select(select) => self.visit(&mut select.operand, depth + 1),
            Expr::Call(call) => self.call(call, depth),
            Expr::List(list) => {
                list.elements.iter_mut().try_for_each(|element| self.read(element, depth + 1))
            }
            Expr::Map(map) => map.entries.iter_mut().try_for_each(|entry| match &mut entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.read(&mut entry.key, depth + 1)?;
                    self.read(&mut entry.value, depth + 1)
                }
                EntryExpr::StructField(_) => Err(PredicateProblem::Unsupported { what: "a message" }),
            }),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension, depth),
            Expr::Struct(_) => Err(PredicateProblem::Unsupported { what: "a message" }),
            Expr::Unspecified => Err(PredicateProblem::Unsupported { what: "an empty expression" }),
        }
    }

    /// Visits an operand that its operation reads whole, and weighs it.
    fn read(&mut self, node: &mut Expression, depth: usize) -> Result<(), PredicateProblem> {
        self.visit(node, depth)?;
        if !matches!(node.expr, Expr::Literal(_)) {
            let inner = std::mem::take(node);
            *node = call_of(inner.id, WEIGH, vec![inner]);
        }
        Ok(())
    }

    fn identifier(&self, name: &str) -> Result<(), PredicateProblem> {
        if self.scope.iter().any(|known| known == name) || TYPES.contains(&name) {
            return Ok(());
        }
        let valid: Vec<String> = self.scope.iter().filter(|name| !name.starts_with('@')).cloned().collect();
        Err(PredicateProblem::UnknownVariable {
            name: name.to_owned(),
            nearest: nearest(name, &valid),
            valid,
        })
    }

    fn call(&mut self, call: &mut CallExpr, depth: usize) -> Result<(), PredicateProblem> {
        use operators as op;
        let arguments = call.args.as_mut_slice();
        match (call.func_name.as_str(), call.target.as_deref_mut()) {
            // These read no more of their operands than a truth or a way into them.
            (
                op::CONDITIONAL
                | op::LOGICAL_AND
                | op::LOGICAL_OR
                | op::LOGICAL_NOT
                | op::NOT_STRICTLY_FALSE
                | op::OPT_SELECT,
                None,
            ) => arguments.iter_mut().try_for_each(|argument| self.visit(argument, depth + 1)),
            (op::INDEX | op::OPT_INDEX, None) => match arguments {
                [operand, index] => {
                    self.visit(operand, depth + 1)?;
                    self.read(index, depth + 1)
                }
                _ => Err(PredicateProblem::Unsupported { what: "this index" }),
            },
            // Compared with a number, a truth, null or a text that the author wrote, the other side is read no further.
            (op::EQUALS | op::NOT_EQUALS, None)
                if arguments.iter().any(|argument| matches!(argument.expr, Expr::Literal(_))) =>
            {
                arguments.iter_mut().try_for_each(|argument| self.visit(argument, depth + 1))
            }
            (
                op::EQUALS
                | op::NOT_EQUALS
                | op::LESS
                | op::LESS_EQUALS
                | op::GREATER
                | op::GREATER_EQUALS
                | op::ADD
                | op::SUBSTRACT
                | op::MULTIPLY
                | op::DIVIDE
                | op::MODULO
                | op::NEGATE
                | op::IN,
                None,
            ) => arguments.iter_mut().try_for_each(|argument| self.read(argument, depth + 1)),
            (CONDITION, None) => match arguments {
                [object, kind] if matches!(object.expr, Expr::Ident(_)) => {
                    self.visit(object, depth + 1)?;
                    self.read(kind, depth + 1)
                }
                _ => Err(PredicateProblem::ConditionCall),
            },
            (CONDITION, Some(_)) => Err(PredicateProblem::ConditionCall),
            (name, target) => {
                let of_optional = target
                    .as_ref()
                    .is_some_and(|target| matches!(&target.expr, Expr::Ident(name) if name == "optional"))
                    && !self.scope.iter().any(|known| known == "optional");
                if !FUNCTIONS.contains(&name) || OPTIONAL.contains(&name) != of_optional {
                    return Err(unknown_function(name));
                }
                if let Some(target) = target.filter(|_| !of_optional) {
                    self.read(target, depth + 1)?;
                }
                arguments.iter_mut().try_for_each(|argument| self.read(argument, depth + 1))
            }
        }
    }

    fn comprehension(&mut self, loop_: &mut ComprehensionExpr, depth: usize) -> Result<(), PredicateProblem> {
        self.read(&mut loop_.iter_range, depth + 1)?;
        self.visit(&mut loop_.accu_init, depth + 1)?;
        let outside = self.scope.len();
        self.scope.extend([loop_.iter_var.clone(), loop_.accu_var.clone()]);
        self.scope.extend(loop_.iter_var2.clone());
        let inside = self.metered_loop(loop_, depth);
        self.scope.truncate(outside);
        inside
    }

    fn metered_loop(&mut self, loop_: &mut ComprehensionExpr, depth: usize) -> Result<(), PredicateProblem> {
        self.visit(&mut loop_.result, depth + 1)?;
        match Append::of(loop_) {
            Some(Append::Always) => {
                // `@result + [x]` becomes `@step() ? @result + [x] : @result`: still an append.
                self.appended(&mut loop_.loop_step, depth)?;
                let accumulator = Expression { id: 0, expr: Expr::Ident(loop_.accu_var.clone()) };
                let step = std::mem::take(&mut loop_.loop_step);
                loop_.loop_step = conditional(stepping(), step, accumulator);
                Ok(())
            }
            Some(Append::Guarded) => {
                let Expr::Call(step) = &mut loop_.loop_step.expr else { return Ok(()) };
                let [guard, appended, _] = step.args.as_mut_slice() else { return Ok(()) };
                self.visit(guard, depth + 1)?;
                self.appended(appended, depth)?;
                let inner = std::mem::take(guard);
                *guard = conditional(stepping(), inner, literal_false());
                Ok(())
            }
            None => {
                self.visit(&mut loop_.loop_cond, depth + 1)?;
                self.visit(&mut loop_.loop_step, depth + 1)?;
                let inner = std::mem::take(&mut loop_.loop_cond);
                loop_.loop_cond = conditional(stepping(), inner, literal_false());
                Ok(())
            }
        }
    }

    /// The list of `@result + [x]`: what goes into it is weighed, the accumulator is not.
    fn appended(&mut self, node: &mut Expression, depth: usize) -> Result<(), PredicateProblem> {
        let Expr::Call(add) = &mut node.expr else { return Ok(()) };
        let [_, items] = add.args.as_mut_slice() else { return Ok(()) };
        self.visit(items, depth + 1)
    }
}

/// A step that only appends to the accumulator, as `map` and `filter` make it.
enum Append {
    Always,
    Guarded,
}

impl Append {
    fn of(loop_: &ComprehensionExpr) -> Option<Self> {
        let is_accumulator =
            |node: &Expression| matches!(&node.expr, Expr::Ident(name) if *name == loop_.accu_var);
        let appends = |node: &Expression| match &node.expr {
            Expr::Call(call) if call.func_name == operators::ADD && call.target.is_none() => {
                matches!(call.args.as_slice(), [left, right] if is_accumulator(left) && matches!(right.expr, Expr::List(_)))
            }
            _ => false,
        };
        if !is_accumulator(&loop_.result) || !matches!(loop_.loop_cond.expr, Expr::Literal(_)) {
            return None;
        }
        if appends(&loop_.loop_step) {
            return Some(Self::Always);
        }
        match &loop_.loop_step.expr {
            Expr::Call(call) if call.func_name == operators::CONDITIONAL => match call.args.as_slice() {
                [_, step, otherwise] if appends(step) && is_accumulator(otherwise) => Some(Self::Guarded),
                _ => None,
            },
            _ => None,
        }
    }
}

fn call_of(id: u64, name: &str, args: Vec<Expression>) -> Expression {
    Expression { id, expr: Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args }) }
}

fn stepping() -> Expression {
    call_of(0, STEP, Vec::new())
}

fn conditional(condition: Expression, then: Expression, otherwise: Expression) -> Expression {
    call_of(0, operators::CONDITIONAL, vec![condition, then, otherwise])
}

fn literal_false() -> Expression {
    Expression { id: 0, expr: Expr::Literal(LiteralValue::Boolean(false.into())) }
}

fn unknown_function(name: &str) -> PredicateProblem {
    let mut valid: Vec<String> = FUNCTIONS
        .iter()
        .filter(|name| !OPTIONAL.contains(name))
        .chain(&MACROS)
        .chain(&[CONDITION])
        .map(|name| (*name).to_owned())
        .collect();
    valid.extend(OPTIONAL.map(|name| format!("optional.{name}")));
    valid.sort();
    PredicateProblem::UnknownFunction { name: name.to_owned(), nearest: nearest(name, &valid), valid }
}
