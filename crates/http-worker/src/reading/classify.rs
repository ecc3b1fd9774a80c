//! What an answer means: the rules of the plan first, then the defaults.

use std::time::Duration;

use entities::{Failure, FailureClass, FailureKind, Moment, OnAction, OnRule};
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::condition::Condition;
use super::decode::glimpse::{self, Glimpse};
use super::decode::shortened;
use super::limit_headers::{exhausted, first_renewal, renewal_of_ended};
use super::program::Program;
use super::retry_after::retry_after;
use super::view::View;
use crate::answer::Answer;

/// What an answer means.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// To be read.
    Good,
    /// Empty, by a rule.
    Skip,
    /// Empty, by a rule; its paging ends.
    Stop,
    /// Try again, not before.
    Retry(Failure, Option<Duration>),
    /// A limit, and for how long.
    Wait(Failure, Option<Duration>),
    /// Cut off, by a rule: the failure is for what cannot be split.
    Split(Failure),
    /// For good.
    Fail(Failure),
}

/// A rule of `on`, compiled.
pub(super) struct Rule {
    rule: OnRule,
    when: Option<Program>,
    /// `when`, if it can be told without a tree of the body.
    condition: Option<Condition>,
}

impl Rule {
    pub(super) fn compile(rule: &OnRule, names: &[&str]) -> Result<Rule, Failure> {
        let when = Program::compile_some("when", rule.when.as_ref(), names)?;
        let condition = rule.when.as_ref().and_then(|when| Condition::parse(&when.source));
        Ok(Rule { rule: rule.clone(), when, condition })
    }

    /// Whether it ends a paging, so that pages cannot be asked for out of order.
    pub(super) fn stops(&self) -> bool {
        self.rule.action == OnAction::Stop
    }

    fn holds(&self, glimpsed: Option<&[Glimpse]>, view: &View<'_>) -> Result<bool, Failure> {
        let Some(when) = &self.when else { return Ok(true) };
        if let (Some(condition), Some(glimpsed)) = (&self.condition, glimpsed)
            && let Some(holds) = condition.holds(glimpsed)
        {
            return Ok(holds);
        }
        // Nor need a tree of all its rows be made to see that.
        if self.condition.is_some() && view.is_table() {
            return Ok(false);
        }
        match view.said() {
            // A predicate over a body cannot hold for one that is none.
            Err(_) => Ok(false),
            Ok(body) => when.holds(body, view),
        }
    }
}

/// The first rule that holds decides, then the defaults.
pub(super) fn classify(rules: &[Rule], answer: &Answer, view: &View<'_>) -> Verdict {
    let rules: Vec<&Rule> = rules.iter().filter(|rule| rule.rule.covers(answer.status)).collect();
    let mut glimpsed = glimpses_of(&rules, view).unwrap_or_default().into_iter();
    for rule in rules {
        let paths = rule.condition.as_ref().map_or(0, |condition| condition.paths().count());
        let glimpsed: Vec<Glimpse> = glimpsed.by_ref().take(paths).collect();
        match rule.holds((glimpsed.len() == paths).then_some(&glimpsed), view) {
            Ok(true) => return by_rule(&rule.rule, answer),
            Ok(false) => {}
            Err(failure) => return Verdict::Fail(failure),
        }
    }
    by_default(answer.status, &answer.headers, &answer.body, answer.received)
}

/// What stands in a JSON answer where the conditions look, in one pass for all of them.
fn glimpses_of(rules: &[&Rule], view: &View<'_>) -> Option<Vec<Glimpse>> {
    let conditions = rules.iter().filter_map(|rule| rule.condition.as_ref());
    let paths: Vec<&[String]> = conditions.flat_map(Condition::paths).collect();
    if paths.is_empty() {
        return None;
    }
    glimpse::glimpses(view.json()?, &paths).ok()
}

fn by_rule(rule: &OnRule, answer: &Answer) -> Verdict {
    let failure = |class, kind| {
        let default = || format!("a rule of `on` says so ({})", described(answer.status, &answer.body));
        Failure::new(class, kind, rule.message.clone().unwrap_or_else(default)).at(rule.at)
    };
    let after = retry_after(&answer.headers, answer.received).filter(|after| !after.is_zero());
    match rule.action {
        OnAction::Retry => Verdict::Retry(failure(FailureClass::Transient, FailureKind::Rule), after),
        OnAction::Wait { how_long } => {
            // Many APIs tell the reset of a limit with every answer: it counts only if that limit
            // is what this answer is about.
            let limited = matches!(answer.status, 403 | 429) || exhausted(&answer.headers, answer.received);
            let after = if limited { asked_for(&answer.headers, answer.received) } else { after };
            Verdict::Wait(failure(FailureClass::Limited, FailureKind::RateLimited), after.max(how_long))
        }
        OnAction::Skip => Verdict::Skip,
        // The worker renews the credential once, if it has one to renew.
        OnAction::Reauth => Verdict::Fail(failure(FailureClass::Permanent, FailureKind::Unauthorized)),
        OnAction::Split => Verdict::Split(failure(FailureClass::Permanent, FailureKind::Capped)),
        OnAction::Fail => Verdict::Fail(failure(FailureClass::Permanent, FailureKind::Rule)),
        OnAction::Stop => Verdict::Stop,
    }
}

/// What an answer means when no rule says otherwise.
fn by_default(status: u16, headers: &HeaderMap, body: &[u8], received: Moment) -> Verdict {
    let failure = |class, kind| Failure::new(class, kind, described(status, body));
    let says_when = headers.contains_key(http::header::RETRY_AFTER);
    match status {
        200..300 => Verdict::Good,
        429 => limited(status, headers, body, received),
        503 if says_when => limited(status, headers, body, received),
        403 if says_when || exhausted(headers, received) => limited(status, headers, body, received),
        408 | 500..600 => Verdict::Retry(
            failure(FailureClass::Transient, FailureKind::Status),
            retry_after(headers, received).filter(|after| !after.is_zero()),
        ),
        401 => Verdict::Fail(
            failure(FailureClass::Permanent, FailureKind::Unauthorized)
                .help("check the secret that `auth` sends"),
        ),
        _ => Verdict::Fail(failure(FailureClass::Permanent, FailureKind::Status)),
    }
}

fn limited(status: u16, headers: &HeaderMap, body: &[u8], received: Moment) -> Verdict {
    let failure = Failure::new(FailureClass::Limited, FailureKind::RateLimited, described(status, body));
    Verdict::Wait(failure, asked_for(headers, received))
}

/// `Retry-After`, or the renewal of what has run out if that is later; with neither, the first renewal
/// that is told of. No time at all is as if none was named, so that nobody asks again at once, and again.
pub(super) fn asked_for(headers: &HeaderMap, received: Moment) -> Option<Duration> {
    let after = retry_after(headers, received);
    let asked = after.max(renewal_of_ended(headers, received));
    asked.or_else(|| first_renewal(headers, received)).filter(|after| !after.is_zero())
}

/// "404 Not Found: no such repository": the status, and the API's own words.
fn described(status: u16, body: &[u8]) -> String {
    let reason = StatusCode::from_u16(status).ok().and_then(|code| code.canonical_reason()).unwrap_or("");
    let line = format!("{status} {reason}");
    match words(body) {
        Some(words) => format!("{}: {words}", line.trim_end()),
        None => line.trim_end().to_owned(),
    }
}

fn words(body: &[u8]) -> Option<String> {
    const MOST: usize = 64 << 10;
    let body: Value = serde_json::from_slice(body.get(..MOST.min(body.len()))?).ok()?;
    let said = [
        "/message",
        "/error/message",
        "/error",
        "/msg",
        "/detail",
        "/error_description",
        "/errors/0/message",
        "/errors/0",
    ]
    .iter()
    .find_map(|pointer| body.pointer(pointer)?.as_str())?;
    let line = said.split_whitespace().collect::<Vec<_>>().join(" ");
    (!line.is_empty()).then(|| shortened(&line, 200))
}
