//! An answer's body, whole: collected as it comes, decompressed on the way, and never larger than it
//! may be.
//!
//! What is counted against the cap is what leaves the last decoder; no more than the cap and one
//! chunk is ever held. The compressed bytes are counted too, since a stream can go on without end and
//! yield nothing. How much all bodies together may hold is [`room`]'s.

pub(crate) mod room;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use hyper::body::{Body, Incoming};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncReadExt, ReadBuf};

use self::room::{Rooms, Share};
use crate::encoding::{Encodings, UnknownEncoding};
use crate::patience::{Patience, Rest, TimedOut};

/// Not every server tells the truth about the length: more than this is not set aside in advance.
const SET_ASIDE: u64 = 1024 * 1024;
/// Bytes that are decoded at a time.
const STEP: usize = 64 * 1024;

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
}

/// What came of reading a body.
#[derive(Debug)]
pub(crate) struct Collected {
    /// The body, or as much of it as there is.
    pub(crate) bytes: Bytes,
    /// Bytes over the wire.
    pub(crate) wire: u64,
    /// What `Content-Length` announced.
    pub(crate) announced: Option<u64>,
    /// Why it is not whole.
    pub(crate) error: Option<BodyError>,
}

/// Reads a body of at most `cap` bytes, of which there is place in `rooms`.
pub(crate) async fn collect(
    body: Incoming,
    headers: &HeaderMap,
    cap: u64,
    rooms: &Rooms,
    patience: &mut Patience<'_>,
) -> Collected {
    let length = body.size_hint().exact();
    let announced = length
        .or_else(|| headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.trim().parse().ok()));
    let rest = patience.rest();
    let mut wire = Wire { body, chunk: Bytes::new(), received: 0, cap, patience, rest: &rest };
    let (bytes, error) = match Encodings::of(headers) {
        Err(unknown) => (Bytes::new(), Some(BodyError::Unknown(unknown))),
        Ok(_) if announced.is_some_and(|length| length > cap) => {
            // The beginning is kept for the failure's text.
            let (bytes, error) = wire.first().await;
            (bytes, Some(error.unwrap_or(BodyError::TooLarge)))
        }
        Ok(encodings) if encodings.is_plain() => {
            plain(&mut wire, announced, rooms.begin(length, cap, &rest)).await
        }
        Ok(encodings) => decoded(&mut wire, &encodings, rooms.begin(None, cap, &rest)).await,
    };
    Collected { bytes, wire: wire.received, announced, error }
}

async fn plain(
    wire: &mut Wire<'_, '_>,
    announced: Option<u64>,
    mut share: Share<'_>,
) -> (Bytes, Option<BodyError>) {
    let (first, error) = wire.first().await;
    if error.is_some() || wire.body.is_end_stream() {
        // Most answers fit in one read: their bytes are handed on as they lie.
        return (first, error);
    }
    let mut whole =
        BytesMut::with_capacity(usize::try_from(announced.unwrap_or(0).min(SET_ASIDE)).unwrap_or(0));
    whole.extend_from_slice(&first);
    loop {
        match wire.next().await {
            None => return (share.keep(whole), None),
            Some(Ok(chunk)) => {
                let length = (whole.len() + chunk.len()) as u64;
                if !share.fits(length) {
                    share.grow(&mut whole, length).await;
                }
                whole.extend_from_slice(&chunk);
            }
            Some(Err(error)) => return (share.keep(whole), Some(error)),
        }
    }
}

async fn decoded(
    wire: &mut Wire<'_, '_>,
    encodings: &Encodings,
    mut share: Share<'_>,
) -> (Bytes, Option<BodyError>) {
    let (first, error) = wire.first().await;
    if error.is_some() || first.is_empty() {
        // An empty body is empty, whatever its encoding.
        return (Bytes::new(), error);
    }
    wire.chunk = first;
    let limit = usize::try_from(wire.cap).unwrap_or(usize::MAX);
    let mut whole = BytesMut::new();
    let outcome = {
        let begins = wire.chunk.clone();
        let mut decoder = encodings.decoder(&mut *wire, &begins);
        loop {
            let length = whole.len().saturating_add(STEP).min(limit) as u64;
            if !share.fits(length) {
                share.grow(&mut whole, length).await;
            }
            whole.reserve(16 * 1024);
            match decoder.read_buf(&mut (&mut whole).limit(STEP)).await {
                Ok(0) => break None,
                Ok(_) if whole.len() > limit => {
                    whole.truncate(limit);
                    break Some(BodyError::TooLarge);
                }
                Ok(_) => {}
                Err(error) => break Some(of_io(error)),
            }
        }
    };
    if outcome.is_some() {
        return (share.keep(whole), outcome);
    }
    // A decoder stops at the end of what it decodes; only the body's own end says that it is whole.
    loop {
        match wire.next().await {
            None => return (share.keep(whole), None),
            Some(Ok(_)) => {}
            Some(Err(error)) => return (share.keep(whole), Some(error)),
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
