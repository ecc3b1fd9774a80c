//! An answer's body, whole: collected as it comes, decompressed on the way, and never larger than it
//! may be.
//!
//! What is counted against the cap is what leaves the last decoder; no more than the cap and one
//! chunk is ever held. The compressed bytes are counted too, since a stream can go on without end and
//! yield nothing. How much all bodies together may hold is [`room`]'s; what is too large for memory goes to a file
//! as it comes ([`spool`]), if whoever wants it can read it from there.

pub(crate) mod room;
pub(crate) mod spool;

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use hyper::body::{Body, Incoming};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncReadExt, ReadBuf};

use self::room::{Rooms, Share};
use self::spool::{Spool, Spooler, Spooling};
use crate::encoding::{Encodings, UnknownEncoding};
use crate::patience::{Patience, Rest, TimedOut};

/// Not every server tells the truth about the length: more than this is not set aside in advance.
const SET_ASIDE: u64 = 1024 * 1024;
/// Bytes that are decoded at a time.
const STEP: usize = 64 * 1024;
/// What of a body in a file is kept at hand, for the text of failures.
const HEAD: usize = 64 * 1024;

/// Why a body is not whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The connection failed before the end.
    #[error("the answer broke off")]
    Network(#[source] hyper::Error),
    /// It took too long.
    #[error("the answer took too long")]
    TimedOut(TimedOut),
    /// More bytes than allowed.
    #[error("the answer is too large")]
    TooLarge,
    /// The body came to its end, but what was compressed in it did not.
    #[error("the compressed answer broke off")]
    CompressionCut,
    /// What is in it is not what its `Content-Encoding` says.
    #[error("the answer cannot be decompressed")]
    Compression(io::Error),
    /// We cannot decompress that.
    #[error("the answer's encoding is unknown")]
    Unknown(UnknownEncoding),
    /// The file that it should go to cannot be made or written.
    #[error("the answer cannot be kept in {}", .1.display())]
    Spool(#[source] io::Error, PathBuf),
}

/// What came of reading a body.
#[derive(Debug)]
pub(crate) struct Collected {
    /// The body, or as much of it as there is; its beginning, if it is in a file.
    pub(crate) bytes: Bytes,
    /// The file that has all of it.
    pub(crate) spool: Option<Spool>,
    /// Bytes over the wire.
    pub(crate) wire: u64,
    /// What `Content-Length` announced.
    pub(crate) announced: Option<u64>,
    /// Why it is not whole.
    pub(crate) error: Option<BodyError>,
}

/// Where a body may go that is too large for memory.
#[derive(Clone, Copy)]
pub(crate) struct ToSpool<'s> {
    pub(crate) spooling: &'s Spooling,
    /// Whether one that begins so can be read from a file.
    pub(crate) may: &'s (dyn Fn(&[u8]) -> bool + Sync),
}

/// A body in the making, or what there is of it.
struct Held {
    bytes: Bytes,
    spool: Option<Spool>,
    error: Option<BodyError>,
}

impl Held {
    fn in_memory(bytes: Bytes, error: Option<BodyError>) -> Held {
        Held { bytes, spool: None, error }
    }
}

/// Reads a body of at most `cap` bytes, of which there is place in `rooms`; beyond some size it goes to a file, if
/// there is one for it.
pub(crate) async fn collect(
    body: Incoming,
    headers: &HeaderMap,
    cap: u64,
    rooms: &Rooms,
    to: Option<ToSpool<'_>>,
    patience: &mut Patience<'_>,
) -> Collected {
    let length = body.size_hint().exact();
    let announced = length
        .or_else(|| headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.trim().parse().ok()));
    let rest = patience.rest();
    let mut wire = Wire { body, chunk: Bytes::new(), received: 0, cap, patience, rest: &rest };
    let held = match Encodings::of(headers) {
        Err(unknown) => Held::in_memory(Bytes::new(), Some(BodyError::Unknown(unknown))),
        Ok(_) if announced.is_some_and(|length| length > cap) => {
            // The beginning is kept for the failure's text.
            let (bytes, error) = wire.first().await;
            Held::in_memory(bytes, Some(error.unwrap_or(BodyError::TooLarge)))
        }
        Ok(encodings) if encodings.is_plain() => {
            plain(&mut wire, announced, rooms.begin(length, cap, &rest), to).await
        }
        Ok(encodings) => decoded(&mut wire, &encodings, rooms.begin(None, cap, &rest), to).await,
    };
    let Held { bytes, spool, error } = held;
    Collected { bytes, spool, wire: wire.received, announced, error }
}

async fn plain(
    wire: &mut Wire<'_, '_>,
    announced: Option<u64>,
    mut share: Share<'_>,
    to: Option<ToSpool<'_>>,
) -> Held {
    let (first, error) = wire.first().await;
    if error.is_some() || wire.body.is_end_stream() {
        // Most answers fit in one read: their bytes are handed on as they lie.
        return Held::in_memory(first, error);
    }
    let to = to.filter(|to| (to.may)(&first));
    let above = to.map_or(u64::MAX, |to| to.spooling.above);
    if let Some(to) = to.filter(|_| announced.is_some_and(|length| length > above)) {
        drop(share);
        return into_file(wire, to, &first).await;
    }
    share.at_most(above);
    let mut whole =
        BytesMut::with_capacity(usize::try_from(announced.unwrap_or(0).min(SET_ASIDE)).unwrap_or(0));
    whole.extend_from_slice(&first);
    loop {
        match wire.next().await {
            None => return Held::in_memory(share.keep(whole), None),
            Some(Ok(chunk)) => {
                let length = (whole.len() + chunk.len()) as u64;
                if let Some(to) = to.filter(|_| length > above) {
                    whole.extend_from_slice(&chunk);
                    drop(share);
                    return into_file(wire, to, &whole).await;
                }
                if !share.fits(length) {
                    share.grow(&mut whole, length).await;
                }
                whole.extend_from_slice(&chunk);
            }
            Some(Err(error)) => return Held::in_memory(share.keep(whole), Some(error)),
        }
    }
}

/// All that follows `begun` goes to a file.
async fn into_file(wire: &mut Wire<'_, '_>, to: ToSpool<'_>, begun: &[u8]) -> Held {
    let rest = wire.rest;
    let mut file = Filing::begin(to, rest, begun).await;
    loop {
        match wire.next().await {
            None => return file.end(None).await,
            Some(Err(error)) => return file.end(Some(error)).await,
            Some(Ok(chunk)) => {
                if !file.push(&chunk).await {
                    return file.end(None).await;
                }
            }
        }
    }
}

async fn decoded(
    wire: &mut Wire<'_, '_>,
    encodings: &Encodings,
    mut share: Share<'_>,
    to: Option<ToSpool<'_>>,
) -> Held {
    let (first, error) = wire.first().await;
    if error.is_some() || first.is_empty() {
        // An empty body is empty, whatever its encoding.
        return Held::in_memory(Bytes::new(), error);
    }
    wire.chunk = first;
    let (cap, rest) = (wire.cap, wire.rest);
    let limit = usize::try_from(cap).unwrap_or(usize::MAX);
    // What is in memory; of a body that goes to a file, what has not gone yet.
    let mut whole = BytesMut::new();
    let mut asked = false;
    let mut to = to;
    let mut file: Option<Filing<'_>> = None;
    let outcome = {
        let begins = wire.chunk.clone();
        let mut decoder = encodings.decoder(&mut *wire, &begins);
        loop {
            let length = whole.len().saturating_add(STEP).min(limit) as u64;
            if file.is_none() {
                let above = to.map_or(u64::MAX, |to| to.spooling.above);
                if !asked && (length > above || !share.fits(length)) {
                    asked = true;
                    to = to.filter(|to| (to.may)(&whole));
                    share.at_most(to.map_or(u64::MAX, |_| above));
                }
                if let Some(to) = to.filter(|_| length > above) {
                    file = Some(Filing::begin(to, rest, &whole).await);
                    // With its room: there is no more of it than a step at a time.
                    whole = BytesMut::new();
                    share.give_back();
                } else if !share.fits(length) {
                    share.grow(&mut whole, length).await;
                }
            }
            whole.reserve(16 * 1024);
            match decoder.read_buf(&mut (&mut whole).limit(STEP)).await {
                Ok(0) => break None,
                Ok(_) => match &mut file {
                    None if whole.len() > limit => {
                        whole.truncate(limit);
                        break Some(BodyError::TooLarge);
                    }
                    None => {}
                    Some(file) => {
                        if !file.push(&whole).await {
                            break None;
                        }
                        if file.length > cap {
                            break Some(BodyError::TooLarge);
                        }
                        whole.clear();
                    }
                },
                Err(error) => break Some(of_io(error)),
            }
        }
    };
    let mut outcome = outcome;
    // A decoder stops at the end of what it decodes; only the body's own end says that it is whole.
    while outcome.is_none() && file.as_ref().is_none_or(|file| file.file.is_ok()) {
        match wire.next().await {
            None => break,
            Some(Ok(_)) => {}
            Some(Err(error)) => outcome = Some(error),
        }
    }
    match file {
        Some(file) => file.end(outcome).await,
        None => Held::in_memory(share.keep(whole), outcome),
    }
}

/// A body on its way into a file.
struct Filing<'s> {
    head: Bytes,
    file: Result<Spooler, io::Error>,
    to: ToSpool<'s>,
    rest: &'s Rest,
    length: u64,
}

impl<'s> Filing<'s> {
    async fn begin(to: ToSpool<'s>, rest: &'s Rest, begun: &[u8]) -> Filing<'s> {
        let head = Bytes::copy_from_slice(&begun[..begun.len().min(HEAD)]);
        let file = Spooler::open(&to.spooling.directory);
        let mut filing = Filing { head, file, to, rest, length: 0 };
        // Not at once: what is gathered is there twice.
        for piece in begun.chunks(STEP) {
            filing.push(piece).await;
        }
        filing
    }

    /// Whether the file has taken all so far. What the disk takes is not the server's time.
    async fn push(&mut self, bytes: &[u8]) -> bool {
        self.length += bytes.len() as u64;
        let Ok(file) = &mut self.file else { return false };
        if file.gather(bytes) {
            match std::mem::replace(&mut self.file, Err(io::ErrorKind::Other.into())) {
                Ok(full) => self.file = self.rest.during(full.flush_aside()).await,
                failed => self.file = failed,
            }
        }
        self.file.is_ok()
    }

    async fn end(self, error: Option<BodyError>) -> Held {
        let Filing { head, file, to, rest, .. } = self;
        let whole = match file {
            Ok(file) if error.is_none() => rest.during(file.finish_aside()).await.map(Some),
            Ok(_) => Ok(None),
            Err(failed) => Err(failed),
        };
        match whole {
            Ok(spool) => Held { bytes: head, spool, error },
            Err(failed) => {
                let failed = BodyError::Spool(failed, to.spooling.directory.clone());
                Held::in_memory(head, Some(error.unwrap_or(failed)))
            }
        }
    }
}

/// A decoder's error: its own, or one of the wire below it.
fn of_io(error: io::Error) -> BodyError {
    let kind = error.kind();
    match error.into_inner().map(|inner| inner.downcast::<BodyError>()) {
        Some(Ok(below)) => *below,
        Some(Err(inner)) if kind == io::ErrorKind::UnexpectedEof => {
            drop(inner);
            BodyError::CompressionCut
        }
        Some(Err(inner)) => BodyError::Compression(io::Error::new(kind, inner)),
        None if kind == io::ErrorKind::UnexpectedEof => BodyError::CompressionCut,
        None => BodyError::Compression(kind.into()),
    }
}

/// The body as it comes over the wire.
pub(crate) struct Wire<'p, 't> {
    body: Incoming,
    /// Received and not yet decoded.
    chunk: Bytes,
    received: u64,
    cap: u64,
    patience: &'p mut Patience<'t>,
    rest: &'p Rest,
}

impl Wire<'_, '_> {
    async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The first chunk; empty if there is none.
    async fn first(&mut self) -> (Bytes, Option<BodyError>) {
        match self.next().await {
            None => (Bytes::new(), None),
            Some(Ok(chunk)) => (chunk, None),
            Some(Err(error)) => (Bytes::new(), Some(error)),
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        self.patience.leave_out(self.rest);
        loop {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(BodyError::Network(error)))),
                Poll::Ready(Some(Ok(frame))) => {
                    self.patience.moved();
                    // Trailers are not ours.
                    let Ok(data) = frame.into_data() else { continue };
                    if data.is_empty() {
                        continue;
                    }
                    self.received += data.len() as u64;
                    if self.received > self.cap {
                        return Poll::Ready(Some(Err(BodyError::TooLarge)));
                    }
                    // A body that never pauses must not outlive its total time-out either.
                    return match self.patience.poll_expired(cx) {
                        Poll::Ready(timed_out) => Poll::Ready(Some(Err(BodyError::TimedOut(timed_out)))),
                        Poll::Pending => Poll::Ready(Some(Ok(data))),
                    };
                }
                Poll::Pending => {
                    return self
                        .patience
                        .poll_expired(cx)
                        .map(|timed_out| Some(Err(BodyError::TimedOut(timed_out))));
                }
            }
        }
    }
}

impl AsyncRead for Wire<'_, '_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let held = std::task::ready!(self.as_mut().poll_fill_buf(cx))?;
        let length = held.len().min(buf.remaining());
        buf.put_slice(&held[..length]);
        self.consume(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncBufRead for Wire<'_, '_> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let wire = self.get_mut();
        if wire.chunk.is_empty() {
            match std::task::ready!(wire.poll_next(cx)) {
                None => {}
                Some(Ok(chunk)) => wire.chunk = chunk,
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
            }
        }
        Poll::Ready(Ok(&wire.chunk))
    }

    fn consume(self: Pin<&mut Self>, length: usize) {
        self.get_mut().chunk.advance(length);
    }
}
