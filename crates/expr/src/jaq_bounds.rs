//! What keeps a jq program within bounds.
//!
//! jaq itself counts nothing, so the parsed program (and jaq's own definitions) are rewritten:
//! behind everything that yields several outputs, and at the start of every definition and fold,
//! stands a filter that counts a step and now and then weighs the value that passes. What recurses,
//! reads the clock, the environment or other inputs is refused before.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::LazyLock;

use jaq_core::box_iter::box_once;
use jaq_core::data::HasLut;
use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::native::{self, v};
use jaq_core::path::{Part, Path};
use jaq_core::{DataT, Exn, Lut, Native, ops};
use jaq_json::{Num, Val};

use crate::ExprError;
use crate::jaq_value::MAX_BYTES;
use crate::jq::span;

/// Steps that one evaluation may take; a second or two at most.
const MAX_STEPS: u64 = 5_000_000;
/// A value is weighed about every so many steps.
const WEIGH_EVERY: u64 = 32;
/// How deep a value may be nested while a program runs.
const MAX_WORKING_DEPTH: usize = 500;
/// Bits that an integer may have.
const MAX_BITS: u64 = 65_536;
/// A `range` may not count further than this when its bounds are written out.
const MAX_RANGE: f64 = 1e6;

// Names that no program can write.
const TICK: &str = "tick!";
const WEIGH: &str = "weigh!";
const TIMES: &str = "times!";
const FACTOR: &str = "$factor!";

/// jaq's data: values of jaq-json, and a meter beside the look-up table.
pub(crate) struct Bounded;

impl DataT for Bounded {
    type V<'a> = Val;
    type Data<'a> = &'a Metered<'a>;
}

/// The meter of one evaluation.
pub(crate) struct Metered<'a> {
    lut: &'a Lut<Bounded>,
    steps: Cell<u64>,
    exceeded: Cell<Option<&'static str>>,
}

impl<'a> HasLut<'a, Bounded> for &'a Metered<'a> {
    fn lut(&self) -> &'a Lut<Bounded> {
        self.lut
    }
}

impl<'a> Metered<'a> {
    pub(crate) fn new(lut: &'a Lut<Bounded>) -> Self {
        Metered { lut, steps: Cell::new(0), exceeded: Cell::new(None) }
    }

    /// The bound that was hit, if one was.
    pub(crate) fn exceeded(&self) -> Option<&'static str> {
        self.exceeded.get()
    }

    fn tick(&self, value: &Val) -> bool {
        let steps = self.steps.get() + 1;
        self.steps.set(steps);
        if steps > MAX_STEPS {
            return self.refuse("jq: the program takes more than 5,000,000 steps");
        }
        // Scattered: a loop takes its steps in a rhythm, and might show the scales the same small
        // value each time.
        let scattered = steps.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        if scattered.is_multiple_of(WEIGH_EVERY) { self.weigh(value) } else { self.small(value) }
    }

    /// Looks at the value itself only.
    fn small(&self, value: &Val) -> bool {
        match value {
            Val::TStr(bytes) | Val::BStr(bytes) if bytes.len() > MAX_BYTES => {
                self.refuse("jq: a text grows beyond 64 MiB")
            }
            Val::Num(Num::BigInt(integer)) if integer.bits() > MAX_BITS => {
                self.refuse("jq: an integer grows beyond 65,536 bits")
            }
            _ => true,
        }
    }

    /// Looks at all of the value, and charges steps for it.
    fn weigh(&self, value: &Val) -> bool {
        let mut weight = 0;
        let fits = self.small(value) && self.add_weight(value, 0, &mut weight);
        self.steps.set(self.steps.get() + (weight >> 10));
        fits
    }

    fn add_weight(&self, value: &Val, depth: usize, weight: &mut u64) -> bool {
        if depth > MAX_WORKING_DEPTH {
            return self.refuse("jq: a value grows deeper than 500 levels");
        }
        *weight += 16;
        if *weight > 4 * MAX_BYTES as u64 {
            return self.refuse("jq: a value grows beyond 256 MiB");
        }
        match value {
            Val::TStr(bytes) | Val::BStr(bytes) => {
                *weight += bytes.len() as u64;
                true
            }
            Val::Arr(items) => items.iter().all(|item| self.add_weight(item, depth + 1, weight)),
            Val::Obj(map) => map.iter().all(|(key, value)| {
                self.add_weight(key, depth + 1, weight) && self.add_weight(value, depth + 1, weight)
            }),
            other => self.small(other),
        }
    }

    fn refuse(&self, why: &'static str) -> bool {
        self.exceeded.set(Some(why));
        false
    }
}

type Function = native::Fun<Bounded>;

/// The native filters: jaq's, without those that reach outside, and the meter's.
pub(crate) fn functions() -> impl Iterator<Item = Function> {
    let tick = Native::<Bounded>::new(|cv| match cv.0.data().tick(&cv.1) {
        true => box_once(Ok(cv.1)),
        false => box_once(Err(Exn::halt(1))),
    })
    .with_paths(|cv| match cv.0.data().tick(&cv.1.0) {
        true => box_once(Ok(cv.1)),
        false => box_once(Err(Exn::halt(1))),
    })
    .with_update(|cv, f| match cv.0.data().tick(&cv.1) {
        true => f(cv.1),
        false => box_once(Err(Exn::halt(1))),
    });
    let weigh = Native::<Bounded>::new(|cv| match cv.0.data().weigh(&cv.1) {
        true => box_once(Ok(cv.1)),
        false => box_once(Err(Exn::halt(1))),
    });
    let times = Native::<Bounded>::new(|mut cv| {
        let right = cv.0.pop_var();
        let left = cv.0.pop_var();
        let meter = cv.0.data();
        if !repetition_fits(&left, &right) {
            meter.refuse("jq: repeating a text grows beyond 64 MiB");
            return box_once(Err(Exn::halt(1)));
        }
        if !(meter.weigh(&left) && meter.weigh(&right)) {
            return box_once(Err(Exn::halt(1)));
        }
        native::bome(left * right)
    });
    let own = [(TICK, v(0), tick), (WEIGH, v(0), weigh), (TIMES, v(2), times)];
    let jaq = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
    jaq.filter(|(name, ..)| !matches!(*name, "env" | "now" | "halt" | "localtime" | "strflocaltime"))
        .chain(own)
}

fn repetition_fits(left: &Val, right: &Val) -> bool {
    match (left, right) {
        (Val::TStr(text) | Val::BStr(text), Val::Num(number))
        | (Val::Num(number), Val::TStr(text) | Val::BStr(text)) => {
            let times = match number {
                Num::Int(times) => usize::try_from(*times).unwrap_or(0),
                Num::BigInt(_) => usize::MAX,
                // jaq repeats by integers only.
                Num::Float(_) | Num::Dec(_) => 0,
            };
            text.len().saturating_mul(times) <= MAX_BYTES
        }
        _ => true,
    }
}

/// jaq's own definitions, rewritten once, without those that reach outside.
pub(crate) fn prelude() -> &'static [Def<&'static str>] {
    static PRELUDE: LazyLock<Vec<Def<&'static str>>> = LazyLock::new(|| {
        let mut rewriter = Rewriter { source: "", user: false, open: Vec::new(), reads: BTreeSet::new() };
        jaq_core::defs()
            .chain(jaq_std::defs())
            .chain(jaq_json::defs())
            .filter(|def| !is_outside(def.name))
            .filter_map(|def| rewriter.def(def).ok())
            .collect()
    });
    &PRELUDE
}

fn is_outside(name: &str) -> bool {
    matches!(name, "stderr" | "debug" | "halt" | "halt_error")
}

/// Checks a parsed program and puts the meter into it.
pub(crate) struct Rewriter<'s> {
    source: &'s str,
    /// The program of a plan, not jaq's own definitions.
    user: bool,
    /// The definitions whose bodies are being looked at.
    open: Vec<(&'s str, usize)>,
    reads: BTreeSet<&'s str>,
}

type Rewritten<'s> = Result<Term<&'s str>, ExprError>;

impl<'s> Rewriter<'s> {
    /// For a program that will be compiled as the definition `main`.
    pub(crate) fn new(source: &'s str, main: &'s str) -> Self {
        Rewriter { source, user: true, open: vec![(main, 0)], reads: BTreeSet::new() }
    }

    /// Whether the program reads a variable of this name (without `$`), global or not.
    pub(crate) fn reads(&self, name: &str) -> bool {
        self.reads.iter().any(|read| read.strip_prefix('$') == Some(name))
    }

    fn error(&self, part: &str, message: String) -> ExprError {
        ExprError { message, at: span(self.source, part) }
    }

    pub(crate) fn term(&mut self, term: Term<&'s str>) -> Rewritten<'s> {
        Ok(match term {
            Term::Recurse => ticked(Term::Recurse),
            Term::Str(format, parts) => {
                let parts = parts.into_iter().map(|part| {
                    Ok(match part {
                        StrPart::Term(term) => StrPart::Term(weighed(self.term(term)?)),
                        other => other,
                    })
                });
                Term::Str(format, parts.collect::<Result<_, ExprError>>()?)
            }
            Term::Arr(inner) => Term::Arr(self.maybe(inner)?),
            Term::Obj(entries) => Term::Obj(
                entries
                    .into_iter()
                    .map(|(key, value)| {
                        // `{$x}` is a key of its own kind, not an expression.
                        let key = if matches!(key, Term::Var(_)) && value.is_none() {
                            self.note(key)
                        } else {
                            self.term(key)?
                        };
                        Ok((key, value.map(|value| self.term(value)).transpose()?))
                    })
                    .collect::<Result<_, ExprError>>()?,
            ),
            Term::Neg(inner) => Term::Neg(self.boxed(*inner)?),
            Term::BinOp(left, op, right) => self.binary(*left, op, *right)?,
            Term::Label(name, inner) => Term::Label(name, self.boxed(*inner)?),
            Term::Fold(kind, source, pattern, terms) => {
                let source = self.boxed(*source)?;
                let pattern = self.pattern(pattern)?;
                let mut terms =
                    terms.into_iter().map(|term| self.term(term)).collect::<Result<Vec<_>, _>>()?;
                if let Some(update) = terms.get_mut(1) {
                    *update = pipe(call(TICK), std::mem::take(update));
                }
                Term::Fold(kind, source, pattern, terms)
            }
            Term::TryCatch(inner, handler) => Term::TryCatch(self.boxed(*inner)?, self.maybe(handler)?),
            Term::IfThenElse(branches, otherwise) => {
                let branches =
                    branches.into_iter().map(|(test, then)| Ok((self.term(test)?, self.term(then)?)));
                let branches = branches.collect::<Result<_, ExprError>>()?;
                Term::IfThenElse(branches, self.maybe(otherwise)?)
            }
            Term::Def(defs, body) => {
                let defs = defs.into_iter().map(|def| self.def(def)).collect::<Result<_, _>>()?;
                Term::Def(defs, self.boxed(*body)?)
            }
            Term::Call(name, args) => self.call(name, args)?,
            Term::Var("$ENV") if self.user => {
                return Err(self.error(
                    self.source,
                    "`$ENV` is not available: plans get values through vars and secrets".to_owned(),
                ));
            }
            Term::Var(_) => self.note(term),
            Term::Path(head, Path(parts)) => {
                let head = self.boxed(*head)?;
                let mut iterates = false;
                let parts = parts.into_iter().map(|(part, opt)| {
                    let part = match part {
                        Part::Index(index) => Part::Index(self.term(index)?),
                        Part::Range(from, to) => {
                            iterates |= from.is_none() && to.is_none();
                            let from = from.map(|term| self.term(term)).transpose()?;
                            Part::Range(from, to.map(|term| self.term(term)).transpose()?)
                        }
                    };
                    Ok((part, opt))
                });
                let path = Term::Path(head, Path(parts.collect::<Result<_, ExprError>>()?));
                if iterates { ticked(path) } else { path }
            }
            Term::Id | Term::Num(_) | Term::Break(_) => term,
        })
    }

    fn note(&mut self, term: Term<&'s str>) -> Term<&'s str> {
        if let Term::Var(name) = term {
            self.reads.insert(name);
        }
        term
    }

    fn boxed(&mut self, term: Term<&'s str>) -> Result<Box<Term<&'s str>>, ExprError> {
        self.term(term).map(Box::new)
    }

    #[expect(clippy::boxed_local, reason = "as the parser gives it")]
    fn unboxed(&mut self, term: Box<Term<&'s str>>) -> Result<Box<Term<&'s str>>, ExprError> {
        self.boxed(*term)
    }

    fn maybe(&mut self, term: Option<Box<Term<&'s str>>>) -> Result<Option<Box<Term<&'s str>>>, ExprError> {
        term.map(|term| self.unboxed(term)).transpose()
    }

    fn pattern(&mut self, pattern: Pattern<&'s str>) -> Result<Pattern<&'s str>, ExprError> {
        Ok(match pattern {
            Pattern::Var(name) => Pattern::Var(name),
            Pattern::Arr(patterns) => Pattern::Arr(
                patterns.into_iter().map(|pattern| self.pattern(pattern)).collect::<Result<_, _>>()?,
            ),
            Pattern::Obj(entries) => Pattern::Obj(
                entries
                    .into_iter()
                    .map(|(key, pattern)| Ok((self.term(key)?, self.pattern(pattern)?)))
                    .collect::<Result<_, ExprError>>()?,
            ),
        })
    }

    pub(crate) fn def(&mut self, def: Def<&'s str>) -> Result<Def<&'s str>, ExprError> {
        self.open.push((def.name, def.args.len()));
        let body = self.term(def.body);
        self.open.pop();
        Ok(Def { name: def.name, args: def.args, body: pipe(call(TICK), body?) })
    }

    fn binary(&mut self, left: Term<&'s str>, op: BinaryOp<&'s str>, right: Term<&'s str>) -> Rewritten<'s> {
        let left = self.term(left)?;
        let right = self.term(right)?;
        let joined =
            |left: Term<&'s str>, op, right: Term<&'s str>| Term::BinOp(Box::new(left), op, Box::new(right));
        Ok(match op {
            BinaryOp::Pipe(Some(pattern)) => {
                joined(left, BinaryOp::Pipe(Some(self.pattern(pattern)?)), right)
            }
            BinaryOp::Comma => ticked_in_user(self.user, joined(left, BinaryOp::Comma, right)),
            // A call's first argument varies slowest, as an operator's left side does in jaq.
            BinaryOp::Math(ops::Math::Mul) => Term::Call(TIMES, vec![left, right]),
            BinaryOp::UpdateMath(ops::Math::Mul) => {
                let product = Term::Call(TIMES, vec![Term::Id, Term::Var(FACTOR)]);
                let update = joined(left, BinaryOp::Update, product);
                joined(right, BinaryOp::Pipe(Some(Pattern::Var(FACTOR))), update)
            }
            BinaryOp::Cmp(cmp) => joined(weighed(left), BinaryOp::Cmp(cmp), weighed(right)),
            BinaryOp::Math(ops::Math::Sub) => {
                joined(weighed(left), BinaryOp::Math(ops::Math::Sub), weighed(right))
            }
            op => joined(left, op, right),
        })
    }

    fn call(&mut self, name: &'s str, args: Vec<Term<&'s str>>) -> Rewritten<'s> {
        if self.user {
            self.check_call(name, &args)?;
        }
        let deep = matches!(
            name,
            "tojson"
                | "tobytes"
                | "contains"
                | "inside"
                | "indices"
                | "index"
                | "rindex"
                | "bsearch"
                | "sort"
                | "sort_by"
                | "group_by"
                | "unique_by"
                | "min_by"
                | "max_by"
                | "min_by_or_empty"
                | "max_by_or_empty"
        );
        let args = args.into_iter().map(|arg| {
            let arg = self.term(arg)?;
            Ok(if deep { weighed(arg) } else { arg })
        });
        let args = args.collect::<Result<_, ExprError>>()?;
        let call = Term::Call(name, args);
        let call = if deep { pipe(self::call(WEIGH), call) } else { call };
        // In jaq's own definitions a filter behind the call would undo the tail call.
        Ok(ticked_in_user(self.user, call))
    }

    fn check_call(&self, name: &'s str, args: &[Term<&'s str>]) -> Result<(), ExprError> {
        if self.open.contains(&(name, args.len())) {
            return Err(
                self.error(name, format!("`{name}` calls itself; recursive definitions are not allowed"))
            );
        }
        let why = match (name, args.len()) {
            ("repeat", 1) | ("while" | "until", 2) => {
                "it may never end; use `limit`, `first` or `range` over known bounds"
            }
            ("recurse", 1 | 2) => "it may never end; `..` and `recurse` walk what is there",
            ("input" | "inputs" | "input_filename" | "input_line_number", _) => {
                "there is one input: the answer"
            }
            ("env", _) => "plans get values through vars and secrets",
            ("debug" | "stderr" | "halt" | "halt_error", _) => "a program only computes",
            ("now", _) => "a program reads no clock; `{{ now }}` in a template does",
            ("localtime" | "strflocaltime", _) => "it depends on the machine; use gmtime and strftime",
            ("range", _) => return self.check_range(name, args),
            _ => return Ok(()),
        };
        Err(self.error(name, format!("`{name}` is not available: {why}")))
    }

    fn check_range(&self, name: &'s str, args: &[Term<&'s str>]) -> Result<(), ExprError> {
        let endless = args.iter().any(|arg| match arg {
            Term::Num(digits) => digits.parse::<f64>().is_ok_and(|bound| bound > MAX_RANGE),
            Term::Call("infinite", _) => true,
            Term::Neg(inner) => match &**inner {
                Term::Num(digits) => digits.parse::<f64>().is_ok_and(|bound| bound > MAX_RANGE),
                inner => matches!(inner, Term::Call("infinite", _)),
            },
            _ => false,
        });
        let stuck =
            matches!(args, [_, _, Term::Num(digits)] if digits.parse::<f64>().is_ok_and(|by| by == 0.0));
        if endless || stuck {
            return Err(self.error(name, "`range` may count up to 1,000,000 and must move on".to_owned()));
        }
        Ok(())
    }
}

fn call(name: &str) -> Term<&str> {
    Term::Call(name, Vec::new())
}

fn pipe<'s>(left: Term<&'s str>, right: Term<&'s str>) -> Term<&'s str> {
    Term::BinOp(Box::new(left), BinaryOp::Pipe(None), Box::new(right))
}

fn ticked(term: Term<&str>) -> Term<&str> {
    pipe(term, call(TICK))
}

fn ticked_in_user(user: bool, term: Term<&str>) -> Term<&str> {
    if user { ticked(term) } else { term }
}

/// Followed by the scales, unless it is written out.
fn weighed(term: Term<&str>) -> Term<&str> {
    match term {
        Term::Num(_) => term,
        Term::Str(_, ref parts) if parts.iter().all(|part| !matches!(part, StrPart::Term(_))) => term,
        term => pipe(term, call(WEIGH)),
    }
}
