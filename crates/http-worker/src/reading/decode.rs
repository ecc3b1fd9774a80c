//! From a body to a [`RecordBatch`]: the records of one answer, before `fields`.
//!
//! Where records may stay the bytes that came, they do, if they all can ([`lines`]). Else there are two ways with the
//! same result. Plain paths for `records` and `columns`, and neither `map` nor
//! `where`: one pass over the text, no tree ([`walk`]; tables and lines without `records` have a like
//! pass of their own). Everything else: a tree and jq ([`tree`]). A [`piece`] of an answer goes the same ways.

pub(super) mod delimited;
pub(super) mod glimpse;
mod lines;
pub(super) mod number;
pub(super) mod path;
mod piece;
mod rows;
mod scanner;
pub(super) mod tree;
mod trouble;
mod walk;
pub(super) mod xml;

use std::sync::{Arc, Mutex, PoisonError};

use entities::{Failure, FailureClass, FailureKind, RecordBatch};
use expr::PlainPath;
use serde_json::{Map, Value};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::document::Document;
use super::format::Format;
use super::program::Program;
use super::stream::is_of_last;
use super::view::View;

use self::lines::Lines;
use self::rows::{Columns, Rows};
use self::scanner::Scanner;
use self::walk::Sink;

pub(super) use piece::Piece;
pub(super) use rows::{cell_of, number_cell};
pub(super) use scanner::{plain_end, unescape};
pub(super) use trouble::Trouble;

/// The parts of `reading` that make records, compiled.
pub(super) struct Decoder {
    pub(super) records: Option<Program>,
    pub(super) columns: Option<Program>,
    pub(super) map: Option<Program>,
    pub(super) filter: Option<Program>,
    /// The records may stay the bytes that came.
    pub(super) lines: bool,
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
    /// A text of the records has U+0000 in it.
    pub(super) has_nul: bool,
    outline: Option<(walk::Outline<'a>, PlainPath)>,
    /// The last record and the way to its list, where the records are not in what was decoded.
    last: Option<(Vec<String>, Value)>,
}

impl Decoded<'_> {
    /// Of an answer without a body.
    pub(super) fn empty() -> Self {
        let batch = RecordBatch::default();
        Decoded { batch, received: 0, fingerprint: None, has_nul: false, outline: None, last: None }
    }

    /// Puts in what records that are elsewhere amount to.
    pub(super) fn of_records(&mut self, received: u64, fingerprint: Option<u64>, last: (Vec<String>, Value)) {
        (self.received, self.fingerprint, self.last) = (received, fingerprint, Some(last));
    }

    /// The outputs of a program over the answer.
    pub(super) fn outputs(&self, program: &Program, view: &View<'_>) -> Result<Vec<Value>, Failure> {
        if let (Some(path), Some((way, last))) = (program.path(), &self.last)
            && is_of_last(path, way)
        {
            return path::outputs(&path.segments[way.len() + 1..], path.optional, last)
                .map_err(|trouble| trouble.failure().at(program.at));
        }
        match (program.path(), &self.outline) {
            (Some(path), Some((outline, records))) => {
                outline.outputs(path, records).map_err(|trouble| trouble.failure().at(program.at))
            }
            (Some(path), None) => path::outputs(&path.segments, path.optional, view.tree()?)
                .map_err(|trouble| trouble.failure().at(program.at)),
            (None, _) => program.run(view.tree()?, view),
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
    pub(super) fn decode<'v>(&self, view: &'v View<'_>, fingerprint: bool) -> Result<Decoded<'v>, Failure> {
        let documents = view.documents()?;
        if let Some(decoded) = self.lines.then(|| self.decode_lines(documents, view, fingerprint)).flatten() {
            return Ok(decoded);
        }
        let [Document { format: Format::Json, text, cut, .. }] = documents else {
            return if self.streams() && documents.iter().all(streams) {
                self.decode_rows(documents, fingerprint)
            } else {
                self.decode_tree(view, fingerprint)
            };
        };
        match self.plain() {
            Some(path) => match walk::walk(text, &path, self.sink(text.len())) {
                Ok(walked) => self.decode_walked(text, walked, path, view, fingerprint),
                Err(Trouble::Repeated) => self.decode_tree(view, fingerprint),
                Err(trouble) => Err(self.place(cut.restored(trouble))),
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

    /// Whether the records are the rows or lines as they come.
    fn streams(&self) -> bool {
        self.records.is_none() && self.columns.is_none() && self.map.is_none() && self.filter.is_none()
    }

    /// What records are read into, where a path leads to them.
    fn sink(&self, bytes: usize) -> Sink {
        let rows = Rows::new(bytes, self.before());
        if self.columns.is_some() { Sink::Arrays(rows) } else { Sink::Rows(rows) }
    }

    /// Records as the bytes that came; none where that is not what they are to land as, or something is wrong with
    /// them: the ordinary way will tell.
    fn decode_lines<'v>(
        &self,
        documents: &'v [Document<'_>],
        view: &View<'_>,
        fingerprint: bool,
    ) -> Option<Decoded<'v>> {
        if let [Document { format: Format::Json, text, .. }] = documents {
            let path = self.plain()?;
            let walked = walk::walk(text, &path, Sink::Lines(Lines::new(text.len()))).ok()?;
            return self.decode_walked(text, walked, path, view, fingerprint).ok();
        }
        if !self.streams() || documents.iter().any(|document| document.format != Format::Lines) {
            return None;
        }
        let mut lines = Lines::new(documents.iter().map(|document| document.text.len()).sum());
        for document in documents {
            let line = |line| {
                let mut scanner = Scanner::new(line);
                lines.read(&mut scanner)?;
                scanner.end()
            };
            document.lines(line).ok()?;
        }
        let received = lines.len() as u64;
        let fingerprint = (fingerprint && received > 0).then(|| fingerprint_of(documents));
        Some(Decoded { batch: lines.finish(), received, fingerprint, ..Decoded::empty() })
    }

    /// The names of columns that the answer says.
    pub(super) fn names(
        &self,
        columns: &Program,
        decoded: &Decoded<'_>,
        view: &View<'_>,
    ) -> Result<Vec<String>, Failure> {
        column_names(decoded.outputs(columns, view)?, columns, true)
    }

    /// Rows and lines, without a tree of them.
    fn decode_rows<'v>(
        &self,
        documents: &'v [Document<'_>],
        fingerprint: bool,
    ) -> Result<Decoded<'v>, Failure> {
        let bytes = documents.iter().map(|document| document.text.len()).sum();
        let mut rows = Rows::new(bytes, self.before());
        for document in documents {
            match document.format {
                Format::Csv { delimiter } => {
                    let mut table = document.table(delimiter)?;
                    let names = table.names().to_vec();
                    while let Some(row) = table.next().map_err(|failure| document.located(failure))? {
                        rows.push_texts(&names, row.iter()).map_err(Trouble::failure)?;
                    }
                }
                _ => document.lines(|line| {
                    let mut scanner = Scanner::new(line);
                    rows.read(&mut scanner)?;
                    scanner.end()
                })?,
            }
        }
        let received = rows.len() as u64;
        let fingerprint = (fingerprint && received > 0).then(|| fingerprint_of(documents));
        let has_nul = rows.has_nul();
        Ok(Decoded { batch: self.noted(rows.finish()), received, fingerprint, has_nul, ..Decoded::empty() })
    }

    fn decode_walked<'a>(
        &self,
        text: &'a str,
        walked: walk::Walked<'a>,
        path: PlainPath,
        view: &View<'_>,
        fingerprint: bool,
    ) -> Result<Decoded<'a>, Failure> {
        let records = &text.as_bytes()[walked.records];
        let mut decoded = Decoded {
            fingerprint: (fingerprint && !records.is_empty()).then(|| xxh3_64(records)),
            outline: Some((walked.outline, path)),
            ..Decoded::empty()
        };
        let mut rows = match walked.sink {
            Sink::Rows(rows) | Sink::Arrays(rows) => rows,
            Sink::Lines(lines) => {
                decoded.received = lines.len() as u64;
                decoded.batch = lines.finish();
                return Ok(decoded);
            }
        };
        (decoded.received, decoded.has_nul) = (rows.len() as u64, rows.has_nul());
        if let Some(columns) = &self.columns {
            let names = column_names(decoded.outputs(columns, view)?, columns, rows.len() > 0)?;
            rows.name(&names).map_err(|trouble| trouble.failure().at(columns.at))?;
        }
        decoded.batch = self.noted(rows.finish());
        Ok(decoded)
    }

    fn decode_tree<'a>(&self, view: &View<'_>, fingerprint: bool) -> Result<Decoded<'a>, Failure> {
        let names = match &self.columns {
            Some(columns) => {
                let root = view.tree()?;
                let outputs = match columns.path() {
                    Some(path) => path::outputs(&path.segments, path.optional, root)
                        .map_err(|trouble| trouble.failure().at(columns.at))?,
                    None => columns.run(root, view)?,
                };
                Some(outputs)
            }
            None => None,
        };
        let mut unread = names;
        let mut names: Vec<String> = Vec::new();
        let mut rows = Rows::new(0, self.before());
        let mut received: u64 = 0;
        let mut hash = fingerprint.then(Xxh3::new);
        self.each_record(view, &mut |record| {
            received += 1;
            if let Some(hash) = &mut hash {
                hash.update(record.to_string().as_bytes());
            }
            if let (Some(columns), Some(outputs)) = (&self.columns, unread.take()) {
                names = column_names(outputs, columns, true)?;
            }
            self.sift(record, &names, received, &mut rows, view)
        })?;
        if let (Some(columns), Some(outputs)) = (&self.columns, unread) {
            column_names(outputs, columns, false)?;
        }
        let fingerprint = hash.filter(|_| received > 0).map(|hash| hash.digest());
        let has_nul = rows.has_nul();
        Ok(Decoded { batch: self.noted(rows.finish()), received, fingerprint, has_nul, ..Decoded::empty() })
    }

    /// A record through `columns`, `map` and `where`; `nth` counts from 1.
    fn sift(
        &self,
        record: Value,
        names: &[String],
        nth: u64,
        rows: &mut Rows,
        view: &View<'_>,
    ) -> Result<(), Failure> {
        let record = match &self.columns {
            Some(_) => zip(names, record, nth).map_err(|trouble| self.place(trouble))?,
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
        Ok(())
    }

    /// The records, one after the other.
    fn each_record(
        &self,
        view: &View<'_>,
        take: &mut dyn FnMut(Value) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let documents = view.documents()?;
        if self.records.is_none() && documents.iter().all(|document| document.format != Format::Json) {
            return documents.iter().try_for_each(|document| document.records(take));
        }
        for (value, format) in view.parts()? {
            match &self.records {
                None if format == Format::Lines => take(value.clone())?,
                _ => self.select(value, format, view)?.into_iter().try_for_each(&mut *take)?,
            }
        }
        Ok(())
    }

    fn select(&self, root: &Value, format: Format, view: &View<'_>) -> Result<Vec<Value>, Failure> {
        let everything = PlainPath { segments: Vec::new(), optional: false };
        let path = match &self.records {
            None => &everything,
            Some(records) => match records.path() {
                Some(path) => path,
                None => return Ok(sole_list(records.run(root, view)?, self.columns.is_some())),
            },
        };
        // One element is not known to be one of many.
        let single = format == Format::Xml;
        let found = path::records(path, root, single).map_err(|trouble| self.place(trouble))?;
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

/// Of rows and lines.
fn fingerprint_of(documents: &[Document<'_>]) -> u64 {
    let mut hash = Xxh3::new();
    documents.iter().for_each(|document| hash.update(document.text.as_bytes()));
    hash.digest()
}

/// Whether a document's records can be read without a tree.
fn streams(document: &Document<'_>) -> bool {
    matches!(document.format, Format::Csv { .. } | Format::Lines)
}

/// An array as an object; `nth` counts from 1.
fn zip(names: &[String], record: Value, nth: u64) -> Result<Value, Trouble> {
    match record {
        Value::Array(values) if values.len() == names.len() => {
            Ok(Value::Object(names.iter().cloned().zip(values).collect::<Map<_, _>>()))
        }
        Value::Array(values) => {
            let record = usize::try_from(nth).unwrap_or(usize::MAX);
            Err(Trouble::Uneven { record, values: values.len(), columns: names.len() })
        }
        _ => Err(Trouble::syntax(0, "expected a record that is an array, since there are `columns`")),
    }
}

/// The names that `columns` yields: one list of them, or one by one.
fn column_names(outputs: Vec<Value>, columns: &Program, records: bool) -> Result<Vec<String>, Failure> {
    let outputs = match <[Value; 1]>::try_from(outputs) {
        Ok([Value::Array(names)]) => names,
        // An answer without records may do without names.
        Ok([Value::Null]) if !records => Vec::new(),
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

/// The records of a JSON text.
#[cfg(test)]
pub(super) fn batch_of(text: &str) -> RecordBatch {
    let path = PlainPath { segments: Vec::new(), optional: false };
    let rows = Sink::Rows(Rows::new(text.len(), Columns::default()));
    match walk::walk(text, &path, rows).map(|walked| walked.sink) {
        Ok(Sink::Rows(rows)) => rows.finish(),
        _ => panic!("{text}"),
    }
}

#[cfg(test)]
mod tests;
