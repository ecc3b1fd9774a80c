//! An answer's body as texts of a known format: unpacked, told apart, decoded from bytes.
//!
//! One answer may hold several documents: the members of an archive. Each is read by its own name and
//! content, and their records follow each other.

use std::borrow::Cow;

use entities::{Decode, Failure, FailureClass, FailureKind};
use serde_json::{Map, Value};

use super::decode::{Trouble, delimited, shortened, tree, xml};
use super::format::{Format, Labels, is_html};
use super::unpack::{is_packed, unpack};

/// One text and what it is.
#[derive(Debug)]
pub(super) struct Document<'a> {
    pub(super) format: Format,
    pub(super) text: Cow<'a, str>,
    /// Its name, if it is a member of an archive.
    name: Option<String>,
    /// What is not in the text, if it is a piece of a larger one.
    pub(super) cut: Cut,
}

/// What was cut out of a text, or away from it: so that failures name places in the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cut {
    /// Line breaks before the text; of a table, behind its header.
    pub(super) lines: u64,
    /// Of a table: whether there is a quote in the whole that no other closes. None: the text is the whole.
    pub(super) uneven: Option<bool>,
    /// At which byte …
    pub(super) at: usize,
    /// … how many others are left out.
    pub(super) left_out: u64,
}

impl Cut {
    /// Trouble with the text as trouble with the whole.
    pub(super) fn restored(self, trouble: Trouble) -> Trouble {
        match trouble {
            Trouble::Syntax { at, why } if at >= self.at => {
                Trouble::Syntax { at: at.saturating_add(usize::try_from(self.left_out).unwrap_or(0)), why }
            }
            trouble => trouble,
        }
    }
}

/// The documents of a body. `name`: what an archive that it was alone in calls it. `max_body`: the bytes they may have together, unpacked.
pub(super) fn documents<'a>(
    body: &'a [u8],
    name: Option<&str>,
    content_type: Option<&str>,
    decode: Decode,
    max_body: u64,
) -> Result<Vec<Document<'a>>, Failure> {
    if !is_packed(body) {
        let name = name.map(str::to_owned);
        return Ok(vec![Document::of(Cow::Borrowed(body), name, content_type, decode)?]);
    }
    unpack(body, max_body)?
        .into_iter()
        .map(|member| Document::of(member.bytes, member.name, content_type, decode))
        .collect()
}

impl<'a> Document<'a> {
    fn of(
        bytes: Cow<'a, [u8]>,
        name: Option<String>,
        content_type: Option<&str>,
        decode: Decode,
    ) -> Result<Document<'a>, Failure> {
        let in_member = |failure: Failure| in_member(name.as_deref(), failure);
        let text = text_of(bytes, content_type).map_err(in_member)?;
        let labels = Labels { content_type, name: name.as_deref() };
        let format = Format::of(decode, labels, &text);
        check(format, &text, content_type).map_err(in_member)?;
        Ok(Document { format, text, name, cut: Cut::default() })
    }

    /// Some lines or rows of a larger document; rows with the header of their table.
    pub(super) fn piece(format: Format, text: String, name: Option<String>, cut: Cut) -> Document<'static> {
        Document { format, text: Cow::Owned(text), name, cut }
    }

    /// Its values: one, but for lines, of which each is one. The rows of a table are one list.
    pub(super) fn values(&self, take: &mut dyn FnMut(Value)) -> Result<(), Failure> {
        match self.format {
            Format::Json => take(tree::parse(&self.text).map_err(|trouble| self.failure(trouble))?),
            Format::Lines => self.lines(|line| {
                take(tree::parse(line)?);
                Ok(())
            })?,
            Format::Csv { .. } | Format::Xml | Format::Text => {
                let mut rows = Vec::new();
                self.records(&mut |record| {
                    rows.push(record);
                    Ok(())
                })?;
                let single = rows.len() == 1 && !matches!(self.format, Format::Csv { .. });
                take(if single { rows.remove(0) } else { Value::Array(rows) });
            }
        }
        Ok(())
    }

    /// The records of a format that has some of its own: rows, lines.
    pub(super) fn records(&self, take: &mut dyn FnMut(Value) -> Result<(), Failure>) -> Result<(), Failure> {
        match self.format {
            Format::Json => {
                let message = "a JSON document has no records of its own";
                Err(Failure::new(FailureClass::Bug, FailureKind::Decode, message))
            }
            Format::Lines => {
                let mut outcome = Ok(());
                self.lines(|line| {
                    if outcome.is_ok() {
                        outcome = take(tree::parse(line)?);
                    }
                    Ok(())
                })?;
                outcome
            }
            Format::Csv { delimiter } => {
                let mut table = self.table(delimiter)?;
                let names = table.names().to_vec();
                while let Some(row) = table.next().map_err(|failure| self.located(failure))? {
                    let cell = |text: &str| match text {
                        "" => Value::Null,
                        text => Value::from(text),
                    };
                    take(Value::Object(names.iter().cloned().zip(row.iter().map(cell)).collect()))?;
                }
                Ok(())
            }
            Format::Xml => take(xml::parse(&self.text).map_err(|failure| self.located(failure))?),
            Format::Text => {
                let text = Value::from(&*self.text);
                take(Value::Object(Map::from_iter([("text".to_owned(), text)])))
            }
        }
    }

    /// The table that a CSV text is.
    pub(super) fn table(&self, delimiter: u8) -> Result<delimited::Table<'_>, Failure> {
        delimited::Table::open(&self.text, delimiter, self.cut).map_err(|failure| self.located(failure))
    }

    /// Each line that is not blank; trouble is told with the line's number.
    pub(super) fn lines<'t>(
        &'t self,
        mut take: impl FnMut(&'t str) -> Result<(), Trouble>,
    ) -> Result<(), Failure> {
        for (number, line) in self.text.split('\n').enumerate() {
            // RFC 7464 begins each with a record separator.
            let line = line.trim_matches([' ', '\t', '\r', '\u{1e}']);
            if line.is_empty() {
                continue;
            }
            take(line).map_err(|trouble| {
                let mut failure = trouble.failure();
                let number = self.cut.lines + number as u64 + 1;
                failure.message = format!("line {number}: {}", failure.message);
                self.located(failure)
            })?;
        }
        Ok(())
    }

    fn failure(&self, trouble: Trouble) -> Failure {
        self.located(self.cut.restored(trouble).failure())
    }

    /// A failure that names the member.
    pub(super) fn located(&self, failure: Failure) -> Failure {
        in_member(self.name.as_deref(), failure)
    }
}

fn in_member(name: Option<&str>, mut failure: Failure) -> Failure {
    if let Some(name) = name {
        failure.message = format!("`{}`: {}", shortened(name, 60), failure.message);
    }
    failure
}

/// The text of a body, without a byte order mark.
///
/// Errors: more bytes than can be addressed, and what is not UTF-8.
fn text_of<'a>(bytes: Cow<'a, [u8]>, content_type: Option<&str>) -> Result<Cow<'a, str>, Failure> {
    if u32::try_from(bytes.len()).is_err() {
        return Err(Trouble::TooLong.failure());
    }
    let declared = charset(content_type);
    let wide = match &*bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16"),
        _ => declared.as_deref().filter(|name| !holds_ascii(name)),
    };
    if let Some(wide) = wide {
        return Err(unread(wide));
    }
    let not_text = |at: usize, bytes: &[u8]| not_text(declared.as_deref(), bytes, at as u64);
    match bytes {
        Cow::Borrowed(bytes) => {
            let text = std::str::from_utf8(bytes).map_err(|e| not_text(e.valid_up_to(), bytes))?;
            Ok(Cow::Borrowed(text.strip_prefix('\u{feff}').unwrap_or(text)))
        }
        Cow::Owned(bytes) => {
            let mut text =
                String::from_utf8(bytes).map_err(|e| not_text(e.utf8_error().valid_up_to(), e.as_bytes()))?;
            if text.starts_with('\u{feff}') {
                text.drain(..'\u{feff}'.len_utf8());
            }
            Ok(Cow::Owned(text))
        }
    }
}

/// The text of a piece of a body that begins at its byte `at`. See [`documents`] for the rest.
pub(super) fn text_of_piece(bytes: Vec<u8>, at: u64, content_type: Option<&str>) -> Result<String, Failure> {
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let wrong = at + error.utf8_error().valid_up_to() as u64;
        not_text(charset(content_type).as_deref(), error.as_bytes(), wrong)
    })?;
    if at == 0 && text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}

fn not_text(declared: Option<&str>, bytes: &[u8], at: u64) -> Failure {
    match declared {
        Some(name) if !is_utf8(name) => unread(name),
        _ => match in_prolog(bytes).filter(|name| !is_utf8(name)) {
            Some(name) => unread(&name),
            None => failure(format!("the answer is not UTF-8: byte {at} is not text")),
        },
    }
}

/// What is plainly something else than it should be. What the answer calls itself matters only for
/// the message: APIs label JSON as anything.
pub(super) fn check(format: Format, text: &str, content_type: Option<&str>) -> Result<(), Failure> {
    let should_be = format.as_str();
    let start = text.trim_start_matches([' ', '\n', '\r', '\t']);
    if start.is_empty() {
        // No line and no text are good lines and a good text.
        return match format {
            Format::Lines | Format::Text => Ok(()),
            _ => Err(failure(format!("empty body: the answer should be {should_be}"))),
        };
    }
    let says_html = content_type.is_some_and(|kind| kind.contains("html"));
    let is = match format {
        Format::Text => return Ok(()),
        _ if is_html(start) => "HTML",
        // The headers of some tables begin so.
        Format::Csv { .. } if start.starts_with("<?xml") => "XML",
        Format::Csv { .. } if start.starts_with('{') => "JSON",
        Format::Xml if start.starts_with(['{', '[']) => "JSON",
        Format::Json | Format::Lines if start.starts_with('<') => {
            if says_html {
                "HTML"
            } else {
                "XML"
            }
        }
        _ => return Ok(()),
    };
    let help = match is {
        "HTML" => "look at the answer: a login page, a block page or a wrong path?".to_owned(),
        _ => format!(
            "an error that the API sends with a 200? if not, say `decode = \"{}\"`",
            is.to_lowercase()
        ),
    };
    Err(failure(format!("the answer is {is}, not {should_be}")).help(help))
}

fn charset(content_type: Option<&str>) -> Option<String> {
    // Most answers say nothing, or this.
    let content_type = content_type.filter(|kind| !kind.ends_with("charset=utf-8"))?;
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("charset")
            .then(|| value.trim().trim_matches('"').to_ascii_lowercase())
    })
}

/// The encoding that an XML declaration names.
fn in_prolog(bytes: &[u8]) -> Option<String> {
    let start = String::from_utf8_lossy(bytes.get(..bytes.len().min(200))?).into_owned();
    let (declaration, _) = start.strip_prefix("<?xml")?.split_once("?>")?;
    let (_, behind) = declaration.split_once("encoding")?;
    let quoted = behind.trim_start().strip_prefix('=')?.trim_start();
    let quote = quoted.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    quoted[1..].split(quote).next().map(str::to_ascii_lowercase)
}

fn is_utf8(charset: &str) -> bool {
    matches!(charset, "utf-8" | "utf8" | "us-ascii" | "ascii" | "")
}

/// Whether ASCII means the same in it, so that a text which is UTF-8 throughout is read right.
fn holds_ascii(charset: &str) -> bool {
    !["utf-16", "utf-32", "utf-7", "iso-2022", "hz-", "ucs-"].iter().any(|wide| charset.starts_with(wide))
}

fn unread(charset: &str) -> Failure {
    failure(format!("the answer is in {}, and only UTF-8 is read", shortened(charset, 40)))
        .help("ask the API for UTF-8: a parameter, or the header `Accept-Charset`")
}

fn failure(message: String) -> Failure {
    Failure::new(FailureClass::Permanent, FailureKind::Decode, message)
}
