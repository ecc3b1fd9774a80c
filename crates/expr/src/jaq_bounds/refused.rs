//! What a jq program may not call: what recurses, never ends or reaches outside. Known before it runs.

use jaq_core::load::parse::Term;

use crate::ExprError;
use crate::jq::span;

/// A `range` may not count further than this when its bounds are written out.
const MAX_RANGE: f64 = 1e6;

/// `open` are the definitions, by name and number of arguments, within which the call stands.
pub(super) fn check_call(
    source: &str,
    open: &[(&str, usize)],
    name: &str,
    args: &[Term<&str>],
) -> Result<(), ExprError> {
    let refused = |message: String| ExprError { message, at: span(source, name), help: None };
    if open.contains(&(name, args.len())) {
        return Err(refused(format!("`{name}` calls itself; recursive definitions are not allowed")));
    }
    let why = match (name, args.len()) {
        ("repeat", 1) | ("while" | "until", 2) => {
            "it may never end; use `limit`, `first` or `range` over known bounds"
        }
        ("recurse", 1 | 2) => "it may never end; `..` and `recurse` walk what is there",
        ("input" | "inputs" | "input_filename" | "input_line_number", _) => "there is one input: the answer",
        ("env", _) => "plans get values through vars and secrets",
        ("debug" | "stderr" | "halt" | "halt_error", _) => "a program only computes",
        ("now", _) => "a program reads no clock; `{{ now }}` in a template does",
        ("localtime" | "strflocaltime", _) => "it depends on the machine; use gmtime and strftime",
        ("range", _) if !range_ends(args) => {
            return Err(refused("`range` may count up to 1,000,000 and must move on".to_owned()));
        }
        _ => return Ok(()),
    };
    Err(refused(format!("`{name}` is not available: {why}")))
}

/// Whether a `range` ends soon, as far as its arguments are written out.
fn range_ends(args: &[Term<&str>]) -> bool {
    let number = |digits: &str| digits.parse::<f64>().unwrap_or(0.0);
    let endless = args.iter().any(|arg| match arg {
        Term::Num(digits) => number(digits) > MAX_RANGE,
        Term::Call("infinite", _) => true,
        Term::Neg(inner) => match &**inner {
            Term::Num(digits) => number(digits) > MAX_RANGE,
            inner => matches!(inner, Term::Call("infinite", _)),
        },
        _ => false,
    });
    let stuck = matches!(args, [_, _, Term::Num(digits)] if digits.parse::<f64>().is_ok_and(|by| by == 0.0));
    !endless && !stuck
}
