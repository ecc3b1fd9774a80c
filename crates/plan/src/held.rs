//! Secrets that stand in a plan's text: the text without them, as it may be shown, and putting them back when
//! that text comes back.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use entities::SourceText;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::destinations::destinations;
use crate::diagnostic::Diagnostics;
use crate::findings::{Findings, masked};
use crate::load::hidden;

/// A plan's text as it may be shown: each secret that is written into it, in `[secrets]`, in `auth` and under names
/// that mean one (`Authorization`, `api_key`), has become asterisks; every byte keeps its place. A text that is not
/// TOML comes back as it is: nobody can tell what in it is a secret, so show it to nobody but its author.
/// [`SyncPlan.source`](entities::SyncPlan::source) and [`Diagnostics.source`](crate::Diagnostics::source) are such
/// texts already.
pub fn shown(text: &str) -> String {
    masked(text, &hidden(text))
}

/// `new_text` with the secrets of `old_text` where it has but the asterisks that stood for them: so a text that
/// was shown, edited and sent back still has its secrets. A secret is told by its path (`secrets.token`,
/// `endpoints.api.auth.bearer`), not by its line. Three asterisks are as good as many.
///
/// Asterisks for which nothing is held stay, and [`load`](crate::load) refuses them. The answer holds secrets: it is for `load` and
/// for keeping, never to be shown.
///
/// # Errors
/// If a secret would be put back into a plan that goes to a host (scheme, name and port) which the old one does not
/// name: whoever may replace a plan could have its secrets sent to himself. Another path, or another kind of auth, at
/// the hosts of before is fine: they had the secret already.
pub fn with_held_secrets(new_text: &str, old_text: &str) -> Result<String, Diagnostics> {
    let secrets = hidden(old_text);
    let old_masked = masked(old_text, &secrets);
    let mut starts: Vec<Range<usize>> = secrets.into_iter().map(|hidden| hidden.span).collect();
    starts.sort_by_key(|span| (span.start, span.end));
    let holds_one = |span: &Range<usize>| {
        let first = starts.partition_point(|secret| secret.start < span.start);
        starts.get(first).is_some_and(|secret| secret.end <= span.end)
    };
    let mut held: BTreeMap<Vec<Step>, Literal<'_>> = BTreeMap::new();
    for found in strings(old_text).into_iter().filter(|found| holds_one(&found.span)) {
        let raw = old_text.get(found.span.clone()).unwrap_or_default();
        let masked = old_masked.get(found.span).unwrap_or_default();
        held.insert(found.path, Literal { raw, masked });
    }
    let mut back: Vec<(Range<usize>, &str)> = Vec::new();
    for found in strings(new_text) {
        if let Some(literal) = held.get(&found.path)
            && (is_mask(&found.value) || new_text.get(found.span.clone()) == Some(literal.masked))
        {
            back.push((found.span, literal.raw));
        }
    }
    back.sort_by_key(|(span, _)| span.start);
    let mut text = String::with_capacity(new_text.len() + old_text.len());
    let mut end = 0;
    for (span, raw) in &back {
        text.push_str(new_text.get(end..span.start).unwrap_or_default());
        text.push_str(raw);
        end = span.end;
    }
    text.push_str(new_text.get(end..).unwrap_or_default());
    if !back.is_empty()
        && let Some(elsewhere) = elsewhere(&text, old_text)
    {
        return Err(refused(new_text, &back, &elsewhere));
    }
    Ok(text)
}

/// What `new_text` names first of the places that requests could go to and the old one does not name.
fn elsewhere(new_text: &str, old_text: &str) -> Option<String> {
    let (new, old) = (DeTable::parse(new_text).ok()?, DeTable::parse(old_text).ok()?);
    let old = destinations(old.get_ref());
    let new = destinations(new.get_ref()).into_iter();
    let (_, span) = new.filter(|(name, _)| !old.contains_key(name)).min_by_key(|(_, span)| span.start)?;
    // As the text shows it: a secret may stand in it.
    shown(new_text).get(span).map(str::to_owned)
}

fn refused(new_text: &str, masks: &[(Range<usize>, &str)], elsewhere: &str) -> Diagnostics {
    let text = shown(new_text);
    let findings = Findings::new(Arc::new(SourceText { name: "plan.toml".to_owned(), text }));
    for (span, _) in masks {
        findings.push(
            findings
                .error(
                    "masked-secret",
                    span.clone(),
                    format!("the plan goes to another host than before, {elsewhere}, so this secret must be written again"),
                )
                .label("not put back")
                .help(
                    "write the secret itself, or better where it comes from: { env = \"NAME\" } in [secrets]; or keep to the hosts of the plan that this one replaces",
                ),
        );
    }
    findings.into_diagnostics()
}

/// Whether a value is what is shown in a secret's place, and not the secret.
pub(crate) fn is_mask(value: &str) -> bool {
    let stars = value.chars().filter(|c| *c == '*').count();
    stars >= 3 && value.chars().all(|c| matches!(c, '*' | '\n' | '\r'))
}

/// A secret as the text writes it, quotes included, and as it is shown.
struct Literal<'t> {
    raw: &'t str,
    masked: &'t str,
}

/// One step from the top of a plan to a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Key(String),
    Element(usize),
}

/// A string (or number) of a TOML text.
struct Found {
    path: Vec<Step>,
    span: Range<usize>,
    value: String,
}

/// Each string and number of a TOML text; none if it is no TOML.
fn strings(text: &str) -> Vec<Found> {
    let mut found = Vec::new();
    if let Ok(table) = DeTable::parse(text) {
        strings_of_table(table.get_ref(), &mut Vec::new(), &mut found);
    }
    found
}

fn strings_of_table(table: &DeTable<'_>, path: &mut Vec<Step>, found: &mut Vec<Found>) {
    for (key, value) in table.iter() {
        path.push(Step::Key(key.get_ref().to_string()));
        strings_of(value, path, found);
        path.pop();
    }
}

fn strings_of(value: &Spanned<DeValue<'_>>, path: &mut Vec<Step>, found: &mut Vec<Found>) {
    match value.get_ref() {
        DeValue::String(text) => {
            found.push(Found { path: path.clone(), span: value.span(), value: text.to_string() });
        }
        DeValue::Integer(_) | DeValue::Float(_) => {
            found.push(Found { path: path.clone(), span: value.span(), value: String::new() });
        }
        DeValue::Table(table) => strings_of_table(table, path, found),
        DeValue::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                path.push(Step::Element(at));
                strings_of(item, path, found);
                path.pop();
            }
        }
        _ => {}
    }
}
