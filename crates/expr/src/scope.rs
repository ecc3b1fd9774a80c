//! The names an expression may use, and how a dotted name is followed.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use entities::{Moment, Secret, Secrets, TemplateText, Vars};
use serde_json::{Map, Value};

use crate::convert::to_jinja;
use crate::{ExprError, Template};

/// `vars`, `secrets`, `now` and `today`: the same for all tasks of a run, converted once. Cloning it
/// shares what it holds.
///
/// `now` is RFC 3339 in UTC, with milliseconds only if it has some; `today` is its `YYYY-MM-DD`.
/// Its `Debug` shows nothing: it holds secrets.
#[derive(Clone)]
pub struct Globals {
    values: [Arc<Value>; 4],
    jinja: [minijinja::Value; 4],
}

const NAMES: [&str; 4] = ["vars", "secrets", "now", "today"];

impl Globals {
    /// Converts what a run's expressions share.
    pub fn new(vars: &Vars, secrets: &Secrets, now: Moment) -> Globals {
        let secrets: Map<String, Value> =
            secrets.0.iter().map(|(name, secret)| (name.clone(), Value::from(secret.expose()))).collect();
        let [now, today] = times(now);
        let values = [Value::Object(vars.clone()), Value::Object(secrets), now, today].map(Arc::new);
        let jinja = [0, 1, 2, 3].map(|at| to_jinja(&values[at]));
        Globals { values, jinja }
    }

    /// The same with another `now` and `today`: what is signed needs the moment of signing, not the
    /// run's. Copies neither variables nor secrets.
    pub fn at(&self, now: Moment) -> Globals {
        let mut globals = self.clone();
        for (at, value) in [2, 3].into_iter().zip(times(now)) {
            globals.jinja[at] = to_jinja(&value);
            globals.values[at] = Arc::new(value);
        }
        globals
    }
}

/// `now` and `today`.
fn times(now: Moment) -> [Value; 2] {
    let text = now.to_rfc3339();
    let today = text.get(..10).unwrap_or_default().to_owned();
    [Value::String(text.replace(".000Z", "Z")), Value::String(today)]
}

impl fmt::Debug for Globals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Globals(..)")
    }
}

/// The names of one evaluation.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// What the run's expressions share.
    pub globals: &'a Globals,
    /// The task's `foreach` names, and whatever else is bound for one template: `signature`,
    /// `timestamp` and the rest of a signature's names, a login's `token`, the `page` that is put into
    /// a path. They come before `cursor`, `record` and `page` below.
    pub bindings: &'a Map<String, Value>,
    /// `cursor`
    pub cursor: Option<&'a Value>,
    /// `record`
    pub record: Option<&'a Value>,
    /// `page`
    pub page: Option<i64>,
}

// Bindings may hold values made from secrets (a signature), so they are not shown either.
/// A store's connection string with its secrets in it: nothing else is bound there.
pub fn with_secrets(text: &TemplateText, secrets: &Secrets) -> Result<Secret, ExprError> {
    let globals = Globals::new(&Vars::new(), secrets, Moment(0));
    let scope = Scope { globals: &globals, bindings: &Map::new(), cursor: None, record: None, page: None };
    Template::compile(text)?.render(&scope).map(Secret::new)
}

impl fmt::Debug for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scope(..)")
    }
}

impl<'a> Scope<'a> {
    /// The value of a name without dots.
    fn root(&self, name: &str) -> Option<Cow<'a, Value>> {
        let globals = &self.globals.values;
        if let Some(at) = NAMES.iter().position(|known| *known == name) {
            return Some(Cow::Borrowed(&*globals[at]));
        }
        let bound = self.bindings.get(name).map(Cow::Borrowed);
        bound.or_else(|| match name {
            "cursor" => self.cursor.map(Cow::Borrowed),
            "record" => self.record.map(Cow::Borrowed),
            "page" => self.page.map(|page| Cow::Owned(Value::from(page))),
            _ => None,
        })
    }

    /// The same for minijinja; only the globals are not converted anew.
    pub(crate) fn root_jinja(&self, name: &str) -> Option<minijinja::Value> {
        if let Some(at) = NAMES.iter().position(|known| *known == name) {
            return Some(self.globals.jinja[at].clone());
        }
        self.root(name).map(|value| to_jinja(&value))
    }

    /// The value of a dotted name; strict.
    pub(crate) fn resolve(&self, path: &[Box<str>]) -> Result<Cow<'a, Value>, ExprError> {
        let Some((root, rest)) = path.split_first() else { return Err(ExprError::new("an empty name")) };
        let mut value = self.root(root).ok_or_else(|| self.unknown_root(root))?;
        for (depth, field) in rest.iter().enumerate() {
            value = match value {
                Cow::Borrowed(Value::Object(map)) => match map.get(&**field) {
                    Some(found) => Cow::Borrowed(found),
                    None => return Err(unknown_field(&path[..=depth], field, map)),
                },
                other => return Err(no_fields(&path[..=depth], field, &other)),
            };
        }
        Ok(value)
    }

    fn unknown_root(&self, name: &str) -> ExprError {
        // A variable named without its `vars.` is the most frequent slip.
        for (prefix, value) in NAMES.iter().zip(&self.globals.values) {
            if value.get(name).is_some() {
                return ExprError::new(format!("`{name}` is not defined; did you mean `{prefix}.{name}`?"));
            }
        }
        let absent = match name {
            "cursor" => "`cursor` has no value here: the task has no cursor",
            "record" => "`record` is only bound in `fields`",
            "page" => {
                "`page` has no value here: it is bound where pages are numbered, and with in = \"path\" from \
                 the second page on; `| default(\"\")` gives it one"
            }
            "signature" => "`signature` is only bound in `headers` and `query` of hmac",
            "timestamp" | "timestamp_ms" | "nonce" => {
                return ExprError::new(format!("`{name}` is only bound where requests are signed with hmac"));
            }
            "method" | "path" | "query" | "body" => {
                return ExprError::new(format!("`{name}` is only bound in `message` of hmac"));
            }
            "token" => "`token` is only bound in `send` of login",
            _ => "",
        };
        if !absent.is_empty() {
            return ExprError::new(absent);
        }
        let mut known: Vec<&str> = NAMES.to_vec();
        known.extend(self.cursor.map(|_| "cursor"));
        known.extend(self.record.map(|_| "record"));
        known.extend(self.page.map(|_| "page"));
        known.extend(self.bindings.keys().map(String::as_str));
        ExprError::new(match nearest(name, known.iter().copied()) {
            Some(close) => format!("`{name}` is not defined; did you mean `{close}`?"),
            None => format!("`{name}` is not defined; known here: {}", known.join(", ")),
        })
    }
}

fn unknown_field(path: &[Box<str>], field: &str, map: &Map<String, Value>) -> ExprError {
    let parent = path.join(".");
    ExprError::new(match nearest(field, map.keys().map(String::as_str)) {
        Some(close) => format!("`{parent}.{field}` is not defined; did you mean `{parent}.{close}`?"),
        None if map.is_empty() => format!("`{parent}.{field}` is not defined: `{parent}` is empty"),
        None => format!("`{parent}.{field}` is not defined"),
    })
}

fn no_fields(path: &[Box<str>], field: &str, value: &Value) -> ExprError {
    let parent = path.join(".");
    let kind = match value {
        Value::Null => "null",
        Value::Array(_) => "a list",
        _ => "a single value",
    };
    ExprError::new(format!("`{parent}.{field}` is not defined: `{parent}` is {kind}"))
}

/// The known name that `name` was probably meant to be.
pub(crate) fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    known
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + name.len().max(candidate.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
