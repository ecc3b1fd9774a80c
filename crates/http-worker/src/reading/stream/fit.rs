//! Whether the answers of a spec can be read in a stream: whether all that is asked of them is asked of single
//! records, or of what is around the records.
//!
//! Careful rather than clever: a program that is not plainly one that never looks at the list of records is taken for one
//! that does, and then the answer is held in memory, as small ones are.

use std::sync::Arc;

use entities::{Decode, Endpoint, JqText, PaginateBy, TaskSpec};
use expr::{PlainPath, Segment};

use super::super::condition::Condition;
use super::super::format::Format;

/// Why an answer has to be in memory as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unfit(pub(crate) String);

/// By what an answer is.
#[derive(Debug)]
pub(in crate::reading) struct Fit {
    /// The names on the way to the list of records.
    json: Result<Vec<String>, Unfit>,
    lines: Result<(), Unfit>,
    table: Result<(), Unfit>,
}

impl Fit {
    pub(in crate::reading) fn of(task: &TaskSpec, endpoint: &Endpoint) -> Fit {
        let unread = match task.reading.decode {
            Decode::Xml => Some("XML"),
            Decode::Text => Some("text"),
            Decode::Auto | Decode::Json | Decode::Jsonl | Decode::Csv => None,
        };
        if let Some(what) = unread {
            let unfit = Unfit(format!("{what} is read as a whole"));
            return Fit { json: Err(unfit.clone()), lines: Err(unfit.clone()), table: Err(unfit) };
        }
        let asked = asked(task, endpoint);
        let beside_rows = no_columns(task).and_then(|()| asked.iter().try_for_each(Asked::fits_rows));
        Fit {
            json: json(task, &asked),
            table: no_records(task).and_then(|()| beside_rows.clone()),
            lines: beside_rows,
        }
    }

    /// Of an answer in this format: the way to its list of records.
    pub(super) fn way(&self, format: Format) -> Result<&[String], Unfit> {
        match format {
            Format::Json => self.json.as_deref().map_err(Clone::clone),
            Format::Lines => self.lines.clone().map(|()| [].as_slice()),
            Format::Csv { .. } => self.table.clone().map(|()| [].as_slice()),
            Format::Xml => Err(Unfit("XML is read as a whole".to_owned())),
            Format::Text => Err(Unfit("text is read as a whole".to_owned())),
        }
    }

    /// Of an answer in any format.
    pub(super) fn of_any(&self) -> Result<(), Unfit> {
        match &self.json {
            Err(unfit) if self.lines.is_err() && self.table.is_err() => Err(unfit.clone()),
            _ => Ok(()),
        }
    }
}

/// A program that is run over a whole answer.
struct Asked {
    key: &'static str,
    source: Arc<str>,
}

fn asked(task: &TaskSpec, endpoint: &Endpoint) -> Vec<Asked> {
    let mut asked = Vec::new();
    let mut ask = |key, program: Option<&JqText>| {
        asked.extend(program.map(|program| Asked { key, source: Arc::clone(&program.source) }));
    };
    ask("total", task.reading.total.as_ref());
    for rule in task.on.iter().chain(&endpoint.on) {
        ask("when", rule.when.as_ref());
    }
    if let Some(paginate) = &task.paginate {
        ask("until", paginate.until.as_ref());
        match &paginate.by {
            PaginateBy::Page { pages, total, .. } => {
                ask("pages", pages.as_ref());
                ask("total", total.as_ref());
            }
            PaginateBy::Offset { total, .. } => ask("total", total.as_ref()),
            PaginateBy::Token { next, .. } | PaginateBy::Url { next } => ask("next", Some(next)),
            PaginateBy::Link { .. } => {}
        }
    }
    for limit in &endpoint.limits.in_force() {
        ask("cost", limit.cost_of(task).read);
    }
    asked
}

fn json(task: &TaskSpec, asked: &[Asked]) -> Result<Vec<String>, Unfit> {
    let mut way = Vec::new();
    if let Some(records) = &task.reading.records {
        let path = PlainPath::parse(&records.source).ok_or_else(|| Unfit::program("records"))?;
        let mut segments = path.segments;
        segments.pop_if(|last| *last == Segment::Each);
        for segment in segments {
            match segment {
                Segment::Field(name) => way.push(name),
                Segment::Index(_) | Segment::Each => {
                    let why = format!("`records` ({}) leads through a list", records.source);
                    return Err(Unfit(why));
                }
            }
        }
    }
    if let Some(columns) = &task.reading.columns {
        let path = PlainPath::parse(&columns.source).ok_or_else(|| Unfit::program("columns"))?;
        if looks_at(&path, &way) {
            return Err(Unfit::looks("columns"));
        }
    }
    asked.iter().try_for_each(|asked| asked.fits(&way))?;
    Ok(way)
}

fn no_columns(task: &TaskSpec) -> Result<(), Unfit> {
    match &task.reading.columns {
        None => Ok(()),
        Some(_) => Err(Unfit("`columns` is asked of the answer as a whole".to_owned())),
    }
}

fn no_records(task: &TaskSpec) -> Result<(), Unfit> {
    match &task.reading.records {
        None => Ok(()),
        Some(_) => Err(Unfit("`records` is asked of the table as a whole".to_owned())),
    }
}

impl Unfit {
    fn program(key: &str) -> Unfit {
        Unfit(format!("`{key}` is a jq program, which may look at all records"))
    }

    fn looks(key: &str) -> Unfit {
        Unfit(format!("`{key}` looks at the list of records"))
    }
}

impl Asked {
    /// Of JSON with its records at the end of `way`.
    fn fits(&self, way: &[String]) -> Result<(), Unfit> {
        let source = &*self.source;
        // Conditions tell lists from single values and look no further.
        if self.key == "when" && Condition::parse(source).is_some() {
            return Ok(());
        }
        // What a cost goes on with gets what its path leads to and no more.
        let begins = match (self.key, source.split_once('|')) {
            ("cost", Some((path, rest))) if !rest.starts_with('=') => path,
            _ => source,
        };
        match PlainPath::parse(begins) {
            Some(path) if is_of_last(&path, way) && self.key != "cost" => Ok(()),
            Some(path) if looks_at(&path, way) => Err(Unfit::looks(self.key)),
            Some(_) => Ok(()),
            None if is_beside(source, way) => Ok(()),
            None => Err(Unfit::program(self.key)),
        }
    }

    /// Of rows and lines, which have no members.
    fn fits_rows(&self) -> Result<(), Unfit> {
        let source = &*self.source;
        let fits = match self.key {
            "cost" => true,
            "when" => Condition::parse(source).is_some() || is_beside(source, &[]),
            _ => {
                PlainPath::parse(source).is_some_and(|path| is_of_last(&path, &[])) || is_beside(source, &[])
            }
        };
        if fits { Ok(()) } else { Err(Unfit::looks(self.key)) }
    }
}

/// Whether what a path leads to is on the way to the records, or one of them.
fn looks_at(path: &PlainPath, way: &[String]) -> bool {
    path.segments.iter().zip(way).all(|(segment, name)| *segment == Segment::Field(name.clone()))
}

/// Whether a path leads to the last record: `.data[-1].id`.
pub(in crate::reading) fn is_of_last(path: &PlainPath, way: &[String]) -> bool {
    looks_at(path, way) && path.segments.get(way.len()) == Some(&Segment::Index(-1))
}

/// Whether a program plainly never looks at what is on the way: each of its paths begins with another name, nothing in
/// it takes the whole answer, and its words are known.
fn is_beside(source: &str, way: &[String]) -> bool {
    const WORDS: [&str; 13] =
        ["if", "then", "elif", "else", "end", "and", "or", "not", "null", "true", "false", "empty", "select"];
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let word_at = |at: usize| {
        let rest = &source[at..];
        &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())]
    };
    let mut at = 0;
    // An index follows a path: `.pages[0]`, `$headers["x-next"]`.
    let mut indexable = false;
    while let Some(c) = source[at..].chars().next() {
        let was_indexable = std::mem::replace(&mut indexable, false);
        match c {
            '.' | '$' => {
                let word = word_at(at + 1);
                // What goes on from another path is not of the whole answer.
                let of_root = c == '.' && !was_indexable && way.first().is_none_or(|first| first == word);
                if word.is_empty() || of_root || word.starts_with(|c: char| c.is_ascii_digit()) {
                    return false;
                }
                at += 1 + word.len();
                indexable = true;
            }
            '[' if was_indexable => match source[at..].split_once(']') {
                Some((index, _)) if index[1..].chars().all(|c| is_word(c) || matches!(c, '-' | '"')) => {
                    at += index.len() + 1;
                    indexable = true;
                }
                _ => return false,
            },
            '"' => match source[at + 1..].split_once('"') {
                Some((text, _)) if !text.contains('\\') => at += text.len() + 2,
                _ => return false,
            },
            '0'..='9' => at += source[at..].find(|c: char| !c.is_ascii_digit()).unwrap_or(source.len() - at),
            c if is_word(c) => {
                let word = word_at(at);
                if !WORDS.contains(&word) {
                    return false;
                }
                at += word.len();
            }
            ' ' | '\n' | '\t' | '|' | '/' | '=' | '!' | '<' | '>' | '(' | ')' | '+' | '-' | '*' | '?'
            | ',' => {
                indexable = was_indexable && c == '?';
                at += 1;
            }
            _ => return false,
        }
    }
    // `.a = 1` is the whole answer with something else in it.
    !["|=", "+=", "-=", "*=", "/="].iter().any(|update| source.contains(update))
        && !source.replace("==", "").replace("!=", "").replace("<=", "").replace(">=", "").contains('=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_that_never_look_at_the_records() {
        let way = ["data".to_owned(), "items".to_owned()];
        for (source, beside, beside_rows) in [
            (".meta.next // empty", true, false),
            ("if .has_more then .next else null end", true, false),
            (".page >= .pages", true, false),
            ("select(.more == true) | .links[0].next", true, false),
            ("$headers[\"x-next\"]", true, true),
            ("$status == 206 and ($headers.more | not)", true, true),
            ("(.data.items | length) < 10", false, false),
            (".data.next // empty", false, false),
            ("length", false, false),
            (". | length", false, false),
            (".[\"data\"]", false, false),
            ("..", false, false),
            ("[.next]", false, false),
            ("\"\\(.data)\"", false, false),
            ("keys | length > 3", false, false),
            (".next = 1", false, false),
            (".next |= 1", false, false),
            ("tostring", false, false),
            (".0", false, false),
        ] {
            assert_eq!(is_beside(source, &way), beside, "{source}");
            assert_eq!(is_beside(source, &[]), beside_rows, "{source} of rows");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_program_is_judged(source in "\\PC{0,20}") {
            is_beside(&source, &["data".to_owned()]);
        }
    }
}
