//! gzip (RFC 1952) and zip: the members of an archive, unpacked within a bound.
//!
//! Told by their first bytes, since servers call them anything. What counts against the bound is what
//! comes out, of all members together, so that nothing small can become large.

use std::borrow::Cow;
use std::io::{self, BufRead, Cursor, Read};

use entities::{Failure, FailureClass, FailureKind};
use flate2::bufread::MultiGzDecoder;
use zip::ZipArchive;
use zip::result::ZipError;

use super::decode::shortened;
use crate::body::spool::{Spool, Spooler, Spooling};

/// What is unpacked at a time.
const STEP: usize = 64 << 10;
/// Archives within archives at most.
const MOST_NESTED: usize = 3;
/// Members of an answer at most.
const MOST_MEMBERS: usize = 10_000;

/// A file in an archive, or a body that is none.
#[derive(Debug, PartialEq)]
pub(super) struct Member<'a> {
    /// Its name in the archive.
    pub(super) name: Option<String>,
    pub(super) bytes: Cow<'a, [u8]>,
}

/// Whether it has to be unpacked.
pub(super) fn is_packed(bytes: &[u8]) -> bool {
    kind(bytes).is_some()
}

/// Whether it is one compressed file, rather than an archive of several.
pub(crate) fn is_gzip(bytes: &[u8]) -> bool {
    matches!(kind(bytes), Some(Kind::Gzip))
}

/// The members of a body: itself if it is no archive. `max_body`: the bytes they may have together.
pub(super) fn unpack(body: &[u8], max_body: u64) -> Result<Vec<Member<'_>>, Failure> {
    let mut members = Vec::new();
    let mut left = max_body;
    open(Member { name: None, bytes: Cow::Borrowed(body) }, MOST_NESTED, &mut left, &mut members)?;
    Ok(members)
}

/// What one compressed file holds.
pub(crate) enum Unpacked {
    Memory(Vec<u8>),
    /// Too much for that.
    File(Spool),
}

/// Unpacks one compressed file, to a file of its own if it holds much; with the name that it says. None: it is no such
/// file, breaks off, or holds more than `max_body`; [`unpack`] says what is wrong.
///
/// Errors: a file that cannot be made or written.
pub(crate) fn gunzip(
    packed: impl BufRead,
    max_body: u64,
    spooling: &Spooling,
) -> io::Result<Option<(Option<String>, Unpacked)>> {
    let mut decoder = MultiGzDecoder::new(packed);
    let name = decoder.header().and_then(|header| header.filename());
    let name = name.map(|name| String::from_utf8_lossy(name).into_owned());
    let mut file: Option<Spooler> = None;
    let mut bytes = vec![0; STEP];
    let mut held = Vec::new();
    let mut length = 0;
    loop {
        let read = match decoder.read(&mut bytes) {
            Ok(0) => break,
            Ok(read) => read,
            Err(_) => return Ok(None),
        };
        length += read as u64;
        if length > max_body {
            return Ok(None);
        }
        match &mut file {
            Some(file) => file.push(&bytes[..read])?,
            None => held.extend_from_slice(&bytes[..read]),
        }
        if file.is_none() && length > spooling.above {
            let mut begun = Spooler::open(&spooling.directory)?;
            begun.push(&std::mem::take(&mut held))?;
            file = Some(begun);
        }
    }
    Ok(Some(match file {
        Some(file) => (name, Unpacked::File(file.finish()?)),
        None => (name, Unpacked::Memory(held)),
    }))
}

enum Kind {
    Gzip,
    Zip,
}

fn kind(bytes: &[u8]) -> Option<Kind> {
    match bytes {
        [0x1f, 0x8b, 8, ..] => Some(Kind::Gzip),
        // The second is a zip without members.
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Some(Kind::Zip),
        _ => None,
    }
}

fn open<'a>(
    member: Member<'a>,
    nested: usize,
    left: &mut u64,
    members: &mut Vec<Member<'a>>,
) -> Result<(), Failure> {
    let Some(kind) = kind(&member.bytes) else {
        if members.len() >= MOST_MEMBERS {
            return Err(failure(format!("the archive has more than {MOST_MEMBERS} members")));
        }
        members.push(member);
        return Ok(());
    };
    if nested == 0 {
        return Err(failure(format!("more than {MOST_NESTED} archives within each other")));
    }
    match kind {
        Kind::Gzip => {
            let mut decoder = MultiGzDecoder::new(&*member.bytes);
            let inner = decoder.header().and_then(|header| header.filename());
            let name = inner.map(|name| String::from_utf8_lossy(name).into_owned());
            let name = name.or_else(|| member.name.as_deref().map(without_gz));
            let shown = shown(name.as_deref().or(member.name.as_deref()));
            let bytes = limited(&mut decoder, left, &shown)?;
            open(Member { name, bytes: Cow::Owned(bytes) }, nested - 1, left, members)
        }
        Kind::Zip => {
            let mut archive =
                ZipArchive::new(Cursor::new(&*member.bytes)).map_err(|error| of_zip(&error, "the answer"))?;
            if archive.len() > MOST_MEMBERS {
                return Err(failure(format!("the archive has more than {MOST_MEMBERS} members")));
            }
            for nth in 0..archive.len() {
                let shown_nth = format!("member {} of the archive", nth + 1);
                let mut file = archive.by_index(nth).map_err(|error| of_zip(&error, &shown_nth))?;
                let name = match file.name() {
                    Ok(name) => name.into_owned(),
                    Err(_) => String::from_utf8_lossy(file.name_raw()).into_owned(),
                };
                // What a Mac adds to each file.
                if file.is_dir() || file.is_symlink() || name.starts_with("__MACOSX/") {
                    continue;
                }
                let bytes = limited(&mut file, left, &shown(Some(&name)))?;
                drop(file);
                open(Member { name: Some(name), bytes: Cow::Owned(bytes) }, nested - 1, left, members)?;
            }
            Ok(())
        }
    }
}

/// `data.csv.gz` holds `data.csv`.
fn without_gz(name: &str) -> String {
    name.strip_suffix(".gz").unwrap_or(name).to_owned()
}

/// All that `from` yields, unless it is more than `left`.
fn limited(from: &mut impl Read, left: &mut u64, shown: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    from.take(left.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| broken(&error, shown))?;
    *left = left.checked_sub(bytes.len() as u64).ok_or_else(|| {
        Failure::new(
            FailureClass::Permanent,
            FailureKind::BodyTooLarge,
            format!("{shown} is larger than `max_body` when it is unpacked"),
        )
        .help("raise `max_body` of the endpoint, or ask for less at a time")
    })?;
    Ok(bytes)
}

fn broken(error: &io::Error, shown: &str) -> Failure {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => failure(format!("{shown} breaks off within what is compressed")),
        _ => failure(format!("{shown} cannot be unpacked: {error}")),
    }
}

fn of_zip(error: &ZipError, shown: &str) -> Failure {
    let why = match error {
        ZipError::UnsupportedArchive(why) if why.contains("assword") => "it is encrypted".to_owned(),
        ZipError::CompressionMethodNotSupported(_) | ZipError::UnsupportedArchive(_) => {
            "it is compressed in a way that is not read; deflate and stored are".to_owned()
        }
        error => error.to_string(),
    };
    failure(format!("{shown} cannot be unpacked: {why}"))
}

fn shown(name: Option<&str>) -> String {
    match name {
        Some(name) => format!("`{}` in the answer", shortened(name, 60)),
        None => "the answer".to_owned(),
    }
}

fn failure(message: String) -> Failure {
    Failure::new(FailureClass::Permanent, FailureKind::Decode, message)
}

#[cfg(test)]
pub(super) mod tests;
