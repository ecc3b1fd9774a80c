//! From a body to a [`RecordBatch`]: the records of one answer, before `fields`.
//!
//! Two ways with the same result. Plain paths for `records` and `columns`, and neither `map` nor
//! `where`: one pass over the text, no tree ([`walk`]). Everything else: a tree and jq ([`tree`]).

mod number;
pub(super) mod path;
mod rows;
mod scanner;
pub(super) mod tree;
mod walk;

use std::sync::{Arc, Mutex, PoisonError};

use entities::{Failure, FailureClass, FailureKind, RecordBatch};
use expr::PlainPath;
use serde_json::{Map, Value};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::program::Program;
use super::view::View;

use self::rows::Columns;

pub(super) use rows::cell_of;

/// The parts of `reading` that make records, compiled.
pub(super) struct Decoder {
    pub(super) records: Option<Program>,
    pub(super) columns: Option<Program>,
    pub(super) map: Option<Program>,
    pub(super) filter: Option<Program>,
    /// The columns of the last answer. A leaf cache, shared by the workers that read this spec's answers.
    pub(super) before: Mutex<Columns>,
}

/// The records of an answer.
pub(super) struct Decoded<'a> {
    pub(super) batch: RecordBatch,
    /// Before `where`.
    pub(super) received: u64,
    /// Of the records as they came; none if there are none or nobody asks.
    pub(super) fingerprint: Option<u64>,
    outline: Option<(walk::Outline<'a>, PlainPath)>,
}

impl Decoded<'_> {
    /// Of an answer without a body.
    pub(super) fn empty() -> Self {
        Decoded { batch: RecordBatch::default(), received: 0, fingerprint: None, outline: None }
    }

    /// The outputs of a program over the answer.
    pub(super) fn outputs(&self, program: &Program, view: &View<'_>) -> Result<Vec<Value>, Failure> {
        match (program.path(), &self.outline) {
            (Some(path), Some((outline, records))) => {
                outline.outputs(path, records).map_err(|trouble| trouble.failure().at(program.at))
            }
            _ => program.run(view.tree()?, view),
        }
    }
}

impl Decoder {
    /// Whether a program has to be run, rather than a path followed.
    pub(super) fn interprets(&self) -> bool {
        let is_jq = |program: &Option<Program>| program.as_ref().is_some_and(|p| p.path().is_none());
        self.map.is_some() || self.filter.is_some() || is_jq(&self.records) || is_jq(&self.columns)
    }

    /// Reads the records of a body; `fingerprint`: so that the page after can be compared.
    pub(super) fn decode<'a>(
        &self,
        text: &'a str,
        view: &View<'_>,
        fingerprint: bool,
    ) -> Result<Decoded<'a>, Failure> {
        match self.plain() {
            Some(path) => match walk::walk(text, &path, self.columns.is_some(), self.before()) {
                Ok(walked) => self.decode_walked(text, walked, path, view, fingerprint),
                Err(Trouble::Repeated) => self.decode_tree(view, fingerprint),
                Err(trouble) => Err(self.place(trouble)),
            },
            None => self.decode_tree(view, fingerprint),
        }
    }

    /// The path of the records, if the fast way is open.
    fn plain(&self) -> Option<PlainPath> {
        if self.map.is_some() || self.filter.is_some() {
            return None;
        }
        if self.columns.as_ref().is_some_and(|columns| columns.path().is_none()) {
            return None;
        }
        match &self.records {
            None => Some(PlainPath { segments: Vec::new(), optional: false }),
            Some(records) => records.path().filter(|path| walk::can_walk(path)).cloned(),
        }
    }

    fn decode_walked<'a>(
        &self,
        text: &'a str,
        walked: walk::Walked<'a>,
        path: PlainPath,
        view: &View<'_>,
        fingerprint: bool,
    ) -> Result<Decoded<'a>, Failure> {
        let mut rows = walked.rows;
        let records = &text.as_bytes()[walked.records];
        let mut decoded = Decoded {
            batch: RecordBatch::default(),
            received: rows.len() as u64,
            fingerprint: (fingerprint && !records.is_empty()).then(|| xxh3_64(records)),
            outline: Some((walked.outline, path)),
        };
        if let Some(columns) = &self.columns {
            let names = column_names(decoded.outputs(columns, view)?, columns, rows.len())?;
            rows.name(&names).map_err(|trouble| trouble.failure().at(columns.at))?;
        }
        decoded.batch = self.noted(rows.finish());
        Ok(decoded)
    }

    fn decode_tree<'a>(&self, view: &View<'_>, fingerprint: bool) -> Result<Decoded<'a>, Failure> {
        let root = view.tree()?;
        let records = self.select(root, view)?;
        let received = records.len() as u64;
        let fingerprint = (fingerprint && received > 0).then(|| {
            let mut hash = Xxh3::new();
            for record in &records {
                hash.update(record.to_string().as_bytes());
            }
            hash.digest()
        });
        let names = match &self.columns {
            Some(columns) => {
                let outputs = match columns.path() {
                    Some(path) => path::outputs(&path.segments, path.optional, root)
                        .map_err(|trouble| trouble.failure().at(columns.at))?,
                    None => columns.run(root, view)?,
                };
                Some(column_names(outputs, columns, records.len())?)
            }
            None => None,
        };
        let mut rows = rows::Rows::new(0, self.before());
        for (nth, record) in records.into_iter().enumerate() {
            let record = match &names {
                Some(names) => zip(names, record, nth).map_err(|trouble| self.place(trouble))?,
                None => record,
            };
            let mapped = match &self.map {
                Some(map) => map.run(&record, view)?,
                None => vec![record],
            };
            for record in mapped {
                if let Some(filter) = &self.filter
                    && !filter.holds(&record, view)?
                {
                    continue;
                }
                rows.push(&record).map_err(|trouble| self.place(trouble))?;
            }
        }
        Ok(Decoded { batch: self.noted(rows.finish()), received, fingerprint, outline: None })
    }

    fn select(&self, root: &Value, view: &View<'_>) -> Result<Vec<Value>, Failure> {
        let everything = PlainPath { segments: Vec::new(), optional: false };
        let path = match &self.records {
            None => &everything,
            Some(records) => match records.path() {
                Some(path) => path,
                None => return Ok(sole_list(records.run(root, view)?, self.columns.is_some())),
            },
        };
        let found = path::records(path, root).map_err(|trouble| self.place(trouble))?;
        let each = matches!(path.segments.last(), Some(expr::Segment::Each));
        Ok(found
            .into_iter()
            .flat_map(|value| match value {
                Value::Array(elements) if !each => elements.clone(),
                value => vec![value.clone()],
            })
            .collect())
    }

    fn before(&self) -> Columns {
        Arc::clone(&self.before.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn noted(&self, batch: RecordBatch) -> RecordBatch {
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        if batch.rows > 0 && !Arc::ptr_eq(&before, &batch.columns) {
            *before = Arc::clone(&batch.columns);
        }
        batch
    }

    /// A failure that points at the part of the plan that asked.
    fn place(&self, trouble: Trouble) -> Failure {
        let program = match &trouble {
            Trouble::Uneven { .. } => self.columns.as_ref(),
            _ => self.records.as_ref(),
        };
        match program {
            Some(program) => trouble.failure().at(program.at),
            None => trouble.failure(),
        }
    }
}

/// A jq program that yields one list means its elements, unless that list is a record itself.
fn sole_list(mut outputs: Vec<Value>, arrays: bool) -> Vec<Value> {
    if let [Value::Array(elements)] = outputs.as_mut_slice()
        && (!arrays || elements.iter().all(Value::is_array))
    {
        return std::mem::take(elements);
    }
    outputs
}

fn zip(names: &[String], record: Value, nth: usize) -> Result<Value, Trouble> {
    match record {
        Value::Array(values) if values.len() == names.len() => {
            Ok(Value::Object(names.iter().cloned().zip(values).collect::<Map<_, _>>()))
        }
        Value::Array(values) => {
            Err(Trouble::Uneven { record: nth + 1, values: values.len(), columns: names.len() })
        }
        _ => Err(Trouble::syntax(0, "expected a record that is an array, since there are `columns`")),
    }
}

/// The names that `columns` yields: one list of them, or one by one.
fn column_names(outputs: Vec<Value>, columns: &Program, records: usize) -> Result<Vec<String>, Failure> {
    let outputs = match <[Value; 1]>::try_from(outputs) {
        Ok([Value::Array(names)]) => names,
        // An answer without records may do without names.
        Ok([Value::Null]) if records == 0 => Vec::new(),
        Ok([Value::Null]) => {
            let message = format!("nothing at `columns` ({})", columns.source);
            return Err(Trouble::missing(message).failure().at(columns.at));
        }
        Ok(single) => single.to_vec(),
        Err(outputs) => outputs,
    };
    let mut names: Vec<String> = Vec::with_capacity(outputs.len());
    for output in outputs {
        let name = match output {
            Value::String(name) => name,
            Value::Number(number) => number.to_string(),
            other => {
                let message = format!("a column's name is not text: {}", shortened(&other.to_string(), 40));
                return Err(
                    Failure::new(FailureClass::Permanent, FailureKind::Decode, message).at(columns.at)
                );
            }
        };
        if names.contains(&name) {
            let message = format!("two columns are called `{name}`");
            return Err(Failure::new(FailureClass::Permanent, FailureKind::Decode, message).at(columns.at));
        }
        names.push(name);
    }
    Ok(names)
}

/// At most `most` characters of a text.
pub(super) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// The text of a JSON body, without a byte order mark.
///
/// Errors: an empty body, bytes that are not UTF-8, and what is plainly something else than JSON.
/// What the answer calls itself matters only for the message: APIs label JSON as anything.
pub(super) fn text_of<'a>(body: &'a [u8], content_type: Option<&str>) -> Result<&'a str, Failure> {
    let decode = |message: String| Failure::new(FailureClass::Permanent, FailureKind::Decode, message);
    if u32::try_from(body.len()).is_err() {
        return Err(Trouble::TooLong.failure());
    }
    let text = std::str::from_utf8(body)
        .map_err(|e| decode(format!("the answer is not UTF-8: byte {} is not text", e.valid_up_to())))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let start = text.trim_start_matches([' ', '\n', '\r', '\t']);
    if start.is_empty() {
        return Err(decode("empty body: the answer should be JSON".to_owned()));
    }
    if start.starts_with('<') {
        let html = content_type.is_some_and(|kind| kind.contains("html"))
            || ["<!doctype html", "<html", "<head", "<body"].iter().any(|tag| {
                start.get(..tag.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(tag))
            });
        let kind = if html { "HTML" } else { "XML" };
        return Err(decode(format!("the answer is {kind}, not JSON"))
            .help("look at the answer: a login page, a block page or a wrong path?"));
    }
    Ok(text)
}

/// What is wrong with an answer. Small, since it is the error of every step of the scanner.
#[derive(Debug, PartialEq)]
pub(super) enum Trouble {
    /// The text breaks JSON's rules at a byte offset.
    Syntax { at: usize, why: &'static str },
    /// The answer lacks what the plan points at.
    Missing(Box<str>),
    /// A key on the way to the records stands twice, and the last counts: not for one pass.
    Repeated,
    /// Records are arrays and nothing names their values.
    Unnamed,
    /// A record has more or fewer values than there are names.
    Uneven { record: usize, values: usize, columns: usize },
    /// Too many different fields for that many records.
    TooWide { records: usize, fields: usize },
    /// More text than a batch can address.
    TooLong,
}

impl Trouble {
    fn syntax(at: usize, why: &'static str) -> Self {
        Trouble::Syntax { at, why }
    }

    fn missing(message: String) -> Self {
        Trouble::Missing(message.into())
    }

    /// For people.
    pub(super) fn failure(self) -> Failure {
        let failure = |kind, message: String| Failure::new(FailureClass::Permanent, kind, message);
        match self {
            Trouble::Syntax { at, why } => {
                failure(FailureKind::Decode, format!("the answer is not JSON: {why} at byte {at}"))
            }
            Trouble::Missing(message) => failure(FailureKind::Missing, message.into())
                .help("correct the path, or add `?` where the answer may lack it"),
            Trouble::Repeated => failure(FailureKind::Decode, "a key stands twice".to_owned()),
            Trouble::Unnamed => failure(FailureKind::Decode, "the records are arrays".to_owned())
                .help("name the values with `columns`"),
            Trouble::Uneven { record, values, columns } => failure(
                FailureKind::Decode,
                format!(
                    "record {record} does not fit `columns`: number of values {values}, of columns {columns}"
                ),
            ),
            Trouble::TooWide { records, fields } => failure(
                FailureKind::Decode,
                format!("the records differ too much: {fields} fields in {records} records"),
            )
            .help("rebuild the records with `map`"),
            Trouble::TooLong => failure(FailureKind::BodyTooLarge, "the answer is over 4 GiB".to_owned())
                .help("ask for smaller pages"),
        }
    }
}

/// The records of a JSON text.
#[cfg(test)]
pub(super) fn batch_of(text: &str) -> RecordBatch {
    let path = PlainPath { segments: Vec::new(), optional: false };
    walk::walk(text, &path, false, Columns::default()).map(|walked| walked.rows.finish()).unwrap()
}

#[cfg(test)]
mod tests;
