//! Answers that are too large for memory, read from the file that they are in.
//!
//! A look at all bytes tells the records from what is around them ([`survey`]). What is around is read as a small answer
//! is, and rules, paging, totals and names of columns ask that. The records are read in parts, once to know what they
//! amount to, and again whenever a store asks for them: the first part is handed over as it is, the others as
//! [`Spooled`]. Each part goes the way that a small answer goes, so that everything means the same.
//!
//! What does not go: programs that look at the list of records as a whole ([`fit`]), lists on the way to the records, and
//! records or surroundings that are larger than what is held in memory anyway. Such an answer is read as if it were
//! small, within `max_body` and the room that there is.

mod fit;
mod survey;

use std::fmt;
use std::sync::Arc;

use entities::{Failure, FailureClass, FailureKind, Spooled, SpooledPart};
use expr::Globals;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use xxhash_rust::xxh3::Xxh3;

pub(crate) use self::fit::Unfit;
pub(super) use self::fit::{Fit, is_of_last};
use self::survey::Layout;
pub(super) use self::survey::Survey;
use super::cursor::Greatest;
use super::decode::{Piece, tree};
use super::document::{Cut, Document, check, text_of_piece};
use super::format::{Format, Labels};
use super::view::View;
use super::{Decode, Job, Landed, Outcome, Reader, Value};
use crate::answer::Answer;
use crate::body::spool::{Spool, Spooling};

/// What is looked at to know what a body is.
const BEGINNING: u64 = 64 << 10;
/// What is read at a time to see where what stands.
const CHUNK: u64 = 256 << 10;

/// What came of an answer in a file.
pub(crate) enum Streamed {
    /// It was read.
    Read((Outcome, Vec<(usize, u32)>)),
    /// It has to be in memory.
    Unfit(Unfit),
}

/// An answer in a file, and how it is read.
struct Stream {
    reader: Arc<Reader>,
    job: Job,
    globals: Globals,
    /// Its body is what is around the records.
    answer: Answer,
    spool: Spool,
    layout: Layout,
    format: Format,
    /// The names on the way to the list of records.
    way: Vec<String>,
    /// Of `columns`.
    names: Vec<String>,
    /// Records and children of all parts but the first.
    rows: u64,
    children: u64,
}

impl Reader {
    /// Whether an answer that begins so may be read from a file.
    pub(crate) fn may_stream(
        &self,
        status: u16,
        headers: &HeaderMap,
        name: Option<&str>,
        beginning: &[u8],
    ) -> Result<(), Unfit> {
        if !(200..300).contains(&status) {
            return Err(Unfit("it is no good answer".to_owned()));
        }
        if super::unpack::is_gzip(beginning) {
            return self.fit.of_any();
        }
        if super::unpack::is_packed(beginning) {
            return Err(Unfit("an archive is unpacked in memory".to_owned()));
        }
        self.fit.way(self.format_of(headers, name, beginning)).map(|_| ())
    }

    fn format_of(&self, headers: &HeaderMap, name: Option<&str>, beginning: &[u8]) -> Format {
        let labels = Labels { content_type: content_type(headers), name };
        let text = String::from_utf8_lossy(beginning);
        Format::of(self.decode, labels, text.strip_prefix('\u{feff}').unwrap_or(&text))
    }

    /// As [`read`](Self::read), of an answer whose body is in a file.
    pub(crate) fn stream(
        self: &Arc<Self>,
        job: &Job,
        globals: &Globals,
        answer: &Answer,
        spool: &Spool,
        spooling: &Spooling,
    ) -> Streamed {
        let mut stream = match self.stream_of(job, globals, answer, spool, spooling) {
            Ok(Ok(stream)) => stream,
            Ok(Err(unfit)) => return Streamed::Unfit(unfit),
            Err(error) => return Streamed::Read((Outcome::Failed(unread(&error)), Vec::new())),
        };
        let rest = Answer { leash: answer.leash.clone(), ..stream.answer.clone() };
        let view = self.view_of(&stream.format, &stream.layout, &rest, job);
        let mut costs = None;
        let land = || self.land_stream(&mut stream, &view, &mut costs).map(|landed| landed.whole(stream));
        let outcome = self.judged(job, globals, &rest, &view, land);
        Streamed::Read((outcome, costs.unwrap_or_else(|| self.costs.read(None, &view))))
    }

    /// Looks where what stands.
    fn stream_of(
        self: &Arc<Self>,
        job: &Job,
        globals: &Globals,
        answer: &Answer,
        spool: &Spool,
        spooling: &Spooling,
    ) -> std::io::Result<Result<Stream, Unfit>> {
        let beginning = spool.beginning(BEGINNING)?;
        let name = answer.name.as_deref();
        if let Err(unfit) = self.may_stream(answer.status, &answer.headers, name, &beginning) {
            return Ok(Err(unfit));
        }
        let format = self.format_of(&answer.headers, name, &beginning);
        let way = match self.fit.way(format) {
            Ok(way) => way.to_vec(),
            Err(unfit) => return Ok(Err(unfit)),
        };
        let mut survey = Survey::begin(format, &way, spooling);
        let mut at = 0;
        while at < spool.length() {
            let end = spool.length().min(at + CHUNK);
            if let Err(unfit) = survey.look(&spool.read(at..end)?) {
                return Ok(Err(unfit));
            }
            at = end;
        }
        let mut layout = match survey.end() {
            Ok(layout) => layout,
            Err(unfit) => return Ok(Err(unfit)),
        };
        let rest = match format {
            // An answer, and without records.
            Format::Lines => vec![b'\n'],
            _ => std::mem::take(&mut layout.rest),
        };
        // Whoever reads it again is not told to stop.
        let answer = Answer { body: rest.into(), leash: None, ..answer.clone() };
        Ok(Ok(Stream {
            reader: Arc::clone(self),
            job: job.clone(),
            globals: globals.clone(),
            answer,
            spool: spool.clone(),
            layout,
            format,
            way,
            names: Vec::new(),
            rows: 0,
            children: 0,
        }))
    }

    /// A view of what is around the records.
    fn view_of<'a>(&self, format: &Format, layout: &Layout, rest: &'a Answer, job: &'a Job) -> View<'a> {
        let decode = match format {
            Format::Lines => Decode::Jsonl,
            Format::Csv { .. } => Decode::Csv,
            Format::Json | Format::Xml | Format::Text => Decode::Json,
        };
        let mark = if rest.body.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        let cut = Cut {
            at: layout.cut.saturating_sub(mark),
            left_out: layout.left_out,
            uneven: Some(false),
            ..Cut::default()
        };
        View::new(rest, decode, self.max_body, &job.context.vars, &job.task.bindings.0).of_rest(cut)
    }

    /// Reads all parts once.
    fn land_stream(
        &self,
        stream: &mut Stream,
        view: &View<'_>,
        costs: &mut Option<Vec<(usize, u32)>>,
    ) -> Result<FirstPart, Failure> {
        let (job, globals, rest) = (stream.job.clone(), stream.globals.clone(), stream.answer.clone());
        let explained = |failure| self.explained(failure, &rest, view);
        if stream.format == Format::Lines {
            let beginning = stream.spool.beginning(BEGINNING).map_err(|error| unread(&error))?;
            check(stream.format, &String::from_utf8_lossy(&beginning), content_type(&rest.headers))?;
        }
        // What is around a list that breaks off is no JSON: the last part says so.
        let around = match stream.layout.closed {
            true => Some(self.decoder.decode(view, false).map_err(explained)?),
            false => None,
        };
        if let (Some(decoded), Some(columns)) = (&around, &self.decoder.columns) {
            stream.names = self.decoder.names(columns, decoded, view)?;
        }
        let scene = self.scene(&job, &globals, view);
        let mut greatest = Greatest::default();
        let mut hash = self.paging.as_ref().map(|_| Xxh3::new());
        let mut received = 0;
        let mut first: Option<SpooledPart> = None;
        let (mut replaced, mut finished) = (0, Ok(()));
        for nth in 0..stream.layout.parts.len() {
            view.wanted()?;
            let part = stream.read(nth)?;
            if let Some(hash) = &mut hash {
                part.fingerprint(hash, nth, stream.layout.parts.len());
            }
            let piece = self
                .decoder
                .decode_piece(&part.piece(stream), &stream.names, received, view)
                .map_err(explained)?;
            let (before, mut records) = (received, piece.batch);
            received += piece.received;
            if finished.is_err() {
                // What is said first counts, but the answer has to be JSON to its end.
                continue;
            }
            let texts = part.json().into_iter();
            match self.finish(&mut records, piece.has_nul, before, texts, &scene, &mut greatest) {
                Err(failure) => finished = Err(failure),
                Ok(children) => {
                    replaced += records.replaced;
                    if first.is_none() {
                        first = Some(SpooledPart { records, children });
                    } else {
                        stream.rows += records.rows as u64;
                        stream.children += children.len() as u64;
                    }
                }
            }
        }
        let Some(mut decoded) = around else {
            let message = "the list of records has no end";
            return Err(Failure::new(FailureClass::Bug, FailureKind::Decode, message));
        };
        let fingerprint = hash.filter(|_| received > 0).map(|hash| hash.digest());
        decoded.of_records(received, fingerprint, (stream.way.clone(), stream.last(view)?));
        *costs = Some(self.costs.read(Some(&decoded), view));
        if let Some(capped) = self.capped(&job, &globals, received) {
            return capped.map(FirstPart::Nothing);
        }
        let next = self.next(&job, &rest, view, &decoded)?;
        finished?;
        let cursor = self.settle(greatest, &scene)?;
        let SpooledPart { mut records, children } =
            first.unwrap_or_else(|| SpooledPart { records: Default::default(), children: Vec::new() });
        records.replaced = replaced;
        Ok(FirstPart::Some(Landed { records, received, next, children, cursor, skipped: false }))
    }
}

/// What lands, but for the parts that follow.
enum FirstPart {
    Nothing(Landed),
    Some(Landed),
}

impl FirstPart {
    fn whole(self, stream: Stream) -> Landed {
        match self {
            FirstPart::Some(mut landed) if stream.layout.parts.len() > 1 => {
                landed.records.spooled = Some(Arc::new(stream));
                landed
            }
            FirstPart::Nothing(landed) | FirstPart::Some(landed) => landed,
        }
    }
}

/// A part of the records, read from the file.
enum Part {
    List { text: String, at: u64, depth: u32, broken_off: bool },
    Rows { document: Document<'static>, header: usize },
}

impl Part {
    fn piece(&self, _: &Stream) -> Piece<'_> {
        match self {
            Part::List { text, at, depth, broken_off } => {
                Piece::List { text, at: *at, depth: *depth, broken_off: *broken_off }
            }
            Part::Rows { document, .. } => Piece::Rows(document),
        }
    }

    /// Its text, if that is JSON.
    fn json(&self) -> Option<&str> {
        match self {
            Part::List { text, .. } => Some(text),
            Part::Rows { document, .. } => (document.format == Format::Lines).then_some(&*document.text),
        }
    }

    /// Adds it to the fingerprint of the records; of a list they are told from the first to the last.
    fn fingerprint(&self, hash: &mut Xxh3, nth: usize, of: usize) {
        const SPACE: [char; 4] = [' ', '\n', '\r', '\t'];
        match self {
            Part::List { text, .. } => {
                let text = if nth == 0 { text.trim_start_matches(SPACE) } else { text };
                let is_last = nth + 1 == of;
                hash.update(if is_last { text.trim_end_matches(SPACE) } else { text }.as_bytes());
                if !is_last {
                    hash.update(b",");
                }
            }
            Part::Rows { document, header } => {
                hash.update(&document.text.as_bytes()[if nth == 0 { 0 } else { *header }..]);
            }
        }
    }
}

impl Stream {
    fn read(&self, nth: usize) -> Result<Part, Failure> {
        let part = &self.layout.parts[nth];
        let bytes = self.spool.read(part.bytes.clone()).map_err(|error| unread(&error))?;
        let text = text_of_piece(bytes, part.bytes.start, content_type(&self.answer.headers))?;
        let is_last = nth + 1 == self.layout.parts.len();
        Ok(match self.format {
            Format::Csv { .. } => {
                let header = self.header();
                let uneven = Some(is_last && self.layout.uneven);
                let cut = Cut { lines: part.lines, uneven, ..Cut::default() };
                let name = self.answer.name.clone();
                let document = Document::piece(self.format, format!("{header}{text}"), name, cut);
                Part::Rows { document, header: header.len() }
            }
            Format::Lines => {
                let cut = Cut { lines: part.lines, ..Cut::default() };
                let document = Document::piece(self.format, text, self.answer.name.clone(), cut);
                Part::Rows { document, header: 0 }
            }
            Format::Json | Format::Xml | Format::Text => {
                let mark =
                    if self.answer.body.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
                Part::List {
                    text,
                    at: part.bytes.start - mark as u64,
                    depth: u32::try_from(self.way.len() + 1).unwrap_or(u32::MAX),
                    broken_off: is_last && !self.layout.closed,
                }
            }
        })
    }

    /// Of a table: read before, so that it is text.
    fn header(&self) -> &str {
        let header = std::str::from_utf8(&self.answer.body).unwrap_or_default();
        header.strip_prefix('\u{feff}').unwrap_or(header)
    }

    /// The last record.
    fn last(&self, view: &View<'_>) -> Result<Value, Failure> {
        let bytes = self.spool.read(self.layout.last.clone()).map_err(|error| unread(&error))?;
        let text = String::from_utf8_lossy(&bytes);
        let mut last = Value::Null;
        if let Format::Csv { .. } = self.format {
            let text = format!("{}{text}", self.header());
            let cut = Cut { uneven: Some(false), ..Cut::default() };
            Document::piece(self.format, text, None, cut).records(&mut |record| {
                last = record;
                Ok(())
            })?;
        } else if let Ok(value) = tree::parse(text.trim_matches([' ', '\t', '\r', '\n', '\u{1e}'])) {
            // Its part was read: it parses, unless there is none.
            last = value;
        }
        view.wanted()?;
        Ok(last)
    }

    fn part(&self, nth: usize, before: &mut u64) -> Result<SpooledPart, Failure> {
        let reader = &self.reader;
        let view = reader.view_of(&self.format, &self.layout, &self.answer, &self.job);
        let scene = reader.scene(&self.job, &self.globals, &view);
        let part = self.read(nth)?;
        let piece = reader.decoder.decode_piece(&part.piece(self), &self.names, *before, &view)?;
        let mut records = piece.batch;
        let texts = part.json().into_iter();
        let mut unused = Greatest::default();
        let children = reader.finish(&mut records, piece.has_nul, *before, texts, &scene, &mut unused)?;
        *before += piece.received;
        Ok(SpooledPart { records, children })
    }
}

impl Spooled for Stream {
    fn rows(&self) -> u64 {
        self.rows
    }

    fn children(&self) -> u64 {
        self.children
    }

    fn parts(&self) -> Box<dyn Iterator<Item = Result<SpooledPart, Failure>> + '_> {
        let mut before = 0;
        // The first was handed over in memory.
        Box::new((1..self.layout.parts.len()).map(move |nth| self.part(nth, &mut before)))
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("rows", &self.rows)
            .field("children", &self.children)
            .finish_non_exhaustive()
    }
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok())
}

/// The failure of a file that was written and cannot be read.
pub(crate) fn unread(error: &std::io::Error) -> Failure {
    let message = format!("the file that the answer was put into cannot be read: {error}");
    Failure::new(FailureClass::Permanent, FailureKind::BodyTooLarge, message)
}
