//! Rewrites a parsed program: puts the meter's filters where outputs multiply and values grow.
//!
//! What those filters do is in `natives`; what a program may not call at all, in `refused`.

use std::collections::BTreeSet;

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::ops;
use jaq_core::path::{Part, Path};

use super::natives::{
    APART, COPY, DIGITS, ESCAPE, ORDER, PATTERN, PLUS, READ, REGEX, SPLIT, TEXT, TICK, TIMES, WEIGH,
};
use super::refused;
use crate::ExprError;
use crate::jq::span;

/// The right side of `*=` and `/=`; a name that no program can write.
const FACTOR: &str = "$factor!";

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

    /// For jaq's own definitions.
    pub(super) fn of_prelude() -> Self {
        Rewriter { source: "", user: false, open: Vec::new(), reads: BTreeSet::new() }
    }

    /// Whether the program reads a variable of this name (without `$`), global or not.
    pub(crate) fn reads(&self, name: &str) -> bool {
        self.reads.iter().any(|read| read.strip_prefix('$') == Some(name))
    }

    fn error(&self, part: &str, message: String) -> ExprError {
        ExprError { message, at: span(self.source, part), help: None }
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
                let parts = parts.collect::<Result<Vec<_>, ExprError>>()?;
                let is_made = parts.iter().any(|part| matches!(part, StrPart::Term(_)));
                let text = Term::Str(format, parts);
                if is_made { ticked(pipe(text, call(READ))) } else { text }
            }
            // What is gathered is held.
            Term::Arr(inner) => {
                let inner = self.maybe(inner)?;
                Term::Arr(inner.map(|inner| Box::new(pipe(*inner, call(READ)))))
            }
            Term::Obj(entries) => ticked(Term::Obj(
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
            )),
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
                let (mut iterates, mut cuts) = (false, false);
                let parts = parts.into_iter().map(|(part, opt)| {
                    let part = match part {
                        Part::Index(index) => Part::Index(self.term(index)?),
                        Part::Range(from, to) => {
                            match from.is_none() && to.is_none() {
                                true => iterates = true,
                                false => cuts = true,
                            }
                            let from = from.map(|term| self.term(term)).transpose()?;
                            Part::Range(from, to.map(|term| self.term(term)).transpose()?)
                        }
                    };
                    Ok((part, opt))
                });
                let parts = Path(parts.collect::<Result<_, ExprError>>()?);
                // Characters are counted from a text's beginning.
                let head = if cuts { Box::new(pipe(*head, call(TEXT))) } else { head };
                let path = Term::Path(head, parts);
                // A part of a list is a copy.
                let path = if cuts { pipe(path, call(READ)) } else { path };
                if iterates || cuts { ticked(path) } else { path }
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
            BinaryOp::Math(ops::Math::Div) => Term::Call(SPLIT, vec![left, right]),
            BinaryOp::UpdateMath(math @ (ops::Math::Add | ops::Math::Mul | ops::Math::Div)) => {
                let name = match math {
                    ops::Math::Add => PLUS,
                    ops::Math::Mul => TIMES,
                    _ => SPLIT,
                };
                let result = Term::Call(name, vec![Term::Id, Term::Var(FACTOR)]);
                let update = joined(left, BinaryOp::Update, result);
                joined(right, BinaryOp::Pipe(Some(Pattern::Var(FACTOR))), update)
            }
            // A text that grows piece by piece is copied each time.
            BinaryOp::Math(ops::Math::Add) => pipe(Term::Call(PLUS, vec![left, right]), call(COPY)),
            BinaryOp::Cmp(cmp) => joined(weighed(left), BinaryOp::Cmp(cmp), weighed(right)),
            BinaryOp::Math(ops::Math::Sub) => {
                joined(weighed(left), BinaryOp::Math(ops::Math::Sub), weighed(right))
            }
            op => joined(left, op, right),
        })
    }

    fn call(&mut self, name: &'s str, args: Vec<Term<&'s str>>) -> Rewritten<'s> {
        if self.user {
            refused::check_call(self.source, &self.open, name, &args)?;
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
        let regex = matches!(name, "matches" | "split_" | "split_matches");
        let format = matches!(name, "strftime" | "strptime");
        let args = args.into_iter().map(|arg| {
            let arg = self.term(arg)?;
            Ok(match () {
                () if deep => weighed(arg),
                () if regex => pipe(arg, call(PATTERN)),
                () if format => pipe(arg, call(APART)),
                () => arg,
            })
        });
        let args = args.collect::<Result<_, ExprError>>()?;
        let call = Term::Call(name, args);
        let call = match name {
            _ if regex => pipe(self::call(REGEX), call),
            "tonumber" => pipe(self::call(DIGITS), call),
            "explode" | "fromjson" | "indices" => pipe(self::call(APART), call),
            "escape_html" | "escape_sh" | "encode_uri" | "encode_base64" | "tojson" => {
                pipe(self::call(ESCAPE), call)
            }
            "sort" | "sort_by" | "group_by" | "unique_by" => pipe(self::call(ORDER), call),
            "length" => pipe(self::call(TEXT), call),
            _ if is_whole(name) => pipe(self::call(READ), call),
            _ => call,
        };
        let call = if deep { pipe(self::call(WEIGH), call) } else { call };
        // In jaq's own definitions a filter behind the call would undo the tail call.
        Ok(ticked_in_user(self.user, call))
    }
}

/// Native filters that go through the whole of what they get.
fn is_whole(name: &str) -> bool {
    matches!(
        name,
        "ascii_downcase"
            | "ascii_upcase"
            | "decode_base64"
            | "decode_uri"
            | "fromdateiso8601"
            | "implode"
            | "key_values"
            | "keys_unsorted"
            | "ltrim"
            | "max_by_or_empty"
            | "min_by_or_empty"
            | "reverse"
            | "rtrim"
            | "rtrimstr"
            | "strptime"
            | "tobytes"
            | "trim"
            | "unescape_html"
    )
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
