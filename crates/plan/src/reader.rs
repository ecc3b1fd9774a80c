//! Reading a table key by key: every key is taken once, and what is left over is an error with a
//! "did you mean". This keeps the code of each section a list of its keys.

use std::ops::Range;

use entities::Place;
use toml::de::DeTable;

use crate::diagnostic::Diagnostic;
use crate::findings::{Findings, MOST};
use crate::item::Item;

/// A table that is being read.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    pub(crate) findings: &'a Findings,
    /// For messages: `[tasks.issues]`, `` `paginate` of [tasks.issues] ``.
    pub(crate) what: String,
    pub(crate) span: Range<usize>,
    table: &'a DeTable<'a>,
    known: Vec<&'static str>,
    /// Those that are no keys of the format: suggested, but not listed.
    unlisted: Vec<&'static str>,
    /// Errors about keys that are not there, unless one of them turns out to be misspelt.
    missing: Vec<(Vec<&'static str>, Diagnostic)>,
}

impl<'a> Section<'a> {
    pub(crate) fn new(
        findings: &'a Findings,
        what: String,
        span: Range<usize>,
        table: &'a DeTable<'a>,
    ) -> Self {
        Section { findings, what, span, table, known: Vec::new(), unlisted: Vec::new(), missing: Vec::new() }
    }

    /// The value of `key`, if the table has it.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<Item<'a>> {
        self.known.push(key);
        self.table.get_key_value(key).map(|(name, value)| Item {
            findings: self.findings,
            what: format!("`{key}` of {}", self.what),
            key_span: name.span(),
            value,
        })
    }

    /// The value of `key`, or an error that shows how it would look.
    pub(crate) fn need(&mut self, key: &'static str, example: &str) -> Option<Item<'a>> {
        let item = self.take(key);
        if item.is_none() {
            let error = self
                .findings
                .error("missing-key", self.span.clone(), format!("{} lacks `{key}`", self.what))
                .label(format!("`{key}` is missing"))
                .help(format!("add {key} = {example}"));
            self.missing(&[key], error);
        }
        item
    }

    /// The value of `key`, which is no key of the format: it is not suggested or listed.
    pub(crate) fn take_unlisted(&mut self, key: &'static str) -> Option<Item<'a>> {
        self.unlisted.push(key);
        self.take(key)
    }

    /// Where the table says `key`, without taking it; [`Place::default`] where it does not.
    pub(crate) fn place(&self, key: &str) -> Place {
        let entry = self.table.get_key_value(key);
        entry.map(|(name, _)| self.findings.place(name.span())).unwrap_or_default()
    }

    /// Whether the table has `key`, without taking it.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// The keys taken so far.
    pub(crate) fn known(&self) -> &[&'static str] {
        &self.known
    }

    /// An error about missing `keys`, to be reported unless a key was meant to be one of them.
    pub(crate) fn missing(&mut self, keys: &[&'static str], error: Diagnostic) {
        self.missing.push((keys.to_vec(), error));
    }

    /// Reports every key that nobody took, and what is missing. Returns how many nobody took.
    pub(crate) fn finish(self) -> usize {
        let mut unknown_keys = 0;
        let mut meant = Vec::new();
        for (name, _) in self.table.iter() {
            let unknown: &str = name.get_ref();
            if self.known.contains(&unknown) {
                continue;
            }
            unknown_keys += 1;
            // Comparing is dear, and nobody is told of more.
            if unknown_keys > MOST {
                continue;
            }
            let close = closest(unknown, self.known.iter().copied());
            meant.extend(close);
            let error = self
                .findings
                .error("unknown-key", name.span(), format!("{} has no key `{unknown}`", self.what))
                .label("unknown key");
            let listed = self.known.iter().copied().filter(|key| !self.unlisted.contains(key));
            self.findings.push(error.help(match close {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => list(listed, "known keys"),
            }));
        }
        for (keys, error) in self.missing {
            if !keys.iter().any(|key| meant.contains(key)) {
                self.findings.push(error);
            }
        }
        unknown_keys
    }
}

/// The entries of a table in the order of the text.
pub(crate) fn entries<'a>(
    findings: &'a Findings,
    what: &str,
    table: &'a DeTable<'a>,
) -> Vec<(&'a str, Item<'a>)> {
    let mut entries: Vec<(&str, Item<'_>)> = table
        .iter()
        .map(|(name, value)| {
            let text: &str = name.get_ref();
            (text, Item { findings, what: format!("`{text}` of {what}"), key_span: name.span(), value })
        })
        .collect();
    entries.sort_by_key(|(_, item)| (item.key_span.start, item.span().start));
    entries
}

/// The candidate that `unknown` was probably meant to be.
pub(crate) fn closest<'c>(unknown: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let unknown = unknown.to_lowercase();
    let slips = (unknown.chars().count() / 3).max(1);
    candidates
        .map(|candidate| {
            let lower = candidate.to_lowercase();
            (strsim::damerau_levenshtein(&unknown, &lower), strsim::jaro_winkler(&unknown, &lower), candidate)
        })
        .filter(|(distance, likeness, candidate)| {
            (*distance <= slips && *distance < candidate.chars().count()) || *likeness >= 0.9
        })
        .min_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)))
        .map(|(_, _, candidate)| candidate)
}

/// "did you mean `x`?", or all there is to choose from.
pub(crate) fn suggest_or_list<'c>(
    unknown: &str,
    candidates: impl Iterator<Item = &'c str> + Clone,
    title: &str,
) -> String {
    match closest(unknown, candidates.clone()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => list(candidates, title),
    }
}

fn list<'c>(candidates: impl Iterator<Item = &'c str>, title: &str) -> String {
    let list: Vec<String> = candidates.map(|candidate| format!("`{candidate}`")).collect();
    if list.is_empty() { format!("there are no {title}") } else { format!("{title}: {}", list.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let words = [
            "get",
            "post",
            "query",
            "headers",
            "paginate",
            "redirects",
            "records",
            "columns",
            "description",
            "limits",
        ];
        let check = |unknown: &str, expected: Option<&str>| {
            assert_eq!(closest(unknown, words.into_iter()), expected, "{unknown}");
        };
        check("gte", Some("get"));
        check("heders", Some("headers"));
        check("Headers", Some("headers"));
        check("pagination", Some("paginate"));
        check("descripton", Some("description"));
        check("limit", Some("limits"));
        check("colour", None);
        check("retires", None);
        check("x", None);
        check("", None);
    }
}
