//! What a request did cost, where a limit has its cost read from the answer.
//!
//! A cost is looked for in every answer, good or not: an API that refuses a query says its cost, too. What
//! yields no number is as if nothing was said; then what was taken for the request stays taken.

use std::borrow::Cow;

use entities::{Endpoint, Failure, JqText, TaskSpec};
use serde_json::Value;

use super::decode::{Decoded, path};
use super::program::Program;
use super::view::View;

/// The costs that are read from a spec's answers, compiled.
pub(super) struct Costs(Vec<Cost>);

/// One program, and the limits it is for.
struct Cost {
    /// By index into the endpoint's limits in force.
    limits: Vec<usize>,
    source: JqText,
    start: Start,
    /// Goes on from there; none: what is there is the cost.
    program: Option<Program>,
}

/// Where a program begins. Most begin with a plain path, so that no tree is made of all the rest.
enum Start {
    Body(Program),
    /// The program reads headers, and no body.
    Nothing,
}

impl Costs {
    pub(super) fn compile(task: &TaskSpec, endpoint: &Endpoint, names: &[&str]) -> Result<Costs, Failure> {
        let mut costs: Vec<Cost> = Vec::new();
        for (at, limit) in endpoint.limits.in_force().iter().enumerate() {
            let Some(read) = limit.cost_of(task).read else { continue };
            match costs.iter_mut().find(|cost| cost.source.source == read.source) {
                Some(cost) => cost.limits.push(at),
                None => costs.push(Cost::compile(at, read, names)?),
            }
        }
        Ok(Costs(costs))
    }

    /// Whether reading one of them needs a tree of the whole answer.
    pub(super) fn interpret(&self) -> bool {
        let whole = |cost: &Cost| matches!(&cost.start, Start::Body(path) if is_whole(path));
        self.0.iter().any(whole)
    }

    /// What they are, by limit; `decoded`: the answer's records, if they could be read.
    pub(super) fn read(&self, decoded: Option<&Decoded<'_>>, view: &View<'_>) -> Vec<(usize, u32)> {
        let mut read = Vec::new();
        for cost in &self.0 {
            if let Some(tokens) = cost.read(decoded, view) {
                read.extend(cost.limits.iter().map(|limit| (*limit, tokens)));
            }
        }
        read
    }
}

impl Cost {
    fn compile(limit: usize, source: &JqText, names: &[&str]) -> Result<Cost, Failure> {
        let compiled = |text: &str| {
            let text = JqText { source: text.into(), ..source.clone() };
            Program::compile("cost", &text, names)
        };
        let whole = compiled(&source.source)?;
        let (start, program) = if whole.path().is_some() {
            (Start::Body(whole), None)
        } else {
            match source.source.split_once('|') {
                // What follows reads what the path leads to, and nothing else.
                Some((path, rest)) if !rest.starts_with('=') => match compiled(path) {
                    Ok(path) if path.path().is_some() => (Start::Body(path), Some(compiled(rest)?)),
                    _ if is_header(path) => (Start::Nothing, Some(whole)),
                    _ => (Start::Body(compiled(".")?), Some(whole)),
                },
                _ if is_header(&source.source) => (Start::Nothing, Some(whole)),
                _ => (Start::Body(compiled(".")?), Some(whole)),
            }
        };
        Ok(Cost { limits: vec![limit], source: source.clone(), start, program })
    }

    fn read(&self, decoded: Option<&Decoded<'_>>, view: &View<'_>) -> Option<u32> {
        let input = match &self.start {
            Start::Nothing => Cow::Owned(Value::Null),
            // Rows and lines have no members.
            Start::Body(_) if view.is_table() => Cow::Owned(Value::Null),
            Start::Body(path) if is_whole(path) => view.said().map_or(Cow::Owned(Value::Null), Cow::Borrowed),
            Start::Body(path) => Cow::Owned(match decoded {
                Some(decoded) => first(decoded.outputs(path, view).ok()?)?,
                None => followed(path, view)?,
            }),
        };
        match &self.program {
            None => tokens(&input),
            Some(program) => tokens(&first(program.run(&input, view).ok()?)?),
        }
    }
}

/// What a path leads to in an answer whose records could not be read.
fn followed(path: &Program, view: &View<'_>) -> Option<Value> {
    let path = path.path()?;
    match view.said() {
        Ok(body) => first(path::outputs(&path.segments, path.optional, body).ok()?),
        // The headers may say it beside a body that is none.
        Err(_) => Some(Value::Null),
    }
}

fn is_whole(path: &Program) -> bool {
    path.path().is_some_and(|path| path.segments.is_empty())
}

/// `$headers["x-cost"]`, `$headers.cost`, `$status`: nothing of the body.
fn is_header(source: &str) -> bool {
    let source = source.trim();
    let name =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    let Some(rest) = source.strip_prefix("$headers") else { return source == "$status" };
    let quoted = rest.strip_prefix("[\"").and_then(|rest| rest.strip_suffix("\"]"));
    quoted.or_else(|| rest.strip_prefix('.')).is_some_and(name)
}

fn first(outputs: Vec<Value>) -> Option<Value> {
    outputs.into_iter().next()
}

/// Whole tokens, rounded up; headers are texts, so a text that is a number is one.
fn tokens(cost: &Value) -> Option<u32> {
    let cost: f64 = match cost {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    (cost.is_finite() && cost >= 0.0).then_some(cost.ceil() as u32)
}
